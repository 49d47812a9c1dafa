"""Writes expressions: paths, literals, calls of helpers.

A line break goes before everything that can fail, so that the line of an exception tells which part of a tag it is about. The
nodes of those lines are collected in `marks`, in the order in which the text is written.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from coderun.handlebars import helpers as ours
from coderun.handlebars.errors import TemplateSyntaxError, nearest
from coderun.handlebars.helpers import Helper, OptionsHelper
from coderun.handlebars.nodes import Call, Expression, Literal, Mustache, Path
from coderun.handlebars.scope import Scope
from coderun.handlebars.source import Source
from coderun.handlebars.values import UNDEFINED

BLOCKS: Final = frozenset({"if", "unless", "each", "with", "raw"})
BUILT_IN: Final = BLOCKS | {"lookup"}
HOOKS: Final = frozenset({"helperMissing", "blockHelperMissing"})
# Deeper calls get names, since Python limits how deep parentheses nest.
MAX_HEIGHT: Final = 12
_LOOKUP_ARGUMENTS: Final = 2


class CallWriter:
    """Writes the expressions of one template; `namespace` collects the helpers that generated code calls."""

    def __init__(self, source: Source, helpers: Mapping[str, Helper], namespace: dict[str, Any], *, strict: bool) -> None:
        self.source = source
        self.helpers = helpers
        self.strict = strict
        self.marks: list[Any] = []
        self.hoisted: dict[int, str] = {}
        self._namespace = namespace
        self._names: dict[str, str] = {}

    def taken_marks(self) -> list[Any]:
        """The nodes of the lines written since the last call."""
        marks, self.marks = self.marks, []
        return marks

    def is_helper(self, path: Path | Literal | Call, scope: Scope) -> bool:
        """Whether `path` alone names a registered helper here."""
        return not isinstance(path, Call) and _simple_name(path) not in {None, *scope.params} and self._known(path.original)

    def _known(self, name: str) -> bool:
        return (name in self.helpers and name not in HOOKS) or name in BUILT_IN

    def printed(self, node: Mustache, scope: Scope) -> str:
        """An expression for the text of a mustache."""
        call = node.call
        if call.bare and not self.is_helper(call.name, scope):
            path = as_path(call.name)
            if "helperMissing" not in self.helpers or not path.simple or path.original in scope.params:
                return self._printed_path(path, scope, escaped=node.escaped)
            value = self.value(path, scope)
            return f"{'T' if node.escaped else 'V'}(H({value},lambda:{self.call(call, scope)}))"
        self.marks.append(call)
        return f"\n{'T' if node.escaped else 'V'}({self.call(call, scope, printed=True)})"

    def _printed_path(self, path: Path, scope: Scope, *, escaped: bool) -> str:
        base, parts = self._base(path, scope)
        self.marks.append(path)
        if not parts:
            return f"\n{'T' if escaped else 'V'}(N({base}))"
        one, many = ("s", "S") if escaped else ("u", "U")
        return f"\n{one}({base},{parts[0]!r})" if len(parts) == 1 else f"\n{many}({base},{parts!r})"

    def value(self, node: Expression, scope: Scope, *, needed: bool = False) -> str:
        """An expression for the value of an argument; `needed` where a missing variable is an error of a strict template."""
        if isinstance(node, Literal):
            return _literal(node.value)
        if isinstance(node, Call):
            return self.hoisted.get(id(node)) or self.call(node, scope)
        base, parts = self._base(node, scope)
        if not parts and not needed:
            return base
        self.marks.append(node)
        if not parts:
            return f"\nN({base})"
        one, many = ("q", "Q") if needed else ("g", "G")
        return f"\n{one}({base},{parts[0]!r})" if len(parts) == 1 else f"\n{many}({base},{parts!r})"

    def _base(self, path: Path, scope: Scope) -> tuple[str, tuple[str, ...]]:
        parts = path.parts
        if path.data and parts:
            base, complete = scope.data(parts[0], path.depth)
            return base, parts[1:] if complete else parts
        if parts and parts[0] in scope.params and not (path.scoped or path.depth):
            return scope.params[parts[0]], parts[1:]
        return scope.climb(path.depth), parts

    def condition(self, node: Expression, scope: Scope) -> str:
        """An expression that is true in Python where `node` is true for `#if`."""
        if isinstance(node, Call) and id(node) not in self.hoisted:
            function = self._plain(node, scope)
            if function in {ours.all_true, ours.any_true} and node.params and not node.hash:
                operator = " and " if function is ours.all_true else " or "
                return f"({operator.join([self.condition(param, scope) for param in node.params])})"
            if function is ours.negation and len(node.params) == 1 and not node.hash:
                return f"(not {self.condition(node.params[0], scope)})"
            if function in ours.BOOLEAN:
                return self.call(node, scope)
        return f"t({self.value(node, scope)})"

    def _plain(self, node: Call, scope: Scope) -> Helper | None:
        name = _simple_name(node.name)
        return None if name is None or name in scope.params else self.helpers.get(name)

    def call(
        self,
        node: Call,
        scope: Scope,
        *,
        printed: bool = False,
        block: Callable[[], str] | None = None,
    ) -> str:
        """An expression that calls a helper; `block` writes the arguments for its body and its inverse."""
        name = node.name.original
        if not self.is_helper(node.name, scope):
            return self._unknown(node, scope, block)
        helper = self.helpers.get(name)
        if helper is None:
            return self._built_in(node, scope, printed=printed)
        self.marks.append(node)
        function = self.function(name, helper)
        if isinstance(helper, OptionsHelper):
            return f"\n{function}({self._options(name, node, scope, block)}{self._arguments(node, scope, hash_too=False)})"
        if block is not None and self.strict:
            self._fail(node.offset, f"the helper {name!r} takes no block: write {{{{#if ({name} …)}}}}")
        return f"\n{function}({self._arguments(node, scope, needed=helper in ours.NEEDS_VALUES)})"

    def function(self, name: str, helper: Helper) -> str:
        """The name under which generated code calls `helper`."""
        known = self._names.get(name)
        if known is None:
            known = self._names[name] = f"h{len(self._names)}"
            self._namespace[known] = helper.function if isinstance(helper, OptionsHelper) else helper
        return known

    def _arguments(self, node: Call, scope: Scope, *, needed: bool = False, hash_too: bool = True) -> str:
        written = [self.value(param, scope, needed=needed) for param in node.params]
        if hash_too and node.hash:
            written.append(f"**{self.hash(node, scope)}")
        return ",".join(written)

    def hash(self, node: Call, scope: Scope) -> str:
        """The hash arguments of `node` as a dict display; handlebars.js leaves out a literal `undefined`."""
        given = [
            (key, value) for key, value in node.hash.items() if not (isinstance(value, Literal) and value.value is UNDEFINED)
        ]
        return f"{{{','.join([f'{key!r}:{self.value(value, scope)}' for key, value in given])}}}"

    def _options(self, name: str, node: Call, scope: Scope, block: Callable[[], str] | None) -> str:
        text = f"OPTIONS(name={name!r},context={scope.context},data={scope.frame()},hash={self.hash(node, scope)}"
        return f"{text}{block() if block else ''}),"

    def _built_in(self, node: Call, scope: Scope, *, printed: bool) -> str:
        name = node.name.original
        if name in BLOCKS:
            self._fail(node.offset, f"{name!r} is a block: write {{{{#{name} …}}}}…{{{{/{name}}}}}")
        if len(node.params) != _LOOKUP_ARGUMENTS or node.hash:
            self._fail(node.offset, "lookup requires exactly two arguments: an object and a key")
        self.marks.append(node)
        return f"\n{'LN' if printed and self.strict else 'L'}({self._arguments(node, scope)})"

    def _unknown(self, node: Call, scope: Scope, block: Callable[[], str] | None) -> str:
        name = node.name.original
        hook = self.helpers.get("helperMissing")
        if hook is not None:
            self.marks.append(node)
            function = self.function("helperMissing", hook)
            first = self._options(name, node, scope, block) if isinstance(hook, OptionsHelper) else ""
            return f"\n{function}({first}{self._arguments(node, scope, hash_too=not first)})"
        if self.strict:
            self._fail(node.offset, self._unknown_message(node, scope))
        path = as_path(node.name)
        self.marks.append(node)
        base, parts = self._base(path, scope)
        return f"\nM(Y({base},{parts!r}),{name!r},{len(node.params)})"

    def _unknown_message(self, node: Call, scope: Scope) -> str:
        name = node.name.original
        if name in scope.params:
            return f"{name!r} is a block parameter, not a helper"
        if _simple_name(node.name) is None:
            return f"{name!r} cannot be called: helpers have plain names"
        return f"unknown helper {name!r}{nearest(name, {*self.helpers, *BUILT_IN} - HOOKS)}"

    def _fail(self, offset: int, message: str) -> NoReturn:
        raise self.source.error(TemplateSyntaxError, offset, message)


def as_path(name: Path | Literal | Call) -> Path:
    """A name as a path; a literal in the place of a name is a key of the context."""
    assert not isinstance(name, Call)  # noqa: S101 - the parser lets only partials have a computed name
    if isinstance(name, Path):
        return name
    return Path(name.offset, name.original, (name.original,), 0, data=False, scoped=False)


def _simple_name(name: Path | Literal | Call) -> str | None:
    assert not isinstance(name, Call)  # noqa: S101 - as in as_path
    return name.original if isinstance(name, Literal) or name.simple else None


def _literal(value: Any) -> str:
    if value is UNDEFINED:
        return "UNDEFINED"
    if isinstance(value, float) and not math.isfinite(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    return repr(value)
