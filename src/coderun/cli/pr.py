"""`coderun pr`: pull requests, for people and for agents within a run.

Shows and changes through the forge protocol only; who may do what is the forge's to say. All texts of others are cleaned
before they reach a terminal.
"""

import contextlib
import sys
from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from coderun.cli.pr_text import COLUMNS, data, page, row
from coderun.cli.terminal import Exit, Output, OutputOption, RepoOption, folder_of, run_async, safe, say, show, to_text

if TYPE_CHECKING:
    from coderun.forge.local import LocalForge
    from coderun.forge.protocol import Forge
    from coderun.model.pulls import Comment, PullRequest

T = TypeVar("T")
ForgeOpener = Callable[[], "LocalForge"]

app = typer.Typer(
    name="pr",
    help="List, read, review and merge the pull requests of this repository.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class Shown(StrEnum):
    """Which pull requests are listed."""

    OPEN = "open"
    CLOSED = "closed"
    MERGED = "merged"
    ALL = "all"


def _number(text: str) -> int:
    digits = text.removeprefix("#")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 9 and int(digits)):  # noqa: PLR2004 - nine digits
        raise typer.BadParameter(f"{safe(text, 40)!r} is no pull request number; write 7 or #7")
    return int(digits)


NumberArgument = Annotated[int, typer.Argument(metavar="NUMBER", parser=_number, help="Number of the pull request (7 or #7).")]
BodyOption = Annotated[str, typer.Option("--body", "-m", help="The text; `-` reads it from standard input.", metavar="TEXT")]
HeadOption = Annotated[str, typer.Option("--head", help="Only if this commit is the head (full id).", metavar="SHA")]
LabelArgument = Annotated[list[str], typer.Argument(metavar="LABEL...", help="One or more labels.")]


def _with_forge(context: typer.Context, repo: str, work: "Callable[[Forge], Coroutine[Any, Any, T]]") -> T:
    """Run `work` on the forge: the one the caller handed over as the context's object, else the one around `repo`."""

    async def body() -> T:
        if callable(context.obj):
            opener: ForgeOpener = context.obj
            with contextlib.closing(opener()) as given:
                return await work(given)
        from coderun.app.local import open_forge

        async with open_forge(folder_of(repo)) as forge:
            return await work(forge)

    return run_async(body())


async def _get(forge: "Forge", number: int) -> "PullRequest":
    from coderun.model.errors import NotFoundError

    pull = await forge.get_pull_request(number)
    if pull is None:
        raise NotFoundError(f"there is no pull request {number}; `coderun pr list --state all` shows those there are")
    return pull


def _local(forge: "Forge") -> "LocalForge":
    from coderun.forge.local import LocalForge
    from coderun.model.errors import RefusedError

    if not isinstance(forge, LocalForge):
        raise RefusedError("--admin is for the local forge; on GitHub the branch's rules say who may go past them")
    return forge


@app.command("list")
def list_(
    context: typer.Context,
    state: Annotated[Shown, typer.Option("--state", "-s", help="open, closed, merged or all.")] = Shown.OPEN,
    task: Annotated[int | None, typer.Option("--task", "-t", min=1, help="Only those of this task.")] = None,
    output: OutputOption = Output.TABLE,
    repo: RepoOption = "",
) -> None:
    """List pull requests.

    Examples:
        coderun pr list
        coderun pr list --state all --task 3
        coderun pr list -o name
    """

    async def work(forge: "Forge") -> "list[PullRequest]":
        from coderun.model.pulls import PullState

        wanted = None if state is Shown.ALL else PullState(state.value)
        if task is None:
            return await forge.list_pull_requests(wanted)
        return [pull for pull in await forge.find_pull_requests(task) if wanted in {None, pull.state}]

    found = _with_forge(context, repo, work)
    what = "pull request" if state is Shown.ALL else f"{state.value} pull request"
    make = data if output in {Output.JSON, Output.YAML} else row
    rows = [make(pull) for pull in found]
    show(rows, output, columns=COLUMNS, empty=f"no {what}; `coderun pr list --state all` shows all")


@app.command("show")
def show_(context: typer.Context, number: NumberArgument, output: OutputOption = Output.TABLE, repo: RepoOption = "") -> None:
    """Show one pull request: text, labels, reviews, checks, pushes and conversation.

    Examples:
        coderun pr show 7
        coderun pr show 7 -o json
    """

    async def work(forge: "Forge") -> "tuple[PullRequest, list[Comment]]":
        return await _get(forge, number), await forge.comments(number)

    pull, comments = _with_forge(context, repo, work)
    if output is Output.TABLE:
        say("\n".join(page(pull, comments)))
    elif output is Output.NAME:
        say(str(pull.number))
    else:
        say(to_text({**data(pull), "comments": comments}, output))


@app.command("diff")
def diff(context: typer.Context, number: NumberArgument, repo: RepoOption = "") -> None:
    """Print what a pull request changes, as a patch. On a terminal it is cleaned of control characters.

    Examples:
        coderun pr diff 7
        coderun pr diff 7 | git apply
    """

    async def work(forge: "Forge") -> str:
        return await forge.diff(number)

    text = _with_forge(context, repo, work)
    if sys.stdout.isatty():
        from coderun.model.text import printable

        text = printable(text, keep_lines=True)
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))
    sys.stdout.buffer.flush()


@app.command("comment")
def comment(
    context: typer.Context, number: NumberArgument, body: BodyOption, output: OutputOption = Output.TABLE, repo: RepoOption = ""
) -> None:
    """Add a comment.

    Examples:
        coderun pr comment 7 -m "Looks good so far"
        coderun pr comment 7 --body - <notes.md
    """
    text = _text(body)
    if not text.strip():
        raise typer.BadParameter("a comment needs a text; add --body TEXT")

    async def work(forge: "Forge") -> "PullRequest":
        await forge.comment(number, text)
        return await _get(forge, number)

    _tell(_with_forge(context, repo, work), "has your comment", output)


@app.command("review")
def review(
    context: typer.Context,
    number: NumberArgument,
    body: BodyOption = "",
    approve: Annotated[bool, typer.Option("--approve", "-a", help="Approve the head commit.")] = False,
    request_changes: Annotated[bool, typer.Option("--request-changes", "-r", help="Send it back.")] = False,
    head: HeadOption = "",
    output: OutputOption = Output.TABLE,
    repo: RepoOption = "",
) -> None:
    """Review the head commit: approve it, request changes, or (neither) only comment on it.

    Examples:
        coderun pr review 7 --approve
        coderun pr review 7 --request-changes -m "The test of task 3 is missing"
    """
    if approve and request_changes:
        raise typer.BadParameter("--approve and --request-changes exclude each other; choose one")
    text = _text(body)
    if not approve and not text.strip():
        raise typer.BadParameter("a review that does not approve needs a text; add --body TEXT")

    async def work(forge: "Forge") -> "PullRequest":
        from coderun.model.pulls import ReviewState

        said = ReviewState.CHANGES_REQUESTED if request_changes else ReviewState.COMMENTED
        state = ReviewState.APPROVED if approve else said
        pull = await _get(forge, number)
        await forge.review(number, state, text, head_sha=head or pull.head_sha)
        return await _get(forge, number)

    _tell(_with_forge(context, repo, work), "has your review", output)


@app.command("label")
def label(
    context: typer.Context,
    number: NumberArgument,
    labels: LabelArgument,
    output: OutputOption = Output.TABLE,
    repo: RepoOption = "",
) -> None:
    """Set labels on the head as it is now.

    Examples:
        coderun pr label 7 ready-for-qa
    """

    async def work(forge: "Forge") -> "PullRequest":
        for name in labels:
            await forge.add_label(number, name)
        return await _get(forge, number)

    _tell(_with_forge(context, repo, work), "is labelled", output)


@app.command("unlabel")
def unlabel(
    context: typer.Context,
    number: NumberArgument,
    labels: LabelArgument,
    output: OutputOption = Output.TABLE,
    repo: RepoOption = "",
) -> None:
    """Take labels off; those that are not set are passed over.

    Examples:
        coderun pr unlabel 7 ready-for-qa
    """

    async def work(forge: "Forge") -> "PullRequest":
        for name in labels:
            await forge.remove_label(number, name)
        return await _get(forge, number)

    _tell(_with_forge(context, repo, work), "is no longer so labelled", output)


@app.command("checks")
def checks(context: typer.Context, number: NumberArgument, output: OutputOption = Output.TABLE, repo: RepoOption = "") -> None:
    """List the checks of the head commit. Exit code 1 where one failed, 3 while one is pending.

    Examples:
        coderun pr checks 7
        coderun pr checks 7 -o json
    """

    async def work(forge: "Forge") -> "PullRequest":
        return await _get(forge, number)

    from coderun.model.pulls import CheckState

    pull = _with_forge(context, repo, work)
    reported = [
        {"name": c.name, "state": c.state.value, "required": "yes" if c.required else "no", "summary": c.summary}
        for c in pull.checks.items
    ]
    names = {check.name for check in pull.checks.items}
    awaited = [
        {"name": name, "state": CheckState.PENDING.value, "required": "yes", "summary": ""}
        for name in pull.checks.expected or ()
        if name not in names
    ]
    rows = reported + awaited
    if output is Output.TABLE:
        rows = [{**each, "summary": each["summary"].strip().rpartition("\n")[2]} for each in rows]
    show(rows, output, columns=("name", "state", "required", "summary"), empty="no checks on this head, and none are expected")
    code = {CheckState.FAILED: Exit.FAILED, CheckState.PENDING: Exit.WAITING}.get(
        pull.checks.state or CheckState.PASSED, Exit.OK
    )
    raise typer.Exit(code)


@app.command("merge")
def merge(
    context: typer.Context,
    number: NumberArgument,
    squash: Annotated[bool, typer.Option("--squash", help="Put all commits into one.")] = False,
    admin: Annotated[bool, typer.Option("--admin", help="As a person, merge without the approval that is missing.")] = False,
    head: HeadOption = "",
    output: OutputOption = Output.TABLE,
    repo: RepoOption = "",
) -> None:
    """Merge a pull request into its base branch.

    Examples:
        coderun pr merge 7
        coderun pr merge 7 --squash
        coderun pr merge 7 --admin
    """

    async def work(forge: "Forge") -> "PullRequest":
        from coderun.model.pulls import MergeMethod

        pull = await _get(forge, number)
        method = MergeMethod.SQUASH if squash else MergeMethod.MERGE
        if not admin:
            return await forge.merge(number, head_sha=head or pull.head_sha, method=method)
        return await _local(forge).merge(number, head_sha=head or pull.head_sha, method=method, admin=True)

    merged = _with_forge(context, repo, work)
    base = safe(merged.base_branch)
    is_queued = merged.state.value == Shown.OPEN.value
    _tell(
        merged, f"is on the merge queue of {base}" if is_queued else f"is merged into {base} as {merged.merge_sha[:12]}", output
    )


@app.command("close")
def close(context: typer.Context, number: NumberArgument, output: OutputOption = Output.TABLE, repo: RepoOption = "") -> None:
    """Close a pull request unmerged; its play stops.

    Examples:
        coderun pr close 7
    """

    async def work(forge: "Forge") -> "PullRequest":
        await forge.close_pull_request(number)
        return await _get(forge, number)

    pull = _with_forge(context, repo, work)
    _tell(pull, f"is {pull.state.value}", output)


def _text(body: str) -> str:
    return sys.stdin.read() if body == "-" else body


def _tell(pull: "PullRequest", what: str, output: Output) -> None:
    if output is Output.TABLE:
        say(f"pull request {pull.number} {what}")
    elif output is Output.NAME:
        say(str(pull.number))
    else:
        say(to_text(data(pull), output))
