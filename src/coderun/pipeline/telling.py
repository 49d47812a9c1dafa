"""What a play tells on its pull request: the text of its one status comment, and of its check. Pure.

The same play gives the same text, without times that go on, so that a comment is edited only when there is something new. Texts
of others (what agents, reviewers and branches say) stand in code spans, where they are neither markup nor mentions.
"""

import re
from collections.abc import Iterable
from typing import Final

from coderun.model.play import Play, PlayPhase, PlayRun
from coderun.model.pulls import OWN_CHECK, Check, CheckState
from coderun.model.text import printable
from coderun.pipeline.commands import KNOWN
from coderun.pipeline.definition import Pipeline, Stage

_RUNS_SHOWN: Final = 10
_COMMANDS_SHOWN: Final = 5
_TEXT: Final = 300
_BACKTICKS: Final = re.compile(r"`+")
_SIGNS: Final = {
    PlayPhase.SUCCEEDED: "merged",
    PlayPhase.FAILED: "failed",
    PlayPhase.ABORTED: "aborted",
    PlayPhase.WAITING: "waits for a person",
    PlayPhase.RUNNING: "at work",
    PlayPhase.PENDING: "has not started",
}


def code(text: str, limit: int = _TEXT) -> str:
    """`text` of others as a code span of Markdown, on one line: nothing in it is markup, a mention or a table's column."""
    plain = printable(text, limit).replace("|", "¦") or "-"
    fence = "`" * (1 + max((len(run) for run in _BACKTICKS.findall(plain)), default=0))
    pad = " " if plain.startswith("`") or plain.endswith("`") else ""
    return f"{fence}{pad}{plain}{pad}{fence}"


def status_comment(play: Play, pipeline: Pipeline) -> str:
    """Where a play stands: its stages, what it waits for, its runs, and the commands that people may give."""
    status = play.status
    lines = [
        f"**coderun**: task {play.spec.task_id} {_SIGNS[status.phase]}"
        + (f", round {status.iteration}" if status.iteration > 1 else "")
        + (", paused" if play.spec.paused and not play.is_finished else ""),
        "",
        "| stage | |",
        "|---|---|",
        *(f"| {stage.name} | {_state_of(stage, play, pipeline)} |" for stage in pipeline.stages),
    ]
    if status.waiting is not None:
        lines += ["", f"Waits for {code(status.waiting.message)}  ", f"What would move it: {code(status.waiting.would_move)}"]
    elif status.message:
        lines += ["", code(status.message)]
    lines += _runs(status.runs)
    lines += _commands(play)
    if not play.is_finished:
        lines += ["", f"<sub>People with write access may comment `{KNOWN}`.</sub>"]
    return "\n".join(lines)


def _state_of(stage: Stage, play: Play, pipeline: Pipeline) -> str:
    status = play.status
    here, at = pipeline.index(status.stage), pipeline.index(stage.name)
    if status.phase is PlayPhase.SUCCEEDED or (status.stage and at < here < len(pipeline.stages)):
        passed = [gate for gate in status.gates if gate.stage == stage.name]
        heads = dict.fromkeys(gate.head_sha[:8] for gate in passed if gate.head_sha)
        actors = dict.fromkeys(gate.actor for gate in passed if gate.actor)
        by = f" by {', '.join(code(actor, 60) for actor in actors)}" if actors else ""
        return f"passed{by}{f' at {code(list(heads)[-1])}' if heads else ''}"
    if at != here or not status.stage:
        return "to come"
    return "here" if not play.is_finished else f"ended here: {status.phase.value.lower()}"


def _runs(runs: Iterable[PlayRun]) -> list[str]:
    last = tuple(runs)[-_RUNS_SHOWN:]
    if not last:
        return []
    rows = [
        f"| {code(run.name, 100)} | {code(run.agent, 60)} | {code(run.phase)} | {code(run.reason) if run.reason else ''} |"
        for run in last
    ]
    return [
        "",
        "<details><summary>Runs</summary>",
        "",
        "| run | agent | phase | reason |",
        "|---|---|---|---|",
        *rows,
        "",
        "</details>",
    ]


def _commands(play: Play) -> list[str]:
    given = play.spec.commands[-_COMMANDS_SHOWN:]
    if not given:
        return []
    return ["", *(f"- {code(f'/coderun {each.command}')} by {code(each.by, 60)}: {code(each.outcome)}" for each in given)]


def own_check(play: Play, pipeline: Pipeline) -> Check:
    """The play as a check of its head: passed once all stages of agents are, failed where it ended without success."""
    stage = pipeline.stage(play.status.stage)
    state = CheckState.PENDING
    if play.status.phase in {PlayPhase.FAILED, PlayPhase.ABORTED}:
        state = CheckState.FAILED
    elif play.status.phase is PlayPhase.SUCCEEDED or (stage is not None and not stage.role):
        state = CheckState.PASSED
    return Check(
        name=OWN_CHECK,
        state=state,
        required=False,
        summary=status_comment(play, pipeline),
        title=f"task {play.spec.task_id} {_SIGNS[play.status.phase]}",
        given_up=play.status.phase is PlayPhase.ABORTED,
    )


def outdated_check(play: Play, head_sha: str) -> Check:
    """What becomes of the check on a commit that is no longer the head: `head_sha` is."""
    return _given_up(
        "a newer commit took over",
        f"**coderun**: task {play.spec.task_id} went on with a newer commit, {code(head_sha[:12])}; this one is not looked at "
        "any more.",
    )


def orphaned_check(name: str) -> Check:
    """What becomes of the check of a play that was deleted."""
    return _given_up("its play is gone", f"**coderun**: the play {code(name)} was deleted before it had ended.")


def _given_up(title: str, summary: str) -> Check:
    return Check(name=OWN_CHECK, state=CheckState.FAILED, required=False, summary=summary, title=title, given_up=True)
