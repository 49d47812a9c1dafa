"""A repository's configuration: `coderun.yaml`, the packaged roster it is laid over, its pipeline and templates, all checked.

It reads files and nothing else; what they mean is `model.config` and `pipeline.definition`.
"""

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec

from coderun.app.templates import packaged_templates, read_folder, user_templates
from coderun.app.textfiles import is_missing, nearby, read_anywhere, read_inside, show_path
from coderun.model.cluster import parse_cluster_config
from coderun.model.config import FILE_NAME, PACKAGED_PIPELINE, Config, parse_config, parse_roster
from coderun.model.errors import ConfigError
from coderun.model.roster import Roster
from coderun.model.text import did_you_mean, listed, nearest
from coderun.model.yaml import MAX_CHARACTERS, decode, load
from coderun.pipeline.definition import Pipeline, problems
from coderun.plan.order import ForgeRef, Limits
from coderun.plan.settings import CheckNote, Permissions, RunSettings, Telemetry, ToolServer
from coderun.plan.templates import TemplateText, template_set

_PACKAGED: Final = "packaged"
_ROOM: Final = "coderun.plan"
_SLIP: Final = 0.85
"""So much alike are two words that differ by a slip of the hand: `testng` and `testing`, not `tester` and `testing`."""
_MISSPELT: Final = ("coderun.yml", ".coderun.yaml", ".coderun.yml")


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """All that a repository says about how it wants to be worked on.

    Attributes:
        templates: The repository's own templates.
        is_written: Whether there is a `coderun.yaml`; without one all is at its default.
        roster: The packaged agents with the repository's laid over them.
    """

    config: Config
    roster: Roster
    pipeline: Pipeline
    templates: tuple[TemplateText, ...] = ()
    is_written: bool = False


def read_configuration(repository: Path) -> Configuration:
    """Read and check everything.

    Raises:
        ConfigError: the first thing that is wrong, with `file:line:column`.
    """
    packaged = packaged_roster()
    text = _read_file(repository)
    config = Config() if text is None else parse_config(text, packaged=packaged)
    roster = config.roster(packaged)
    _check_pipeline_file(repository, text or "", config)
    pipeline = _read_pipeline(repository, config, roster)
    _check_roles(text or "", config, roster, pipeline)
    return Configuration(
        config=config,
        roster=roster,
        pipeline=pipeline,
        templates=user_templates(repository, config.templates),
        is_written=text is not None,
    )


def read_what_stands(repository: Path, tell: Callable[[str], None]) -> Configuration:
    """As much of the configuration as can be read: enough to look at plays and to end them, whatever was just written there.

    `tell` hears what is wrong. A broken `coderun.yaml` leaves everything at its default; a broken pipeline or template leaves
    the packaged ones.
    """
    try:
        return read_configuration(repository)
    except ConfigError as error:
        tell(f"{error}; this command does without it")
    packaged = packaged_roster()
    try:
        text = _read_file(repository)
        config = Config() if text is None else parse_config(text, packaged=packaged)
    except ConfigError:
        return packaged_configuration()
    roster = config.roster(packaged)
    pipeline = parse_pipeline(packaged_text("pipelines/play.yaml"), name="packaged play.yaml", config=Config(), roster=roster)
    return Configuration(config=config, roster=roster, pipeline=pipeline, is_written=text is not None)


def read_cluster_configuration(file: Path, templates: Path | None) -> Configuration:
    """The configuration of a cluster's controller: one file, and a folder of templates beside it or elsewhere.

    Raises:
        ConfigError: the first thing that is wrong, with `file:line:column`.
    """
    packaged = packaged_roster()
    text = read_anywhere(file, limit=4 * MAX_CHARACTERS)
    name = show_path(file, file.parent)
    config = parse_cluster_config(text, packaged=packaged, name=name)
    roster = config.roster(packaged)
    pipeline = _read_pipeline(file.parent, config, roster)
    _check_roles(text, config, roster, pipeline)
    return Configuration(
        config=config,
        roster=roster,
        pipeline=pipeline,
        templates=() if templates is None else read_folder(templates, root=templates, named="--templates"),
        is_written=True,
    )


def packaged_configuration() -> Configuration:
    """All at its default: what holds where nobody has written anything."""
    config, roster = Config(), packaged_roster()
    pipeline = _read_pipeline(Path(), config, roster)
    return Configuration(config=config, roster=roster, pipeline=pipeline)


def run_settings(configuration: Configuration, forge: ForgeRef, *, poll: float = 1.0) -> RunSettings:
    """What the configuration says about runs, for `plan`; `forge` is where their pull requests are, `poll` as in `Limits`."""
    config = configuration.config
    limits, telemetry = config.limits, config.telemetry
    return RunSettings(
        forge=forge,
        limits=Limits(
            timeout=limits.run_timeout_seconds,
            grace=limits.stop_grace_seconds,
            checks_grace=config.checks_grace_seconds,
            poll=poll,
        ),
        keep_finished_days=limits.keep_finished_runs_days,
        parallel_runs=limits.parallel_runs,
        templates=template_set((*packaged_templates(), *configuration.templates)),
        permissions=Permissions(
            override=config.permissions.agent_tools_override, allow=config.permissions.allow, deny=config.permissions.deny
        ),
        telemetry=Telemetry(
            enabled=telemetry.enabled,
            otlp_endpoint=telemetry.otlp_endpoint,
            otlp_protocol=telemetry.otlp_protocol.value,
            logs_endpoint=telemetry.logs_endpoint,
            logs_protocol=telemetry.logs_protocol.value,
        ),
        tool_server=ToolServer(url=config.tool_server.url, command=config.tool_server.command),
        checks=tuple(
            CheckNote(name=check.name, command=check.command, required=check.required, timeout=check.timeout_seconds)
            for check in config.checks
        ),
    )


def packaged_roster() -> Roster:
    """The agents that come with the program."""
    return parse_roster(packaged_text("roster.yaml"), name="packaged roster.yaml")


def packaged_text(name: str) -> str:
    """A text file that comes with the program, by its path below the packaged data."""
    return resources.files(_ROOM).joinpath(_PACKAGED, name).read_text(encoding="utf-8")


def parse_pipeline(text: str, *, name: str, config: Config, roster: Roster) -> Pipeline:
    """A pipeline definition, checked against the roles there are.

    Raises:
        ConfigError: with `name:line:column`.
    """
    document = load(text, name=name)
    pipeline = decode(document, Pipeline)
    roles = {agent.role for agent in roster.agents.values() if agent.role} | set(config.roles)
    for problem in problems(pipeline, roles):
        raise document.error(problem.path, problem.message)
    return pipeline


def _check_roles(text: str, config: Config, roster: Roster, pipeline: Pipeline) -> None:
    """Refuse a role that no stage asks for and no agent has: whoever wrote it meant another one."""
    known = {*(stage.role for stage in pipeline.stages), *(agent.role for agent in roster.agents.values())} - {""}
    for role in config.roles:
        if role not in known:
            message = f"there is no role {role!r}{did_you_mean(role, known)} (known roles: {listed(sorted(known))})"
            raise load(text, name=FILE_NAME).error(("roles", role), message)
    _check_agents_roles(text, config, pipeline)


def _check_agents_roles(text: str, config: Config, pipeline: Pipeline) -> None:
    """Refuse a misspelt role of an agent: another agent would take its place in silence. A role that is like none may be."""
    packaged = {agent.role for agent in packaged_roster().agents.values()}
    asked = {*(stage.role for stage in pipeline.stages), *config.roles, *packaged} - {""}
    for name, agent in config.agents.items():
        role = agent.role if isinstance(agent.role, str) else ""
        near = nearest(role, asked, cutoff=_SLIP) if role and role not in asked else ""
        if near:
            message = f"no stage asks for the role {role!r}; did you mean {near!r}? (known roles: {listed(sorted(asked))})"
            raise load(text, name=FILE_NAME).error(("agents", name, "role"), message)


def _check_pipeline_file(repository: Path, text: str, config: Config) -> None:
    """Say in which line a pipeline is named whose file is not there; what else may be wrong with it is said of the file."""
    path = repository / config.pipeline
    if config.pipeline == PACKAGED_PIPELINE or not is_missing(path):
        return
    message = f"there is no file {config.pipeline!r}{nearby(path)}; correct its path, or write `{PACKAGED_PIPELINE}`"
    raise load(text, name=FILE_NAME).error(("pipeline",), message)


def _read_file(repository: Path) -> str | None:
    path = repository / FILE_NAME
    if path.is_symlink() or path.exists():
        text = read_inside(repository, path, limit=4 * MAX_CHARACTERS)
        if text is None:
            raise ConfigError(f"{FILE_NAME}: is a binary file; write it anew with `coderun init --force`")
        return text
    misspelt = next((name for name in _MISSPELT if (repository / name).exists()), None)
    if misspelt:
        raise ConfigError(f"{misspelt}: is not read; rename it to {FILE_NAME}")
    return None


def _read_pipeline(repository: Path, config: Config, roster: Roster) -> Pipeline:
    if config.pipeline == PACKAGED_PIPELINE:
        name, text = "packaged play.yaml", packaged_text("pipelines/play.yaml")
    else:
        name, text = config.pipeline, read_inside(repository, repository / config.pipeline, limit=4 * MAX_CHARACTERS) or ""
    return parse_pipeline(text, name=name, config=config, roster=roster)
