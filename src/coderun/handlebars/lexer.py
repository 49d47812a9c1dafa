"""Splits a template into texts and tags, and a tag into tokens: the states and the order of rules of handlebars.js 4.7.

Knows nothing of what tags mean; the parser asks for one piece after the other.
"""

import re
from typing import Final, NamedTuple, NoReturn

from coderun.handlebars.errors import TemplateSyntaxError, shortened
from coderun.handlebars.source import Source
from coderun.handlebars.whitespace import JS_SPACE

_WS: Final = f"[{JS_SPACE}]"
_AFTER_ID: Final = f"(?=[=~}}/.)|{JS_SPACE}])"
_AFTER_LITERAL: Final = f"(?=[~}}){JS_SPACE}])"
# Every character that may stand in a name: no blank, no operator, no quote, no bracket.
ID: Final = rf"""[^{JS_SPACE}!"#%&'()*+,./;<=>@\[\\\]^`{{|}}~]+"""

_OPENER: Final = re.compile(
    rf"""(?P<raw>\{{\{{\{{\{{)
    |(?P<partial>\{{\{{~?>)
    |(?P<partial_block>\{{\{{~?\#>)
    |(?P<block>\{{\{{~?\#\*?)
    |(?P<close>\{{\{{~?/)
    |(?P<inverse>\{{\{{~?(?:\^{_WS}*|{_WS}*else{_WS}*)~?\}}\}})
    |(?P<open_inverse>\{{\{{~?\^)
    |(?P<chain>\{{\{{~?{_WS}*else(?![A-Za-z0-9_]))
    |(?P<unescaped>\{{\{{~?\{{)
    |(?P<comment>\{{\{{~?!(?:--)?)
    |(?P<mustache>\{{\{{~?[&*]?)""",
    re.VERBOSE,
)

_TOKEN: Final = re.compile(
    "|".join(
        f"(?P<{kind}>{pattern})"
        for kind, pattern in (
            ("space", f"{_WS}+"),
            ("id", rf"\.\.|\.{_AFTER_ID}"),
            ("sep", "[/.]"),
            ("close_raw", r"\}\}\}\}"),
            ("close_unescaped", r"\}~?\}\}"),
            ("close", r"~?\}\}"),
            ("open_paren", r"\("),
            ("close_paren", r"\)"),
            ("equals", "="),
            ("string", r""""(?:\\"|[^"])*"|'(?:\\'|[^'])*\'"""),
            ("data", "@"),
            ("word", f"(?:true|false|undefined|null){_AFTER_LITERAL}"),
            ("number", rf"-?[0-9]+(?:\.[0-9]+)?{_AFTER_LITERAL}"),
            ("open_params", rf"as{_WS}+\|"),
            ("pipe", r"\|"),
            ("name", f"{ID}{_AFTER_ID}"),
            ("segment", r"\[(?:\\\]|[^\]])*\]"),
        )
    ),
)
_COMMENT_END: Final = re.compile(r"--(~)?\}\}")
_RAW_MARK: Final = re.compile(rf"\{{\{{\{{\{{(?:/({ID})\}}\}}\}}\}}|(?=[^/]))")
# GitHub writes its strings in single quotes, a quote inside one doubled.
_GITHUB_REST: Final = re.compile(r"(?:[^'}]|'[^']*'|\}(?!\}))*\}\}")
_CLOSERS: Final = frozenset({"close", "close_unescaped", "close_raw"})


class Token(NamedTuple):
    """One token of a tag; `kind` is the name of its rule."""

    kind: str
    text: str
    offset: int


class Piece(NamedTuple):
    """A text, or a tag with the tokens between its braces (the closing one is the last)."""

    kind: str
    text: str
    offset: int
    tokens: tuple[Token, ...] | list[Token] = ()


class Lexer:
    """Hands out the pieces of one source in order."""

    __slots__ = ("_escaped", "_github", "_in_tag", "_nesting", "_position", "_source", "_text")

    def __init__(self, source: Source, *, nesting: int, keep_github_expressions: bool) -> None:
        self._source = source
        self._text = source.text
        self._position = 0
        self._in_tag = False
        self._escaped = False
        self._github = keep_github_expressions
        self._nesting = nesting

    def next(self) -> Piece | None:
        """The next piece, None at the end of the source."""
        if not self._in_tag:
            text = self._next_text()
            if text is not None:
                return text
        if self._position >= len(self._text):
            return None
        self._in_tag = False
        return self._tag()

    def _next_text(self) -> Piece | None:
        start = self._position
        if self._escaped:
            return self._escaped_text(start)
        brace = self._find_braces(start)
        if brace < 0:
            self._position = len(self._text)
            return Piece("text", self._text[start:], start) if start < len(self._text) else None
        text = self._text[start:brace]
        self._position = brace
        self._in_tag = True
        if text.endswith("\\"):
            if not text.endswith("\\\\"):
                self._in_tag, self._escaped = False, True
            text = text[:-1]
            if not text and self._escaped:
                return self._escaped_text(brace)
        return Piece("text", text, start) if text else None

    def _escaped_text(self, start: int) -> Piece | None:
        # After \{{ everything is text up to the next braces, or the backslashes before them.
        self._escaped = False
        end = self._find_braces(start + 2)
        if end < 0:
            end = len(self._text)
        for _ in range(2):
            if end < len(self._text) and end - 1 >= start + 2 and self._text[end - 1] == "\\":
                end -= 1
        self._position = end
        return Piece("text", self._text[start:end], start)

    def _find_braces(self, start: int) -> int:
        text = self._text
        found = text.find("{{", start)
        while self._github and found > 0 and text[found - 1] == "$" and text[found + 2 : found + 3] in (" ", "\t", "\r", "\n"):
            rest = _GITHUB_REST.match(text, found + 2)
            if rest is None:
                self._fail(found - 1, "unclosed GitHub expression '${{ ': '}}' is missing")
            found = text.find("{{", rest.end())
        return found

    def _tag(self) -> Piece:
        start = self._position
        opener = _OPENER.match(self._text, start)
        assert opener  # noqa: S101 - the last rule matches any pair of braces
        kind, text = str(opener.lastgroup), opener.group()
        self._position = opener.end()
        if kind == "comment":
            return self._comment(start, text)
        if kind == "inverse":
            return Piece(kind, text, start)
        return Piece(kind, text, start, self._tokens(start, text))

    def _comment(self, start: int, opener: str) -> Piece:
        if opener.endswith("--"):
            found = _COMMENT_END.search(self._text, start + len(opener) - 2)
            end = found.end() if found else -1
            missing = "--}}"
        else:
            end = self._text.find("}}", self._position) + 2
            missing = "}}"
        if end < len(missing):
            self._fail(start, f"unclosed comment: {missing!r} is missing")
        self._position = end
        return Piece("comment", self._text[start:end], start)

    def _tokens(self, start: int, opener: str) -> list[Token]:
        text, position = self._text, self._position
        found: list[Token] = []
        match, depth = _TOKEN.match, 0
        while True:
            token = match(text, position)
            if token is None:
                self._unreadable(start, opener, position, found)
            kind = str(token.lastgroup)
            if kind != "space":
                found.append(Token(kind, token.group(), position))
                depth += (kind == "open_paren") - (kind == "close_paren")
                if depth > self._nesting:
                    self._fail(position, f"parentheses nested more than {self._nesting} deep")
            position = token.end()
            if kind in _CLOSERS:
                self._position = position
                return found

    def _unreadable(self, start: int, opener: str, position: int, found: list[Token]) -> NoReturn:
        text = self._text
        for token in found:
            if token.kind == "string" and "\n" in token.text and "}}" in token.text:
                # It swallowed the end of its tag and ended at a quote that opens another string.
                self._fail(token.offset, f"unclosed string: {token.text[0]} is missing")
        char = text[position : position + 1]
        if not char or text.startswith("{{", position):
            self._fail(start, f"unclosed tag '{_head(text, start, opener)}': '{_closing(opener)}' is missing")
        if char in "\"'":
            self._fail(position, f"unclosed string: {char} is missing")
        if char == "[":
            self._fail(position, "unclosed segment: ] is missing")
        name = re.compile(ID).match(text, position)
        if name and name.end() == len(text):
            self._fail(start, f"unclosed tag '{_head(text, start, opener)}': '{_closing(opener)}' is missing")
        if name:
            self._fail(name.end(), f"unexpected {text[name.end()]!r} after {shortened(name.group())!r}")
        self._fail(position, f"unexpected {char!r} in a tag")

    def raw_body(self, name: str, start: int) -> list[Piece]:
        """The texts of a raw block up to its closing tag, which must be `name`'s; inner raw blocks are text."""
        texts, depth, position = [], 1, self._position
        while True:
            mark = _RAW_MARK.search(self._text, position)
            if mark is None:
                self._fail(start, f"unclosed raw block: '{{{{{{{{/{name}}}}}}}}}' is missing")
            depth += -1 if mark.group(1) else 1
            if not depth:
                break
            texts.append((position, max(mark.end(), mark.start() + 4)))
            position = texts[-1][1]
        if mark.group(1) != name:
            expected = f"expected '{{{{{{{{/{name}}}}}}}}}', opened at {self._source.short_place(start)}"
            self._fail(mark.start(), f"{expected}, found '{mark.group()}'")
        texts.append((position, mark.start()))
        self._position = mark.end()
        return [Piece("text", self._text[begin:end], begin) for begin, end in texts if begin < end]

    def _fail(self, offset: int, message: str) -> NoReturn:
        raise self._source.error(TemplateSyntaxError, offset, message)


def _head(text: str, start: int, opener: str) -> str:
    name = re.compile(f"{_WS}*{ID}").match(text, start + len(opener))
    return shortened(opener + (name.group() if name else ""))


def _closing(opener: str) -> str:
    if opener == "{{{{":
        return "}}}}"
    return "}}}" if opener.endswith("{") and len(opener) > 2 else "}}"  # noqa: PLR2004 - longer than the plain braces
