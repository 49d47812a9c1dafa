"""Turns an exception out of generated code into a `TemplateRenderError` at the template's place.

The traceback tells which line of generated code was running, the compiler's marks tell which part of the template that line was
made for; the frames further out are the partial calls that led there.
"""

from collections.abc import Mapping, Sequence
from types import CodeType, TracebackType
from typing import Any, Protocol

from coderun.handlebars.errors import HelperError, TemplateError, TemplateRenderError, listed, nearest, shortened
from coderun.handlebars.nodes import Block, Call, Partial, Path
from coderun.handlebars.runtime import FaultError, MissingError
from coderun.handlebars.source import Source
from coderun.handlebars.values import UNDEFINED

MARKS = "MARKS"


class Unit(Protocol):
    """What generated code's globals hold under `MARKS`."""

    @property
    def source(self) -> Source:
        """The template it was made from."""

    @property
    def marks(self) -> Sequence[Any]:
        """The node of each generated line."""


def render_error(error: Exception, fallback: Source) -> TemplateError:
    """The error to show for `error`, at the innermost place of a template that its traceback names."""
    places = _places(error.__traceback__)
    source, node = places[-1] if places else (fallback, None)
    calls = [place for place in places[:-1] if isinstance(place[1], (Partial, Block)) and _is_partial(place[1])]
    callers = tuple(outer.place(inner.offset) for outer, inner in reversed(calls))
    return source.error(TemplateRenderError, getattr(node, "offset", 0), _message(error, node), callers)


def _is_partial(node: Partial | Block) -> bool:
    return isinstance(node, Partial) or node.kind == "partial block"


def _places(traceback: TracebackType | None) -> list[tuple[Source, Any]]:
    found = []
    while traceback is not None:
        unit = traceback.tb_frame.f_globals.get(MARKS)
        if unit is not None and _is_generated(traceback.tb_frame.f_code):
            found.append((unit.source, unit.marks[traceback.tb_lineno - 1]))
        traceback = traceback.tb_next
    return found


def _is_generated(code: CodeType) -> bool:
    return code.co_filename.startswith("<handlebars ")


def _message(error: Exception, node: Any) -> str:
    if isinstance(error, MissingError):
        return _missing(error, node)
    if isinstance(error, FaultError):
        return str(error)
    if isinstance(error, RecursionError):
        return "rendering nests too deeply"
    if isinstance(node, Call):
        said = str(error) if isinstance(error, HelperError) else f"{type(error).__name__}: {error}"
        return f"helper {node.original!r}: {said}"
    return str(error) if isinstance(error, HelperError) else f"{type(error).__name__}: {error}"


def _missing(error: MissingError, node: Any) -> str:
    container, parts = error.container, error.parts
    if isinstance(node, Call):
        return f"lookup found no {shortened(parts[0])!r}{_hint(parts[0], container)}"
    path = node.original if isinstance(node, Path) else ".".join(parts)
    shown = f"missing variable {shortened(path)!r}"
    if not parts:
        return f"{shown}: there is no context above the root" if path.startswith("..") else f"{shown}: it has no value"
    if container is UNDEFINED:
        return f"{shown}: there is no context above the root"
    before = _before(node, len(parts) - error.index)
    if not before:
        return shown + _hint(parts[error.index], container)
    what = "null" if container is None else _what(container)
    end = _hint(parts[error.index], container)
    return f"{shown}: no {shortened(parts[error.index])!r} in {shortened(before)!r}, which is {what}{end}"


def _before(node: Any, remaining: int) -> str:
    """What stands before the missing segment, as it was written."""
    if not isinstance(node, Path):
        return ""
    known = node.parts[: len(node.parts) - remaining]
    return ("@" if node.data else "") + ".".join(known) if known else ""


def _what(container: Any) -> str:
    if isinstance(container, Mapping):
        return "an object"
    if isinstance(container, (list, tuple)):
        return f"a list of {len(container)}"
    return "a text" if isinstance(container, str) else "no object"


def _hint(key: str, container: Any) -> str:
    if not isinstance(container, Mapping):
        return ""
    names = [name for name in container if isinstance(name, str)]
    hint = nearest(key, names)
    if hint.startswith(" (known"):
        return f" (present: {listed(sorted(names))})"
    return hint or " (it is empty)"
