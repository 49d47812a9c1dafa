"""Bodies of accounts, Apps and installations."""

from typing import Any

from tests.fakes.github.state import Account, App, Installation, Token, stamp
from tests.fakes.github.world import World

Body = dict[str, Any]


def user(world: World, account: Account) -> Body:
    """`simple-user`."""
    api = f"{world.api}/users/{account.login}"
    page = (
        f"{world.url}/apps/{account.login.removesuffix('[bot]')}" if account.kind == "Bot" else f"{world.url}/{account.login}"
    )
    return {
        "login": account.login,
        "id": account.id,
        "node_id": f"U_{account.id}",
        "avatar_url": f"{world.url}/avatars/{account.id}",
        "gravatar_id": "",
        "url": _quoted(api),
        "html_url": page,
        "followers_url": _quoted(f"{api}/followers"),
        "following_url": _quoted(api) + "/following{/other_user}",
        "gists_url": _quoted(api) + "/gists{/gist_id}",
        "starred_url": _quoted(api) + "/starred{/owner}{/repo}",
        "subscriptions_url": _quoted(f"{api}/subscriptions"),
        "organizations_url": _quoted(f"{api}/orgs"),
        "repos_url": _quoted(f"{api}/repos"),
        "events_url": _quoted(api) + "/events{/privacy}",
        "received_events_url": _quoted(f"{api}/received_events"),
        "type": account.kind,
        "user_view_type": "public",
        "site_admin": False,
    }


def public_user(world: World, account: Account) -> Body:
    """`public-user`."""
    blank = dict.fromkeys(("company", "location", "email", "hireable", "bio", "twitter_username"))
    counts = dict.fromkeys(("public_repos", "public_gists", "followers", "following"), 0)
    made = stamp(account.created_at)
    return {
        **user(world, account),
        "name": account.login,
        "blog": "",
        **blank,
        **counts,
        "created_at": made,
        "updated_at": made,
    }


def optional_user(world: World, account: Account | None) -> Body | None:
    """`nullable-simple-user`."""
    return None if account is None else user(world, account)


def app(world: World, one: App) -> Body:
    """`integration`."""
    made = stamp(one.created_at)
    return {
        "id": one.id,
        "client_id": one.client_id,
        "slug": one.slug,
        "node_id": f"A_{one.id}",
        "owner": user(world, one.owner),
        "name": one.name,
        "description": "",
        "external_url": world.url,
        "html_url": f"{world.url}/apps/{one.slug}",
        "created_at": made,
        "updated_at": made,
        "permissions": {"metadata": "read", **one.permissions},
        "events": one.events,
        "installations_count": sum(installation.app is one for installation in world.installations),
    }


def optional_app(world: World, one: App | None) -> Body | None:
    """`nullable-integration`."""
    if one is None:
        return None
    body = app(world, one)
    del body["installations_count"]
    return body


def installation(world: World, one: Installation) -> Body:
    """`installation`."""
    made = stamp(one.created_at)
    suspended = None if one.suspended_at is None else stamp(one.suspended_at)
    return {
        "id": one.id,
        "client_id": one.app.client_id,
        "account": user(world, one.account),
        "repository_selection": "all" if one.repos is None else "selected",
        "access_tokens_url": f"{world.api}/app/installations/{one.id}/access_tokens",
        "repositories_url": f"{world.api}/installation/repositories",
        "html_url": f"{world.url}/settings/installations/{one.id}",
        "app_id": one.app.id,
        "app_slug": one.app.slug,
        "target_id": one.account.id,
        "target_type": one.account.kind,
        "permissions": {"metadata": "read", **one.permissions},
        "events": one.app.events,
        "created_at": made,
        "updated_at": made,
        "single_file_name": None,
        "has_multiple_single_files": False,
        "single_file_paths": [],
        "suspended_by": None if one.suspended_at is None else user(world, one.account),
        "suspended_at": suspended,
    }


def token(one: Token, repositories: list[Body] | None) -> Body:
    """`installation-token`; the repositories are named only where the token was asked for some."""
    assert one.expires_at is not None
    body: Body = {"token": one.value, "expires_at": stamp(one.expires_at), "permissions": one.permissions}
    if repositories is None:
        return {**body, "repository_selection": "all"}
    return {**body, "repository_selection": "selected", "repositories": repositories}


def _quoted(url: str) -> str:
    return url.replace("[", "%5B").replace("]", "%5D")
