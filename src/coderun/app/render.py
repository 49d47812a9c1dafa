"""`coderun render`: the files of a run as its templates make them, without a run, a state folder or a forge.

It reads the configuration and, where asked, a task or a CodeRun; it writes only into the folder it is told to. Rendered shell
is checked by asking bash to read it (`bash -n`), never by running it.
"""

import difflib
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from coderun.app.configuration import Configuration, read_configuration, run_settings
from coderun.app.places import find_repository
from coderun.app.tasks import read_tasks, with_files
from coderun.app.templates import packaged_templates, read_folder
from coderun.app.textfiles import read_anywhere
from coderun.handlebars import TemplateError
from coderun.model.coderun import CodeRun, CodeRunSpec
from coderun.model.errors import ConfigError, InvalidCodeRunError, NotFoundError
from coderun.model.gates import Gate, GateKind
from coderun.model.meta import ObjectMeta
from coderun.model.names import dns_label
from coderun.model.repository import parse_repository
from coderun.model.roster import Agent
from coderun.model.task import TaskText, find_task
from coderun.model.text import did_you_mean, listed, printable
from coderun.model.yaml import decode, load
from coderun.plan.context import VARIABLES, top_level_names
from coderun.plan.order import ForgeRef
from coderun.plan.plan import order_of, render_files
from coderun.plan.settings import RunSettings
from coderun.plan.subject import kind_of
from coderun.plan.templates import PROMPT, SYSTEM_PROMPT, Choice, Problem, Rendered, TemplateSet, TemplateText, template_set

_BASH_SECONDS: Final = 20.0


class RenderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to render, as typed: an agent and perhaps a task, or the YAML file of a CodeRun."""

    agent: str = ""
    task: int | None = None
    file: str = ""
    templates: str = ""


class View(msgspec.Struct, frozen=True, kw_only=True):
    """The files of one run: their texts by name, the templates they are made from, and what is wrong."""

    run: CodeRun
    agent: Agent
    files: dict[str, str]
    choices: dict[str, Choice]
    problems: tuple[Problem, ...]


class Explained(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Why a file is what it is. `tried` are the places that were looked at, in order, with what was found there."""

    file: str
    template: str
    tried: tuple[str, ...]
    variables: tuple[str, ...]
    helpers: tuple[str, ...]
    partials: tuple[str, ...]
    problem: str = ""


class Renderer:
    """What `coderun render` does in one repository. Made by `open_renderer`."""

    def __init__(self, repository: Path, configuration: Configuration, *, cwd: Path, environ: Mapping[str, str]) -> None:
        self.repository = repository
        self.configuration = configuration
        self._cwd = cwd
        self._environ = environ

    def agents(self) -> list[str]:
        """Names of all agents."""
        return list(self.configuration.roster.agents)

    def view(self, request: RenderRequest) -> View:
        """Render what was asked for; what is wrong with templates is in the view.

        Raises:
            ConfigError: no such agent, task, file or folder.
            InvalidCodeRunError: the run itself can never run.
        """
        settings = self._settings(request.templates)
        run = self._run(request)
        agent, order = order_of(run, self.configuration.roster, settings, attempt=max(1, run.status.attempt))
        rendered = render_files(run, agent, order, settings)
        choices = dict(settings.templates.choices(agent.name, kind_of(agent)))
        return View(run=run, agent=agent, files=_all_files(rendered), choices=choices, problems=rendered.problems)

    def check(self, request: RenderRequest) -> list[str]:
        """Everything that is wrong with the templates, for the run asked for or for every agent: strict, JSON and shell."""
        whole = not request.agent and not request.file
        requests = [msgspec.structs.replace(request, agent=name) for name in self.agents()] if whole else [request]
        found: list[str] = []
        choices: list[Choice] = []
        for each in requests:
            try:
                view = self.view(each)
            except InvalidCodeRunError as error:
                found.append(str(error))
                continue
            choices += view.choices.values()
            found += [problem.message for problem in view.problems]
            found += [problem.message for problem in self.shell_problems(view)]
        if whole:
            found += _unused(self._settings(request.templates).templates, choices)
        return list(dict.fromkeys(found))

    def shell_problems(self, view: View) -> Iterator[Problem]:
        """What bash says of the scripts, without running them."""
        for name, text in view.files.items():
            template = view.choices[name].template
            if name.endswith(".sh") and template is not None:
                for said in _read_by_bash(text, self._environ):
                    yield Problem(output=name, message=f"{template.origin}: {name} comes out as invalid shell: {said}")

    def explain(self, request: RenderRequest, file: str) -> Explained:
        """Why `file` of the run is what it is. Raises `NotFoundError` where the run has no such file."""
        view = self.view(request)
        choice = view.choices.get(file)
        template = choice.template if choice else None
        if choice is None or template is None:
            raise NotFoundError(
                f"a run of {view.agent.name} has no file {printable(file, 80)!r}{did_you_mean(file, view.choices)} "
                f"(it has: {listed(sorted(view.choices))})"
            )
        tried = tuple(_tried(choice))
        try:
            used = self._settings(request.templates).templates.used(template)
        except TemplateError as error:
            return Explained(
                file=file,
                template=template.origin,
                tried=tried,
                variables=(),
                helpers=(),
                partials=(),
                problem=next((it.message for it in view.problems if it.output == file), str(error)),
            )
        return Explained(
            file=file,
            template=template.origin,
            tried=tried,
            variables=tuple(_described(used.variables)),
            helpers=used.helpers,
            partials=used.partials,
            problem="\n".join(problem.message for problem in view.problems if problem.output == file),
        )

    def _settings(self, folder: str) -> RunSettings:
        forge = ForgeRef(kind=self.configuration.config.forge.type.value, location="", repository=str(self.repository))
        settings = run_settings(self.configuration, forge)
        if not folder:
            return settings
        path = (self._cwd / folder).absolute()
        texts = read_folder(path, root=path, named=folder)
        return msgspec.structs.replace(settings, templates=template_set((*packaged_templates(), *texts)))

    def _run(self, request: RenderRequest) -> CodeRun:
        if request.file:
            if request.agent or request.task is not None:
                raise ConfigError("a CodeRun's file says itself which agent and task; leave --agent and --task out")
            path = self._cwd / request.file
            run = decode(load(read_anywhere(path), name=request.file), CodeRun)
            if run.kind != CodeRun.KIND:
                raise ConfigError(f"{printable(request.file, 200)}: its kind is {run.kind!r}; name the file of a CodeRun")
            return run
        return self._made_up(self._agent(request.agent), request.task)

    def _agent(self, name: str) -> Agent:
        roster = self.configuration.roster
        if not name:
            raise ConfigError(f"say what to render: --agent NAME ({listed(self.agents())}), or the YAML file of a CodeRun")
        agent = roster.named(name)
        if agent is None:
            near = did_you_mean(name, roster.agents)
            raise ConfigError(f"there is no agent {printable(name, 80)!r} in the roster{near} (known: {listed(self.agents())})")
        return agent

    def _made_up(self, agent: Agent, task: int | None) -> CodeRun:
        """A first run of this agent in its stage of the pipeline."""
        config = self.configuration.config
        stage = next((each for each in self.configuration.pipeline.stages if each.role and each.role == agent.role), None)
        evidence = tuple(g for g in stage.asked if g.kind is not GateKind.MERGED) if stage else (Gate(kind=GateKind.RUN),)
        service = config.service or dns_label(parse_repository(str(self.repository)).slug)
        return CodeRun(
            metadata=ObjectMeta(name=f"render-{service}-{task or 1}-{agent.name}"[:63].rstrip("-")),
            spec=CodeRunSpec(
                task_id=task or 1,
                service=service,
                repository_url=str(self.repository),
                docs_repository_url=str(self.repository),
                github_app=agent.github_app or agent.name,
                stage=stage.name if stage else "",
                prompt_modification=stage.instructions if stage else "",
                base_branch=config.base_branch or "main",
                evidence=evidence,
                task=self._task_text(task),
            ),
        )

    def _task_text(self, task: int | None) -> TaskText | None:
        if task is None:
            return None
        settings = self.configuration.config.tasks
        file = settings.file or None
        known = {each.id: each for each in read_tasks(self.repository, file=file, tag=settings.tag or None)}
        return with_files(self.repository, find_task(known, task), file=file).text


def open_renderer(folder: Path, *, environ: Mapping[str, str]) -> Renderer:
    """A renderer for the repository around `folder`. Raises `ConfigError`."""
    repository = find_repository(folder, environ=environ)
    return Renderer(repository, read_configuration(repository), cwd=folder, environ=environ)


def diff_views(one: View, other: View, *, names: tuple[str, str]) -> str:
    """How the files of `other` differ from those of `one`, as a unified diff; "" for not at all."""
    lines: list[str] = []
    for name in sorted({*one.files, *other.files}):
        before, after = one.files.get(name, ""), other.files.get(name, "")
        if before != after:
            texts = (before.splitlines(keepends=True), after.splitlines(keepends=True))
            lines += difflib.unified_diff(*texts, fromfile=f"{names[0]}/{name}", tofile=f"{names[1]}/{name}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def save_files(files: Mapping[str, str], folder: Path, *, replace: bool) -> list[Path]:
    """Write the files into `folder`, each whole, and nothing anywhere else; which they are.

    Raises:
        ConfigError: one of them is there already and `replace` is not set (nothing was written then), a name leads
            elsewhere, or the folder cannot be written.
    """
    for name in files:
        if not name or "/" in name or "\0" in name or name in {".", ".."}:
            raise ConfigError(f"{printable(name, 80)!r} is no plain file name; nothing was written")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = sorted(name for name in files if (folder / name).is_symlink() or (folder / name).exists())
        if there and not replace:
            shown = printable(str(folder), 200)
            raise ConfigError(f"{shown} has {listed(there)} already and was left as it is; --force replaces them")
        folders = [name for name in there if (folder / name).is_dir() and not (folder / name).is_symlink()]
        if folders:
            raise ConfigError(f"{printable(str(folder), 200)} has folders of these names: {listed(folders)}; move them away")
        return [_save(folder / name, text) for name, text in sorted(files.items())]
    except OSError as error:
        raise ConfigError(f"cannot write into {printable(str(folder), 200)}: {error.strerror}; check permissions") from error


def _save(path: Path, text: str) -> Path:
    # By a new file that takes the place of the old one: a symbolic link of that name is replaced, not followed.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        fresh.chmod(0o755 if path.suffix == ".sh" else 0o644)
        return fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _all_files(rendered: Rendered) -> dict[str, str]:
    prompts = {SYSTEM_PROMPT: rendered.system_prompt, PROMPT: rendered.prompt}
    return dict(sorted({**rendered.files, **{name: text for name, text in prompts.items() if text is not None}}.items()))


def _tried(choice: Choice) -> Iterator[str]:
    chosen = False
    for candidate in choice.candidates:
        whose = "yours" if candidate.is_users else "packaged"
        place = f"{whose}: {candidate.key}.hbs"
        if candidate.found is None:
            yield f"{place}: not there"
        elif chosen:
            yield f"{place}: there, but one before it was found"
        else:
            chosen = True
            yield f"{place}: taken ({candidate.found.origin})"


def _described(variables: Iterable[str]) -> Iterator[str]:
    table = {variable.name: variable for variable in VARIABLES}
    for name in variables:
        entry = next((table[known] for known in _prefixes(name) if known in table), None)
        if entry is not None:
            yield f"{name}: {entry.description} ({entry.source})"
        elif name.partition(".")[0] in top_level_names():
            yield name
        else:
            yield f"{name}: given by whoever calls the partial, or unknown"


def _prefixes(name: str) -> Iterator[str]:
    parts = name.replace("[]", "").split(".")
    for length in range(len(parts), 0, -1):
        yield ".".join(parts[:length])


def _unused(templates: TemplateSet, choices: list[Choice]) -> Iterator[str]:
    known = {candidate.key for choice in choices for candidate in choice.candidates}
    for text in templates.unused(choices):
        if text.key not in known:
            near = did_you_mean(text.key, known)
            yield f"{text.origin}: no run uses it{near}; correct its name, or take it away"


def _read_by_bash(text: str, environ: Mapping[str, str]) -> list[str]:
    """What `bash -n` says, as `line N: …`; empty where it has nothing to say."""
    try:
        done = subprocess.run(
            ["bash", "--norc", "--noprofile", "-n"],
            input=text.encode("utf-8", "replace"),
            env={"PATH": environ.get("PATH", os.defpath), "LC_ALL": "C"},
            capture_output=True,
            timeout=_BASH_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise ConfigError("bash is not on the PATH, and rendered shell cannot be checked without it; install bash") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"bash did not read a rendered script: {printable(str(error), 200)}") from error
    said = [line.removeprefix("bash: ") for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return [printable(" / ".join(said), 400)] if done.returncode or said else []


def origin_of(view: View, file: str) -> str:
    """What a person calls the template of a file."""
    template: TemplateText | None = view.choices[file].template if file in view.choices else None
    return template.origin if template is not None else ""
