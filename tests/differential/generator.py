"""Random templates and data for the comparison with handlebars.js, from a source of chance.

What it leaves out are the constructs of `differences.py`, where the two are meant to differ.
"""

import json
from random import Random
from typing import Any

NAMES = ("a", "b", "c", "name", "list", "map", "deep", "zero", "empty", "none", "no", "yes", "text", "rows", "gone")
SUBJECTS = ("list", "map", "deep", "rows", "deep.list", "yes", "deep.a", "@root.list", "@root.map")
SPACES = ("", "", "", " ", "  ", "\n", "\n", "\n  ", " \n", "\r\n", "\t", "\n\n", "  \n  ")
WORDS = ("x", "- ", '"k": ', "$HOME", "}", "{", "é", "a b", ";", "</p>", "`q`", "\\", "'", "=")
PARTIALS = {
    "line": "L:{{name}}\n",
    "lines": "one {{a}}\ntwo\n\nthree\n",
    "bare": "[{{this}}]",
    "wrap": "<{{> @partial-block}}>",
    "wraptwice": "{{#each list}}{{> @partial-block}}{{/each}}",
    "slot": "({{> hole}})",
    "index": "{{@index}}{{@key}}{{name}}",
    "dir/file": "{{#if a}}\n  A\n{{else}}\n  B\n{{/if}}\n",
}


class Generator:
    """Makes one template after the other."""

    def __init__(self, chance: Random) -> None:
        self.random = chance

    def data(self) -> dict[str, Any]:
        """A context with members of every JSON type; some names are missing now and then."""
        chance = self.random
        item = {"name": "in", "a": chance.choice([1, 0, "x"]), "list": [5], "map": {"k": "v"}}
        full = {
            "a": chance.choice([1, 2, "s", True, 0, None]),
            "b": chance.choice([False, "b", 1.5, {}, []]),
            "c": "<c & 'd'>",
            "name": "top",
            "list": chance.choice([[1, 2, 3], ["x"], [], [item, {**item, "name": "two"}]]),
            "map": chance.choice([{"x": 1, "y": item}, {}, {"only": [1, 2]}]),
            "deep": {"a": {"b": {"c": "bottom"}}, "name": "mid", "list": ["d"]},
            "zero": 0,
            "empty": "",
            "none": None,
            "no": False,
            "yes": True,
            "text": "two\nlines",
            "rows": [[1, 2], [3]],
        }
        return {key: value for key, value in full.items() if chance.random() < 0.9}

    def template(self) -> str:
        """A template that both engines can read."""
        return self._body(self.random.choice([1, 2, 2, 3]), ())

    def _body(self, depth: int, params: tuple[str, ...]) -> str:
        return "".join([self._piece(depth, params) for _ in range(self.random.randint(1, 5))])

    def _piece(self, depth: int, params: tuple[str, ...]) -> str:
        chance = self.random
        kind = chance.random()
        if kind < 0.35:
            return chance.choice(SPACES) + chance.choice(WORDS) + chance.choice(SPACES)
        if kind < 0.5:
            return chance.choice(SPACES)
        if kind < 0.68 or depth <= 0:
            return self._mustache(params)
        if kind < 0.73:
            return self._tag(chance.choice(["! note ", "!-- {{x}} --", "!"]))
        if kind < 0.82:
            return self._partial(depth, params)
        if kind < 0.84:
            return chance.choice(
                ["\\{{a}} ", "\\\\{{a}}", "{{{{raw}}}} {{x}} {{{{/raw}}}}", "{{{{raw}}}}\n{{{x}}}\n{{{{/raw}}}}\n"]
            )
        return self._block(depth, params)

    def _tag(self, inside: str) -> str:
        before, after = self.random.choice(["", "", "", "", "~"]), self.random.choice(["", "", "", "", "~"])
        if inside.startswith("!--"):
            return f"{{{{{before}{inside}{after}}}}}"
        return f"{{{{{before}{inside}{after}}}}}"

    def _mustache(self, params: tuple[str, ...]) -> str:
        value = self._path(params) if self.random.random() < 0.7 else self._call(2, params)
        # A character goes before what is not escaped: handlebars.js adds unescaped values that stand side by side as numbers.
        if self.random.random() < 0.1:
            return f".{{{{{{{value}}}}}}}"
        if self.random.random() < 0.1:
            return "." + self._tag(f"&{value}")
        return self._tag(self.random.choice(["", " "]) + value + self.random.choice(["", " "]))

    def _path(self, params: tuple[str, ...]) -> str:
        chance = self.random
        kind = chance.random()
        if params and kind < 0.3:
            return chance.choice(params) + chance.choice(["", "", ".name", ".a"])
        if kind < 0.55:
            return chance.choice(NAMES)
        if kind < 0.7:
            return chance.choice(
                ["this", ".", "./name", "this.name", "this/a", "../name", "../this", "..", "../../name", "../a"]
            )
        if kind < 0.85:
            return chance.choice(
                [
                    "deep.a.b.c",
                    "deep.name",
                    "list.length",
                    "text.length",
                    "rows.0.length",
                    "map.x",
                    "deep.[a].b.[c]",
                    "gone.x.y",
                ]
            )
        return chance.choice(
            ["@index", "@key", "@first", "@last", "@root.name", "@../index", "@../key", "@root.deep.name", "@extra"]
        )

    def _value(self, depth: int, params: tuple[str, ...]) -> str:
        chance = self.random
        kind = chance.random()
        if kind < 0.6 or depth <= 0:
            return self._path(params)
        if kind < 0.8:
            return chance.choice(
                ['"s"', "'t u'", "1", "0", "-2", "1.5", "true", "false", "null", "undefined", '""', '"}}"', "'\\''"]
            )
        return f"({self._call(depth - 1, params)})"

    def _call(self, depth: int, params: tuple[str, ...]) -> str:
        chance = self.random
        name, count = chance.choice(
            [
                ("eq", 2),
                ("ne", 2),
                ("and", 2),
                ("or", 2),
                ("not", 1),
                ("default", 2),
                ("lookup", 2),
                ("concat", 3),
                ("show", 2),
                ("json", 1),
            ],
        )
        arguments = [self._value(depth, params) for _ in range(count)]
        if name in {"eq", "ne"}:
            arguments[1] = chance.choice(['"x"', "1", "null", "true"])
        if name == "json":
            arguments = [chance.choice(NAMES)]
        if name == "concat":
            arguments = [chance.choice(['"s"', "1", "c", "zero", "text", "gone", "@index"]) for _ in range(count)]
        if name == "lookup":
            arguments = [self._path(params), chance.choice(["0", '"name"', '"a"', "@index", "@key"])]
        if name == "show" and chance.random() < 0.5:
            arguments.append(f"k={self._value(depth, params)}")
        return " ".join([name, *arguments])

    def _partial(self, depth: int, params: tuple[str, ...]) -> str:
        chance = self.random
        arguments = chance.choice(["", "", " this", " @root", " name='given'", " deep a=1"])
        kind = chance.random()
        if kind < 0.5:
            name = chance.choice(
                ["line", "lines", "bare", "index", "dir/file", '"line"', '(concat "li" "ne")', '(lookup @root "gone2")']
            )
            return chance.choice(SPACES) + self._tag(f"> {name}{arguments}") + chance.choice(SPACES)
        if kind < 0.85:
            name = chance.choice(["wrap", "wraptwice", "absent", "line"])
            return f"{self._tag(f'#> {name}{arguments}')}{self._body(depth - 1, params)}{self._tag(f'/{name}')}"
        opener = self._tag("#*inline 'hole'")
        inline = f"{opener}{self._body(depth - 1, ())}{self._tag('/inline')}"
        return f"{{{{#> slot{arguments}}}}}{inline}{{{{/slot}}}}"

    def _block(self, depth: int, params: tuple[str, ...]) -> str:
        chance = self.random
        kind = chance.choice(
            ["if", "if", "if", "unless", "each", "each", "each", "with", "section", "inverse", "bold", "pick", "twice", "frame"]
        )
        inner, names = params, ""
        if kind in {"each", "with", "frame"} and chance.random() < 0.4:
            fresh = tuple(f"p{len(params) + index}" for index in range(1 if kind == "with" else 2))
            inner, names = (*params, *fresh), f" as |{' '.join(fresh)}|"
        if kind in {"section", "inverse"}:
            name = chance.choice(["list", "map", "deep", "yes", "no", "none", "gone", "zero", "empty", "rows", "deep.a"])
            mark = "#" if kind == "section" else "^"
            inverse = self._else(depth, params, chain=False)
            return f"{self._tag(mark + name)}{self._body(depth - 1, params)}{inverse}{self._tag('/' + name)}"
        subject = "" if kind in {"bold", "twice", "frame"} else f" {self._subject(kind, params)}"
        zero = " includeZero=true" if kind == "if" and chance.random() < 0.1 else ""
        opener = self._tag(f"#{kind}{subject}{zero}{names}")
        return f"{opener}{self._body(depth - 1, inner)}{self._else(depth, params, chain=True)}{self._tag('/' + kind)}"

    def _subject(self, kind: str, params: tuple[str, ...]) -> str:
        # No block parameters: one may be a list with the very value that becomes the context inside, see differences.py.
        return self._value(1, params) if kind in {"if", "unless", "pick"} else self.random.choice(SUBJECTS)

    def _else(self, depth: int, params: tuple[str, ...], *, chain: bool) -> str:
        chance = self.random
        text = ""
        if chain and chance.random() < 0.3:
            for _ in range(chance.choice([1, 1, 2, 3])):
                kind = chance.choice(["if", "if", "if", "unless", "each", "with", "pick"])
                text += f"{self._tag(f'else {kind} {self._subject(kind, params)}')}{self._body(depth - 2, params)}"
        if chance.random() < 0.4:
            text += self._tag(chance.choice(["else", " else ", "^"])) + self._body(depth - 1, params)
        return text


def shown(template: str, data: dict[str, Any]) -> str:
    """A failing case as one would add it to the corpus."""
    return f"template: {template!r}\ncontext: {json.dumps(data)}"
