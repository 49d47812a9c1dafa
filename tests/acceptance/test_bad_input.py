"""Bad input on the command line: a line that says what and where, exit code 2, and nothing is created."""

from pathlib import Path

import pytest
from tests.acceptance.kit import Place, task

CLAUDE = {"role": "implementation", "cli": "claude"}


def _pipeline(*stages: str) -> str:
    return "name: own\nstages:\n" + "".join(f"  - {stage}\n" for stage in stages)


async def _refused(place: Place, *words: str, cwd: Path | None = None) -> str:
    """What a command says that exits with 2 and leaves nothing behind."""
    ended = await place.coderun(*words, cwd=cwd)
    assert ended.code == 2, ended.said
    assert "Traceback" not in ended.err
    assert ended.err.startswith("error: "), ended.said
    assert len(ended.err.splitlines()) == 1, ended.said
    assert ended.out == ""
    assert await place.plays() == []
    assert place.ran() == []
    return ended.err.removeprefix("error: ").rstrip("\n")


# -- tasks ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--task", "7"), "there is no task 7 (known tasks: 1)"),
        (("--task", "0"), "there is no task 0: ids start at 1 (known tasks: 1)"),
        (("--task", "-3"), "there is no task -3: ids start at 1 (known tasks: 1)"),
        (("--tasks", "1,0"), "task list '1,0': there is no task 0; ids start at 1"),
        (("--tasks", "5-1"), "task list '5-1': range 5-1 runs backwards; write 1-5"),
        (("--tasks", "1;2"), "task list '1;2': '1;2' is no task; write ids and ranges, like 1-5,8"),
        (("--task", "1", "--all"), "--task and --all exclude each other; give one of them"),
        (
            (),
            'say what to play: --task N, --tasks 1-5,8, --next, --all, a Markdown file, or a sentence ("Fix the typo")',
        ),
        ((" ",), "the task has no text; write a sentence that says what shall be done"),
        (("--task", "1", "--agent-command", "'"), """--agent-command "'" cannot be split into words: No closing quotation"""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
async def test_a_task_that_cannot_be_played_is_refused(place: Place, words: tuple[str, ...], message: str) -> None:
    assert await _refused(place, "play", *words) == message


async def test_a_task_that_waits_for_an_open_one_is_refused_with_the_ways_out(bare_place: Place) -> None:
    bare_place.init(task(1), task(2, dependencies=[1]))
    said = await _refused(bare_place, "play", "--task", "2")
    assert said.startswith(".taskmaster/tasks/tasks.json:")
    assert "task 2 waits for task 1 (pending), which is not done and not asked for; add it (--tasks 1,2)" in said


async def test_tasks_that_wait_for_each_other_are_refused_with_file_and_line(bare_place: Place) -> None:
    bare_place.init(task(1, dependencies=[2]), task(2, dependencies=[3]), task(3, dependencies=[1]))
    for words in (("--task", "1"), ("--all",), ("--next",)):
        said = await _refused(bare_place, "play", *words)
        assert said == (
            ".taskmaster/tasks/tasks.json:4: tasks wait for each other: 1 → 2 → 3 → 1; remove one of these dependencies"
        )


async def test_a_repository_without_tasks_says_where_they_were_looked_for(bare_place: Place) -> None:
    bare_place.init()
    said = await _refused(bare_place, "play", "--task", "1")
    assert said == (
        f"no tasks in {bare_place.repository}: looked for .taskmaster/tasks/tasks.json, .taskmaster/tasks.json, tasks.json; "
        "write one with Task Master, name the file with tasks.file in coderun.yaml, "
        "or give a sentence or a Markdown file as the task"
    )


@pytest.mark.parametrize(
    ("text", "place_of_it", "words"),
    [
        ('{"tasks": [\n  {"id": 1,\n', ":3:1: ", "not valid JSON"),
        ('{"tasks": [\n  {"id": "one", "title": "x"}\n]}', ":2: ", "'one'"),
        ('{"tasks": [\n  {"id": 1, "title": "x"},\n  {"id": 1, "title": "y"}\n]}', ":3: ", "1"),
        ('{"tasks": 5}', ":1: ", "expected tasks"),
        ("\x00\x01\x02", ": ", "binary"),
    ],
    ids=["cut off", "no number", "twice", "no list", "binary"],
)
async def test_a_list_of_tasks_that_is_malformed_is_refused_with_file_and_line(
    place: Place, text: str, place_of_it: str, words: str
) -> None:
    place.write(".taskmaster/tasks/tasks.json", text)
    said = await _refused(place, "play", "--task", "1")
    assert said.startswith(f".taskmaster/tasks/tasks.json{place_of_it}")
    assert words in said


# -- configuration -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agents:\n  rex:\n    roel: implementation\n", "coderun.yaml:3:5: agents.rex.roel: unknown key; did you mean 'role'?"),
        (
            "roles:\n  implementation: rexx\n",
            "coderun.yaml:2:19: roles.implementation: there is no agent 'rexx'; did you mean 'rex'?",
        ),
        (
            "roles:\n  implementer: rex\n",
            "coderun.yaml:2:16: roles.implementer: there is no role 'implementer'; did you mean 'implementation'?",
        ),
        (
            'agents: {rex: {cli: {cliType: command, settings: {command: "\'"}}}}\n',
            "coderun.yaml:1:60: agents.rex.cli.settings.command: the agent's command cannot be split into words",
        ),
        ("play:\n  autoMerge: perhaps\n", "coderun.yaml:2:14: play.autoMerge: "),
        ("play: [\n", "coderun.yaml:2:1: "),
        ("pipeline: nowhere.yaml\n", "coderun.yaml:1:11: pipeline: there is no file 'nowhere.yaml'"),
    ],
    ids=["unknown key", "unknown agent", "unknown role", "broken command", "wrong type", "no YAML", "no pipeline file"],
)
async def test_a_configuration_that_is_wrong_is_refused_with_file_and_line(place: Place, text: str, message: str) -> None:
    place.write("coderun.yaml", text)
    said = await _refused(place, "play", "--task", "1")
    assert message in said, said


async def test_a_pipeline_with_a_role_that_nobody_has_is_refused_with_file_and_line(place: Place) -> None:
    place.configure(pipeline="own.yaml")
    place.write("own.yaml", _pipeline("{name: build, role: implementer}"))
    said = await _refused(place, "play", "--task", "1")
    assert said.startswith(
        "own.yaml:3:25: stages[0].role: stage 'build' wants role 'implementer', which no agent of the roster has"
    ), said


async def test_a_pipeline_with_a_stage_that_nothing_reaches_is_refused_with_file_and_line(place: Place) -> None:
    place.configure(pipeline="own.yaml")
    merge, after = "{name: merge, gates: [{kind: merged}]}", "{name: after, role: quality}"
    place.write("own.yaml", _pipeline("{name: build, role: implementation, gates: [{kind: pull-request}]}", merge, after))
    said = await _refused(place, "play", "--task", "1")
    assert said.startswith("own.yaml:5:5: "), said
    assert "stage 'after' is unreachable: a play ends when its pull request is merged, in stage 'merge'" in said


# -- repository ----------------------------------------------------------------------------------------------------------------


async def test_a_folder_without_a_repository_is_refused(bare_place: Place) -> None:
    ended = await bare_place.coderun("play", "--task", "1")
    assert ended.code == 2, ended.said
    assert ended.err == (
        f"error: {bare_place.repository} is not in a git repository; "
        "go into one, or make one with `git init` and commit first\n"
    )


async def test_a_repository_without_commits_is_refused(bare_place: Place) -> None:
    bare_place.git("init", "--quiet", "--initial-branch=main")
    bare_place.write_tasks(task(1))
    bare_place.configure()
    said = await _refused(bare_place, "play", "--task", "1")
    assert said == f"branch 'main': {bare_place.repository} has no commits yet; commit first (`git add . && git commit`)"


async def test_a_detached_head_is_refused_unless_the_base_branch_is_configured(place: Place) -> None:
    place.git("checkout", "--quiet", "--detach")
    said = await _refused(place, "play", "--task", "1")
    assert said == (
        f"{place.repository} is at a detached HEAD, so nothing says which branch to merge into; "
        "set baseBranch in coderun.yaml, or check out a branch"
    )
    place.configure(baseBranch="main")
    ended = await place.coderun("play", "--task", "1")
    assert ended.code == 0, ended.said


async def test_a_base_branch_that_is_not_there_is_refused(place: Place) -> None:
    place.configure(baseBranch="mian")
    said = await _refused(place, "play", "--task", "1")
    assert (
        said
        == "there is no base branch 'mian'; did you mean 'main'? (branches: main); correct baseBranch, or create that branch"
    )


async def test_a_base_branch_that_went_another_way_than_the_forges_is_refused(place: Place) -> None:
    first = await place.coderun("play", "--task", "1")
    assert first.code == 0, first.said
    place.write("README.md", "# Other\n")
    place.git("commit", "--quiet", "-am", "Meanwhile here")

    refused = await place.coderun("play", "Something else")

    assert refused.code == 2, refused.said
    assert refused.err == (
        "error: branch main here and on the local forge have gone different ways; bring them together first: "
        f"git pull {place.state / 'forge' / 'repo.git'} main\n"
    )
    assert len(await place.plays()) == 1


# -- agents --------------------------------------------------------------------------------------------------------------------


async def test_without_an_agent_cli_it_says_what_was_looked_for_and_what_to_do(place: Place) -> None:
    place.configure(agents={"rex": CLAUDE})
    said = await _refused_without_programs(place)
    assert said == (
        "error: agent rex runs as 'claude', which is not on the PATH. "
        "Install it (npm install -g @anthropic-ai/claude-code, then run `claude` once to log in), "
        "or name any program with --agent-command 'PROGRAM ARGUMENTS' (see docs/agents.md); "
        "`coderun doctor` shows all of them, `coderun demo` needs none\n"
    )


async def test_a_task_that_is_not_there_is_told_before_an_agent_cli_that_is_not_there(place: Place) -> None:
    place.configure(agents={"rex": CLAUDE})
    assert await _refused_without_programs(place, "--task", "7") == "error: there is no task 7 (known tasks: 1)\n"


async def _refused_without_programs(place: Place, *words: str) -> str:
    programs = place.folder / "bin"
    programs.mkdir()
    git = place.git("--exec-path")
    (programs / "git").symlink_to(Path(git).resolve() / "git")
    ended = await place.coderun("play", *(words or ("--task", "1")), PATH=str(programs))
    assert ended.code == 2, ended.said
    assert await place.plays() == []
    return ended.err


async def test_a_command_of_an_agent_that_is_not_there_is_refused(place: Place) -> None:
    for words in (("play", "--task", "1"), ("run", "--agent", "rex", "--task", "1")):
        said = await _refused(place, *words, "--agent-command", "no-such-agent --fast")
        assert said == (
            "--agent-command: 'no-such-agent' is not on the PATH; name a program that can be run (see docs/agents.md)"
        )
    said = await _refused(place, "play", "--task", "1", "--agent-command", "./README.md")
    assert said.startswith(f"--agent-command: {place.repository}/README.md is not there, or may not be executed; ")


async def test_an_unknown_agent_of_a_run_is_refused_with_those_there_are(place: Place) -> None:
    said = await _refused(place, "run", "--agent", "max", "--task", "1")
    assert said == "there is no agent 'max' in the roster (known: blaze, cleo, morgan, rex, tess)"


async def test_a_forge_token_file_that_cannot_be_read_is_refused(place: Place) -> None:
    await place.coderun("play", "--task", "1")
    ended = await place.coderun("get", CODERUN_FORGE_TOKEN_FILE=str(place.folder / "nothing"))
    assert ended.code == 2, ended.said
    assert "CODERUN_FORGE_TOKEN_FILE names" in ended.err
