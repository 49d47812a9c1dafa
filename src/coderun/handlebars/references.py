"""What a template reads, from its tree alone: variables by their path from the root, helpers and partials by name."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from coderun.handlebars.calls import BUILT_IN
from coderun.handlebars.nodes import Block, Call, Expression, Literal, Mustache, Partial, Path, Program, Statement
from coderun.handlebars.parser import INLINE_PARTIAL, PARTIAL_BLOCK, literal_name

_OPEN: Final = "?"


@dataclass(frozen=True, kw_only=True, slots=True)
class PartialCall:
    """A partial whose name is written out; `optional` where the call brings a block to fall back on."""

    name: str
    offset: int
    optional: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class References:
    """Names that a template uses, sorted.

    A variable is a path from the root context: `tasks` and `tasks[].title` for `{{#each tasks}}{{title}}{{/each}}`, `@level`
    for a data variable; one that starts with `?.` hangs on a value that only rendering knows. `inlines` are the inline partials
    the template declares; `partial_calls` are the calls with a literal name, `dynamic` tells that there are others.
    """

    variables: tuple[str, ...]
    helpers: tuple[str, ...]
    partials: tuple[str, ...]
    inlines: frozenset[str]
    partial_calls: tuple[PartialCall, ...]
    dynamic: bool


@dataclass(frozen=True, slots=True)
class _Place:
    """A context as a path, the contexts around it, and block parameters as paths."""

    context: str
    outer: "_Place | None"
    params: dict[str, str]

    def climb(self, steps: int) -> str:
        place: _Place | None = self
        for _ in range(steps):
            place = place.outer if place else None
        return place.context if place else _OPEN

    def enter(self, context: str, params: dict[str, str]) -> "_Place":
        return _Place(context, self, {**self.params, **params})


def references(program: Program, helpers: frozenset[str]) -> References:
    """What `program` reads, where `helpers` are the names that stand for a helper rather than a variable."""
    return _Collector(helpers | BUILT_IN).collect(program)


class _Collector:
    def __init__(self, known: frozenset[str]) -> None:
        self._known = known
        self._variables: set[str] = set()
        self._helpers: set[str] = set()
        self._calls: list[PartialCall] = []
        self._inlines: set[str] = set()
        self._dynamic = False
        self._waiting: list[tuple[Program, _Place]] = []

    def collect(self, program: Program) -> References:
        self._waiting.append((program, _Place("", None, {})))
        while self._waiting:
            inner, place = self._waiting.pop()
            for node in inner.body:
                self._statement(node, place)
        return References(
            variables=tuple(sorted(self._variables)),
            helpers=tuple(sorted(self._helpers)),
            partials=tuple(sorted({call.name for call in self._calls} - self._inlines)),
            inlines=frozenset(self._inlines),
            partial_calls=tuple(self._calls),
            dynamic=self._dynamic,
        )

    def _statement(self, node: Statement, place: _Place) -> None:
        if isinstance(node, Mustache):
            self._call(node.call, place)
        elif isinstance(node, Partial):
            self._partial(node.call, place, optional=False)
        elif isinstance(node, Block):
            self._block(node, place)

    def _block(self, node: Block, place: _Place) -> None:
        inner = place
        if node.kind == PARTIAL_BLOCK:
            self._partial(node.call, place, optional=True)
        elif node.kind == INLINE_PARTIAL:
            name = node.call.params[0]
            self._inlines |= {name.original} if isinstance(name, Literal) else set()
            inner = place.enter(_OPEN, {})
        else:
            self._call(node.call, place)
            inner = self._inside(node, place)
        if node.program:
            self._waiting.append((node.program, inner))
        if node.inverse:
            self._waiting.append((node.inverse, place))

    def _inside(self, node: Block, place: _Place) -> _Place:
        call, names = node.call, node.program.block_params if node.program else ()
        if call.original in {"if", "unless", "raw"}:
            return place
        params = dict.fromkeys(names, _OPEN)
        subject = call.params[0] if call.params else call.name
        path = self._path(subject, place) if isinstance(subject, Path) else _OPEN
        if call.original == "each":
            path = f"{path}[]"
        elif call.original != "with" and not (call.bare and call.original not in self._known):
            path = _OPEN
        return place.enter(path, params | dict.fromkeys(names[:1], path))

    def _partial(self, call: Call, place: _Place, *, optional: bool) -> None:
        name = literal_name(call)
        if name is None:
            self._dynamic = True
            self._read(call.name, place)
        elif name != "@partial-block":
            self._calls.append(PartialCall(name=name, offset=call.offset, optional=optional))
        self._arguments(call, place)

    def _call(self, call: Call, place: _Place) -> None:
        name = call.name
        if not isinstance(name, Call) and name.original in self._known and name.original not in place.params:
            self._helpers.add(name.original)
        elif call.bare:
            self._read(name, place)
        self._arguments(call, place)

    def _arguments(self, call: Call, place: _Place) -> None:
        for argument in (*call.params, *call.hash.values()):
            self._read(argument, place)

    def _read(self, node: Expression, place: _Place) -> None:
        for inner in _calls_and_paths(node):
            if isinstance(inner, Call):
                name = inner.name
                self._helpers |= {name.original} if isinstance(name, (Path, Literal)) else set()
                continue
            path = self._path(inner, place)
            if path not in {"", _OPEN} and not path.endswith("[]"):
                self._variables.add(path)

    def _path(self, path: Path, place: _Place) -> str:
        parts = list(path.parts)
        if path.data and parts:
            if parts[0] == "root":
                return ".".join(parts[1:])
            return "" if parts[0] in {"index", "key", "first", "last"} else "@" + ".".join(parts)
        if parts and parts[0] in place.params and not (path.scoped or path.depth):
            return ".".join([place.params[parts[0]], *parts[1:]])
        context = place.climb(path.depth)
        return ".".join([context, *parts] if context else parts)


def _calls_and_paths(node: Expression) -> Iterator[Call | Path]:
    waiting = [node]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, Call):
            yield inner
            waiting += [*inner.params, *inner.hash.values()]
        elif isinstance(inner, Path):
            yield inner
