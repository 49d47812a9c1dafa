"""Apps, installations and tokens, against answers that a test has written down."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.integration.forge.hub import Asked, Hub, Reply, scripted_hub

from coderun.forge.github.auth import (
    AppCredential,
    AppInstallations,
    AppKey,
    PersonalToken,
    RepositoryToken,
    person_login,
)
from coderun.forge.github.client import Client, open_session
from coderun.model.errors import ConfigError, ForgeUnavailableError, RefusedError
from coderun.model.repository import parse_repository

_KEY: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SHOP = parse_repository("Acme/Shop")
WRITE = {"contents": "write", "pull_requests": "write"}
ISSUE = "POST /app/installations/9/access_tokens"
INSTALLATION = "GET /repos/acme/shop/installation"


def pem(key: Any = _KEY, encryption: Any = None) -> bytes:
    kind = serialization.PrivateFormat.TraditionalOpenSSL
    content: bytes = key.private_bytes(serialization.Encoding.PEM, kind, encryption or serialization.NoEncryption())
    return content


def claims_of(authorization: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(
        authorization.removeprefix("Bearer "),
        _KEY.public_key(),
        algorithms=["RS256"],
        options={"verify_exp": False, "verify_iat": False},
    )
    return found


class Place:
    """An App, its installation, and a clock that a test sets."""

    def __init__(self, hub: Hub, session: Any) -> None:
        self.hub = hub
        self.time = datetime(2026, 5, 1, 12, tzinfo=UTC)
        self.waits: list[float] = []
        self.key = AppKey("4711", pem(), clock=self.clock)
        self.client = Client(
            session,
            AppCredential(self.key, name="rex"),
            base_url=hub.url,
            now=lambda: self.clock().timestamp(),
            sleep=self.sleep,
            jitter=lambda: 0.0,
        )
        self.installations = AppInstallations(self.client, clock=self.clock)
        self.issued = 0
        hub.on(INSTALLATION, {"id": 9})
        hub.on(ISSUE, self.issue)

    def clock(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def issue(self, asked: Asked) -> Reply:
        self.issued += 1
        ends = (self.time + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {"token": f"ghs_{self.issued}", "expires_at": ends, "repository_selection": "selected"}
        return Reply({**body, "repositories": [{"name": "Shop"}], "permissions": asked.body["permissions"]}, 201)

    def token(self) -> RepositoryToken:
        return RepositoryToken(self.installations, self.client, SHOP, WRITE, clock=self.clock)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with scripted_hub() as hub, open_session() as session:
        yield Place(hub, session)


@pytest.mark.lesson(14)
def test_a_jwt_is_backdated_short_and_used_again() -> None:
    time = [datetime(2026, 5, 1, 12, tzinfo=UTC)]
    key = AppKey("4711", pem(), clock=lambda: time[0])
    first = key.sign()
    claims = claims_of(first)
    now = int(time[0].timestamp())
    assert claims == {"iss": "4711", "iat": now - 60, "exp": now + 480}
    assert claims["exp"] - claims["iat"] <= 9 * 60
    time[0] += timedelta(minutes=6)
    assert key.sign() == first
    time[0] += timedelta(minutes=1)
    assert key.sign() != first


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a key SECRETSECRET",
        pem()[:-200],
        pem(encryption=serialization.BestAvailableEncryption(b"x")),
        pem(ec.generate_private_key(ec.SECP256R1())),
        pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)),  # noqa: S505 - the point of the row
    ],
)
def test_what_is_no_private_key_of_an_app_is_a_config_error_that_does_not_quote_it(content: bytes) -> None:
    with pytest.raises(ConfigError, match="the private key of GitHub App 4711") as refused:
        AppKey("4711", content, clock=lambda: datetime.now(UTC))
    assert "SECRET" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("path", ["/repos/acme/shop", "/orgs/acme", "/users/acme"])
async def test_an_installation_is_found_by_repository_then_organisation_then_user_and_remembered(
    place: Place, path: str
) -> None:
    place.hub.on(INSTALLATION, Reply({"message": "Not Found"}, 404))
    place.hub.on(f"GET {path}/installation", {"id": 9, "suspended_at": None})
    for _ in range(2):
        assert await place.installations.find(SHOP) == 9
    assert place.hub.lines[-1] == f"GET {path}/installation"
    assert place.hub.lines.count(f"GET {path}/installation") == 1
    assert claims_of(place.hub.asked[0].headers["authorization"])["iss"] == "4711"
    place.installations.forget(SHOP)
    place.installations.forget()
    await place.installations.find(SHOP)
    assert place.hub.lines.count(f"GET {path}/installation") == 2


async def test_an_app_that_is_not_installed_or_suspended_is_refused(place: Place) -> None:
    place.hub.on(INSTALLATION, Reply({"message": "Not Found"}, 404))
    with pytest.raises(RefusedError, match=r"App rex is not installed on github\.com/acme/shop; install it there"):
        await place.installations.find(SHOP)
    place.hub.on(INSTALLATION, {"id": 9, "suspended_at": "2026-01-01T00:00:00Z"})
    with pytest.raises(RefusedError, match=r"App rex is suspended for github\.com/acme/shop"):
        await place.installations.find(SHOP)


@pytest.mark.lesson(14)
async def test_a_token_is_asked_for_one_repository_with_named_permissions(place: Place) -> None:
    token = await place.installations.issue(SHOP, WRITE)
    assert place.hub.writes() == [(ISSUE, {"repositories": ["shop"], "permissions": WRITE})]
    assert (token.text, token.expires_at) == ("ghs_1", place.time + timedelta(hours=1))
    assert "ghs_1" not in repr(token)
    with pytest.raises(ValueError, match="would carry all of them"):
        await place.installations.issue(SHOP, {})
    assert place.issued == 1


@pytest.mark.parametrize("more", [{"repository_selection": "all"}, {"repositories": [{"name": "shop"}, {"name": "other"}]}])
async def test_a_token_that_reaches_more_is_not_used(place: Place, more: dict[str, Any]) -> None:
    place.hub.on(ISSUE, Reply({"token": "ghs_1", "expires_at": "2026-05-01T13:00:00.123Z", **more}, 201))
    with pytest.raises(RefusedError, match=r"a token for more than github\.com/acme/shop"):
        await place.installations.issue(SHOP, WRITE)


async def test_an_installation_that_moved_is_found_again(place: Place) -> None:
    await place.installations.find(SHOP)
    place.hub.on(ISSUE, Reply({"message": "Not Found"}, 404))
    place.hub.on(INSTALLATION, {"id": 10})
    place.hub.on("POST /app/installations/10/access_tokens", place.issue)
    assert (await place.installations.issue(SHOP, WRITE)).text == "ghs_1"
    assert await place.installations.find(SHOP) == 10


@pytest.mark.parametrize(
    ("status", "said", "told"),
    [
        (
            422,
            "The permissions requested are not granted to this installation.",
            "contents: write, pull_requests: write: The perm",
        ),
        (403, "This installation has been suspended", "is its installation suspended"),
        (400, "Problems", "GitHub refused POST /app/installations/9/access_tokens for App rex: 400: Problems"),
    ],
)
async def test_a_token_that_is_not_given_says_why(place: Place, status: int, said: str, told: str) -> None:
    place.hub.on(ISSUE, Reply({"message": said}, status))
    with pytest.raises(RefusedError) as refused:
        await place.installations.issue(SHOP, WRITE)
    assert told in str(refused.value)


@pytest.mark.lesson(14)
async def test_a_token_is_replaced_before_it_ends_and_not_sooner(place: Place) -> None:
    token = place.token()
    assert [await token.authorization() for _ in range(2)] == ["Bearer ghs_1"] * 2
    place.time += timedelta(minutes=49)
    assert await token.authorization() == "Bearer ghs_1"
    place.time += timedelta(minutes=2)
    assert await token.authorization() == "Bearer ghs_2"


async def test_a_token_that_still_holds_is_used_while_github_is_away(place: Place) -> None:
    token = place.token()
    await token.token()
    place.hub.on(ISSUE, Reply({"message": "x"}, 502))
    place.time += timedelta(minutes=55)
    assert (await token.token()).text == "ghs_1"
    place.time += timedelta(minutes=6)
    with pytest.raises(ForgeUnavailableError):
        await token.token()


async def test_all_tokens_are_revoked_at_the_end_each_by_itself(place: Place) -> None:
    token = place.token()
    await token.token()
    place.time += timedelta(minutes=55)
    await token.token()
    place.hub.on("DELETE /installation/token", Reply(status=204))
    for _ in range(2):
        await token.revoke()
    ends = [asked.headers["authorization"] for asked in place.hub.asked if asked.method == "DELETE"]
    assert ends == ["Bearer ghs_2", "Bearer ghs_1"]
    with pytest.raises(RefusedError, match="was revoked; its run is over"):
        await token.token()


async def test_a_token_that_is_gone_already_is_revoked_and_one_that_could_not_be_is_tried_again(place: Place) -> None:
    token = place.token()
    await token.token()
    place.hub.on("DELETE /installation/token", Reply({"message": "x"}, 502))
    with pytest.raises(ForgeUnavailableError):
        await token.revoke()
    place.hub.on("DELETE /installation/token", Reply({"message": "Bad credentials"}, 401))
    await token.revoke()
    asked = len(place.hub.asked)
    await token.revoke()
    assert len(place.hub.asked) == asked


async def test_a_401_right_after_issue_is_tried_once_with_the_same_token(place: Place) -> None:
    client = place.client.acting_as(place.token())
    place.hub.on("POST /x", Reply({"message": "Bad credentials"}, 401), {})
    await client.write("POST", "/x", {})
    assert place.waits == [1.0]
    assert [asked.headers["authorization"] for asked in place.hub.asked if asked.path == "/x"] == ["Bearer ghs_1"] * 2


async def test_a_token_that_ended_early_is_replaced_once(place: Place) -> None:
    client = place.client.acting_as(place.token())
    place.hub.on("POST /x", {}, Reply({"message": "Bad credentials"}, 401), {})
    await client.write("POST", "/x", {})
    place.time += timedelta(minutes=5)
    await client.write("POST", "/x", {})
    assert [asked.headers["authorization"] for asked in place.hub.asked if asked.path == "/x"][1:] == [
        "Bearer ghs_1",
        "Bearer ghs_2",
    ]
    place.time += timedelta(minutes=5)
    place.hub.on("POST /x", Reply({"message": "Bad credentials"}, 401))
    with pytest.raises(RefusedError, match="wrong, expired or revoked"):
        await client.write("POST", "/x", {})
    assert place.issued == 3


async def test_a_clock_that_is_ahead_is_corrected_by_githubs(place: Place) -> None:
    theirs = place.time - timedelta(minutes=2)

    def app(asked: Asked) -> Reply:
        if claims_of(asked.headers["authorization"])["iat"] > theirs.timestamp():
            return Reply(
                {"message": "'Issued at' claim must be in the past"}, 401, {"Date": format_datetime(theirs, usegmt=True)}
            )
        return Reply({"id": 1, "slug": "rex"})

    place.hub.on("GET /app", app)
    assert await place.installations.login() == "rex[bot]"
    assert len(place.hub.asked) == 2


async def test_a_wrong_key_is_not_tried_twice(place: Place) -> None:
    date = {"Date": format_datetime(place.time, usegmt=True)}
    place.hub.on("GET /app", Reply({"message": "A JSON web token could not be decoded"}, 401, date))
    with pytest.raises(RefusedError, match="the credential of App rex is wrong"):
        await place.installations.login()
    assert len(place.hub.asked) == 1


async def test_a_personal_token_is_a_login(place: Place) -> None:
    place.hub.on("GET /user", {"login": "Pat"})
    client = place.client.acting_as(PersonalToken(" ghp_x\n"))
    assert await person_login(client) == "Pat"
    assert place.hub.asked[0].headers["authorization"] == "Bearer ghp_x"
    assert "ghp_x" not in repr(PersonalToken("ghp_x"))
    place.hub.on("GET /user", Reply({"message": "Bad credentials"}, 401))
    with pytest.raises(RefusedError, match="the credential of the personal token is wrong, expired or revoked"):
        await person_login(client)


@pytest.mark.parametrize("text", ["", " \n", "a b", "a\nb", "ü"])
def test_a_personal_token_is_one_word(text: str) -> None:
    with pytest.raises(ConfigError, match="empty or holds blanks"):
        PersonalToken(text)
