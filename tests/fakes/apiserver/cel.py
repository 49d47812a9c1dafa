"""The part of the Common Expression Language that CRD rules here use; what it does not know it refuses when the CRD is made.

Known: literals, lists, `.field`, `[index]`, `has()`, `size()`, `all`/`exists`/`exists_one`/`filter`/`map`, `matches`,
`startsWith`, `endsWith`, `contains`, `lowerAscii`, `! - + * / % == != < <= > >= in && || ?:`. https://github.com/google/cel-spec
"""

import functools
import json
import re
from collections.abc import Callable
from typing import Any

Scope = dict[str, Any]
Node = Callable[[Scope], Any]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<text>r?'(?:\\.|[^'\\])*'|r?\"(?:\\.|[^\"\\])*\")"
    r"|(?P<name>[A-Za-z_]\w*)|(?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%!<>?:.,()\[\]]))"
)
_MACROS = ("all", "exists", "exists_one", "filter", "map")


class CelError(Exception):
    """An expression that cannot be evaluated."""


class CelUnknownError(Exception):
    """An expression that this subset does not know."""


def evaluate(node: Node, scope: Scope) -> Any:
    """The value of a parsed expression."""
    return node(scope)


@functools.lru_cache(maxsize=512)
def parse(source: str) -> Node:
    """The expression as a function of its variables.

    Raises:
        CelUnknownError: it is outside the subset.
    """
    parser = _Parser(source)
    node = parser.ternary()
    parser.end()
    return node


def _tokens(source: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while source[at:].strip():
        match = _TOKEN.match(source, at)
        if match is None:
            raise CelUnknownError(f"{source!r}: cannot read {source[at : at + 20]!r}")
        found.append((str(match.lastgroup), match[str(match.lastgroup)]))
        at = match.end()
    return found


class _Parser:
    def __init__(self, source: str) -> None:
        self._source = source
        self._tokens = _tokens(source)
        self._at = 0

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _take(self, *signs: str) -> str:
        found = self._peek()
        if found not in signs or not found:
            return ""
        self._at += 1
        return found

    def _need(self, sign: str) -> None:
        if not self._take(sign):
            raise CelUnknownError(f"{self._source!r}: expected {sign!r}, found {self._peek()!r}")

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise CelUnknownError(f"{self._source!r}: {self._peek()!r} is outside the subset")

    def ternary(self) -> Node:
        condition = self._or()
        if not self._take("?"):
            return condition
        yes = self._or()
        self._need(":")
        no = self.ternary()
        return lambda scope: yes(scope) if condition(scope) else no(scope)

    def _or(self) -> Node:
        return self._chain("||", self._and, stops=True)

    def _and(self) -> Node:
        return self._chain("&&", self._relation, stops=False)

    def _chain(self, sign: str, below: Callable[[], Node], *, stops: bool) -> Node:
        nodes = [below()]
        while self._take(sign):
            nodes.append(below())
        return nodes[0] if len(nodes) == 1 else functools.partial(_logic, nodes, stops)

    def _relation(self) -> Node:
        left = self._sum()
        while sign := self._take("==", "!=", "<", "<=", ">", ">=", "in"):
            left = functools.partial(_binary, sign, left, self._sum())
        return left

    def _sum(self) -> Node:
        left = self._product()
        while sign := self._take("+", "-"):
            left = functools.partial(_binary, sign, left, self._product())
        return left

    def _product(self) -> Node:
        left = self._unary()
        while sign := self._take("*", "/", "%"):
            left = functools.partial(_binary, sign, left, self._unary())
        return left

    def _unary(self) -> Node:
        if self._take("!"):
            of = self._unary()
            return lambda scope: not of(scope)
        if self._take("-"):
            of = self._unary()
            return lambda scope: -of(scope)
        return self._member()

    def _member(self) -> Node:
        node = self._primary()
        while sign := self._take(".", "["):
            if sign == "[":
                index = self.ternary()
                self._need("]")
                node = functools.partial(_index, node, index)
            else:
                node = self._selected(node)
        return node

    def _selected(self, of: Node) -> Node:
        name = self._name()
        if not self._take("("):
            return functools.partial(_field, of, name)
        if name in _MACROS:
            variable = self._name()
            self._need(",")
            body = self.ternary()
            self._need(")")
            return functools.partial(_macro, name, of, variable, body)
        return self._call(name, [of, *self._arguments()])

    def _name(self) -> str:
        kind, text = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        if kind != "name":
            raise CelUnknownError(f"{self._source!r}: expected a name, found {text!r}")
        self._at += 1
        return text

    def _arguments(self) -> list[Node]:
        found: list[Node] = []
        while not self._take(")"):
            found.append(self.ternary())
            if not self._take(","):
                self._need(")")
                break
        return found

    def _call(self, name: str, arguments: list[Node]) -> Node:
        function = _FUNCTIONS.get(name)
        if function is None:
            raise CelUnknownError(f"{self._source!r}: the function {name} is outside the subset")
        return lambda scope: function(*(one(scope) for one in arguments))

    def _primary(self) -> Node:
        if self._take("("):
            inner = self.ternary()
            self._need(")")
            return inner
        if self._take("["):
            return self._list()
        if self._at >= len(self._tokens):
            raise CelUnknownError(f"{self._source!r}: ends too soon")
        kind, text = self._tokens[self._at]
        self._at += 1
        if kind in {"number", "text"}:
            value = _literal(text)
            return lambda _scope: value
        if kind != "name":
            raise CelUnknownError(f"{self._source!r}: {text!r} is outside the subset")
        return self._word(text)

    def _list(self) -> Node:
        items: list[Node] = []
        while not self._take("]"):
            items.append(self.ternary())
            if not self._take(","):
                self._need("]")
                break
        return lambda scope: [one(scope) for one in items]

    def _word(self, text: str) -> Node:
        if text in _WORDS:
            value = _WORDS[text]
            return lambda _scope: value
        if not self._take("("):
            return functools.partial(_variable, text)
        if text == "has":
            target = self._member()
            self._need(")")
            return functools.partial(_has, target)
        return self._call(text, self._arguments())


_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}


def _literal(text: str) -> Any:
    if text[0].isdigit():
        return float(text) if "." in text else int(text)
    if text.startswith("r"):
        return text[2:-1]
    inner = text[1:-1]
    if text[0] == "'":
        inner = inner.replace("\\'", "'").replace('"', '\\"')
    return json.loads(f'"{inner}"')


def _logic(nodes: list[Node], stops: bool, scope: Scope) -> bool:
    # In CEL an error on one side of && or || counts only where the other does not decide.
    failed: CelError | None = None
    for node in nodes:
        try:
            if bool(node(scope)) is stops:
                return stops
        except CelError as error:
            failed = error
    if failed is not None:
        raise failed
    return not stops


def _binary(sign: str, left: Node, right: Node, scope: Scope) -> Any:
    first, second = left(scope), right(scope)
    try:
        return _OPERATIONS[sign](first, second)
    except (TypeError, ZeroDivisionError) as error:
        raise CelError(f"no such overload: {sign}") from error


def _divide(one: Any, two: Any) -> Any:
    return int(one / two) if isinstance(one, int) and isinstance(two, int) else one / two


_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": lambda one, two: one == two,
    "!=": lambda one, two: one != two,
    "<": lambda one, two: one < two,
    "<=": lambda one, two: one <= two,
    ">": lambda one, two: one > two,
    ">=": lambda one, two: one >= two,
    "in": lambda one, two: one in two,
    "+": lambda one, two: one + two,
    "-": lambda one, two: one - two,
    "*": lambda one, two: one * two,
    "/": _divide,
    "%": lambda one, two: one % two,
}


def _variable(name: str, scope: Scope) -> Any:
    if name not in scope:
        raise CelError(f"undeclared reference to '{name}'")
    return scope[name]


def _field(of: Node, name: str, scope: Scope) -> Any:
    value = of(scope)
    if not isinstance(value, dict) or name not in value:
        raise CelError(f"no such key: {name}")
    return value[name]


def _index(of: Node, index: Node, scope: Scope) -> Any:
    value, at = of(scope), index(scope)
    try:
        return value[at]
    except (KeyError, IndexError, TypeError) as error:
        raise CelError(f"no such key: {at}") from error


def _has(target: Node, scope: Scope) -> bool:
    if not isinstance(target, functools.partial) or target.func is not _field:
        raise CelError("invalid argument to has() macro")
    of, name = target.args
    value = of(scope)
    return isinstance(value, dict) and name in value


def _macro(name: str, of: Node, variable: str, body: Node, scope: Scope) -> Any:
    found = [(one, body({**scope, variable: one})) for one in of(scope)]
    match name:
        case "all":
            return all(value for _, value in found)
        case "exists":
            return any(value for _, value in found)
        case "exists_one":
            return sum(bool(value) for _, value in found) == 1
        case "filter":
            return [one for one, value in found if value]
        case _:
            return [value for _, value in found]


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "size": len,
    "matches": lambda text, pattern: re.search(pattern, text) is not None,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": lambda text, part: part in text,
    "lowerAscii": str.lower,
    "upperAscii": str.upper,
    "trim": str.strip,
    "int": int,
    "string": str,
}
