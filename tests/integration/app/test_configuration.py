"""Configuration as it lies on disk, and what comes with the program."""

from pathlib import Path

import pytest

from coderun.app.configuration import packaged_roster, read_configuration
from coderun.model.errors import ConfigError

PIPELINE = """
name: short
stages:
- {name: build, role: implementation, gates: [{kind: pull-request}]}
"""


def test_the_packaged_roster_can_play_the_packaged_pipeline(tmp_path: Path) -> None:
    configuration = read_configuration(tmp_path)
    roles = [stage.role for stage in configuration.pipeline.stages if stage.role]
    agents = [configuration.config.agent_in_role(role, configuration.roster) for role in roles]
    assert roles == ["implementation", "quality", "testing"]
    assert all(agent and agent.github_app and agent.description and agent.tools.remote for agent in agents)
    assert not configuration.is_written


def test_the_packaged_agents_are_complete() -> None:
    roster = packaged_roster()
    assert {name: agent.role for name, agent in roster.agents.items()} == {
        "rex": "implementation",
        "blaze": "implementation",
        "cleo": "quality",
        "tess": "testing",
        "morgan": "documentation",
    }
    assert roster.of_app("5dlabs-rex[bot]", wanted_by="x").app_id == "1724452"


def test_a_repositorys_own_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "coderun.yaml").write_text("pipeline: ci/short.yaml\nagents: {rex: {model: m}}\n")
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci/short.yaml").write_text(PIPELINE)
    configuration = read_configuration(tmp_path)
    assert (configuration.pipeline.name, configuration.roster.agents["rex"].model) == ("short", "m")
    assert configuration.is_written


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("coderun.yaml", "plya: {}", "coderun.yaml:1:1: plya: unknown key; did you mean 'play'?"),
        (
            "coderun.yaml",
            "play: {parallel: 2}\npipeline: p.yaml",
            "coderun.yaml:2:11: pipeline: there is no file 'p.yaml'; correct its path, or write `play`",
        ),
        ("coderun.yaml", f"pipeline: {'p' * 300}.yaml", f"{'p' * 199}…: cannot be read: "),
        (
            "coderun.yaml",
            "agents:\n  rex:\n    role: implementaton\n",
            "coderun.yaml:3:11: agents.rex.role: no stage asks for the role 'implementaton'; did you mean 'impl",
        ),
        ("coderun.yml", "", "coderun.yml: is not read; rename it to coderun.yaml"),
    ],
)
def test_a_mistake_is_reported_with_its_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_configuration(tmp_path)
    assert str(caught.value).startswith(message)


def test_an_agent_may_have_a_role_of_its_own_that_no_stage_asks_for(tmp_path: Path) -> None:
    (tmp_path / "coderun.yaml").write_text("agents: {dan: {role: tester, githubApp: team-dan}, rex: {model: m}}\n")
    assert read_configuration(tmp_path).roster.agents["dan"].role == "tester"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PIPELINE.replace("implementation", "implementatoin"), r"^p\.yaml:4:23: stages\[0\]\.role: stage 'build' wants"),
        (PIPELINE.replace("kind: pull-request", "kind: pullrequest"), r"^p\.yaml:4:\d+: stages\[0\]\.gates\[0\]\.kind: 'pull"),
        (PIPELINE + "- {name: build, role: quality}", r"^p\.yaml:5:10: stages\[1\]\.name: stage 'build' is there twice"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_pipeline_is_reported_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "coderun.yaml").write_text("pipeline: p.yaml\n")
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_configuration(tmp_path)


def test_a_configuration_that_leads_outside_is_refused(tmp_path: Path) -> None:
    repository = tmp_path / "repo"
    repository.mkdir()
    (tmp_path / "other.yaml").write_text("")
    (repository / "coderun.yaml").symlink_to("../other.yaml")
    with pytest.raises(ConfigError, match=r"^coderun\.yaml: leads outside the repository"):
        read_configuration(repository)
