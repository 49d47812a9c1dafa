"""The helpers of reference.js that are not ours, in Python: both sides of the comparison have the same."""

from typing import Any

from coderun.handlebars import Helper, Options, OptionsHelper, SafeString
from coderun.handlebars.values import to_text, truthy


def _bold(options: Options) -> str:
    return f"<b>{options.fn(options.context)}</b>"


def _pick(options: Options, value: Any) -> str:
    return options.fn(value) if truthy(value) or value == [] else options.inverse(options.context)


def _twice(options: Options) -> str:
    return options.fn(options.context) + options.fn({"inner": True})


def _show(*values: Any, **named: Any) -> str:
    return f"({' '.join([*map(to_text, values), *(f'{key}={to_text(named[key])}' for key in sorted(named))])})"


def _frame(options: Options) -> str:
    return options.fn(options.context, {"extra": "E"}, ["P", "Q"])


def hook(name: str) -> Helper:
    """A hook that prints how it was called; one of `helperMissing` and `blockHelperMissing`."""

    def call(options: Options, *values: Any) -> str:
        return f"[{name} {options.name} {len(values) + 1}]"

    return OptionsHelper(call)


HELPERS: dict[str, Helper] = {
    "bold": OptionsHelper(_bold),
    "pick": OptionsHelper(_pick),
    "twice": OptionsHelper(_twice),
    "frame": OptionsHelper(_frame),
    "show": _show,
    "safe": lambda value: SafeString(f"<i>{to_text(value)}</i>"),
    "unsafe": lambda value: f"<i>{to_text(value)}</i>",
}
