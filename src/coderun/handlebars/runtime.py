"""What generated code calls while it renders: output that knows its size, blocks as values, partials, data frames.

One `State` belongs to one rendering; nothing here outlives it, so a compiled template may render in many threads at once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from coderun.handlebars.errors import nearest
from coderun.handlebars.limits import Limits
from coderun.handlebars.values import UNDEFINED, is_empty, property_name, same_context, truthy

Partials: TypeAlias = "dict[str, Body]"
_COUNT_EVERY: Final = 64
PARTIAL_BLOCK: Final = "partial-block"
# The parent of the outermost context, and its own parent.
TOP: Final[list[Any]] = [UNDEFINED]
TOP.append(TOP)


class FaultError(Exception):
    """A rendering cannot go on; the template's place is found from the traceback."""


class MissingError(Exception):
    """A path led nowhere: `parts[index]` is not in `container`."""

    def __init__(self, container: Any, parts: Sequence[str], index: int) -> None:
        super().__init__(parts, index)
        self.container = container
        self.parts = parts
        self.index = index


class Out(list[str]):
    """The pieces of one output; `mark` is the length at which its size is counted again."""

    __slots__ = ("mark", "seen", "size")

    def __init__(self) -> None:
        super().__init__()
        self.mark = _COUNT_EVERY
        self.seen = 0
        self.size = 0


class Frame(dict[str, Any]):
    """Data variables (`@x`): a copy of the outer frame's with some laid over; `parent` is what `@../x` reads."""

    __slots__ = ("parent",)

    def __init__(self, outer: "Frame | None", values: Mapping[str, Any]) -> None:
        super().__init__(outer or ())
        self.update(values)
        self.parent = outer


UnitMain: TypeAlias = Callable[["State", Partials, Frame, Any], str]


class State:
    """One rendering: its root context, its counters, and where partials are found."""

    __slots__ = ("deadline", "depth", "find", "known", "limits", "root", "steps")

    def __init__(
        self,
        limits: Limits,
        root: Any,
        find: Callable[[str], UnitMain | None],
        known: Callable[[], Iterable[str]],
    ) -> None:
        self.limits = limits
        self.root = root
        self.find = find
        self.known = known
        self.steps = 0
        self.depth = 0
        self.deadline = None if limits.deadline_seconds is None else limits.clock() + limits.deadline_seconds

    def spend(self, steps: int) -> None:
        """Counts `steps` of work, and looks at the clock."""
        self.steps += steps
        if self.steps > self.limits.steps:
            raise FaultError(f"rendering took more than {self.limits.steps} steps (turns of loops, calls of partials)")
        self.check_deadline()

    def check_deadline(self) -> None:
        """Ends the rendering once its time is over."""
        if self.deadline is not None and self.limits.clock() > self.deadline:
            raise FaultError(f"rendering took longer than {self.limits.deadline_seconds:g} seconds")


class Body:
    """The inside of a block as a value: called with a context, it renders.

    `scope` are the variables of the function it was written in; `inlines` the inline partials it declares for the partial it is
    handed to.
    """

    __slots__ = ("frame", "function", "inlines", "partials", "scope", "state")

    def __init__(
        self,
        state: State,
        partials: Partials,
        function: Callable[..., str],
        frame: Frame,
        scope: tuple[Any, ...],
        inlines: "Partials | None" = None,
    ) -> None:
        self.state = state
        self.partials = {**partials, **inlines} if inlines else partials
        self.function = function
        self.frame = frame
        self.scope = scope
        self.inlines = inlines
        for inline in (inlines or {}).values():
            inline.partials = self.partials

    def __call__(self, context: Any, frame: Frame | None = None, block_params: Sequence[Any] = ()) -> str:
        """The text for `context`, with the data variables of `frame`."""
        inner = self.frame if frame is None else frame
        return self.function(self.state, self.partials, inner, context, block_params, *self.scope)


def count(state: State, out: Out) -> None:
    """Adds the new pieces of `out` to its size, which is limited."""
    fresh = out[out.seen :]
    out.size += sum(map(len, fresh))
    out.seen = len(out)
    out.mark = out.seen + _COUNT_EVERY
    if out.size > state.limits.output_chars:
        raise FaultError(f"the output is longer than {state.limits.output_chars} characters")
    if state.deadline is not None:
        state.check_deadline()


def finish(state: State, out: Out) -> str:
    """The whole of `out` as one text."""
    count(state, out)
    return "".join(out)


def pairs(state: State, value: Any) -> Iterable[tuple[Any, Any]]:
    """Keys and values that `#each` walks over: a list's indexes, a mapping's keys in their order; empty for all else."""
    kind = type(value)
    if not value or not (kind is list or kind is dict or isinstance(value, (list, tuple, Mapping))):
        return ()
    state.spend(len(value))
    found: Iterable[tuple[Any, Any]]
    found = [(property_name(key), item) for key, item in value.items()] if isinstance(value, Mapping) else enumerate(value)
    return found if state.deadline is None else _timed(state, found)


def _timed(state: State, items: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    for item in items:
        state.check_deadline()
        yield item


def otherwise(value: Any, instead: Callable[[], Any]) -> Any:
    """`value`, or what the hook for missing helpers makes of a missing one."""
    return instead() if value is None or value is UNDEFINED else value


def truthy_or_zero(value: Any, zero_is_true: Any) -> bool:
    """The condition of `{{#if value includeZero=…}}`."""
    return not is_empty(value) if truthy(zero_is_true) else truthy(value)


def push(context: Any, depths: Sequence[Any]) -> Sequence[Any]:
    """The chain of contexts that `../` climbs, with `context` on top, unless that is where we are already."""
    return depths if same_context(context, depths[0]) else (context, depths)


def each_frame(outer: Frame, key: Any, index: int, last: int) -> Frame:
    """The data variables of one turn of a loop."""
    return Frame(outer, {"key": key, "index": index, "first": index == 0, "last": index == last})


def outer_frame(frame: Frame | None, steps: int) -> Frame:
    """The frame that `steps` times `@../` reach; an empty one above the outermost."""
    for _ in range(steps):
        frame = frame.parent if frame is not None else None
    return Frame(None, {}) if frame is None else frame


def block_param(params: Sequence[Any], index: int) -> Any:
    """The value that a helper gave the block parameter `index`."""
    return params[index] if index < len(params) else UNDEFINED


def section(value: Any, context: Any, frame: Frame, body: Body | None, inverse: Body | None) -> str:
    """`{{#value}}…{{^}}…{{/value}}`: a list is walked, true keeps the context, false and null take the inverse."""
    if value is None or value is UNDEFINED or value is False:
        return inverse(context, frame) if inverse else ""
    if value is True:
        return body(context, frame) if body else ""
    if not isinstance(value, (list, tuple)):
        return body(value, frame, (value,)) if body else ""
    if not value:
        return inverse(context, frame) if inverse else ""
    return _section_list(value, frame, body) if body else ""


def _section_list(items: Sequence[Any], frame: Frame, body: Body) -> str:
    state, out, last = body.state, Out(), len(items) - 1
    state.spend(len(items))
    for index, item in enumerate(items):
        out.append(body(item, each_frame(frame, index, index, last), (item, index)))
        if len(out) > out.mark:
            count(state, out)
    return finish(state, out)


def partial(
    state: State,
    partials: Partials,
    name: Any,
    context: Any,
    frame: Frame,
    extra: Mapping[str, Any] | None,
    block: Body | None,
    indent: str,
) -> str:
    """Renders the partial `name`: an inline one of `partials` first, the block handed to this partial, a registered one."""
    name = property_name(name)
    target: Body | UnitMain | None = partials.get(name)
    if target is None:
        target = frame.get(PARTIAL_BLOCK) if name == f"@{PARTIAL_BLOCK}" else state.find(name)
    if extra:
        context = {**_members(context), **extra}
    if block is not None:
        frame, partials, fallback = _with_block(block, frame, partials)
        target = fallback if target is None else target
    if target is None:
        raise FaultError(missing_partial(name, {*partials, *state.known()}))
    state.spend(1)
    state.depth += 1
    if state.depth > state.limits.partial_depth:
        raise FaultError(f"partials nested more than {state.limits.partial_depth} deep (recursive partial {name!r}?)")
    try:
        text = target(context, frame) if isinstance(target, Body) else target(state, partials, frame, context)
    finally:
        state.depth -= 1
    return indented(text, indent) if indent else text


def missing_partial(name: str, known: Iterable[str]) -> str:
    """The message for a partial that is not there."""
    if name == f"@{PARTIAL_BLOCK}":
        return "no partial block: this template was not called as {{#> …}}"
    return f"unknown partial {name!r}{nearest(name, known)}"


def _with_block(block: Body, frame: Frame, partials: Partials) -> tuple[Frame, Partials, Body]:
    # Inside the partial `@partial-block` is `block`; inside `block` it is what it was here.
    outer = frame.get(PARTIAL_BLOCK)

    def run(state: State, own: Partials, inner: Frame, context: Any, params: Sequence[Any], *scope: Any) -> str:
        return block.function(state, own, Frame(inner, {PARTIAL_BLOCK: outer}), context, params, *scope)

    wrapped = Body(block.state, block.partials, run, block.frame, block.scope)
    visible = {**partials, **block.inlines} if block.inlines else partials
    return Frame(frame, {PARTIAL_BLOCK: wrapped}), visible, wrapped


def _members(context: Any) -> Mapping[str, Any]:
    if isinstance(context, Mapping):
        return context
    if isinstance(context, (list, tuple, str)):
        return {str(index): item for index, item in enumerate(context)}
    return {}


def indented(text: str, indent: str) -> str:
    """`text` with `indent` before every line; what follows the last line break gets none where it is empty."""
    lines = text.split("\n")
    last = lines.pop()
    return "".join([f"{indent}{line}\n" for line in lines]) + (indent + last if last else "")
