"""Builds the tree of a template: opens and closes blocks, and trims whitespace as each block closes.

Open blocks are kept on a stack of our own; a mistake is reported where it was made (the tag that opens what is never closed),
not where the text ended.
"""

from typing import Final, NoReturn

from coderun.handlebars.errors import TemplateSyntaxError
from coderun.handlebars.expressions import TagReader
from coderun.handlebars.lexer import Lexer, Piece
from coderun.handlebars.limits import Limits
from coderun.handlebars.nodes import (
    Block,
    Call,
    Candidate,
    Comment,
    Flags,
    Mustache,
    Partial,
    Program,
    Statement,
    Text,
)
from coderun.handlebars.source import Source
from coderun.handlebars.whitespace import trim_block, trim_program

_SECTION: Final = "section"
_INVERSE: Final = "inverse section"
INLINE_PARTIAL: Final = "inline partial"
PARTIAL_BLOCK: Final = "partial block"
RAW_BLOCK: Final = "raw block"


class _Link:
    """One `{{#if a}}`, `{{else if b}}` or `{{else}}` of an open block, with the statements after it."""

    __slots__ = ("call", "flags", "program")

    def __init__(self, call: Call | None, flags: Flags, program: Program) -> None:
        self.call = call
        self.flags = flags
        self.program = program


class _Frame:
    """An open block: its links, the last of which takes the statements that follow."""

    __slots__ = ("call", "kind", "links", "opener")

    def __init__(self, kind: str, opener: Piece, call: Call, link: _Link) -> None:
        self.kind = kind
        self.opener = opener
        self.call = call
        self.links = [link]


def parse(source: Source, limits: Limits, *, keep_github_expressions: bool = False) -> Program:
    """The tree of `source`, trimmed; raises `TemplateSyntaxError`."""
    return _Parser(source, limits, keep_github_expressions=keep_github_expressions).run()


class _Parser:
    def __init__(self, source: Source, limits: Limits, *, keep_github_expressions: bool) -> None:
        self._source = source
        self._limits = limits
        self._lexer = Lexer(source, nesting=limits.nesting, keep_github_expressions=keep_github_expressions)
        self._frames: list[_Frame] = []
        self._root = Program()
        self._body = self._root.body
        self._depth = 0

    def run(self) -> Program:
        readers = {
            "comment": self._comment,
            "mustache": self._mustache,
            "unescaped": self._mustache,
            "partial": self._partial,
            "block": self._open_block,
            "open_inverse": self._open_block,
            "partial_block": self._open_block,
            "chain": self._chain,
            "inverse": self._else,
            "close": self._close,
            "raw": self._raw,
        }
        tags = 0
        while (piece := self._lexer.next()) is not None:
            if piece.kind == "text":
                self._body.append(Text(piece.offset, piece.text, piece.text))
                continue
            tags += 1
            if tags > self._limits.tags:
                self._fail(piece.offset, f"more than {self._limits.tags} tags in one template")
            readers[piece.kind](piece)
        if self._frames:
            frame = self._frames[-1]
            self._fail(frame.opener.offset, f"unclosed block {_shown(frame)}: {_closing(frame)} is missing")
        trim_program(self._root, is_root=True)
        return self._root

    def _comment(self, piece: Piece) -> None:
        flags = Flags(piece.text[2] == "~", piece.text[-3] == "~")
        self._body.append(Comment(piece.offset, Candidate(flags, whole=True)))

    def _mustache(self, piece: Piece) -> None:
        reader = TagReader(self._source, piece)
        call = reader.call()
        if piece.text.endswith("*"):
            self._fail(piece.offset, f"unknown decorator '{call.original}': the only one is {{{{#*inline \"name\"}}}}")
        closing = reader.close("close_unescaped" if piece.kind == "unescaped" else "close").text
        escaped = piece.kind != "unescaped" and not piece.text.endswith("&")
        flags = Flags(len(piece.text) > 2 and piece.text[2] == "~", closing[-3:-2] == "~")  # noqa: PLR2004 - after the braces
        self._body.append(Mustache(piece.offset, call, escaped, Candidate(flags)))

    def _partial(self, piece: Piece) -> None:
        reader = TagReader(self._source, piece)
        call = reader.call(call_as_name=True)
        closing = reader.close("close").text
        self._check_partial(call)
        flags = Flags(piece.text[2] == "~", closing[0] == "~")
        self._body.append(Partial(piece.offset, call, Candidate(flags, whole=True)))

    def _check_partial(self, call: Call) -> None:
        if len(call.params) > 1:
            self._fail(call.params[1].offset, f"a partial takes one context at most, found {len(call.params)} arguments")

    def _open_block(self, piece: Piece) -> None:
        reader = TagReader(self._source, piece)
        call = reader.call(call_as_name=piece.kind == "partial_block")
        params = reader.block_params() if piece.kind != "partial_block" else ()
        flags = Flags(piece.text[2] == "~", reader.close("close").text[0] == "~")
        kind = {"open_inverse": _INVERSE, "partial_block": PARTIAL_BLOCK}.get(piece.kind, _SECTION)
        if piece.text.endswith("*"):
            kind = INLINE_PARTIAL
            self._check_inline(piece, call)
        if kind == PARTIAL_BLOCK:
            self._check_partial(call)
        self._deepen(piece)
        self._push(_Frame(kind, piece, call, _Link(call, flags, Program(block_params=params))))

    def _check_inline(self, piece: Piece, call: Call) -> None:
        if call.original != "inline":
            self._fail(piece.offset, f"unknown decorator '{call.original}': the only one is {{{{#*inline \"name\"}}}}")
        if len(call.params) != 1 or call.hash:
            self._fail(piece.offset, '{{#*inline "name"}} takes exactly one name')

    def _deepen(self, piece: Piece) -> None:
        self._depth += 1
        if self._depth > self._limits.nesting:
            self._fail(piece.offset, f"blocks nested more than {self._limits.nesting} deep")

    def _push(self, frame: _Frame) -> None:
        self._frames.append(frame)
        self._body = frame.links[0].program.body

    def _chain(self, piece: Piece) -> None:
        reader = TagReader(self._source, piece)
        call = reader.call()
        params = reader.block_params()
        flags = Flags(piece.text[2] == "~", reader.close("close").text[0] == "~")
        self._deepen(piece)
        self._link(piece, _Link(call, flags, Program(block_params=params)))

    def _else(self, piece: Piece) -> None:
        self._link(piece, _Link(None, Flags(piece.text[2] == "~", piece.text[-3] == "~"), Program()))

    def _link(self, piece: Piece, link: _Link) -> None:
        tag = "{{else}}" if link.call is None else f"{{{{else {link.call.original}}}}}"
        if not self._frames:
            self._fail(piece.offset, f"stray {tag}: no block is open")
        frame = self._frames[-1]
        if frame.kind in {PARTIAL_BLOCK, INLINE_PARTIAL}:
            self._fail(piece.offset, f"stray {tag}: {_shown(frame)} has no inverse, opened at {self._opened(frame)}")
        if frame.links[-1].call is None:
            self._fail(
                piece.offset,
                f"stray {tag}: the {{{{else}}}} of {_shown(frame)} came before it, opened at {self._opened(frame)}",
            )
        if frame.kind == _INVERSE and link.call:
            self._fail(
                piece.offset, f"stray {tag}: {_shown(frame)} takes a plain {{{{else}}}}, opened at {self._opened(frame)}"
            )
        frame.links.append(link)
        self._body = link.program.body

    def _close(self, piece: Piece) -> None:
        reader = TagReader(self._source, piece)
        call = reader.call()
        flags = Flags(piece.text[2] == "~", reader.close("close").text[0] == "~")
        found = f"{{{{/{call.original}}}}}"
        if not self._frames:
            self._fail(piece.offset, f"stray {found}: no block is open")
        frame = self._frames[-1]
        if call.original != frame.call.original:
            self._fail(piece.offset, f"expected {_closing(frame)}, opened at {self._opened(frame)}, found {found}")
        if not call.bare:
            self._fail(piece.offset, f"{found} takes no arguments")
        self._frames.pop()
        self._body = self._frames[-1].links[-1].program.body if self._frames else self._root.body
        self._depth -= sum(link.call is not None for link in frame.links)
        self._body.append(_build(frame, flags))

    def _raw(self, piece: Piece) -> None:
        reader = TagReader(self._source, piece)
        call = reader.call()
        reader.close("close_raw")
        body: list[Statement] = []
        body += [Text(text.offset, text.text, text.text) for text in self._lexer.raw_body(call.original, piece.offset)]
        block = Block(piece.offset, RAW_BLOCK, call, Program(body), None, Flags(), None, Flags(), Candidate(Flags()))
        block.candidate = trim_block(block)
        self._body.append(block)

    def _opened(self, frame: _Frame) -> str:
        return self._source.short_place(frame.opener.offset)

    def _fail(self, offset: int, message: str) -> NoReturn:
        raise self._source.error(TemplateSyntaxError, offset, message)


def _build(frame: _Frame, close: Flags) -> Block:
    """The block of a closed frame; the links of its chain become blocks in the inverse of the link before, the last first."""
    links = frame.links
    for link in links:
        trim_program(link.program)
    inverse, inverse_flags = None, None
    if links[-1].call is None:
        inverse, inverse_flags = links[-1].program, links[-1].flags
    chain = [link for link in links[1:] if link.call]
    for index, link in reversed(list(enumerate(chain))):
        # handlebars.js hands the closing tag's flags to the first link only, later links get their own.
        flags = link.flags if index else close
        block = _block(_SECTION, link, inverse, inverse_flags, flags)
        inverse, inverse_flags = Program([block], chained=True), link.flags
    return _block(frame.kind, links[0], inverse, inverse_flags, close)


def _block(kind: str, link: _Link, inverse: Program | None, inverse_flags: Flags | None, close: Flags) -> Block:
    call = link.call
    assert call  # noqa: S101 - only a plain else has no call, and that is no block
    program: Program | None = link.program
    if kind == _INVERSE:
        program, inverse = inverse, program
    block = Block(call.offset, kind, call, program, inverse, link.flags, inverse_flags, close, Candidate(Flags()))
    block.candidate = trim_block(block)
    return block


def _shown(frame: _Frame) -> str:
    return f"{{{{{frame.opener.text.strip('{~')}{frame.call.original}}}}}"


def _closing(frame: _Frame) -> str:
    return f"{{{{/{frame.call.original}}}}}"


def literal_name(call: Call) -> str | None:
    """The name of a partial that is written out; None where an expression computes it."""
    return None if isinstance(call.name, Call) else call.name.original
