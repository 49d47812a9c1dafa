"""What templates gave before, for contexts that were no different in anything they read. Pure.

Below `templates`. Rendering is a function of the context, and most of what a template reads is the same for every run of an
agent. While it renders, the variables that it looks at are noted down; as long as those have the same values, it takes the same
way and gives the same text. A template that differs from run to run is soon rendered without all this.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

_KEPT: Final = 4
"""Contexts that are remembered of one template: its agents take turns."""

_LARGEST: Final = 64 * 1024
_TRIALS: Final = 32
_ABSENT: Final = object()


class Text(msgspec.Struct):
    """What a template gave, and what is wrong with that, which is found out once (None until then)."""

    text: str
    faults: tuple[Any, ...] | None = None


class Marks:
    """What tells the values of a context apart, worked out where it is asked for."""

    def __init__(self, context: Mapping[str, Any]) -> None:
        self._context = context
        self._known: dict[str, object] = {}

    def of(self, name: str) -> object:
        """Equal only for values that no template can tell apart: the values 1, 1.0 and true are equal themselves."""
        mark = self._known.get(name)
        if mark is None:
            value = self._context.get(name, _ABSENT)
            mark = self._known[name] = value if type(value) is str or value is _ABSENT else (repr(value),)
        return mark


class Memory:
    """What one template gave before. `render` makes its text."""

    def __init__(self, render: Callable[[Mapping[str, Any]], str]) -> None:
        self._render = render
        self._kept: list[tuple[tuple[tuple[str, object], ...], Text]] = []
        self._hits = 0
        self._misses = 0
        self._is_on = True

    def text(self, context: Mapping[str, Any], marks: Marks) -> Text:
        """Its text for a context, with the `marks` of that. Raises what rendering raises."""
        if not self._is_on:
            return Text(self._render(context))
        for read, text in self._kept:
            if all(marks.of(name) == mark for name, mark in read):
                self._hits += 1
                return text
        self._misses += 1
        if self._misses > max(_TRIALS, self._hits):
            self._give_up()
            return Text(self._render(context))
        return self._watched(context, marks)

    def _watched(self, context: Mapping[str, Any], marks: Marks) -> Text:
        watched = _Watched(context)
        try:
            made = Text(self._render(watched))
        except Exception:  # noqa: BLE001 - what it raises is to speak of the context itself
            return Text(self._render(context))
        if watched.read_all or len(made.text) > _LARGEST:
            self._give_up()
            return made
        self._kept.insert(0, (tuple((name, marks.of(name)) for name in sorted(watched.read)), made))
        del self._kept[_KEPT:]
        return made

    def _give_up(self) -> None:
        self._is_on = False
        self._kept.clear()


class _Watched(Mapping[str, Any]):
    """A context that notes down what is read of it."""

    def __init__(self, context: Mapping[str, Any]) -> None:
        self._context = context
        self.read: set[str] = set()
        self.read_all = False

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return self._context[name]

    def __iter__(self) -> Iterator[str]:
        self.read_all = True
        return iter(self._context)

    def __len__(self) -> int:
        self.read_all = True
        return len(self._context)
