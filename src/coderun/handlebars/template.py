"""Templates that can be rendered, and an environment of many that know each other by name."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from coderun.handlebars import compiler
from coderun.handlebars.errors import TemplateError, TemplateSyntaxError
from coderun.handlebars.failures import render_error
from coderun.handlebars.helpers import HELPERS, Helper
from coderun.handlebars.limits import Limits
from coderun.handlebars.nodes import Program
from coderun.handlebars.parser import parse
from coderun.handlebars.references import References, references
from coderun.handlebars.runtime import Frame, State, UnitMain, missing_partial
from coderun.handlebars.source import Source
from coderun.handlebars.values import Escape


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What all templates of one environment share; the meaning of each is `Template`'s."""

    helpers: Mapping[str, Helper]
    escape: Escape | None
    strict: bool
    limits: Limits
    keep_github_expressions: bool


class Unit:
    """One compiled template."""

    def __init__(self, name: str, text: str, settings: Settings) -> None:
        self.source = Source(name, text)
        self._settings = settings
        self._check_size()
        self._program = self._guarded_parse()
        self.main, self.marks = self._guarded_generate()

    def _check_size(self) -> None:
        limit, text = self._settings.limits.source_bytes, self.source.text
        size = len(text) if len(text) > limit or text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        if size > limit:
            raise TemplateSyntaxError(f"the template is longer than {limit} bytes", name=self.source.name)

    def _guarded_parse(self) -> Program:
        settings = self._settings
        return parse(self.source, settings.limits, keep_github_expressions=settings.keep_github_expressions)

    def _guarded_generate(self) -> tuple[UnitMain, tuple[Any, ...]]:
        settings = self._settings
        try:
            made = compiler.generate(
                self.source, self._program, settings.helpers, escape=settings.escape, strict=settings.strict
            )
        except (RecursionError, MemoryError) as error:
            raise TemplateSyntaxError("the template nests too deeply", name=self.source.name) from error
        return made.main, made.marks

    @cached_property
    def references(self) -> References:
        """What the template reads."""
        return references(self._program, frozenset(self._settings.helpers))


class Library:
    """Partials by name, each compiled when it is first needed."""

    def __init__(self, sources: Mapping[str, str], settings: Settings) -> None:
        self.settings = settings
        self._sources = dict(sources)
        self._units: dict[str, Unit] = {}
        self._lock = threading.RLock()

    def names(self) -> Iterable[str]:
        """The names of all partials."""
        return tuple(self._sources)

    def unit(self, name: str) -> Unit | None:
        """The compiled partial `name`, None where there is none."""
        unit = self._units.get(name)
        if unit is not None or name not in self._sources:
            return unit
        with self._lock:
            unit = self._units.get(name)
            if unit is None:
                unit = self._units[name] = Unit(name, self._sources[name], self.settings)
            return unit

    def find(self, name: str) -> UnitMain | None:
        """The entry function of the partial `name`."""
        unit = self.unit(name)
        return unit.main if unit else None

    def reached(self, unit: Unit) -> list[Unit]:
        """`unit` and all that it calls by a literal name, directly or not, each once."""
        found, seen = [unit], {unit.source.name}
        for inner in found:
            for name in inner.references.partials:
                partial = self.unit(name) if name not in seen else None
                seen.add(name)
                if partial is not None:
                    found.append(partial)
        return found

    def check(self, unit: Unit) -> None:
        """Raises where `unit`, or a partial it reaches, calls a partial that nobody declares."""
        units = self.reached(unit)
        inlines = {name for inner in units for name in inner.references.inlines}
        known = {*self._sources, *inlines}
        for inner in units:
            for call in inner.references.partial_calls:
                if not call.optional and call.name not in known:
                    message = missing_partial(call.name, known)
                    raise inner.source.error(TemplateSyntaxError, call.offset, message)


class Template:
    """A template compiled to one Python function.

    `partials` are sources by name; `helpers` are added to those every template has, and win over them. `escape` is applied to
    what `{{x}}` prints, None prints it as it is. A strict template raises for a missing variable, helper or partial, and for an
    object printed as text; one that is not strict prints nothing, as handlebars.js does. `keep_github_expressions` makes
    `${{ … }}` with a blank after the braces plain text. Raises `TemplateSyntaxError`.
    """

    def __init__(
        self,
        source: str,
        *,
        name: str = "template",
        partials: Mapping[str, str] | None = None,
        helpers: Mapping[str, Helper] | None = None,
        escape: Escape | None = None,
        strict: bool = True,
        limits: Limits | None = None,
        keep_github_expressions: bool = False,
    ) -> None:
        settings = Settings(
            helpers={**HELPERS, **(helpers or {})},
            escape=escape,
            strict=strict,
            limits=limits or Limits(),
            keep_github_expressions=keep_github_expressions,
        )
        self.link(Unit(name, source, settings), Library(partials or {}, settings))

    def link(self, unit: Unit, library: Library) -> None:
        """Makes this the template of `unit`, whose partials are in `library`."""
        self._unit = unit
        self._library = library
        if library.settings.strict:
            library.check(unit)

    @classmethod
    def of(cls, unit: Unit, library: Library) -> "Template":
        """The template of a compiled unit of `library`."""
        template = cls.__new__(cls)
        template.link(unit, library)
        return template

    @property
    def name(self) -> str:
        """The name that errors show."""
        return self._unit.source.name

    @property
    def references(self) -> References:
        """The variables, helpers and partials that this template itself reads."""
        return self._unit.references

    @property
    def reached(self) -> dict[str, References]:
        """What this template and every partial it reaches by a literal name read, by their names."""
        return {unit.source.name: unit.references for unit in self._library.reached(self._unit)}

    def render(self, context: Any, data: Mapping[str, Any] | None = None) -> str:
        """The text for `context`; `data` are what it reads as `@name`. Raises `TemplateRenderError`."""
        library = self._library
        frame = Frame(None, {"root": context, **(data or {})})
        state = State(library.settings.limits, frame["root"], library.find, library.names)
        try:
            return self._unit.main(state, {}, frame, context)
        except TemplateError:
            raise
        except Exception as error:
            raise render_error(error, self._unit.source) from error


@dataclass(slots=True)
class _Cache:
    library: Library
    templates: dict[str, Template] = field(default_factory=dict)


class Environment:
    """Templates that are each other's partials, made from `{name: source}`, each compiled once.

    The settings are those of `Template`. May be used by many threads; registering a partial or a helper is seen by the
    templates taken afterwards.
    """

    def __init__(
        self,
        sources: Mapping[str, str] | None = None,
        *,
        helpers: Mapping[str, Helper] | None = None,
        escape: Escape | None = None,
        strict: bool = True,
        limits: Limits | None = None,
        keep_github_expressions: bool = False,
    ) -> None:
        self._sources = dict(sources or {})
        self._settings = Settings(
            helpers={**HELPERS, **(helpers or {})},
            escape=escape,
            strict=strict,
            limits=limits or Limits(),
            keep_github_expressions=keep_github_expressions,
        )
        self._lock = threading.Lock()
        self._cache = _Cache(Library(self._sources, self._settings))

    def register_partial(self, name: str, source: str) -> None:
        """Adds or replaces a template."""
        with self._lock:
            self._sources = {**self._sources, name: source}
            self._cache = _Cache(Library(self._sources, self._settings))

    def register_helper(self, name: str, helper: Helper) -> None:
        """Adds or replaces a helper."""
        with self._lock:
            old = self._settings
            self._settings = Settings(
                helpers={**old.helpers, name: helper},
                escape=old.escape,
                strict=old.strict,
                limits=old.limits,
                keep_github_expressions=old.keep_github_expressions,
            )
            self._cache = _Cache(Library(self._sources, self._settings))

    def names(self) -> tuple[str, ...]:
        """The names of all templates, sorted."""
        return tuple(sorted(self._sources))

    def template(self, name: str) -> Template:
        """The template `name`; raises `KeyError` where there is none, `TemplateSyntaxError` where it cannot be read."""
        cache = self._cache
        template = cache.templates.get(name)
        if template is None:
            unit = cache.library.unit(name)
            if unit is None:
                raise KeyError(name)
            template = cache.templates[name] = Template.of(unit, cache.library)
        return template

    def from_string(self, source: str, *, name: str = "template") -> Template:
        """A template that is not registered, with this environment's partials, helpers and settings."""
        library = self._cache.library
        return Template.of(Unit(name, source, library.settings), library)

    def render(self, name: str, context: Any, data: Mapping[str, Any] | None = None) -> str:
        """The text of the template `name` for `context`."""
        return self.template(name).render(context, data)
