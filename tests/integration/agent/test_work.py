"""Whole runs with scripted agents: what ends up on the remote and on the forge, and what the report says."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from tests.fakes.one_pull import OnePullForge
from tests.integration.agent.conftest import BRANCH, OPEN_PULL, READY, REVIEWED, Bench

from coderun.agent.stop import StopCause
from coderun.model.coderun import CliConfig, RunPhase, RunReport, Verdict
from coderun.model.errors import ForgeUnavailableError, RefusedError
from coderun.model.gates import Gate, GateKind
from coderun.model.pulls import Actor, Check, Checks, CheckState, LabelMark, Mergeability, PullState, ReviewState
from coderun.model.task import TaskText
from coderun.plan.order import AgentIdentity, Limits

COMMIT = "commit('hello.py', 'print(1)')\n"
TESS = AgentIdentity(name="tess", login="tess[bot]", email="tess@agents.local", role="testing")


def ending(report: RunReport) -> tuple[RunPhase, str]:
    return report.phase, report.outcome.terminal_reason


async def opened(bench: Bench) -> None:
    """An implementation run that went well."""
    report = await bench.run(COMMIT + "result('done', 'first')")
    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary


async def test_an_implementation_run_pushes_its_branch_and_opens_the_pull_request(bench: Bench) -> None:
    report = await bench.run(COMMIT + "result('done', 'It says hello.')")

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    assert report.outcome.verdict is Verdict.DONE
    assert report.outcome.summary == "It says hello."
    assert report.outcome.exit_code == 0
    assert bench.remote_files() == [".coderun/tasks/task-1.json", "README.md", "hello.py"]
    pull = bench.forge.pulls[1]
    assert (pull.title, pull.head_branch, pull.base_branch) == ("task 1: Say hello", BRANCH, "main")
    assert [mark.name for mark in pull.labels] == ["task-1"]
    assert report.pull_request is not None
    assert report.pull_request.number == 1
    assert report.head_sha == bench.remote_head() == report.pull_request.head_sha
    assert bench.git(bench.remote, "log", "-1", "--format=%an <%ae> %cn", BRANCH) == "rex <rex@agents.local> rex"


async def test_the_marker_file_is_the_first_commit_and_names_the_task(bench: Bench) -> None:
    await opened(bench)

    marker = json.loads(bench.remote_text(".coderun/tasks/task-1.json"))
    first = bench.git(bench.remote, "log", "--format=%s", "--reverse", f"main..{BRANCH}").split("\n")[0]
    assert first == "Mark the branch as work on task 1"
    assert (marker["taskId"], marker["play"], marker["agent"], marker["service"]) == (1, "play-1", "rex", "app")


async def test_a_second_run_on_the_same_branch_repeats_nothing_on_the_forge(bench: Bench) -> None:
    await opened(bench)
    report = await bench.run("commit('more.py', '2')", pull_request=bench.reference())

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    assert list(bench.forge.pulls) == [1]
    assert bench.forge.calls.count("open_pull_request") == 1
    assert bench.git(bench.remote, "log", "--format=%s", f"main..{BRANCH}").count("Mark the branch") == 1
    assert "more.py" in bench.remote_files()


async def test_uncommitted_changes_are_committed_by_the_runner_which_says_so(bench: Bench) -> None:
    report = await bench.run("write('hello.py', '1')\nwrite('deep/er.txt', '2')\nwrite('README.md', 'changed')")

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed")
    assert "left uncommitted were committed by the runner" in report.outcome.summary
    assert bench.git(bench.remote, "log", "-1", "--format=%s", BRANCH) == "Commit what rex left uncommitted"
    assert bench.remote_text("README.md") == "changed"


async def test_junk_that_tools_leave_behind_is_not_committed(bench: Bench) -> None:
    await bench.run("write('__pycache__/a.pyc', '')\nwrite('node_modules/x/y.js', '')\nwrite('hello.py', '1')")

    assert bench.remote_files() == [".coderun/tasks/task-1.json", "README.md", "hello.py"]


async def test_an_agent_that_does_nothing_gets_no_pull_request(bench: Bench) -> None:
    report = await bench.run("result('done', 'All done!')")

    assert ending(report) == (RunPhase.FAILED, "EvidenceMissing")
    assert "rex changed nothing: there is nothing to open a pull request for" in report.outcome.summary
    assert bench.forge.pulls == {}
    assert not bench.remote_head()


async def test_an_agent_that_fails_is_quoted_and_its_work_is_kept_but_not_pushed(bench: Bench) -> None:
    report = await bench.run(COMMIT + "write('half.txt', 'half')\nprint('cannot go\\x1b[31m on')\nsys.exit(3)")

    assert ending(report) == (RunPhase.FAILED, "AgentFailed")
    assert report.outcome.exit_code == 3
    assert ("agent ended", {"reason": "AgentFailed"}) in bench.log.events
    assert "ended with exit code 3" in report.outcome.summary
    assert "cannot go\\x1b[31m on" in report.outcome.summary
    assert not bench.remote_head()
    assert (bench.tree / "half.txt").read_text() == "half"
    [ref] = bench.saved()
    assert ref.startswith("refs/coderun/saved/20300102T030405Z-job-1")
    assert ref in report.outcome.summary
    assert bench.saved_text(ref, "half.txt") == "half"


async def test_an_agent_that_fails_on_an_open_pull_request_is_not_saved_by_old_evidence(bench: Bench) -> None:
    await opened(bench)
    report = await bench.run("sys.exit(1)", pull_request=bench.reference())

    assert ending(report) == (RunPhase.FAILED, "AgentFailed")


async def test_evidence_that_came_about_during_the_run_outweighs_a_bad_exit_code(bench: Bench) -> None:
    def open_it(call: str) -> None:
        # The agent itself opened the pull request while it ran.
        if call == "get_pull_request" or bench.forge.pulls or not bench.remote_head():
            return

    bench.forge.before = open_it
    agent = COMMIT + "git('push', 'origin', 'HEAD')\nsys.exit(1)"
    order = bench.order(cli=bench.script(agent))
    found = bench.forge.find_pull_requests

    async def find(task_id: int) -> list[object]:
        if bench.remote_head() and not bench.forge.pulls:
            from coderun.model.pulls import NewPullRequest  # noqa: PLC0415 - only this test opens one by hand

            await bench.forge.open_pull_request(
                NewPullRequest(title="t", body="", head_branch=BRANCH, base_branch="main", labels=("task-1",))
            )
        return list(await found(task_id))

    bench.forge.find_pull_requests = find  # type: ignore[assignment,method-assign] # a fake of ours acts for the agent
    report = await bench.run_order(order)

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    assert "the agent itself ended badly (AgentFailed" in report.outcome.summary
    assert report.outcome.exit_code == 1


@pytest.mark.parametrize("verdict", ["blocked", "request-changes"])
async def test_a_blocked_agent_publishes_nothing(bench: Bench, verdict: str) -> None:
    report = await bench.run(COMMIT + f"result({verdict!r}, 'the API key is missing')")

    assert ending(report) == (RunPhase.FAILED, "AgentBlocked")
    assert f"rex ended with the verdict '{verdict}': the API key is missing" in report.outcome.summary
    assert not bench.remote_head()


async def test_a_missing_verdict_is_done_for_an_implementation(bench: Bench) -> None:
    report = await bench.run(COMMIT)

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed")
    assert report.outcome.verdict is None


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ("write(os.environ['CODERUN_RESULT'], 'nonsense')", "the result is not as agreed"),
        ("write(os.environ['CODERUN_RESULT'], '{\"verdict\": \"perfect\"}')", "Invalid enum value 'perfect'"),
        ("write(os.environ['CODERUN_RESULT'], '[1]')", "Expected `object`, got `array`"),
        ("write(os.environ['CODERUN_RESULT'], '{\"summary\": 7}')", "Expected `str`, got `int`"),
        ("write(os.environ['CODERUN_RESULT'], ' ' * 300000)", "larger than 256 KiB"),
        ("os.symlink('/etc/hostname', os.environ['CODERUN_RESULT'])", "result.json is a symbolic link"),
        ("os.mkfifo(os.environ['CODERUN_RESULT'])", "not a regular file"),
        ("os.mkdir(os.environ['CODERUN_RESULT'])", "not a regular file"),
        ("write(os.environ['CODERUN_RESULT'], '[' * 100000)", "the result is not as agreed"),
    ],
)
async def test_a_result_file_against_the_contract_fails_the_run(bench: Bench, result: str, words: str) -> None:
    report = await bench.run(COMMIT + result)

    assert ending(report) == (RunPhase.FAILED, "InvalidResult")
    assert words in report.outcome.summary
    assert not bench.remote_head()


async def test_a_program_that_is_not_there_fails_the_run_with_its_name(bench: Bench) -> None:
    report = await bench.run(CliConfig(cli_type="command", settings={"command": ["no-such-agent-anywhere"]}))

    assert ending(report) == (RunPhase.FAILED, "SpawnFailed")
    assert "'no-such-agent-anywhere': no such program on PATH" in report.outcome.summary


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (None, "is nothing; write a list"),
        ([], "is nothing; write a list"),
        (7, "is a int, where a list of texts is needed; write a list"),
        ("agent 'unclosed", "cannot be split into words"),
        (["agent", 3], "is a list, where a list of texts is needed; write a list"),
        (["a\0b"], "NUL character"),
    ],
)
async def test_a_command_that_is_none_fails_the_run_with_advice(bench: Bench, command: object, words: str) -> None:
    report = await bench.run(CliConfig(cli_type="command", settings={"command": command}))

    assert ending(report) == (RunPhase.FAILED, "InvalidCommand")
    assert words in report.outcome.summary


async def test_a_command_text_is_split_but_run_by_no_shell(bench: Bench, tmp_path: Path) -> None:
    report = await bench.run(CliConfig(cli_type="command", settings={"command": f"echo '$(touch {tmp_path}/pwned)' ; true"}))

    assert ending(report) == (RunPhase.FAILED, "EvidenceMissing")
    assert bench.log.lines == [f"$(touch {tmp_path}/pwned) ; true"]
    assert not (tmp_path / "pwned").exists()


async def test_an_unknown_kind_of_cli_fails_the_run_naming_the_known_ones(bench: Bench) -> None:
    report = await bench.run(CliConfig(cli_type="emacs"))

    assert ending(report) == (RunPhase.FAILED, "NoAdapter")
    assert report.outcome.summary == "there is no adapter for cliType 'emacs' (known: claude, command)"


# Quality


async def test_a_quality_run_sets_its_label_once_the_checks_of_its_push_have_passed(bench: Bench) -> None:
    await opened(bench)
    states = [CheckState.PENDING, CheckState.PENDING, CheckState.PASSED]

    def checks(sha: str, look: int) -> Checks:
        state = states.pop(0) if len(states) > 1 else states[0]
        return Checks(items=(Check(name="unit", state=state),), expected=("unit",))

    cleo = bench.forge.acting_as("cleo[bot]")
    cleo.checks_of = checks
    agent = AgentIdentity(name="cleo", login="cleo[bot]", email="cleo@agents.local", role="quality")
    report = await bench.run(
        "commit('lint.txt', '1')\nresult('done')", forge=cleo, agent=agent, evidence=READY, pull_request=bench.reference()
    )

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    [mark] = [mark for mark in bench.forge.pulls[1].labels if mark.name == "ready-for-qa"]
    assert (mark.actor.login, mark.head_sha) == ("cleo[bot]", bench.remote_head())
    assert bench.clock.pauses == [1.0] * len(bench.clock.pauses)


async def test_failed_checks_fail_the_run_with_their_names_and_last_words_and_no_label(bench: Bench) -> None:
    await opened(bench)
    bench.forge.checks_of = lambda sha, look: Checks(
        items=(
            Check(name="unit", state=CheckState.FAILED, summary="x" * 9000 + "AssertionError: 1 != 2"),
            Check(name="lint", state=CheckState.PASSED),
        )
    )
    report = await bench.run("", evidence=READY, pull_request=bench.reference())

    assert ending(report) == (RunPhase.FAILED, "ChecksFailed")
    assert "failed: unit" in report.outcome.summary
    assert "AssertionError: 1 != 2" in report.outcome.summary
    assert "lint" not in report.outcome.summary
    assert "add_label ready-for-qa" not in bench.forge.calls


async def test_checks_that_do_not_end_fail_the_run_after_their_limit(bench: Bench) -> None:
    await opened(bench)
    bench.forge.checks_of = lambda sha, look: Checks(
        items=(Check(name="unit", state=CheckState.PENDING),), expected=("unit", "e2e")
    )
    report = await bench.run("", evidence=READY, pull_request=bench.reference())

    assert ending(report) == (RunPhase.FAILED, "ChecksTimedOut")
    assert "after 30 s" in report.outcome.summary
    assert "unit pending, e2e not reported" in report.outcome.summary


@pytest.mark.parametrize(("expected", "waited"), [(None, 5), ((), 0)])
async def test_no_check_at_all_counts_as_passed_after_a_while_or_at_once_where_the_forge_knows(
    bench: Bench, expected: tuple[str, ...] | None, waited: int
) -> None:
    await opened(bench)
    bench.forge.checks_of = lambda sha, look: Checks(expected=expected)
    report = await bench.run("", evidence=READY, pull_request=bench.reference())

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    assert sum(bench.clock.pauses) == waited


async def test_a_label_that_is_there_for_this_head_is_not_set_again(bench: Bench) -> None:
    await opened(bench)
    first = await bench.run("", evidence=READY, pull_request=bench.reference())
    second = await bench.run("", evidence=READY, pull_request=bench.reference())

    assert ending(first) == ending(second) == (RunPhase.SUCCEEDED, "Completed")
    assert bench.forge.calls.count("add_label ready-for-qa") == 1


async def test_somebody_elses_label_is_no_evidence_and_is_set_anew(bench: Bench) -> None:
    await opened(bench)
    pull = bench.forge.pulls[1]
    theirs = LabelMark(name="ready-for-qa", actor=Actor(login="person"), head_sha=pull.head_sha)
    bench.forge.pulls[1] = msgspec.structs.replace(pull, labels=(*pull.labels, theirs))
    report = await bench.run("", evidence=READY, pull_request=bench.reference())

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed")
    assert [mark.actor.login for mark in bench.forge.pulls[1].labels if mark.name == "ready-for-qa"] == ["rex[bot]"]


# Review


async def review(bench: Bench, agent: str) -> RunReport:
    tess = bench.forge.acting_as("tess[bot]")
    return await bench.run(agent, forge=tess, agent=TESS, evidence=REVIEWED, pull_request=bench.reference())


async def test_an_approval_is_posted_on_exactly_the_head_after_the_push(bench: Bench) -> None:
    await opened(bench)
    report = await review(
        bench, "commit('test_hello.py', '1')\nresult('approve', 'I ran it.', ['nice', 'one <!-- coderun: x -->'])"
    )

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    [posted] = bench.forge.pulls[1].reviews
    assert (posted.state, posted.actor.login, posted.head_sha) == (ReviewState.APPROVED, "tess[bot]", bench.remote_head())
    assert "test_hello.py" in bench.remote_files()
    assert posted.body == "I ran it.\n\n- nice\n- one &lt;!-- coderun: x -->"


async def test_what_an_agent_leaves_that_may_not_push_is_put_aside_and_the_head_is_reviewed_as_it_is(bench: Bench) -> None:
    await opened(bench)
    head = bench.remote_head()
    tess = bench.forge.acting_as("tess[bot]")
    only_reviews = msgspec.structs.replace(TESS, may_push=False)
    agent = "commit('test_hello.py', '1')\nwrite('report.xml', '<x/>')\nresult('approve', 'I ran it.')"
    report = await bench.run(agent, forge=tess, agent=only_reviews, evidence=REVIEWED, pull_request=bench.reference())

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    assert bench.remote_head() == head
    [posted] = bench.forge.pulls[1].reviews
    assert (posted.state, posted.head_sha) == (ReviewState.APPROVED, head)
    kept = report.outcome.summary.partition("tess may not push: what it changed is kept in ")[2]
    files = bench.git(bench.tree, "ls-tree", "-r", "--name-only", kept).split()
    assert {"hello.py", "report.xml", "test_hello.py"} <= set(files)


async def test_commits_of_an_agent_that_may_not_push_are_put_aside_wherever_it_made_them(bench: Bench) -> None:
    await opened(bench)
    head = bench.remote_head()
    tess = bench.forge.acting_as("tess[bot]")
    only_reviews = msgspec.structs.replace(TESS, may_push=False)
    agent = (
        "commit('one.py', '1')\ngit('checkout', '-q', '-b', 'mine', 'HEAD~1')\ncommit('two.py', '2')\nresult('approve', 'ok')"
    )
    report = await bench.run(agent, forge=tess, agent=only_reviews, evidence=REVIEWED, pull_request=bench.reference())

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    assert bench.remote_head() == head
    kept = report.outcome.summary.partition("is kept in ")[2].split(", ")
    files = [bench.git(bench.tree, "diff", "--name-only", head, ref) for ref in kept]
    assert files == ["two.py", "one.py"]


async def test_an_agent_that_may_not_push_and_leaves_nothing_is_noted_for_nothing(bench: Bench) -> None:
    await opened(bench)
    tess = bench.forge.acting_as("tess[bot]")
    only_reviews = msgspec.structs.replace(TESS, may_push=False)
    report = await bench.run(
        "result('approve', 'fine')", forge=tess, agent=only_reviews, evidence=REVIEWED, pull_request=bench.reference()
    )

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed")
    assert report.outcome.summary == "fine"


async def test_a_change_request_is_the_evidence_of_a_review_too(bench: Bench) -> None:
    await opened(bench)
    report = await review(bench, "result('request-changes', 'It crashes.', ['line 1'])")

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    assert report.outcome.verdict is Verdict.REQUEST_CHANGES
    assert [(each.state, each.body) for each in bench.forge.pulls[1].reviews] == [
        (ReviewState.CHANGES_REQUESTED, "It crashes.\n\n- line 1")
    ]


@pytest.mark.parametrize(("agent", "found"), [("", "no verdict"), ("result('done', 'looks good')", "the verdict 'done'")])
async def test_a_reviewer_without_a_judgement_approves_nothing(bench: Bench, agent: str, found: str) -> None:
    await opened(bench)
    report = await review(bench, agent)

    assert ending(report) == (RunPhase.FAILED, "NoVerdict")
    assert f"tess ended with {found}; a review stage needs" in report.outcome.summary
    assert bench.forge.pulls[1].reviews == ()


async def test_a_repeated_review_of_one_head_is_posted_once(bench: Bench) -> None:
    await opened(bench)
    await review(bench, "result('approve', 'ok')")
    report = await review(bench, "result('approve', 'ok')")

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed")
    assert len(bench.forge.pulls[1].reviews) == 1


async def test_a_review_of_a_head_that_others_moved_is_not_posted(bench: Bench) -> None:
    await opened(bench)
    before = bench.remote_head()

    def push_by_a_person(call: str) -> None:
        if call.startswith("review"):
            tess.before = lambda _call: None
            bench.push_file(BRANCH, "theirs.txt", "1")

    tess = bench.forge.acting_as("tess[bot]")
    tess.before = push_by_a_person
    report = await bench.run("result('approve')", forge=tess, agent=TESS, evidence=REVIEWED, pull_request=bench.reference())

    assert ending(report) == (RunPhase.FAILED, "HeadMoved")
    assert f"while this run worked on {before[:12]}" in report.outcome.summary
    assert bench.forge.pulls[1].reviews == ()


async def test_an_account_that_opened_the_pull_request_leaves_its_words_and_asks_for_a_person(bench: Bench) -> None:
    await opened(bench)
    report = await bench.run("result('approve', 'I ran it.')", evidence=REVIEWED, pull_request=bench.reference())

    assert ending(report) == (RunPhase.FAILED, "OwnPullRequest")
    assert "the verdict is 'approve', but rex[bot] opened pull request #1 itself" in report.outcome.summary
    assert [(each.state, each.body) for each in bench.forge.pulls[1].reviews] == [(ReviewState.COMMENTED, "I ran it.")]


async def test_the_forge_that_forbids_a_review_is_quoted(bench: Bench) -> None:
    await opened(bench)
    tess = bench.forge.acting_as("tess[bot]")

    def refuse(call: str) -> None:
        if call.startswith("review"):
            raise RefusedError("tess may not review here")

    tess.before = refuse
    report = await bench.run("result('approve')", forge=tess, agent=TESS, evidence=REVIEWED, pull_request=bench.reference())

    assert ending(report) == (RunPhase.FAILED, "ForgeRefused")
    assert report.outcome.summary == "tess may not review here"


# Others push meanwhile


def pushing(bench: Bench, name: str, text: str = "theirs") -> str:
    """Python text of an agent that pushes a file as somebody else, from a clone of its own."""
    clone = bench.folder / f"somebody-{name.replace('/', '-')}"
    return (
        f"somebody = {str(clone)!r}\n"
        f"git('clone', '-q', '-b', {BRANCH!r}, {str(bench.remote)!r}, somebody)\n"
        f"write(somebody + '/{name}', {text!r})\n"
        "git('-C', somebody, 'add', '-A')\n"
        "git('-C', somebody, 'commit', '-q', '-m', 'Theirs')\n"
        "git('-C', somebody, 'push', '-q')\n"
    )


async def test_commits_are_rebased_once_onto_what_others_pushed_meanwhile(bench: Bench) -> None:
    await opened(bench)
    report = await bench.run(pushing(bench, "theirs.txt") + "commit('ours.txt', '1')", pull_request=bench.reference())

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    assert "others had pushed meanwhile; the commits were rebased onto theirs" in report.outcome.summary
    assert {"theirs.txt", "ours.txt"} <= set(bench.remote_files())


async def test_commits_that_conflict_with_what_others_pushed_are_kept_and_not_forced(bench: Bench) -> None:
    await opened(bench)
    report = await bench.run(pushing(bench, "same.txt") + "commit('same.txt', 'ours')", pull_request=bench.reference())

    assert ending(report) == (RunPhase.FAILED, "HeadMoved")
    assert "our commits conflict with it and are kept in refs/coderun/saved/" in report.outcome.summary
    assert bench.remote_text("same.txt") == "theirs"
    assert bench.saved_text(bench.saved()[0], "same.txt") == "ours"


async def test_a_stage_that_judges_does_not_rebase_onto_what_it_has_not_seen(bench: Bench) -> None:
    await opened(bench)
    report = await bench.run(
        pushing(bench, "theirs.txt") + "commit('ours.txt', '1')", evidence=READY, pull_request=bench.reference()
    )

    assert ending(report) == (RunPhase.FAILED, "HeadMoved")
    assert "the stage judged another commit" in report.outcome.summary
    assert "ours.txt" not in bench.remote_files()
    assert "add_label ready-for-qa" not in bench.forge.calls


async def test_a_head_that_moved_while_a_judging_agent_committed_nothing_fails_the_run(bench: Bench) -> None:
    await opened(bench)
    report = await bench.run(pushing(bench, "theirs.txt"), evidence=READY, pull_request=bench.reference())

    assert ending(report) == (RunPhase.FAILED, "HeadMoved")
    assert "what it found does not hold for the new head" in report.outcome.summary


async def test_rewritten_history_becomes_one_commit_on_top_and_is_never_forced(bench: Bench) -> None:
    await opened(bench)
    before = bench.remote_head()
    agent = "write('hello.py', 'better')\ngit('commit', '-q', '-a', '--amend', '-m', 'Say it better')"
    report = await bench.run(agent, pull_request=bench.reference())

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    assert bench.git(bench.remote, "rev-parse", f"{BRANCH}^") == before
    assert bench.git(bench.remote, "log", "-1", "--format=%s", BRANCH) == "Say it better"
    assert bench.remote_text("hello.py") == "better"


async def test_a_push_that_the_remote_refuses_is_the_forges_no(bench: Bench) -> None:
    hook = bench.remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        "#!/bin/sh\ncat $CODERUN_FORGE_TOKEN_FILE >/dev/null && printf 'this branch is \\033[1mprotected'\nexit 1\n"
    )
    hook.chmod(0o755)
    report = await bench.run(COMMIT)

    assert ending(report) == (RunPhase.FAILED, "ForgeRefused")
    assert f"pushing '{BRANCH}' to {bench.remote} was refused" in report.outcome.summary
    assert "this branch is [1mprotected" in report.outcome.summary


# Where commits end up that the agent made elsewhere


async def test_commits_made_on_another_branch_that_goes_on_from_ours_are_put_on_it(bench: Bench) -> None:
    report = await bench.run("git('checkout', '-q', '-b', 'my-own')\n" + COMMIT + "write('left.txt', '1')")

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    assert "made off 'feature/task-1-implementation' and have been put on it" in report.outcome.summary
    assert {"hello.py", "left.txt"} <= set(bench.remote_files())


async def test_commits_beside_the_branch_are_kept_and_not_published(bench: Bench) -> None:
    agent = COMMIT + "git('checkout', '-q', '--detach', 'origin/main')\ncommit('beside.txt', '1')\nwrite('loose.txt', '2')"
    report = await bench.run(agent)

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    assert "hello.py" in bench.remote_files()
    assert "beside.txt" not in bench.remote_files()
    [ref] = bench.saved()
    assert bench.saved_text(ref, "beside.txt") == "1"
    assert bench.saved_text(ref, "loose.txt") == "2"


async def test_a_merge_left_with_conflicts_is_not_published(bench: Bench) -> None:
    agent = (
        "commit('README.md', 'ours')\ngit('checkout', '-q', '-b', 'other', 'origin/main')\ncommit('README.md', 'others')\n"
        f"git('checkout', '-q', {BRANCH!r})\nsubprocess.run(['git', 'merge', 'other'])"
    )
    report = await bench.run(agent)

    assert ending(report) == (RunPhase.FAILED, "UnfinishedMerge")
    assert "conflicts: README.md" in report.outcome.summary
    assert not bench.remote_head()


async def test_a_merge_that_only_lacks_its_commit_is_committed_as_a_merge(bench: Bench) -> None:
    bench.push_file("main", "base.txt", "new")
    agent = COMMIT + "git('merge', '--no-commit', '--no-ff', 'origin/main~0')"
    await opened(bench)
    bench.push_file("main", "later.txt", "new")
    report = await bench.run(agent.replace("hello.py", "again.py"), pull_request=bench.reference())

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    assert len(bench.git(bench.remote, "log", "-1", "--format=%P", BRANCH).split()) == 2
    assert "later.txt" in bench.remote_files()


# Pull requests that are not as the order thinks


async def test_a_pull_request_that_is_gone_or_closed_stops_the_run_before_the_agent(bench: Bench) -> None:
    gone = await bench.run("write('/tmp/never', '')", pull_request=bench.reference(7))
    await opened(bench)
    await bench.forge.close_pull_request(1)
    closed = await bench.run("sys.exit(9)", pull_request=bench.reference())

    assert ending(gone) == (RunPhase.FAILED, "PullRequestGone")
    assert gone.outcome.summary == "the forge has no pull request #7"
    assert ending(closed) == (RunPhase.FAILED, "PullRequestClosed")
    assert closed.outcome.exit_code is None


async def test_a_pull_request_closed_while_the_agent_worked_is_missing_evidence(bench: Bench) -> None:
    await opened(bench)

    def close(call: str) -> None:
        if bench.log.events and bench.log.events[-1][0] == "nothing to push":
            bench.forge.pulls[1] = msgspec.structs.replace(bench.forge.pulls[1], state=PullState.CLOSED)

    bench.forge.before = close
    report = await bench.run("", pull_request=bench.reference())

    assert ending(report) == (RunPhase.FAILED, "EvidenceMissing")
    assert "pull-request: pull request #1 is closed" in report.outcome.summary


async def test_the_agent_is_told_that_the_base_has_moved_and_can_merge_it(bench: Bench) -> None:
    await opened(bench)
    bench.push_file("main", "hello.py", "print('base')\n")
    bench.forge.pulls[1] = msgspec.structs.replace(bench.forge.pulls[1], mergeability=Mergeability.CONFLICT)
    agent = (
        "context = pathlib.Path(os.environ['CODERUN_TASK_DIR'], 'context', 'Conflict-with-the-base-branch.md').read_text()\n"
        "assert 'merge `origin/main` into' in context, context\n"
        "subprocess.run(['git', 'merge', 'origin/main'])\nwrite('hello.py', 'both')\n"
        "git('add', '-A')\ngit('commit', '-q', '--no-edit')"
    )
    report = await bench.run(agent, pull_request=bench.reference())

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    assert bench.git(bench.remote, "merge-base", "main", BRANCH) == bench.git(bench.remote, "rev-parse", "main")


# The forge in trouble


async def test_a_forge_that_is_busy_is_asked_again(bench: Bench) -> None:
    trouble = [ForgeUnavailableError("busy", retry_after=3), ForgeUnavailableError("busy")]

    def busy(call: str) -> None:
        if call == "open_pull_request" and trouble:
            raise trouble.pop(0)

    bench.forge.before = busy
    report = await bench.run(COMMIT)

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    assert bench.clock.pauses == [3, 4.0]


async def test_a_forge_that_stays_away_fails_the_run_in_its_words(bench: Bench) -> None:
    def away(call: str) -> None:
        if call == "open_pull_request":
            raise ForgeUnavailableError("the forge does not answer")

    bench.forge.before = away
    report = await bench.run(COMMIT)

    assert ending(report) == (RunPhase.FAILED, "ForgeUnavailable")
    assert report.outcome.summary == "the forge does not answer"


async def test_what_the_forge_refuses_fails_the_run_in_its_words(bench: Bench) -> None:
    def refuse(call: str) -> None:
        if call == "open_pull_request":
            raise RefusedError("drafts only")

    bench.forge.before = refuse
    report = await bench.run(COMMIT)

    assert (ending(report), report.outcome.summary) == ((RunPhase.FAILED, "ForgeRefused"), "drafts only")


async def test_a_push_that_the_forge_does_not_show_yet_is_waited_for(bench: Bench) -> None:
    await opened(bench)
    old = bench.remote_head()
    shown = bench.forge.head_of
    looks = []

    def late(branch: str) -> str:
        looks.append(branch)
        return old if len(looks) < 6 else shown(branch)

    bench.forge.head_of = late  # type: ignore[method-assign] # a forge that is behind
    report = await bench.run("commit('x.txt', '1')", pull_request=bench.reference())

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    assert bench.clock.pauses


# Stopped


async def stopped_while(bench: Bench, agent: str, cause: StopCause) -> RunReport:
    running = asyncio.ensure_future(bench.run(agent))
    await asyncio.wait_for(bench.log.heard("ready"), 30)
    bench.stop.request(cause, "because of the test")
    return await running


@pytest.mark.parametrize(
    ("cause", "phase", "reason"),
    [(StopCause.CANCELLED, RunPhase.CANCELLED, "Cancelled"), (StopCause.TIMED_OUT, RunPhase.FAILED, "TimedOut")],
)
async def test_a_stopped_run_keeps_its_work_and_publishes_nothing(
    bench: Bench, cause: StopCause, phase: RunPhase, reason: str
) -> None:
    agent = COMMIT + "write('half.txt', 'half')\nprint('ready', flush=True)\nimport time\ntime.sleep(60)"
    report = await stopped_while(bench, agent, cause)

    assert ending(report) == (phase, reason)
    assert report.outcome.summary.startswith("because of the test")
    assert not bench.remote_head()
    [ref] = bench.saved()
    assert bench.saved_text(ref, "half.txt") == "half"
    assert (bench.tree / "half.txt").exists()


@pytest.mark.lesson(13)
async def test_a_program_at_its_own_time_limit_is_timed_out(bench: Bench) -> None:
    report = await bench.run("import time\ntime.sleep(60)", limits=Limits(timeout=0.3, grace=1))

    assert ending(report) == (RunPhase.FAILED, "TimedOut")
    assert "at its time limit" in report.outcome.summary


async def test_a_run_that_is_stopped_while_it_waits_for_checks_is_cancelled(bench: Bench) -> None:
    await opened(bench)

    def checks(sha: str, look: int) -> Checks:
        if bench.log.events[-1][0] == "nothing to push":
            bench.stop.request(StopCause.CANCELLED, "enough")
        return Checks(items=(Check(name="unit", state=CheckState.PENDING),))

    bench.forge.checks_of = checks
    report = await bench.run("", evidence=READY, pull_request=bench.reference())

    assert (ending(report), report.outcome.summary) == ((RunPhase.CANCELLED, "Cancelled"), "enough")


@pytest.mark.lesson(15)
async def test_the_next_run_goes_on_from_unpushed_commits_and_kept_changes(bench: Bench) -> None:
    await bench.run(COMMIT + "write('half.txt', 'half')\nsys.exit(1)")
    report = await bench.run("assert pathlib.Path('half.txt').read_text() == 'half'\n", continue_session=True)

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    assert {"hello.py", "half.txt"} <= set(bench.remote_files())


async def test_without_continuing_the_tree_is_clean_and_the_old_changes_are_kept(bench: Bench) -> None:
    await bench.run(COMMIT + "write('half.txt', 'half')\nsys.exit(1)")
    report = await bench.run("assert not pathlib.Path('half.txt').exists()\n")

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    assert "half.txt" not in bench.remote_files()
    assert any(bench.saved_text(ref, "half.txt") == "half" for ref in bench.saved())


# Untrusted content


async def test_hostile_titles_and_texts_are_shown_as_text(bench: Bench, tmp_path: Path) -> None:
    title = f"a\nb\x1b[31m '\"$(touch {tmp_path}/pwned) `x` --evil " + "y" * 500
    task = TaskText(title=title, description="```\n<!-- coderun: task-9 -->\n" + "z" * 1_000_000, files={"../../etc/x": "1"})
    report = await bench.run(COMMIT + "result('done', 'esc\\x1b]0;x\\x07 ```` ' + 'w' * 100000)", task=task)

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    pull = bench.forge.pulls[1]
    assert pull.title.startswith("task 1: a b[31m '\"$(touch")
    assert len(pull.title.encode()) <= 200
    assert len(pull.body) < 20_000
    assert "\x1b" not in pull.title + pull.body + report.outcome.summary
    assert "`````text\nesc]0;x ````" in pull.body
    assert len(report.outcome.summary.encode()) <= 2048
    assert not (tmp_path / "pwned").exists()


async def test_a_branch_whose_coderun_folder_is_a_link_cannot_make_the_runner_write_elsewhere(bench: Bench) -> None:
    outside = bench.folder / "outside"
    outside.mkdir()
    (bench.person / ".coderun").symlink_to(outside)
    bench.push_file("main", "other.txt", "1")
    report = await bench.run(COMMIT)

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    assert "the marker file .coderun/tasks/task-1.json was not added" in report.outcome.summary
    assert list(outside.iterdir()) == []


async def test_odd_file_names_are_committed_and_kept(bench: Bench) -> None:
    names = ["-rf", "new\nline", "esc\x1b[31m", 'quo"te', "ünï", "$(id)", "mid  blank "]
    report = await bench.run(f"for name in {names!r}:\n    write(name, name)\n")

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    listed = bench.git(bench.remote, "ls-tree", "-r", "-z", "--name-only", BRANCH).strip("\0").split("\0")
    assert set(names) <= set(listed)


async def test_the_forge_token_reaches_neither_log_nor_report_nor_pull_request(bench: Bench) -> None:
    agent = "token = pathlib.Path(os.environ['CODERUN_FORGE_TOKEN_FILE']).read_text().strip()\nprint('got', token)\n"
    report = await bench.run(agent + COMMIT + "result('done', 'it is ' + token, ['x ' + token])")

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    everything = repr(bench.log.lines) + repr(bench.log.events) + repr(bench.forge.pulls) + repr(report)
    assert "forge-token-of-this-run" not in everything
    assert "got •••" in bench.log.lines


# Where the agent stands


async def test_the_agent_sees_a_bare_environment_and_the_contract(bench: Bench) -> None:
    bench.inherited["SECRET_OF_THE_USER"] = "x"
    bench.inherited["ANTHROPIC_API_KEY"] = "sk-not-for-commands"
    agent = COMMIT + "print(json.dumps(dict(os.environ)))"
    report = await bench.run(
        agent, env={"EXTRA": "1", "HOME": "/evil", "CODERUN_RESULT": "/evil", "a=b": "x"}, context={"Why": "so"}
    )

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    seen = json.loads(next(line for line in bench.log.lines if line.startswith("{")))
    assert seen["EXTRA"] == "1"
    assert seen["HOME"] == str(bench.workspace / "home")
    assert (seen["CODERUN_STAGE"], seen["CODERUN_TASK_ID"], seen["CODERUN_ROLE"]) == ("implementation", "1", "implementation")
    assert "SECRET_OF_THE_USER" not in seen
    assert "ANTHROPIC_API_KEY" not in seen
    assert "variable 'HOME' of the order was left out" in report.outcome.summary
    task = Path(seen["CODERUN_TASK_DIR"])
    assert sorted(path.relative_to(task).as_posix() for path in task.rglob("*.md")) == [
        "context/Why.md",
        "instructions.md",
        "prompt.md",
        "task.md",
    ]


async def test_the_working_directory_must_be_in_the_checkout(bench: Bench) -> None:
    bench.push_file("main", "sub/file.txt", "1")
    (bench.person / "away").symlink_to("/tmp")
    bench.push_file("main", "other.txt", "1")
    inside = await bench.run("print(os.getcwd())\n" + COMMIT, working_directory="sub")
    away = await bench.run(COMMIT, working_directory="away")
    up = await bench.run(COMMIT, working_directory="../..")
    missing = await bench.run(COMMIT, working_directory="nowhere")

    assert ending(inside) == (RunPhase.SUCCEEDED, "Completed"), inside.outcome.summary
    assert bench.log.lines[0] == str(bench.tree / "sub")
    assert "sub/hello.py" in bench.remote_files()
    for report, words in ((away, "leads out of the checkout"), (up, "leads out of the checkout"), (missing, "is no folder")):
        assert ending(report) == (RunPhase.FAILED, "InvalidWorkingDirectory")
        assert words in report.outcome.summary


async def test_a_stage_without_a_trace_on_the_forge_succeeds_with_its_agent(bench: Bench) -> None:
    good = await bench.run("result('done', 'looked')", evidence=(Gate(kind=GateKind.RUN),))
    bad = await bench.run("sys.exit(2)", evidence=(Gate(kind=GateKind.RUN),))

    assert ending(good) == (RunPhase.SUCCEEDED, "Completed"), good.outcome.summary
    assert ending(bad) == (RunPhase.FAILED, "AgentFailed")


async def test_runs_of_two_agents_take_turns_on_one_pull_request(bench: Bench) -> None:
    await opened(bench)
    other = OnePullForge(bench.remote, "tess[bot]", bench.forge.pulls)
    assert other.login != bench.forge.login
    report = await bench.run("result('approve')", forge=other, agent=TESS, evidence=REVIEWED, pull_request=bench.reference())

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    assert OPEN_PULL[0].kind is GateKind.PULL_REQUEST
