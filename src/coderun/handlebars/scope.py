"""Which Python variables stand for what at one place of a template: contexts, loop counters, block parameters, data frames.

Every name is made here from a letter and a number; nothing of a template or its data becomes one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

LOOP_DATA: Final = {"key": "k{0}", "index": "i{0}", "first": "(i{0} == 0)", "last": "(i{0} == n{0})"}


@dataclass(slots=True)
class Loop:
    """The data frame of an inlined `#each`: local variables, made a real frame only where somebody needs one."""

    level: int
    used: set[str] = field(default_factory=set)

    def data(self, name: str) -> str:
        """The expression for `@name`, which is one of `LOOP_DATA`."""
        self.used |= {"index": {"i"}, "first": {"i"}, "last": {"i", "n"}, "key": set()}[name]
        return LOOP_DATA[name].format(self.level)


@dataclass(slots=True)
class Scope:
    """One context and what is visible with it. `frames` are the data frames, the innermost first; the last is a variable."""

    level: int | str
    context: str
    parent: "Scope | None"
    frames: "tuple[Loop | str, ...]"
    params: dict[str, str]
    names: tuple[str, ...]
    partials: str
    climbs: bool = False

    @property
    def depths(self) -> str:
        """The variable of the chain of contexts; asking for it makes sure that it is filled."""
        scope: Scope | None = self
        while scope and not scope.climbs:
            scope.climbs = True
            scope = scope.parent
        return f"D{self.level}"

    def frame(self) -> str:
        """An expression for the data frame as an object."""
        loops = [entry for entry in self.frames if isinstance(entry, Loop)]
        text = next(entry for entry in self.frames if isinstance(entry, str))
        for loop in reversed(loops):
            loop.used |= {"i", "n"}
            text = f"W({text}, k{loop.level}, i{loop.level}, n{loop.level})"
        return text

    def captured(self) -> str:
        """All variables of this scope as a comma-separated list, each of which is then filled."""
        for scope in self._outwards():
            _ = scope.depths
            for entry in scope.frames:
                if isinstance(entry, Loop):
                    entry.used |= {"i", "n"}
        return "".join(f"{name}, " for name in self.names)

    def _outwards(self) -> "Iterator[Scope]":
        scope: Scope | None = self
        while scope:
            yield scope
            scope = scope.parent

    def climb(self, steps: int) -> str:
        """The expression for the context `steps` times `../` away."""
        return f"{self.depths}{'[1]' * steps}[0]" if steps else self.context

    def data(self, name: str, steps: int) -> tuple[str, bool]:
        """An expression for `@name` after `steps` times `../`, and whether it is the value (else the frame to look in)."""
        if name == "root" and not steps:
            return "R.root", True
        frames = list(self.frames)
        while steps and isinstance(frames[0], Loop):
            frames.pop(0)
            steps -= 1
        if name in LOOP_DATA and isinstance(frames[0], Loop):
            return frames[0].data(name), True
        variable = next(entry for entry in frames if isinstance(entry, str))
        return (f"O({variable}, {steps})" if steps else variable), False


def root_scope() -> Scope:
    """The scope of a template's outermost statements."""
    return Scope(0, "c0", None, ("f0",), {}, ("c0", "D0", "f0", "P0"), "P0")


def above_root() -> Scope:
    """The scope that inline partials of the outermost statements are written in: there is no context above the root."""
    return Scope("T", "UNDEFINED", None, ("f0",), {}, ("f0", "P0"), "P0")


def loop_scope(level: int, outer: Scope, params: tuple[str, ...]) -> Scope:
    """The scope inside an inlined `#each`."""
    own = dict(zip(params, (f"c{level}", f"k{level}"), strict=False))
    own |= dict.fromkeys(params[2:], "UNDEFINED")
    names = (*outer.names, f"c{level}", f"D{level}", f"k{level}", f"i{level}", f"n{level}")
    return Scope(level, f"c{level}", outer, (Loop(level), *outer.frames), {**outer.params, **own}, names, outer.partials)


def with_scope(level: int, outer: Scope, params: tuple[str, ...]) -> Scope:
    """The scope inside an inlined `#with`."""
    own = dict.fromkeys(params, "UNDEFINED") | dict.fromkeys(params[:1], f"c{level}")
    names = (*outer.names, f"c{level}", f"D{level}")
    return Scope(level, f"c{level}", outer, outer.frames, {**outer.params, **own}, names, outer.partials)


def body_scope(level: int, outer: Scope, params: tuple[str, ...]) -> Scope:
    """The scope inside a function of its own, which is given context, frame and block parameters when it is called."""
    own = {name: f"B(b{level}, {index})" for index, name in enumerate(params)}
    names = (*outer.names, f"c{level}", f"D{level}", f"f{level}", f"b{level}")
    return Scope(level, f"c{level}", outer, (f"f{level}",), {**outer.params, **own}, names, outer.partials)
