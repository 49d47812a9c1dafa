"""Apps, installations, tokens, users, limits."""

from tests.fakes.github.auth import mint
from tests.fakes.github.bodies import accounts, repos
from tests.fakes.github.call import Answer, Call, Route, Who, app, read
from tests.fakes.github.errors import ApiError, not_found
from tests.fakes.github.registration import convert
from tests.fakes.github.state import Account, Installation


async def get_app(call: Call) -> Answer:
    """`GET /app`."""
    return Answer(body=accounts.app(call.world, call.app))


async def list_installations(call: Call) -> Answer:
    """The App's installations, suspended ones too."""
    found = [one for one in call.world.installations if one.app is call.app]
    return call.listed(found, lambda one: accounts.installation(call.world, one))


def _installation(call: Call) -> Installation:
    number = call.number("installation_id")
    for one in call.world.installations:
        if one.id == number and one.app is call.app:
            return one
    raise not_found()


async def get_installation(call: Call) -> Answer:
    """One of the App's installations."""
    return Answer(body=accounts.installation(call.world, _installation(call)))


async def of_repository(call: Call) -> Answer:
    """The App's installation on a repository; 404 where it is not installed there."""
    for one in call.world.installations:
        if one.app is call.app and one.reaches(call.repo):
            return Answer(body=accounts.installation(call.world, one))
    raise not_found()


def _of_account(call: Call, account: Account | None, kinds: set[str]) -> Answer:
    one = None if account is None else call.world.find_installation(call.app, account)
    if one is None or one.account.kind not in kinds:
        raise not_found()
    return Answer(body=accounts.installation(call.world, one))


async def of_organization(call: Call) -> Answer:
    """The App's installation on an organisation."""
    return _of_account(call, call.world.find_account(call.params["org"]), {"Organization"})


async def of_user(call: Call) -> Answer:
    """The App's installation on an account."""
    return _of_account(call, call.world.find_account(call.params["username"]), {"User", "Organization"})


async def create_token(call: Call) -> Answer:
    """A token of an installation, scoped as the body asks."""
    token = mint(call.world, _installation(call), call.fields)
    named = [repo for repo in call.world.repos if token.repos is not None and repo.id in token.repos]
    told = None if token.repos is None else [repos.repository(call.world, repo) for repo in named]
    return Answer(status=201, body=accounts.token(token, told))


async def revoke_token(call: Call) -> Answer:
    """Ends the installation token that it is called with."""
    token = call.caller.token
    if token is None or token.installation is None:
        raise ApiError(403, "Resource not accessible by personal access token")
    del call.world.tokens[token.value]
    return Answer(status=204)


async def list_repositories(call: Call) -> Answer:
    """The repositories an installation token reaches."""
    token = call.caller.token
    if token is None or token.installation is None:
        raise ApiError(403, "Resource not accessible by personal access token")
    found = [
        repo
        for repo in call.world.repos
        if token.installation.reaches(repo) and (token.repos is None or repo.id in token.repos)
    ]
    return call.listed(found, lambda repo: repos.repository(call.world, repo), "repositories")


async def convert_manifest(call: Call) -> Answer:
    """Makes the App of a manifest's code, once; the only time its key and secrets are told."""
    made = convert(call.world, call.params["code"])
    if made is None:
        raise not_found()
    app_made, key = made
    secrets = {"client_secret": call.world.new_secret(""), "webhook_secret": app_made.hook.secret, "pem": key}
    return Answer(status=201, body={**accounts.app(call.world, app_made), **secrets})


async def get_user(call: Call) -> Answer:
    """A user, or a bot by `slug[bot]`."""
    account = call.world.find_account(call.params["username"])
    if account is None:
        raise not_found()
    return Answer(body=accounts.public_user(call.world, account))


async def get_self(call: Call) -> Answer:
    """The person of a personal token."""
    if call.caller.token is None or call.caller.token.installation is not None:
        raise ApiError(403, "Resource not accessible by integration")
    return Answer(body=accounts.public_user(call.world, call.account))


async def get_limits(call: Call) -> Answer:
    """The caller's limits; asking costs nothing."""
    core = call.limits(call.caller.name)
    return Answer(body={"resources": {"core": core, "search": core}, "rate": core})


ROUTES = [
    app("GET", "/app", get_app),
    app("GET", "/app/installations", list_installations),
    app("GET", "/app/installations/{installation_id}", get_installation),
    app("POST", "/app/installations/{installation_id}/access_tokens", create_token),
    app("GET", "/repos/{owner}/{repo}/installation", of_repository),
    app("GET", "/orgs/{org}/installation", of_organization),
    app("GET", "/users/{username}/installation", of_user),
    Route(method="DELETE", path="/installation/token", handler=revoke_token, who=Who.TOKEN),
    Route(method="GET", path="/installation/repositories", handler=list_repositories, who=Who.TOKEN),
    Route(method="POST", path="/app-manifests/{code}/conversions", handler=convert_manifest),
    read("/users/{username}", get_user),
    Route(method="GET", path="/user", handler=get_self, who=Who.TOKEN),
    read("/rate_limit", get_limits),
]
