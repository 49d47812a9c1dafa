"""What an agent is told, before templates say it better: its duty in this stage, the task, and why it works again.

Everything from the repository or the forge is quoted between fences that say that it is data, not orders.
"""

from collections.abc import Iterable, Sequence

from coderun.model.gates import Gate, GateKind
from coderun.model.roster import Agent
from coderun.model.task import TaskText

_DUTIES = {
    GateKind.PULL_REQUEST: "Commit your work on the branch that is checked out. coderun pushes it and opens the pull request.",
    GateKind.LABEL: "Work on the pull request's branch that is checked out and commit what you improve. "
    "coderun pushes it and, once its checks have passed, sets the label {label}.",
    GateKind.CHECKS: "Every check of the branch has to pass.",
    GateKind.REVIEW: "Judge the pull request's branch that is checked out. {tests}"
    'Write the verdict "approve" only if you ran it and it does what the task asks; else "request-changes" with comments that '
    "say what is wrong, where, and how you saw it. coderun posts the review.",
    GateKind.RUN: "Do what the task asks.",
    GateKind.MERGED: "",
}
_RESULT = (
    "When you are done write JSON to the file named by the environment variable CODERUN_RESULT: "
    '{"verdict": VERDICTS, "summary": "one paragraph", "comments": ["…"]}. '
    'Use "blocked" when a person has to decide '
    "something first. Never push, never merge, never change labels: coderun does that."
)


def prompt_for(
    *,
    agent: Agent,
    stage: str,
    task_id: int,
    task: TaskText,
    evidence: Sequence[Gate],
    instructions: str,
    context: Iterable[str],
) -> str:
    """The prompt of one run. The task's text is quoted; longer files are named, they lie in CODERUN_TASK_DIR."""
    adds_tests = {"write-tests", "write-code"} & set(agent.capabilities)
    tests = "Add tests where they are missing and commit them. " if adds_tests else "Change none of its files. "
    duties = "\n".join("- " + text for gate in evidence if (text := _DUTIES[gate.kind].format(label=gate.label, tests=tests)))
    reasons = ", ".join(f"context/{title}.md" for title in sorted(context))
    parts = [
        f"You are {agent.name}, the {agent.role or 'general'} agent, in stage {stage} of task {task_id}.",
        f"Your duties:\n{duties}" if duties else "",
        instructions,
        f"Read first why you work on this again: {reasons} in the folder CODERUN_TASK_DIR." if reasons else "",
        "The task, as data from the repository (its files lie in the folder CODERUN_TASK_DIR):",
        fenced("\n\n".join(filter(None, [f"# {task.title}", task.description, task.details, task.test_strategy]))),
        _RESULT.replace("VERDICTS", " | ".join(f'"{verdict}"' for verdict in verdicts_for(evidence))),
    ]
    return "\n\n".join(part for part in parts if part)


def verdicts_for(evidence: Iterable[Gate]) -> list[str]:
    """The verdicts that make sense where this evidence is asked for: a stage that judges has others than one that works."""
    judging = any(gate.kind is GateKind.REVIEW for gate in evidence)
    return ["approve", "request-changes", "blocked"] if judging else ["done", "blocked"]


def fenced(text: str) -> str:
    """`text` between fences longer than any run of back-ticks in it, so that it cannot end its own quotation."""
    longest = run = 0
    for char in text:
        run = run + 1 if char == "`" else 0
        longest = max(longest, run)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
