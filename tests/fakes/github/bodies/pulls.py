"""Bodies of pull requests and what hangs on them: labels, comments, reviews, history."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from tests.fakes.github.bodies.accounts import optional_app, optional_user, user
from tests.fakes.github.bodies.repos import api, page, repository
from tests.fakes.github.state import Account, Comment, IssueEvent, Label, Pull, Repo, Review, stamp
from tests.fakes.github.world import World

Body = dict[str, Any]


def label(world: World, repo: Repo, one: Label) -> Body:
    """`label`."""
    url = f"{api(world, repo)}/labels/{quote(one.name, safe='')}"
    fields = {"name": one.name, "color": one.color, "default": False, "description": one.description}
    return {"id": one.id, "node_id": f"LA_{one.id}", "url": url, **fields}


def pull_simple(world: World, repo: Repo, pull: Pull) -> Body:
    """`pull-request-simple`, as lists and the minimal parts of webhooks have it."""
    root, web = f"{api(world, repo)}/pulls/{pull.number}", f"{page(world, repo)}/pull/{pull.number}"
    issue = f"{api(world, repo)}/issues/{pull.number}"
    statuses = f"{api(world, repo)}/statuses/{pull.head_sha}"
    urls = {
        "url": root,
        "html_url": web,
        "diff_url": f"{web}.diff",
        "patch_url": f"{web}.patch",
        "issue_url": issue,
        "commits_url": f"{root}/commits",
        "review_comments_url": f"{root}/comments",
        "review_comment_url": f"{api(world, repo)}/pulls/comments{{/number}}",
        "comments_url": f"{issue}/comments",
        "statuses_url": statuses,
    }
    names = {"comments": "comments_url", "commits": "commits_url", "statuses": "statuses_url", "html": "html_url"}
    names |= {"issue": "issue_url", "review_comments": "review_comments_url", "review_comment": "review_comment_url"}
    labels = [label(world, repo, one) for one in pull.labels]
    return {
        **urls,
        "id": pull.id,
        "node_id": f"PR_{pull.id}",
        "number": pull.number,
        "state": pull.state,
        "locked": False,
        "active_lock_reason": None,
        "title": pull.title,
        "user": user(world, pull.author),
        "body": pull.body,
        "labels": [{**one, "description": one["description"] or ""} for one in labels],
        "milestone": None,
        "created_at": stamp(pull.created_at),
        "updated_at": stamp(pull.updated_at),
        "closed_at": _when(pull.closed_at),
        "merged_at": _when(pull.merged_at),
        "merge_commit_sha": pull.merge_commit_sha,
        "assignee": None,
        "assignees": [],
        "requested_reviewers": [user(world, account) for account in pull.requested],
        "requested_teams": [],
        "head": _side(world, pull.head_repo, pull.head_ref, pull.head_sha, pull.author),
        "base": _side(world, repo, pull.base_ref, pull.base_sha, repo.owner),
        "_links": {"self": {"href": root}, **{name: {"href": urls[key]} for name, key in names.items()}},
        "author_association": association(world, repo, pull.author),
        "auto_merge": None,
        "draft": pull.draft,
    }


def pull_full(world: World, repo: Repo, pull: Pull, mergeable: bool | None, mergeable_state: str) -> Body:
    """`pull-request`."""
    return {
        **pull_simple(world, repo, pull),
        "merged": pull.merged_at is not None,
        "mergeable": mergeable,
        "rebaseable": mergeable,
        "mergeable_state": mergeable_state,
        "merged_by": optional_user(world, pull.merged_by),
        "comments": len(pull.comments),
        "review_comments": 0,
        "maintainer_can_modify": False,
        "commits": pull.commits,
        "additions": pull.additions,
        "deletions": pull.deletions,
        "changed_files": pull.changed_files,
    }


def issue(world: World, repo: Repo, pull: Pull) -> Body:
    """`issue`: the pull request as the issues API tells it."""
    root = f"{api(world, repo)}/issues/{pull.number}"
    simple = pull_simple(world, repo, pull)
    kept: tuple[str, ...] = (
        "number",
        "state",
        "title",
        "user",
        "body",
        "locked",
        "active_lock_reason",
        "assignee",
        "assignees",
        "milestone",
    )
    kept += ("created_at", "updated_at", "closed_at", "author_association", "draft", "html_url")
    places = {"url": simple["url"], "html_url": simple["html_url"], "diff_url": simple["diff_url"]}
    return {
        **{name: simple[name] for name in kept},
        "id": pull.id,
        "node_id": f"PR_{pull.id}",
        "url": root,
        "repository_url": api(world, repo),
        "labels_url": f"{root}/labels{{/name}}",
        "comments_url": f"{root}/comments",
        "events_url": f"{root}/events",
        "timeline_url": f"{root}/timeline",
        "labels": [label(world, repo, one) for one in pull.labels],
        "comments": len(pull.comments),
        "pull_request": {**places, "patch_url": simple["patch_url"], "merged_at": simple["merged_at"]},
        "reactions": _reactions(root),
        "performed_via_github_app": None,
        "state_reason": None,
    }


def comment(world: World, repo: Repo, pull: Pull, one: Comment) -> Body:
    """`issue-comment`."""
    url = f"{api(world, repo)}/issues/comments/{one.id}"
    return {
        "id": one.id,
        "node_id": f"IC_{one.id}",
        "url": url,
        "html_url": f"{page(world, repo)}/pull/{pull.number}#issuecomment-{one.id}",
        "issue_url": f"{api(world, repo)}/issues/{pull.number}",
        "user": user(world, one.author),
        "body": one.body,
        "created_at": stamp(one.created_at),
        "updated_at": stamp(one.updated_at),
        "author_association": association(world, repo, one.author),
        "performed_via_github_app": optional_app(world, one.app),
        "reactions": _reactions(url, [content for _, content in one.reactions]),
    }


def reaction(world: World, comment: Comment, who: Account, content: str) -> Body:
    """`reaction`."""
    number = comment.id * 100 + comment.reactions.index((who, content))
    made = {"content": content, "created_at": stamp(comment.updated_at)}
    return {"id": number, "node_id": f"REA_{number}", "user": user(world, who), **made}


def review(world: World, repo: Repo, pull: Pull, one: Review) -> Body:
    """`pull-request-review`, its state upper case."""
    html = f"{page(world, repo)}/pull/{pull.number}#pullrequestreview-{one.id}"
    root = f"{api(world, repo)}/pulls/{pull.number}"
    body: Body = {
        "id": one.id,
        "node_id": f"PRR_{one.id}",
        "user": user(world, one.author),
        "body": one.body,
        "state": one.state,
        "html_url": html,
        "pull_request_url": root,
        "_links": {"html": {"href": html}, "pull_request": {"href": root}},
        "commit_id": one.commit_id,
        "author_association": association(world, repo, one.author),
    }
    return body if one.submitted_at is None else {**body, "submitted_at": stamp(one.submitted_at)}


def event(world: World, repo: Repo, one: IssueEvent) -> Body:
    """An entry of `issue-event-for-issue` and of the timeline."""
    body: Body = {
        "id": one.id,
        "node_id": f"EV_{one.id}",
        "url": f"{api(world, repo)}/issues/events/{one.id}",
        "actor": user(world, one.actor),
        "event": one.kind,
        "commit_id": one.commit_id,
        "commit_url": None if one.commit_id is None else f"{api(world, repo)}/commits/{one.commit_id}",
        "created_at": stamp(one.created_at),
        "performed_via_github_app": optional_app(world, one.app),
    }
    return body if one.label is None else {**body, "label": {"name": one.label.name, "color": one.label.color}}


def association(world: World, repo: Repo, account: Account) -> str:
    """What an author is to the repository."""
    if account is repo.owner:
        return "OWNER"
    return "COLLABORATOR" if account.id in repo.collaborators else "NONE"


def _side(world: World, repo: Repo | None, branch: str, sha: str, owner: Account) -> Body:
    account = owner if repo is None else repo.owner
    whole = None if repo is None else repository(world, repo)
    return {"label": f"{account.login}:{branch}", "ref": branch, "sha": sha, "user": user(world, account), "repo": whole}


def _reactions(url: str, given: Sequence[str] = ()) -> Body:
    kinds = ("+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes")
    return {"url": f"{url}/reactions", "total_count": len(given), **{kind: given.count(kind) for kind in kinds}}


def _when(moment: float | None) -> str | None:
    return None if moment is None else stamp(moment)
