"""Reads the tokens of one tag: a name, its arguments, hash arguments and block parameters.

Subexpressions are kept on a stack of our own, so that nesting them deeply costs memory and nothing else.
"""

import re
from typing import Any, Final, NoReturn

from coderun.handlebars.errors import TemplateSyntaxError, shortened
from coderun.handlebars.lexer import Piece, Token
from coderun.handlebars.nodes import Call, Expression, Literal, Path
from coderun.handlebars.source import Source
from coderun.handlebars.values import UNDEFINED, number_text

_WORDS: Final[dict[str, Any]] = {"true": True, "false": False, "null": None, "undefined": UNDEFINED}
_ENDS: Final = frozenset({"close", "close_unescaped", "close_raw", "open_params"})
_STEPS: Final = frozenset({"..", ".", "this"})
_SEGMENT_ESCAPE: Final = re.compile(r"\\([\\\]])")
_EXACT: Final = 2**53


class _Open:
    """A call whose end has not been read."""

    __slots__ = ("hash", "height", "key", "name", "offset", "params")

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.name: Expression | None = None
        self.params: list[Expression] = []
        self.hash: dict[str, Expression] = {}
        self.key: Token | None = None
        self.height = 1


class TagReader:
    """Reads one tag of `source` from the start of its tokens."""

    __slots__ = ("_at", "_piece", "_source", "_tokens")

    def __init__(self, source: Source, piece: Piece) -> None:
        self._source = source
        self._piece = piece
        self._tokens = piece.tokens
        self._at = 0

    def call(self, *, call_as_name: bool = False) -> Call:
        """The name and arguments up to the end of the tag; `call_as_name` allows `(expression)` where the name stands."""
        tokens = self._tokens
        if len(tokens) == 2 and tokens[0].kind == "name":  # noqa: PLR2004 - a name and the closing braces: most tags
            self._at = 1
            token = tokens[0]
            scoped = token.text == "this"
            path = Path(token.offset, token.text, () if scoped else (token.text,), 0, data=False, scoped=scoped)
            return Call(self._piece.offset, path, [], {}, nested=False, height=1)
        stack = [_Open(self._piece.offset)]
        while True:
            token = tokens[self._at]
            if token.kind in _ENDS:
                break
            self._step(stack, token, call_as_name=call_as_name)
        if len(stack) > 1:
            self._fail(stack[-1].offset, "unclosed parenthesis: ')' is missing")
        return self._finish(stack[0], token, nested=False)

    def _step(self, stack: list[_Open], token: Token, *, call_as_name: bool) -> None:
        top = stack[-1]
        if token.kind == "open_paren":
            if top.name is None and not (call_as_name and len(stack) == 1):
                self._fail(token.offset, "expected a name, found '('")
            stack.append(_Open(token.offset))
            self._at += 1
        elif token.kind == "close_paren":
            if len(stack) == 1:
                self._fail(token.offset, "unexpected ')': no parenthesis is open")
            stack.pop()
            self._at += 1
            call = self._finish(top, token, nested=True)
            self._add(stack[-1], call, token)
            stack[-1].height = max(stack[-1].height, call.height + 1)
        elif self._tokens[self._at + 1].kind == "equals" and token.kind in {"name", "segment", "id"}:
            self._key(top, token)
        else:
            self._add(top, self._value(), token)

    def _key(self, top: _Open, token: Token) -> None:
        if top.name is None:
            self._fail(token.offset, f"expected a name, found '{token.text}='")
        if top.key:
            self._fail(top.key.offset, f"'{top.key.text}=' has no value")
        top.key = token
        self._at += 2

    def _add(self, top: _Open, value: Expression, token: Token) -> None:
        if top.name is None:
            top.name = value
        elif top.key:
            top.hash.setdefault(_segment(top.key), value)
            top.key = None
        elif top.hash:
            self._fail(token.offset, f"a plain argument must stand before the 'key=value' ones, found {_shown(token)}")
        else:
            top.params.append(value)

    def _finish(self, top: _Open, end: Token, *, nested: bool) -> Call:
        if top.key:
            self._fail(top.key.offset, f"'{top.key.text}=' has no value")
        if top.name is None:
            place = "the parentheses" if nested else "the tag"
            self._fail(end.offset, f"expected a name in {place}, found {_shown(end)}")
        return Call(top.offset, top.name, top.params, top.hash, nested, top.height)

    def _value(self) -> Expression:
        token = self._tokens[self._at]
        if token.kind in {"name", "id", "segment"}:
            return self._path(data=False, offset=token.offset)
        self._at += 1
        if token.kind == "data":
            return self._path(data=True, offset=token.offset)
        if token.kind == "string":
            quote = token.text[0]
            text = token.text[1:-1].replace("\\" + quote, quote)
            return Literal(token.offset, text, text)
        if token.kind == "word":
            return Literal(token.offset, token.text, _WORDS[token.text])
        if token.kind == "number":
            number = float(token.text)
            exact = number.is_integer() and abs(number) < _EXACT
            return Literal(token.offset, number_text(number), int(number) if exact else number)
        return self._fail(token.offset, f"expected a name or a value, found {_shown(token)}")

    def _path(self, *, data: bool, offset: int) -> Path:
        original, parts, depth, scoped, separator = "@" if data else "", [], 0, False, ""
        while True:
            token = self._segment_token(separator)
            for part in _split(token, separator):
                original += separator + part
                if token.kind == "segment" or part not in _STEPS:
                    parts.append(part)
                    continue
                if parts:
                    self._fail(token.offset, f"invalid path {shortened(original)!r}: {part!r} may stand at the start only")
                scoped = scoped or not data
                depth += part == ".."
            following = self._tokens[self._at]
            if following.kind == "id" and following.offset == token.offset + len(token.text):
                self._fail(following.offset, f"unexpected {following.text!r} after {shortened(original)!r}")
            if following.kind != "sep":
                return Path(offset, original, tuple(parts), depth, data=data, scoped=scoped)
            separator = following.text
            self._at += 1

    def _segment_token(self, separator: str) -> Token:
        token = self._tokens[self._at]
        allowed = {"name", "id", "segment"} | ({"number", "word"} if separator else set())
        if token.kind not in allowed or token.text.startswith("-"):
            after = f"after {separator!r} " if separator else ""
            self._fail(token.offset, f"expected a name {after}in the path, found {_shown(token)}")
        self._at += 1
        return token

    def block_params(self) -> tuple[str, ...]:
        """The names between `as |` and `|`, none where there are no block parameters."""
        opening = self._tokens[self._at]
        if opening.kind != "open_params":
            return ()
        names: list[str] = []
        self._at += 1
        while (token := self._tokens[self._at]).kind in {"name", "id", "segment"}:
            names.append(_segment(token))
            self._at += 1
        if token.kind != "pipe":
            self._fail(opening.offset, f"unclosed block parameters: '|' is missing, found {_shown(token)}")
        if not names:
            self._fail(token.offset, "expected a name between '|' and '|'")
        self._at += 1
        return tuple(names)

    def close(self, kind: str) -> Token:
        """The closing braces, which must be of the kind that fits the opening ones."""
        token = self._tokens[self._at]
        if token.kind != kind:
            expected = {"close": "}}", "close_unescaped": "}}}", "close_raw": "}}}}"}[kind]
            hint = ": put a blank between the tag and a brace of the text" if token.kind in _ENDS else ""
            self._fail(token.offset, f"expected '{expected}', found {_shown(token)}{hint}")
        return token

    def _fail(self, offset: int, message: str) -> NoReturn:
        raise self._source.error(TemplateSyntaxError, offset, message)


def _segment(token: Token) -> str:
    return _SEGMENT_ESCAPE.sub(r"\1", token.text)[1:-1] if token.kind == "segment" else token.text


def _split(token: Token, separator: str) -> list[str]:
    # After a separator `1.2` is two indexes, not a number.
    return token.text.split(".") if separator and token.kind == "number" else [_segment(token)]


def _shown(token: Token) -> str:
    return f"'{shortened(token.text, 30)}'"
