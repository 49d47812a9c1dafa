"""A pull request as text for people: the line of a list, and the whole page. All texts of others come out clean."""

from typing import TYPE_CHECKING, Any

from coderun.cli.terminal import plain, safe

if TYPE_CHECKING:
    from coderun.model.pulls import Comment, PullRequest

COLUMNS = ("number", "state", "title", "branch", "author", "head", "checks", "labels")


def data(pull: "PullRequest") -> dict[str, Any]:
    """A pull request as plain data."""
    fields: dict[str, Any] = plain(pull)
    return fields


def row(pull: "PullRequest") -> dict[str, Any]:
    """A pull request as a line of the list."""
    return {
        "name": str(pull.number),
        "number": pull.number,
        "state": "draft" if pull.draft and pull.state.value == "open" else pull.state.value,
        "title": safe(pull.title, 50),
        "branch": safe(pull.head_branch, 40),
        "author": pull.author.login,
        "head": pull.head_sha[:8],
        "checks": _checks_word(pull),
        "labels": ", ".join(mark.name if mark.head_sha == pull.head_sha else f"{mark.name} (old head)" for mark in pull.labels),
    }


def _checks_word(pull: "PullRequest") -> str:
    return pull.checks.state.value if pull.checks.state is not None and (pull.checks.items or pull.checks.expected) else "none"


def page(pull: "PullRequest", comments: "list[Comment]") -> list[str]:
    """A pull request with all that is on it, line by line."""
    facts = [
        (
            "state",
            f"{pull.state.value}{' (draft)' if pull.draft else ''}, {pull.mergeability.value} with {safe(pull.base_branch)}",
        ),
        ("branch", f"{safe(pull.head_branch)} at {pull.head_sha}"),
        ("author", safe(pull.author.login)),
        ("merged", f"by {safe(pull.merged_by)} as {pull.merge_sha}" if pull.merge_sha else ""),
        ("tasks", ", ".join(f"task-{task}" for task in pull.markers) + " (marker files)" if pull.markers else ""),
    ]
    heading = [f"#{pull.number} {safe(pull.title)}", *(f"  {name:8}{value}" for name, value in facts if value)]
    return [*heading, *_body(pull.body), *_parts(pull), *_conversation(comments)]


def _parts(pull: "PullRequest") -> list[str]:
    def at(sha: str) -> str:
        return sha[:8] if sha == pull.head_sha else f"{sha[:8]} (old head)"

    sections = {
        "Labels": [f"{safe(m.name)}  by {safe(m.actor.login)} on {at(m.head_sha)}" for m in pull.labels],
        "Reviews": [
            f"{r.state.value}  by {safe(r.actor.login)} of {at(r.head_sha)}  {safe(r.body, 100)}" for r in pull.reviews
        ],
        "Checks": [f"{check.state.value}  {safe(check.name)}" for check in pull.checks.items],
        "Pushes": [f"{push.sha[:8]}  by {safe(push.actor.login)}" for push in pull.pushes],
    }
    return [
        line for title, lines in sections.items() if lines for line in ("", title, *(f"  {text}".rstrip() for text in lines))
    ]


def _conversation(comments: "list[Comment]") -> list[str]:
    lines: list[str] = []
    for each in comments:
        lines += ["", f"{safe(each.actor.login)} wrote", *_body(each.body)[1:]]
    return lines


def _body(text: str) -> list[str]:
    from coderun.model.text import printable

    shown = printable(text, 20_000, keep_lines=True).strip("\n")
    return ["", *(f"  {line}".rstrip() for line in shown.split("\n"))] if shown else []
