"""Compiles the tree of a template to one Python function.

Text of a template enters the generated source only as `repr`, and the names in it are made by `scope`, so nothing of a template
or its data can become code.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from coderun.handlebars import lookups, runtime
from coderun.handlebars.calls import CallWriter
from coderun.handlebars.failures import MARKS
from coderun.handlebars.helpers import Helper, Options
from coderun.handlebars.nodes import Program
from coderun.handlebars.source import Source
from coderun.handlebars.statements import StatementWriter
from coderun.handlebars.values import UNDEFINED, Escape, is_empty, truthy

_RUNTIME: Final[dict[str, Any]] = {
    "B": runtime.block_param,
    "BODY": runtime.Body,
    "C": runtime.count,
    "D": runtime.push,
    "DT": runtime.TOP,
    "E": runtime.pairs,
    "F": runtime.finish,
    "I": runtime.partial,
    "INFINITY": math.inf,
    "K": runtime.section,
    "L": lookups.look_up,
    "LN": lookups.look_up_needed,
    "O": runtime.outer_frame,
    "OPTIONS": Options,
    "OUT": runtime.Out,
    "TOP": runtime.TOP,
    "H": runtime.otherwise,
    "Z": runtime.truthy_or_zero,
    "UNDEFINED": UNDEFINED,
    "W": runtime.each_frame,
    "Y": lookups.take_any,
    "e": is_empty,
    "t": truthy,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Generated:
    """A compiled template: its entry function, and the node that each line of its code was made for."""

    source: Source
    main: runtime.UnitMain
    marks: tuple[Any, ...]
    text: str


def generate(
    source: Source,
    program: Program,
    helpers: Mapping[str, Helper],
    *,
    escape: Escape | None,
    strict: bool,
) -> Generated:
    """Compiles `program`; raises `TemplateSyntaxError` for what the tree alone tells to be wrong."""
    namespace = {**_RUNTIME, **lookups.namespace(escape, strict=strict)}
    writer = StatementWriter(source, CallWriter(source, helpers, namespace, strict=strict))
    text, marks = writer.module(program)
    code = compile(text, f"<handlebars {source.name!r}>", "exec", dont_inherit=True, optimize=0)
    namespace["__builtins__"] = {"len": len}
    exec(code, namespace)  # noqa: S102 - the source is generated above, template text enters it as literals only
    made = Generated(source=source, main=namespace["main"], marks=tuple(marks), text=text)
    namespace[MARKS] = made
    return made
