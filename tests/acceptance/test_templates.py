"""Templates in a whole play: what a run gets of them, and what happens where one of the user's is broken."""

import json

import pytest
from tests.acceptance.kit import Place

from coderun.model.coderun import RunPhase


@pytest.mark.lesson(18)
async def test_a_broken_template_keeps_only_its_runs_from_starting_and_why_says_so(place: Place) -> None:
    place.write(".coderun/templates/agents/cleo-claude.md.hbs", "# Memory\n\n{{task_idd}}\n")

    waiting = await place.coderun("play", "--task", "1")

    assert waiting.code == 3, waiting.said
    why = await place.why(1)
    assert (why["phase"], why["stage"], why["reason"]) == ("Waiting", "quality", "InvalidSpec")
    assert ".coderun/templates/agents/cleo-claude.md.hbs:3:3: unknown variable 'task_idd'" in why["waitsFor"]
    assert why["wouldMove"].endswith("`coderun retry play-shop-1`")
    assert place.occasions() == [("implementation", 1, 1)]
    run = next(run for run in await place.runs(await place.play(1)) if run.spec.stage == "quality")
    assert (run.status.phase, run.status.attempt, run.status.job_name) == (RunPhase.FAILED, 0, "")
    assert [condition.reason for condition in run.status.conditions] == ["InvalidSpec"]
    assert [path.name for path in (place.state / "runs").iterdir()] == ["coderun-1-shop-play-shop-1-implementation-1-1-1"]

    place.write(".coderun/templates/agents/cleo-claude.md.hbs", "# Memory of task {{task_id}}\n")
    await place.coderun("retry", "1")
    ended = await place.coderun("play", "--task", "1")
    assert ended.code == 0, ended.said
    (folder,) = (place.state / "runs").glob("*quality*")
    assert (folder / "files" / "CLAUDE.md").read_text() == "# Memory of task 1\n"


async def test_a_run_gets_its_files_and_its_prompt_from_the_templates(place: Place) -> None:
    place.configure(checks=[{"name": "fine", "run": "true"}])

    ended = await place.coderun("play", "--task", "1")

    assert ended.code == 0, ended.said
    (folder,) = (place.state / "runs").glob("*testing*")
    order = json.loads((folder / "order.json").read_text())
    files = {path.name for path in (folder / "files").iterdir()}
    assert {"CLAUDE.md", "AGENTS.md", "settings.json", "mcp.json", "container.sh", "hooks-stop-commit.sh"} <= files
    assert "You decide whether a pull request does its task." in order["systemPrompt"]
    assert "- fine: `true`" in order["systemPrompt"]
    assert "# Coding guidelines: shop" in (folder / "task" / "coding-guidelines.md").read_text()


async def test_a_folder_that_cannot_be_read_stops_everything_before_anything_is_made(place: Place) -> None:
    place.configure(templates="../theirs")

    refused = await place.coderun("play", "--task", "1")

    assert refused.code == 2, refused.said
    assert "templates: '../theirs' leads outside the repository" in refused.err
    assert place.was_never_used()
