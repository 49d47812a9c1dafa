"""The words of a parsed template. Every node knows its `offset` in the source; lines and columns are counted when asked for."""

from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(slots=True)
class Path:
    """`a.b`, `../a`, `this`, `@index`: `parts` without the leading steps, which are counted in `depth`.

    `scoped` paths (`this.x`, `./x`, `..`) are never helpers or block parameters.
    """

    offset: int
    original: str
    parts: tuple[str, ...]
    depth: int
    data: bool
    scoped: bool

    @property
    def simple(self) -> bool:
        """Whether this can name a helper: one part, no prefix."""
        return len(self.parts) == 1 and not (self.scoped or self.depth or self.data)


@dataclass(slots=True)
class Literal:
    """A string, number, true, false, null or undefined; `original` is its name where it stands in the place of one."""

    offset: int
    original: str
    value: Any


@dataclass(slots=True)
class Call:
    """A name with arguments: the inside of a tag, or a parenthesised subexpression. `height` is how deep calls nest in it."""

    offset: int
    name: "Path | Literal | Call"
    params: "list[Expression]"
    hash: "dict[str, Expression]"
    nested: bool
    height: int

    @property
    def original(self) -> str:
        """The name as written."""
        return self.name.original

    @property
    def bare(self) -> bool:
        """Whether there is a name and nothing else, which may be a variable as well."""
        return not (self.params or self.hash or self.nested)


Expression: TypeAlias = Path | Literal | Call


@dataclass(slots=True)
class Flags:
    """Which sides of a tag carry a `~`."""

    before: bool = False
    after: bool = False


@dataclass(slots=True)
class Candidate:
    """What a statement tells its surroundings: its outer `~`, and which of its ends may stand alone on a line."""

    flags: Flags
    opens: bool = False
    closes: bool = False
    whole: bool = False


@dataclass(slots=True)
class Text:
    """Text between tags; `value` is what whitespace control leaves of `original`."""

    offset: int
    original: str
    value: str
    right_stripped: bool = False
    left_stripped: bool = False


@dataclass(slots=True)
class Comment:
    """A comment: nothing but its effect on whitespace."""

    offset: int
    candidate: Candidate


@dataclass(slots=True)
class Mustache:
    """`{{x}}`, or unescaped `{{{x}}}` and `{{&x}}`."""

    offset: int
    call: Call
    escaped: bool
    candidate: Candidate


@dataclass(slots=True)
class Partial:
    """`{{> name context key=value}}`; `indent` are the blanks before one that stands alone."""

    offset: int
    call: Call
    candidate: Candidate
    indent: str = ""


@dataclass(slots=True)
class Program:
    """A sequence of statements with the block parameters its block declares."""

    body: "list[Statement]" = field(default_factory=list)
    block_params: tuple[str, ...] = ()
    chained: bool = False


@dataclass(slots=True)
class Block:
    """`{{#x}}…{{else}}…{{/x}}`, an inverse section, a raw block, a partial block or an inline partial (`kind`)."""

    offset: int
    kind: str
    call: Call
    program: Program | None
    inverse: Program | None
    open_flags: Flags
    inverse_flags: Flags | None
    close_flags: Flags
    candidate: Candidate


Statement: TypeAlias = Text | Comment | Mustache | Partial | Block
