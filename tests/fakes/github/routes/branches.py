"""Branches, their protection, rulesets, collaborators."""

from typing import Any
from urllib.parse import quote

from tests.fakes.github import rules
from tests.fakes.github.bodies import accounts, checks, repos
from tests.fakes.github.call import Answer, Call, read
from tests.fakes.github.errors import ApiError, not_found
from tests.fakes.github.state import LEVELS, Level


async def list_branches(call: Call) -> Answer:
    """Every branch."""
    found = sorted((await call.repo.git.refs("refs/heads/")).items())
    return call.listed([(name.removeprefix("refs/heads/"), sha) for name, sha in found], lambda one: _short(call, *one))


def _short(call: Call, name: str, sha: str) -> dict[str, Any]:
    place = {"sha": sha, "url": f"{repos.api(call.world, call.repo)}/commits/{sha}"}
    return {"name": name, "commit": place, "protected": bool(rules.of_branch(call.world, call.repo, name))}


def _protection(call: Call, name: str) -> dict[str, Any]:
    contexts = rules.required_contexts(call.world, call.repo, name, classic=True)
    shown = [{"context": context, "app_id": None} for context in contexts]
    enabled = any(one.classic for one, _ in rules.of_branch(call.world, call.repo, name))
    level = "non_admins" if enabled else "off"
    return {"enabled": enabled, "required_status_checks": {"enforcement_level": level, "contexts": contexts, "checks": shown}}


async def _branch(call: Call) -> tuple[str, str]:
    name = call.params["branch"]
    found = (await call.repo.git.refs(f"refs/heads/{name}")).get(f"refs/heads/{name}")
    if found is None:
        raise ApiError(404, "Branch not found")
    return name, found


async def get_branch(call: Call) -> Answer:
    """A branch with its head and a summary of its protection."""
    name, sha = await _branch(call)
    root = f"{repos.api(call.world, call.repo)}/branches/{quote(name)}"
    links = {"self": root, "html": f"{repos.page(call.world, call.repo)}/tree/{quote(name)}"}
    commit = repos.commit(call.world, call.repo, await call.repo.git.commit(sha))
    places = {"_links": links, "protection_url": f"{root}/protection"}
    return Answer(body={**_short(call, name, sha), **places, "commit": commit, "protection": _protection(call, name)})


def _policy(call: Call, name: str) -> dict[str, Any]:
    contexts = rules.required_contexts(call.world, call.repo, name, classic=True)
    root = f"{repos.api(call.world, call.repo)}/branches/{quote(name)}/protection/required_status_checks"
    found = [rule for one, rule in rules.of_branch(call.world, call.repo, name) if one.classic]
    strict = any(rule.get("parameters", {}).get("strict_required_status_checks_policy") for rule in found)
    shown = [{"context": context, "app_id": None} for context in contexts]
    return {"url": root, "strict": strict, "contexts": contexts, "checks": shown, "contexts_url": f"{root}/contexts"}


async def get_required_checks(call: Call) -> Answer:
    """The checks that branch protection requires; 404 where it requires none."""
    name, _ = await _branch(call)
    if not rules.required_contexts(call.world, call.repo, name, classic=True):
        raise ApiError(404, "Required status checks not enabled")
    return Answer(body=_policy(call, name))


async def get_protection(call: Call) -> Answer:
    """Branch protection; 404 where the branch has none."""
    name, _ = await _branch(call)
    found = [rule for one, rule in rules.of_branch(call.world, call.repo, name) if one.classic]
    if not found:
        raise ApiError(404, "Branch not protected")
    root = f"{repos.api(call.world, call.repo)}/branches/{quote(name)}/protection"
    body: dict[str, Any] = {"url": root, "enforce_admins": {"url": f"{root}/enforce_admins", "enabled": True}}
    if rules.required_contexts(call.world, call.repo, name, classic=True):
        body["required_status_checks"] = _policy(call, name)
    for rule in found:
        if rule["type"] == "pull_request":
            wanted = rule["parameters"]
            body["required_pull_request_reviews"] = {
                "url": f"{root}/required_pull_request_reviews",
                "dismiss_stale_reviews": wanted.get("dismiss_stale_reviews_on_push", False),
                "require_code_owner_reviews": False,
                "required_approving_review_count": wanted.get("required_approving_review_count", 0),
            }
    return Answer(body=body)


async def list_rulesets(call: Call) -> Answer:
    """The repository's rulesets, without their rules."""
    found = [one for one in call.repo.rulesets if not one.classic]
    return call.listed(found, lambda one: checks.ruleset(call.world, call.repo, one, whole=False))


async def get_ruleset(call: Call) -> Answer:
    """One ruleset."""
    number = call.number("ruleset_id")
    for one in call.repo.rulesets:
        if one.id == number and not one.classic:
            return Answer(body=checks.ruleset(call.world, call.repo, one, whole=True))
    raise not_found()


async def branch_rules(call: Call) -> Answer:
    """Every rule of rulesets that is in force over a branch (classic protection is not told here)."""
    found = [pair for pair in rules.of_branch(call.world, call.repo, call.params["branch"]) if not pair[0].classic]
    return call.listed(found, lambda pair: checks.branch_rule(call.repo, *pair))


async def get_permission(call: Call) -> Answer:
    """What a person may do: `permission` is one of four, `role_name` the role itself."""
    account = call.world.find_account(call.params["username"])
    if account is None:
        raise ApiError(404, f"{call.params['username']} is not a user")
    role = call.world.role(call.repo, account)
    plain = {Level.NONE: "none", Level.READ: "read", Level.WRITE: "write", Level.ADMIN: "admin"}[LEVELS[role]]
    user = {**accounts.user(call.world, account), "role_name": role}
    return Answer(body={"permission": plain, "role_name": role, "user": user})


ROUTES = [
    read("/repos/{owner}/{repo}/branches", list_branches, "contents"),
    read("/repos/{owner}/{repo}/branches/{branch}", get_branch, "contents"),
    read("/repos/{owner}/{repo}/branches/{branch}/protection", get_protection, "administration"),
    read("/repos/{owner}/{repo}/branches/{branch}/protection/required_status_checks", get_required_checks, "administration"),
    read("/repos/{owner}/{repo}/rulesets", list_rulesets),
    read("/repos/{owner}/{repo}/rulesets/{ruleset_id}", get_ruleset),
    read("/repos/{owner}/{repo}/rules/branches/{branch}", branch_rules),
    read("/repos/{owner}/{repo}/collaborators/{username}/permission", get_permission),
]
