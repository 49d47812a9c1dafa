"""Which template makes which file of a run, and rendering them all. Pure: `app.templates` reads the folders.

A template has a key, its path without `.hbs`: `code/claude.md`. For a file `{name}` of a run by `{agent}` these are tried, the
first that is there wins: the user's `agents/{agent}-{name}`, `code/{name}` (`docs/{name}` in a run that writes documentation),
then the packaged ones in the same order. All templates are each other's partials by key; a packaged one stays reachable as
`packaged/{key}` when a user's takes its place.
"""

import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, NoReturn

import msgspec

from coderun.handlebars import Environment, Limits, TemplateError
from coderun.model.text import listed, printable
from coderun.plan.memory import Marks, Memory, Text

SUFFIX: Final = ".hbs"
MAX_FILE_BYTES: Final = 512 * 1024
MAX_TOTAL_BYTES: Final = 1 << 20
"""What a ConfigMap holds at most, names included (Kubernetes, `MaxSecretSize`)."""

SYSTEM_PROMPT: Final = "system-prompt.md"
PROMPT: Final = "prompt.md"
CATALOG: Final = "tool-catalog.md"
_HOOKS: Final = "hooks"
_PARTS: Final = ("agents", "code", "docs", "partials")
_FLAT: Final = re.compile(rf"(?P<part>{'|'.join(_PARTS)})_(?:(?P<hooks>{_HOOKS})_)?(?P<name>[^_/].*)")
_KEY: Final = re.compile(rf"(?:{'|'.join(_PARTS)})/(?:[A-Za-z0-9][A-Za-z0-9._-]*/)?[A-Za-z0-9][A-Za-z0-9._-]*")
_LIMITS: Final = Limits(output_chars=MAX_TOTAL_BYTES, steps=500_000)


class Kind(StrEnum):
    """What a run is for; also the folder its templates are in."""

    CODE = "code"
    DOCS = "docs"


OUTPUTS: Final[Mapping[str, str]] = {
    "AGENTS.md": "agents.md",
    "CLAUDE.md": "claude.md",
    "client-config.json": "client-config.json",
    "coding-guidelines.md": "coding-guidelines.md",
    "container.sh": "container.sh",
    "github-guidelines.md": "github-guidelines.md",
    "mcp.json": "mcp.json",
    "settings.json": "settings.json",
}
"""Files of every run by the name they get, and the name of their template. A docs run takes `code/…` where `docs/…` is none."""

DOCS_OUTPUTS: Final[Mapping[str, str]] = {PROMPT: PROMPT, CATALOG: CATALOG}
"""What a docs run has beside these."""


class TemplateText(msgspec.Struct, frozen=True, kw_only=True):
    """One template: its key, its text, and what a person calls the file."""

    key: str
    text: str
    origin: str
    is_users: bool = False


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A place that was looked at for a template; `found` is the file there, None where there is none."""

    key: str
    is_users: bool
    found: TemplateText | None


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Which template makes the file `output`: the first candidate that was found."""

    output: str
    candidates: tuple[Candidate, ...]

    @property
    def template(self) -> TemplateText | None:
        """The chosen one."""
        return next((each.found for each in self.candidates if each.found is not None), None)


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with one file of a run, fit to show to a person; it starts with `file:line:column` where that is known."""

    output: str
    message: str


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """What rendering gave: files by name, the two prompts (None where no template makes one), and what went wrong."""

    files: dict[str, str]
    system_prompt: str | None = None
    prompt: str | None = None
    problems: tuple[Problem, ...] = ()


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What a template and the partials it calls read, sorted. Partials by their file."""

    variables: tuple[str, ...]
    helpers: tuple[str, ...]
    partials: tuple[str, ...]


def template_key(path: str) -> str | None:
    """The key of a file of a template folder, by its path there; None for what is no template.

    The flat form of ConfigMaps counts too: `code_hooks_x.sh.hbs`.
    """
    if not path.endswith(SUFFIX):
        return None
    key = path.removesuffix(SUFFIX)
    flat = _FLAT.fullmatch(key)
    if flat:
        key = "/".join(filter(None, (flat["part"], flat["hooks"], flat["name"])))
    return key if _KEY.fullmatch(key) else None


class TemplateSet:
    """All templates there are, the user's over the packaged ones; each is compiled once, when it is first needed."""

    def __init__(self, texts: Iterable[TemplateText] = ()) -> None:
        self.texts = tuple(texts)
        self._packaged = {text.key: text for text in self.texts if not text.is_users}
        self._users = {text.key: text for text in self.texts if text.is_users}
        named = {**self._packaged, **self._users}
        aside = {f"packaged/{key}": text for key, text in self._packaged.items()}
        self._by_name = {**aside, **named}
        sources = {name: text.text for name, text in self._by_name.items()}
        self._environment = Environment(sources, limits=_LIMITS, keep_github_expressions=True)
        self._chosen: dict[tuple[str, Kind], dict[str, Choice]] = {}
        self._hooked: dict[tuple[str, Kind], tuple[str, ...]] = {}
        self._heads: dict[str, tuple[str, ...]] = {}
        self._memories: dict[str, Memory | None] = {}

    def choices(self, agent: str, kind: Kind) -> Mapping[str, Choice]:
        """Which template makes each file of a run, by the file's name; those that nobody wrote are left out."""
        known = self._chosen.get((agent, kind))
        if known is None:
            known = self._chosen[agent, kind] = self._choices(agent, kind)
        return known

    def _choices(self, agent: str, kind: Kind) -> dict[str, Choice]:
        wanted = {**OUTPUTS, **(DOCS_OUTPUTS if kind is Kind.DOCS else {PROMPT: PROMPT})}
        names = {**wanted, **{f"{_HOOKS}-{name}": f"{_HOOKS}/{name}" for name in self._hooks(agent, kind)}}
        made = {output: self._choose(output, self._keys(name, agent, kind)) for output, name in names.items()}
        system = (f"agents/{agent}-{SYSTEM_PROMPT}", f"agents/{SYSTEM_PROMPT}")
        made[SYSTEM_PROMPT] = self._choose(SYSTEM_PROMPT, system)
        return {output: choice for output, choice in sorted(made.items()) if choice.template is not None}

    def hooks(self, agent: str, kind: Kind) -> tuple[str, ...]:
        """Names of the hook files of a run."""
        known = self._hooked.get((agent, kind))
        if known is None:
            known = self._hooked[agent, kind] = tuple(f"{_HOOKS}-{name}" for name in self._hooks(agent, kind))
        return known

    def render(self, choices: Mapping[str, Choice], context: Mapping[str, Any]) -> Rendered:
        """Render them all; problems are gathered, not raised. What is wrong is left out of the files."""
        problems: list[Problem] = []
        made: dict[str, str] = {}
        known = dict(context)
        marks = Marks(known)
        # The catalogue first: the others may quote it.
        for output in sorted(choices, key=lambda name: (name != CATALOG, name)):
            template = choices[output].template
            if template is None:
                continue
            try:
                done = self._render(template, known, marks)
            except TemplateError as error:
                problems.append(Problem(output=output, message=self._told(error)))
                continue
            if done.faults is None:
                done.faults = tuple(_faults(output, done.text, template.origin))
            problems += done.faults
            made[output] = done.text
            if output == CATALOG:
                known["toolman_catalog_markdown"] = done.text
                marks = Marks(known)
        problems += _too_much(made)
        files = {name: text for name, text in made.items() if name != SYSTEM_PROMPT}
        return Rendered(files=files, system_prompt=made.get(SYSTEM_PROMPT), prompt=made.get(PROMPT), problems=tuple(problems))

    def used(self, template: TemplateText) -> Used:
        """What a template reads, itself and through its partials. Raises `TemplateError`."""
        reached = self._environment.template(self._name_of(template)).reached
        every = reached.values()
        return Used(
            variables=tuple(sorted({name for each in every for name in each.variables})),
            helpers=tuple(sorted({name for each in every for name in each.helpers})),
            partials=tuple(sorted(self._origin(name) for name in reached if name != self._name_of(template))),
        )

    def unused(self, choices: Iterable[Choice]) -> tuple[TemplateText, ...]:
        """The user's templates that none of the files is made from, directly or as a partial."""
        reached: set[str] = set()
        for choice in choices:
            template = choice.template
            if template is not None:
                reached.add(self._name_of(template))
                try:
                    reached.update(self._environment.template(self._name_of(template)).reached)
                except TemplateError:
                    continue
        return tuple(text for key, text in sorted(self._users.items()) if key not in reached)

    def _hooks(self, agent: str, kind: Kind) -> list[str]:
        shared, own = f"{kind.value}/{_HOOKS}/", f"agents/{agent}-{_HOOKS}-"
        names = {key.removeprefix(prefix) for key in self._by_name for prefix in (shared, own) if key.startswith(prefix)}
        return sorted(name for name in names if name.endswith(".sh"))

    def _keys(self, name: str, agent: str, kind: Kind) -> tuple[str, ...]:
        own = f"agents/{agent}-{name.replace('/', '-')}"
        shares = kind is Kind.DOCS and "/" not in name and name not in DOCS_OUTPUTS
        return (own, f"{kind.value}/{name}", *((f"{Kind.CODE.value}/{name}",) if shares else ()))

    def _choose(self, output: str, keys: tuple[str, ...]) -> Choice:
        places = [(True, self._users), (False, self._packaged)]
        found = [Candidate(key=key, is_users=users, found=texts.get(key)) for users, texts in places for key in keys]
        return Choice(output=output, candidates=tuple(found))

    def _name_of(self, template: TemplateText) -> str:
        return template.key if self._by_name.get(template.key) is template else f"packaged/{template.key}"

    def _render(self, template: TemplateText, context: Mapping[str, Any], marks: Marks) -> Text:
        compiled = self._environment.template(self._name_of(template))
        if compiled.name not in self._heads:
            self._heads[compiled.name] = _heads(compiled.references.variables)
        for name in self._heads[compiled.name]:
            if name not in context:
                raise _unknown_variable(template, compiled.name, name, context)
        if compiled.name not in self._memories:
            reads = compiled.reached.values()
            # What is written to the log at each rendering would be missed.
            speaks = any(each.dynamic or "log" in each.helpers for each in reads)
            self._memories[compiled.name] = None if speaks else Memory(compiled.render)
        memory = self._memories[compiled.name]
        return Text(compiled.render(context)) if memory is None else memory.text(context, marks)

    def _told(self, error: TemplateError) -> str:
        callers = tuple(self._told_place(caller) for caller in error.callers)
        return str(
            TemplateError(
                error.message,
                name=self._origin(error.name),
                line=error.line,
                column=error.column,
                source_line=printable(error.source_line) if not error.source_line.isprintable() else error.source_line,
                callers=callers,
            )
        )

    def _told_place(self, place: str) -> str:
        name, _, rest = place.partition(":")
        return f"{self._origin(name)}:{rest}"

    def _origin(self, name: str) -> str:
        text = self._by_name.get(name)
        return text.origin if text is not None else name


NO_TEMPLATES: Final = TemplateSet()


@functools.lru_cache(maxsize=16)
def template_set(texts: tuple[TemplateText, ...]) -> TemplateSet:
    """The set of these templates, the same object for the same texts, so that each is compiled once in a process."""
    return TemplateSet(texts)


def problem_text(problems: Iterable[Problem]) -> str:
    """All problems, one after another."""
    return "\n".join(problem.message for problem in problems)


def _heads(variables: Iterable[str]) -> tuple[str, ...]:
    """What the first segments of these variables are, as far as they must be in the context."""
    heads = dict.fromkeys(re.split(r"[.\[]", variable, maxsplit=1)[0] for variable in variables)
    return tuple(name for name in heads if name and name != "?" and not name.startswith("@"))


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _unknown_variable(template: TemplateText, name: str, variable: str, context: Mapping[str, Any]) -> TemplateError:
    """A variable that no run has, where strict rendering would let it pass (`#if`, `default`)."""
    line, column, text = _find(template.text, variable)
    known = listed(sorted(context), limit=8)
    return TemplateError(
        f"unknown variable {variable!r} (known: {known}; docs/templates.md lists all)",
        name=name,
        line=line,
        column=column,
        source_line=text,
    )


def _find(text: str, variable: str) -> tuple[int, int, str]:
    pattern = re.compile(rf"(?<![\w.\"'-]){re.escape(variable)}(?![\w-])")
    for tag in re.finditer(r"\{\{.*?\}\}", text, re.DOTALL):
        found = pattern.search(text, tag.start(), tag.end())
        if found:
            line = text.count("\n", 0, found.start()) + 1
            start = text.rfind("\n", 0, found.start()) + 1
            return line, found.start() - start + 1, text[start:].split("\n", 1)[0]
    return 1, 1, ""


def _faults(output: str, text: str, origin: str) -> Iterator[Problem]:
    size = _size(text)
    if size > MAX_FILE_BYTES:
        yield Problem(
            output=output, message=f"{origin}: {output} comes to {size} bytes, more than {MAX_FILE_BYTES}; shorten it"
        )
    if "\0" in text:
        yield Problem(output=output, message=f"{origin}: {output} would hold a NUL byte; take it out")
    if output.endswith(".json"):
        fault = _json_fault(text)
        if fault:
            yield Problem(output=output, message=f"{origin}: {output} comes out as invalid JSON: {fault}")


class _NoConstantError(Exception):
    pass


def _no_constant(word: str) -> NoReturn:
    raise _NoConstantError(word)


def _json_fault(text: str) -> str:
    try:
        json.loads(text, parse_constant=_no_constant)
    except _NoConstantError as error:
        return f"{error} is not JSON"
    except json.JSONDecodeError as error:
        lines = text.splitlines() or [""]
        shown = lines[min(error.lineno, len(lines)) - 1]
        return f"{error.msg} at line {error.lineno} column {error.colno} of what was rendered: {printable(shown, 120)!r}"
    except RecursionError:
        return "it is nested too deeply"
    return ""


def _too_much(made: Mapping[str, str]) -> Iterator[Problem]:
    sizes = {name: len(name) + _size(text) for name, text in made.items() if name != SYSTEM_PROMPT}
    total = sum(sizes.values())
    if total > MAX_TOTAL_BYTES:
        largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
        told = ", ".join(f"{name} {sizes[name]}" for name in largest)
        yield Problem(
            output="",
            message=f"the files of the run come to {total} bytes, more than the {MAX_TOTAL_BYTES} that a ConfigMap holds "
            f"(largest: {told}); shorten them",
        )
