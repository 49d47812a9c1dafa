"""What rulesets and protected branches refuse: pushes to a ref, merges of a pull request. Decides only."""

import fnmatch
from typing import Any

from tests.fakes.github.state import LEVELS, NO_SHA, Account, Level, Pull, Repo, Ruleset
from tests.fakes.github.world import World

HEADS = "refs/heads/"


def covers(repo: Repo, rules: Ruleset, ref: str) -> bool:
    """Whether a ruleset is about a ref."""

    def matches(pattern: str) -> bool:
        if pattern == "~ALL":
            return ref.startswith(HEADS)
        wanted = f"{HEADS}{repo.default_branch}" if pattern == "~DEFAULT_BRANCH" else pattern
        return fnmatch.fnmatchcase(ref, wanted)

    return any(map(matches, rules.include)) and not any(map(matches, rules.exclude))


def of_branch(world: World, repo: Repo, branch: str) -> list[tuple[Ruleset, dict[str, Any]]]:
    """Every rule in force over a branch, with its ruleset."""
    found = [rules for rules in world.rulesets(repo) if covers(repo, rules, HEADS + branch)]
    return [(rules, rule) for rules in found for rule in rules.rules]


def required_contexts(world: World, repo: Repo, branch: str, *, classic: bool | None = None) -> list[str]:
    """The checks a branch asks for; `classic` keeps to those of its branch protection, or of rulesets."""
    found = []
    for rules, rule in of_branch(world, repo, branch):
        if rule["type"] == "required_status_checks" and classic in {None, rules.classic}:
            found += [check["context"] for check in rule["parameters"]["required_status_checks"]]
    return list(dict.fromkeys(found))


def refusals(world: World, repo: Repo, actor: Account, commands: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """What of a push (old, new, ref) is refused: when (`always`, or only by `force`), the ref, and why."""
    found: list[tuple[str, str, str]] = []
    for old, new, ref in commands:
        for rules in world.rulesets(repo):
            if covers(repo, rules, ref) and actor.login not in rules.bypass:
                found += [(when, ref, why) for rule in rules.rules for when, why in _refusal(repo, rule, old, new)]
    return found


def _refusal(repo: Repo, rule: dict[str, Any], old: str, new: str) -> list[tuple[str, str]]:
    created, deleted = old == NO_SHA, new == NO_SHA
    match rule["type"]:
        case "creation" if created:
            return [("always", "Cannot create ref due to creations being restricted.")]
        case "deletion" if deleted:
            return [("always", "Cannot delete this branch")]
        case "update" if not created and not deleted:
            return [("always", "Cannot update this protected ref.")]
        case "non_fast_forward" if not created and not deleted:
            return [("force", "Cannot force-push to this branch")]
        case "pull_request" if not created and not deleted:
            return [("always", "Changes must be made through a pull request.")]
        case "merge_queue" if not created and not deleted:
            return [("always", "Changes must be made through the merge queue")]
        case "required_status_checks" if not deleted:
            contexts = [check["context"] for check in rule["parameters"]["required_status_checks"]]
            state = check_states(repo, new)
            missing = [context for context in contexts if state.get(context) != "success"]
            return [("always", f'Required status check "{context}" is expected.') for context in missing]
        case _:
            return []


def check_states(repo: Repo, sha: str) -> dict[str, str]:
    """The newest state of each check of a commit: `success`, `failure` or `pending`."""
    found: dict[str, str] = {}
    for status in repo.statuses:
        if status.sha == sha:
            found[status.context] = "failure" if status.state == "error" else status.state
    for run in repo.checks:
        if run.sha == sha:
            passed = run.conclusion in {"success", "neutral", "skipped"}
            found[run.name] = "pending" if run.conclusion is None else "success" if passed else "failure"
    return found


def unmet(world: World, repo: Repo, pull: Pull) -> list[str]:
    """What a pull request still lacks for its merge, in GitHub's words."""
    found: list[str] = []
    for _, rule in of_branch(world, repo, pull.base_ref):
        parameters = rule.get("parameters", {})
        if rule["type"] == "merge_queue":
            found.append("Changes must be made through the merge queue")
        if rule["type"] == "pull_request":
            wanted = parameters.get("required_approving_review_count", 0)
            fresh = bool(parameters.get("dismiss_stale_reviews_on_push"))
            if len(approvals(world, repo, pull, fresh=fresh)) < wanted:
                found.append(f"At least {wanted} approving review is required by reviewers with write access.")
        if rule["type"] == "required_status_checks":
            found += _unmet_checks(repo, pull, parameters)
    return found


def _unmet_checks(repo: Repo, pull: Pull, parameters: dict[str, Any]) -> list[str]:
    states = check_states(repo, pull.head_sha)
    contexts = [check["context"] for check in parameters["required_status_checks"]]
    said = {"failure": "is failing", "pending": "is pending"}
    found = [
        f'Required status check "{context}" {said.get(states.get(context, ""), "is expected")}.'
        for context in contexts
        if states.get(context) != "success"
    ]
    if parameters.get("strict_required_status_checks_policy") and pull.behind:
        found.append("Head branch is out of date with the base branch.")
    return found


def approvals(world: World, repo: Repo, pull: Pull, *, fresh: bool) -> set[int]:
    """Whose last word is an approval that counts: people with write access, and Apps."""
    last: dict[int, bool] = {}
    for review in pull.reviews:
        if review.state in {"APPROVED", "CHANGES_REQUESTED", "DISMISSED"}:
            current = not fresh or review.commit_id == pull.head_sha
            writes = review.author.kind == "Bot" or LEVELS[world.role(repo, review.author)] >= Level.WRITE
            last[review.author.id] = review.state == "APPROVED" and current and writes
    return {author for author, approved in last.items() if approved}
