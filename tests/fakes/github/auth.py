"""Who calls, and what they may: App JWTs, installation tokens with scopes and ends, personal tokens. Changes only tokens."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any

import jwt
from tests.fakes.github.errors import ApiError, bad_credentials, not_found
from tests.fakes.github.state import LEVELS, Account, App, Installation, Level, Repo, Token
from tests.fakes.github.world import World

TOKEN_SECONDS = 3600
JWT_SECONDS = 600
JWT_SKEW_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Whoever sent a request; an App calls by JWT, `account` acts otherwise."""

    account: Account | None = None
    app: App | None = None
    token: Token | None = None

    @property
    def name(self) -> str:
        """What rate limits are counted by."""
        if self.token is not None:
            installation = self.token.installation
            return f"installation-{installation.id}" if installation else f"user-{self.token.account.id}"
        return f"app-{self.app.id}" if self.app else "anonymous"

    def acting(self) -> Account:
        """The account that acts; 401 where nobody does."""
        if self.account is None:
            raise ApiError(401, "Requires authentication")
        return self.account


def authenticate(world: World, header: str) -> Caller:
    """The caller of an `Authorization` header."""
    scheme, _, value = header.strip().partition(" ")
    value = value.strip()
    if not scheme:
        return Caller()
    if scheme.lower() == "basic":
        return _by_token(world, _basic_password(value))
    if scheme.lower() not in {"bearer", "token"}:
        raise bad_credentials()
    return _by_jwt(world, value) if value.count(".") == 2 else _by_token(world, value)


def _basic_password(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError) as error:
        raise bad_credentials() from error


def _by_token(world: World, value: str) -> Caller:
    token = world.tokens.get(value)
    if token is None or (token.expires_at is not None and world.clock() >= token.expires_at):
        raise bad_credentials()
    if token.installation is not None:
        if token.installation not in world.installations:
            raise bad_credentials()
        if token.installation.suspended_at is not None:
            raise ApiError(403, "This installation has been suspended")
    return Caller(account=token.account, token=token)


def _by_jwt(world: World, value: str) -> Caller:
    try:
        claims = jwt.decode(value, options={"verify_signature": False})
    except jwt.InvalidTokenError as error:
        raise bad_credentials("A JSON web token could not be decoded") from error
    issuer = str(claims.get("iss", ""))
    app = next((app for app in world.apps if issuer in {str(app.id), app.client_id}), None)
    if app is None:
        raise ApiError(404, "Integration not found")
    try:
        jwt.decode(
            value, app.public_key, algorithms=["RS256"], options={"verify_exp": False, "verify_iat": False, "verify_nbf": False}
        )
    except jwt.InvalidTokenError as error:
        raise bad_credentials("A JSON web token could not be decoded") from error
    _check_times(claims, world.clock())
    return Caller(app=app)


def _check_times(claims: dict[str, Any], now: float) -> None:
    issued, ends = claims.get("iat"), claims.get("exp")
    if not isinstance(ends, (int, float)):
        raise bad_credentials("'Expiration time' claim ('exp') must be a numeric value representing the future time")
    if not isinstance(issued, (int, float)) or issued > now + JWT_SKEW_SECONDS:
        raise bad_credentials(
            "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
        )
    if ends <= now:
        raise bad_credentials("'Expiration time' claim ('exp') must be a numeric value representing the future time")
    if ends > now + JWT_SECONDS:
        raise bad_credentials("'Expiration time' claim ('exp') is too far in the future")


def mint(world: World, installation: Installation, wanted: dict[str, Any]) -> Token:
    """A new token of an installation, no wider than it: a wider wish is a 422."""
    if installation.suspended_at is not None:
        raise ApiError(403, "This installation has been suspended")
    token = Token(
        value=world.new_secret("ghs_"),
        account=installation.app.bot,
        installation=installation,
        permissions=_permissions(installation, wanted.get("permissions")),
        repos=_repositories(world, installation, wanted),
        expires_at=world.clock() + TOKEN_SECONDS,
    )
    world.tokens[token.value] = token
    return token


def _permissions(installation: Installation, wanted: Any) -> dict[str, str]:
    held = {"metadata": "read", **installation.permissions}
    if wanted is None:
        return held
    if not isinstance(wanted, dict):
        raise ApiError(422, "Invalid request.\n\nPermissions must be an object.")
    for name, level in wanted.items():
        if level not in LEVELS or LEVELS[level] > LEVELS[held.get(name, "none")]:
            raise ApiError(422, "The permissions requested are not granted to this installation.")
    return {"metadata": "read", **wanted}


def _repositories(world: World, installation: Installation, wanted: dict[str, Any]) -> frozenset[int] | None:
    names, ids = wanted.get("repositories"), wanted.get("repository_ids")
    if names is None and ids is None:
        return None
    reached = [repo for repo in world.repos if installation.reaches(repo)]
    by_name = {repo.name.lower(): repo.id for repo in reached}
    found = [by_name.get(str(name).lower()) for name in names or []]
    found += [number if number in by_name.values() else None for number in ids or []]
    if None in found or not found:
        text = "There is at least one repository that does not exist or is not accessible to the parent installation."
        raise ApiError(422, text)
    return frozenset(number for number in found if number is not None)


def sees(world: World, caller: Caller, repo: Repo) -> bool:
    """Whether a repository is there for a caller."""
    if not repo.private:
        return True
    if caller.token is None:
        return False
    if caller.token.installation is None:
        return world.role(repo, caller.token.account) != "none"
    return _scoped(caller.token, repo)


def _scoped(token: Token, repo: Repo) -> bool:
    assert token.installation is not None
    return token.installation.reaches(repo) and (token.repos is None or repo.id in token.repos)


def level(world: World, caller: Caller, repo: Repo, permission: str) -> Level:
    """How much of a permission a caller has on a repository; `a|b` takes the higher of the two."""
    if caller.token is None:
        return Level.NONE if repo.private else Level.READ
    if caller.token.installation is None:
        return LEVELS[world.role(repo, caller.token.account)]
    if not _scoped(caller.token, repo):
        return Level.NONE if repo.private else Level.READ
    return max(LEVELS[caller.token.permissions.get(name, "none")] for name in permission.split("|"))


def permit(world: World, caller: Caller, repo: Repo, permission: str, needed: Level) -> None:
    """Refuses what a caller may not: 404 for what they may not see, 401 or 403 for what they may not do."""
    if not sees(world, caller, repo):
        raise not_found()
    if level(world, caller, repo, permission) >= needed:
        return
    if caller.account is None:
        raise ApiError(401, "Requires authentication")
    if caller.token is not None and caller.token.installation is None:
        raise ApiError(403, "Must have admin rights to Repository." if needed is Level.ADMIN else "Must have push access.")
    raise ApiError(403, "Resource not accessible by integration")
