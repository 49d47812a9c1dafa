"""Bodies of commit statuses, check runs and rules."""

from typing import Any

from tests.fakes.github.bodies.accounts import app, user
from tests.fakes.github.bodies.repos import api, page, repository
from tests.fakes.github.state import CheckRun, Repo, Ruleset, Status, stamp
from tests.fakes.github.world import World

Body = dict[str, Any]


def status(world: World, repo: Repo, one: Status) -> Body:
    """`status`."""
    return {**simple_status(world, repo, one), "creator": user(world, one.creator)}


def simple_status(world: World, repo: Repo, one: Status) -> Body:
    """`simple-commit-status`."""
    made = stamp(one.created_at)
    return {
        "url": f"{api(world, repo)}/statuses/{one.sha}",
        "avatar_url": f"{world.url}/avatars/{one.creator.id}",
        "id": one.id,
        "node_id": f"SC_{one.id}",
        "state": one.state,
        "description": one.description,
        "target_url": one.target_url,
        "context": one.context,
        "created_at": made,
        "updated_at": made,
    }


def combined_status(world: World, repo: Repo, sha: str, latest: list[Status], shown: list[Status]) -> Body:
    """`combined-commit-status`: the worst of the latest of each context; none at all is `pending`."""
    states = {one.state for one in latest}
    bad = states & {"failure", "error"}
    state = "failure" if bad else "success" if states == {"success"} else "pending"
    return {
        "state": state,
        "statuses": [simple_status(world, repo, one) for one in shown],
        "sha": sha,
        "total_count": len(latest),
        "repository": repository(world, repo),
        "commit_url": f"{api(world, repo)}/commits/{sha}",
        "url": f"{api(world, repo)}/commits/{sha}/status",
    }


def check_run(world: World, repo: Repo, one: CheckRun) -> Body:
    """`check-run`."""
    url = f"{api(world, repo)}/check-runs/{one.id}"
    html = f"{page(world, repo)}/runs/{one.id}"
    output = {name: one.output.get(name) for name in ("title", "summary", "text")}
    integration = app(world, one.app)
    del integration["installations_count"]
    return {
        "id": one.id,
        "name": one.name,
        "node_id": f"CR_{one.id}",
        "head_sha": one.sha,
        "external_id": one.external_id,
        "url": url,
        "html_url": html,
        "details_url": one.details_url or html,
        "status": one.status,
        "conclusion": one.conclusion,
        "started_at": stamp(one.started_at),
        "completed_at": None if one.completed_at is None else stamp(one.completed_at),
        "output": {**output, "annotations_count": 0, "annotations_url": f"{url}/annotations"},
        "check_suite": {"id": suite_id(one)},
        "app": integration,
        "pull_requests": [],
    }


def suite_id(one: CheckRun) -> int:
    """The check suite of a run: one for each App and commit."""
    return one.app.id * 1_000_000 + int(one.sha[:5], 16)


def ruleset(world: World, repo: Repo, one: Ruleset, *, whole: bool) -> Body:
    """`repository-ruleset`; lists leave conditions and rules out."""
    made = stamp(one.created_at)
    body: Body = {
        "id": one.id,
        "name": one.name,
        "target": "branch",
        "source_type": "Repository",
        "source": repo.full_name,
        "enforcement": one.enforcement,
        "node_id": f"RRS_{one.id}",
        "_links": {"self": {"href": f"{api(world, repo)}/rulesets/{one.id}"}},
        "created_at": made,
        "updated_at": made,
    }
    if not whole:
        return body
    conditions = {"ref_name": {"include": one.include, "exclude": one.exclude}}
    return {**body, "conditions": conditions, "rules": one.rules, "bypass_actors": []}


def branch_rule(repo: Repo, one: Ruleset, rule: Body) -> Body:
    """`repository-rule-detailed`."""
    return {**rule, "ruleset_source_type": "Repository", "ruleset_source": repo.full_name, "ruleset_id": one.id}
