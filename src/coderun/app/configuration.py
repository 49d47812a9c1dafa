"""A repository's configuration: `coderun.yaml`, the packaged roster it is laid over, and its pipeline, read and checked.

It reads files and nothing else; what they mean is `model.config` and `pipeline.definition`.
"""

from importlib import resources
from pathlib import Path
from typing import Final

import msgspec

from coderun.app.textfiles import read_inside
from coderun.model.config import FILE_NAME, PACKAGED_PIPELINE, Config, parse_config, parse_roster
from coderun.model.errors import ConfigError
from coderun.model.roster import Roster
from coderun.model.yaml import MAX_CHARACTERS, decode, load
from coderun.pipeline.definition import Pipeline, problems

_PACKAGED: Final = "packaged"
_ROOM: Final = "coderun.plan"
_MISSPELT: Final = ("coderun.yml", ".coderun.yaml", ".coderun.yml")


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """All that a repository says about how it wants to be worked on.

    Attributes:
        is_written: Whether there is a `coderun.yaml`; without one all is at its default.
        roster: The packaged agents with the repository's laid over them.
    """

    config: Config
    roster: Roster
    pipeline: Pipeline
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
    return Configuration(
        config=config, roster=roster, pipeline=_read_pipeline(repository, config, roster), is_written=text is not None
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
