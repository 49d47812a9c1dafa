"""Commit statuses and check runs."""

from typing import Any

from tests.fakes.github import events
from tests.fakes.github.bodies import checks
from tests.fakes.github.call import Answer, Call, read, write
from tests.fakes.github.errors import ApiError, invalid, not_found
from tests.fakes.github.state import App, CheckRun, Status

_STATES = ("error", "failure", "pending", "success")


async def create_status(call: Call) -> Answer:
    """Sets a context of a commit."""
    state, sha = call.text("Status", "state"), call.params["sha"]
    if state not in _STATES:
        raise invalid("Status", "state", code="custom", message="state is not included in the list")
    if await call.repo.git.resolve(sha) != sha:
        raise ApiError(422, f"No commit found for SHA: {sha}")
    one = Status(
        id=call.world.new_id(),
        sha=sha,
        state=state,
        context=call.fields.get("context") or "default",
        description=call.fields.get("description"),
        target_url=call.fields.get("target_url"),
        creator=call.account,
        created_at=call.world.clock(),
    )
    call.repo.statuses.append(one)
    events.status(call.world, call.repo, one, await call.repo.git.commit(sha), await _branches(call, sha))
    return Answer(status=201, body=checks.status(call.world, call.repo, one))


async def _branches(call: Call, sha: str) -> list[str]:
    return [name.removeprefix("refs/heads/") for name, head in (await call.repo.git.refs("refs/heads/")).items() if head == sha]


async def list_statuses(call: Call) -> Answer:
    """Every status of a commit, newest first."""
    sha = await call.sha("ref")
    found = [one for one in reversed(call.repo.statuses) if one.sha == sha]
    return call.listed(found, lambda one: checks.status(call.world, call.repo, one))


async def combined_status(call: Call) -> Answer:
    """The newest status of each context, and what they come to."""
    sha = await call.sha("ref")
    latest = list({one.context: one for one in call.repo.statuses if one.sha == sha}.values())
    shown, headers = call.page(latest)
    return Answer(body=checks.combined_status(call.world, call.repo, sha, latest, shown), headers=headers)


def _caller(call: Call) -> App:
    app = call.world.app_of(call.account)
    if app is None:
        raise ApiError(403, "You must authenticate via a GitHub App.")
    return app


async def create_run(call: Call) -> Answer:
    """A check run of the calling App."""
    app, sha, now = _caller(call), call.text("CheckRun", "head_sha"), call.world.clock()
    if await call.repo.git.resolve(sha) != sha:
        raise ApiError(422, f"No commit found for SHA: {sha}")
    run = CheckRun(
        id=call.world.new_id(),
        sha=sha,
        name=call.text("CheckRun", "name"),
        app=app,
        status="queued",
        conclusion=None,
        started_at=now,
        completed_at=None,
    )
    _set(run, call.fields, now)
    call.repo.checks.append(run)
    await _tell(call, run, "completed" if run.conclusion else "created")
    return Answer(status=201, body=checks.check_run(call.world, call.repo, run))


async def update_run(call: Call) -> Answer:
    """Changes one of the calling App's check runs."""
    run = _run(call)
    if run.app is not _caller(call):
        raise ApiError(403, "Invalid app_id `check_run` can only be modified by the GitHub App that created it.")
    before = run.conclusion
    _set(run, call.fields, call.world.clock())
    if run.conclusion is not None and before is None:
        await _tell(call, run, "completed")
    return Answer(body=checks.check_run(call.world, call.repo, run))


def _set(run: CheckRun, fields: dict[str, Any], now: float) -> None:
    for name in ("name", "external_id", "details_url", "status", "output"):
        if name in fields:
            setattr(run, name, fields[name])
    if fields.get("conclusion"):
        run.status, run.conclusion, run.completed_at = "completed", fields["conclusion"], now
    if run.status == "completed" and run.conclusion is None:
        raise invalid("CheckRun", "conclusion", code="missing_field")


async def _tell(call: Call, run: CheckRun, action: str) -> None:
    branches = await _branches(call, run.sha)
    events.check_run(call.world, call.repo, action, run, branches[0] if branches else None)


def _run(call: Call) -> CheckRun:
    number = call.number("check_run_id")
    for run in call.repo.checks:
        if run.id == number:
            return run
    raise not_found()


async def get_run(call: Call) -> Answer:
    """One check run."""
    return Answer(body=checks.check_run(call.world, call.repo, _run(call)))


async def list_runs(call: Call) -> Answer:
    """The check runs of a commit: of each name and App the newest, unless all are asked for."""
    sha = await call.sha("ref")
    found = [run for run in call.repo.checks if run.sha == sha]
    if call.query.get("filter", "latest") == "latest":
        found = list({(run.name, run.app.id): run for run in found}.values())
    for field in ("status", "check_name"):
        wanted = call.query.get(field)
        found = [run for run in found if wanted in {None, run.status if field == "status" else run.name}]
    return call.listed(found, lambda run: checks.check_run(call.world, call.repo, run), "check_runs")


ROUTES = [
    write("POST", "/repos/{owner}/{repo}/statuses/{sha}", create_status, "statuses"),
    read("/repos/{owner}/{repo}/commits/{ref}/statuses", list_statuses, "statuses"),
    read("/repos/{owner}/{repo}/commits/{ref}/status", combined_status, "statuses"),
    write("POST", "/repos/{owner}/{repo}/check-runs", create_run, "checks"),
    write("PATCH", "/repos/{owner}/{repo}/check-runs/{check_run_id}", update_run, "checks"),
    read("/repos/{owner}/{repo}/check-runs/{check_run_id}", get_run, "checks"),
    read("/repos/{owner}/{repo}/commits/{ref}/check-runs", list_runs, "checks"),
]
