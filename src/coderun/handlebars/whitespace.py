"""Whitespace control: `~`, and tags that stand alone on their line.

Decisions look at the original text of the neighbours, even where another tag has stripped it already; each side of a text is
stripped at most once. A program is trimmed after the programs inside it. These are the rules of handlebars.js 4.7.
"""

from collections.abc import Sequence
from typing import Final

from coderun.handlebars.nodes import Block, Candidate, Flags, Partial, Program, Statement, Text

# JavaScript's \s: without the file separators that Python strips, with the byte order mark that it does not.
JS_SPACE: Final = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
_BLANKS: Final = " \t"


def trim_program(program: Program, *, is_root: bool = False) -> None:
    """Trims the texts of `program` around its statements; the programs inside them are trimmed already."""
    body = program.body
    for index, statement in enumerate(body):
        if isinstance(statement, Text):
            continue
        candidate = statement.candidate
        if candidate.flags.after:
            _strip_start(body, index + 1, everything=True)
        if candidate.flags.before:
            _strip_end(body, index - 1, everything=True)
        if not (candidate.opens or candidate.closes or candidate.whole):
            continue
        before = _line_starts(body, index, is_root=is_root)
        after = _line_ends(body, index, is_root=is_root)
        if candidate.whole and before and after:
            _take_line(program, index)
        if candidate.opens and before:
            assert isinstance(statement, Block)  # noqa: S101 - only a block is a candidate with an inside
            _strip_start(_first(statement).body, 0)
            _strip_end(body, index - 1)
        if candidate.closes and after:
            assert isinstance(statement, Block)  # noqa: S101 - as above
            _strip_start(body, index + 1)
            last = _last(statement).body
            _strip_end(last, len(last) - 1)


def _take_line(program: Program, index: int) -> None:
    body = program.body
    statement, before = body[index], body[index - 1] if index else None
    _strip_start(body, index + 1)
    if _strip_end(body, index - 1) and isinstance(statement, Partial) and isinstance(before, Text):
        statement.indent = before.original[len(before.original.rstrip(_BLANKS)) :]


def trim_block(block: Block) -> Candidate:
    """Trims the inside of `block` next to its own tags; returns what its surroundings need to know.

    The programs of the block must have been trimmed. A chained `else` strips by the flags of the link that follows it.
    """
    program, inverse = _first(block), block.inverse if block.program else None
    first_inverse = last_inverse = inverse
    if inverse and inverse.chained:
        link = inverse.body[0]
        assert isinstance(link, Block)  # noqa: S101 - a chained program holds exactly one block
        first_inverse = link.program
        last_inverse = _end_of_chain(inverse)
    body = program.body
    result = Candidate(
        Flags(block.open_flags.before, block.close_flags.after),
        opens=_line_ends(body, -1),
        closes=_line_starts((first_inverse or program).body, len((first_inverse or program).body)),
    )
    if block.open_flags.after:
        _strip_start(body, 0, everything=True)
    if first_inverse and last_inverse and block.inverse_flags:
        _trim_else(block, body, first_inverse, last_inverse)
    elif block.close_flags.before:
        _strip_end(body, len(body) - 1, everything=True)
    return result


def _trim_else(block: Block, body: Sequence[Statement], first: Program, last: Program) -> None:
    flags = block.inverse_flags or Flags()
    if flags.before:
        _strip_end(body, len(body) - 1, everything=True)
    if flags.after:
        _strip_start(first.body, 0, everything=True)
    if block.close_flags.before:
        _strip_end(last.body, len(last.body) - 1, everything=True)
    if _line_starts(body, len(body)) and _line_ends(first.body, -1):
        _strip_end(body, len(body) - 1)
        _strip_start(first.body, 0)


def _end_of_chain(program: Program) -> Program:
    while program.chained:
        link = program.body[-1]
        assert isinstance(link, Block)  # noqa: S101 - a chained program holds exactly one block
        assert link.program  # noqa: S101 - a link of a chain has a body
        program = link.program
    return program


def _first(block: Block) -> Program:
    return block.program or block.inverse or Program()


def _last(block: Block) -> Program:
    return block.inverse or block.program or Program()


def _line_starts(body: Sequence[Statement], index: int, *, is_root: bool = False) -> bool:
    """Whether only blanks stand between the start of a line and the statement at `index`."""
    if index == 0:
        return is_root
    previous = body[index - 1]
    if not isinstance(previous, Text):
        return False
    rest = previous.original.rstrip(JS_SPACE)
    return "\n" in previous.original[len(rest) :] or (is_root and index == 1 and not rest)


def _line_ends(body: Sequence[Statement], index: int, *, is_root: bool = False) -> bool:
    """Whether only blanks stand between the statement at `index` and the end of its line."""
    if index + 1 >= len(body):
        return is_root
    following = body[index + 1]
    if not isinstance(following, Text):
        return False
    rest = following.original.lstrip(JS_SPACE)
    space = following.original[: len(following.original) - len(rest)]
    return "\n" in space or (is_root and index + 2 >= len(body) and not rest)


def _strip_start(body: Sequence[Statement], index: int, *, everything: bool = False) -> None:
    if index >= len(body):
        return
    text = body[index]
    if not isinstance(text, Text) or (text.right_stripped and not everything):
        return
    blanks = text.value.lstrip(_BLANKS)
    value = text.value.lstrip(JS_SPACE) if everything else blanks.removeprefix("\r").removeprefix("\n")
    text.right_stripped = value != text.value
    text.value = value


def _strip_end(body: Sequence[Statement], index: int, *, everything: bool = False) -> bool:
    if not 0 <= index < len(body):
        return False
    text = body[index]
    if not isinstance(text, Text) or (text.left_stripped and not everything):
        return False
    value = text.value.rstrip(JS_SPACE if everything else _BLANKS)
    text.left_stripped = value != text.value
    text.value = value
    return text.left_stripped
