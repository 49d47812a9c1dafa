import pytest

from coderun.model.errors import ConfigError, InvalidCodeRunError
from coderun.model.roster import Agent, make_roster

REX = Agent(name="rex", role="implementation", github_app="5DLabs-Rex")
BLAZE = Agent(name="blaze", role="implementation")
MORGAN = Agent(name="morgan", role="docs", github_app="morgan-5dlabs")
ROSTER = make_roster({agent.name: agent for agent in (REX, BLAZE, MORGAN)})


def test_a_role_is_filled_by_its_first_agent() -> None:
    assert ROSTER.in_role("implementation") is REX
    assert ROSTER.in_role("testing") is None


@pytest.mark.lesson(26)
@pytest.mark.parametrize("login", ["rex[bot]", "REX[BOT]", "5DLabs-Rex", "5dlabs-rex[bot]", "rex"])
def test_an_agent_is_known_by_its_local_login_and_by_its_app_in_any_case(login: str) -> None:
    assert REX.is_login(login)
    assert ROSTER.of_login(login) is REX


@pytest.mark.parametrize("login", ["", "[bot]", " ", "dev", "rexx", "5dlabs", "dependabot[bot]"])
def test_people_and_foreign_bots_are_no_agents(login: str) -> None:
    assert ROSTER.of_login(login) is None
    assert not BLAZE.is_login(login)


def test_an_agents_local_login_is_its_name_as_a_bot() -> None:
    assert REX.login == "rex[bot]"


@pytest.mark.lesson(38)
@pytest.mark.parametrize(
    ("app", "agent"), [("5DLabs-Rex", REX), ("5dlabs-rex[bot]", REX), ("Morgan-5DLabs", MORGAN), ("blaze", BLAZE)]
)
def test_a_github_app_names_its_agent(app: str, agent: Agent) -> None:
    assert ROSTER.of_app(app, wanted_by="run-1") is agent


@pytest.mark.lesson(38)
@pytest.mark.parametrize("app", ["", "  "])
def test_a_missing_app_is_refused_and_never_becomes_an_unknown_agent(app: str) -> None:
    with pytest.raises(InvalidCodeRunError) as caught:
        ROSTER.of_app(app, wanted_by="run-1")
    expected = "CodeRun 'run-1' names no GitHub App; set spec.githubApp (known: 5DLabs-Rex, blaze, morgan-5dlabs)"
    assert str(caught.value) == expected


@pytest.mark.lesson(38)
def test_an_app_that_is_not_in_the_roster_is_refused_with_those_that_are() -> None:
    with pytest.raises(InvalidCodeRunError) as caught:
        ROSTER.of_app("5DLabs-Max", wanted_by="run-1")
    assert str(caught.value) == (
        "CodeRun 'run-1' names GitHub App '5DLabs-Max', which is not in the roster (known: 5DLabs-Rex, blaze, morgan-5dlabs)"
    )


def test_an_empty_roster_knows_nobody() -> None:
    with pytest.raises(InvalidCodeRunError, match=r"\(known: none\)"):
        make_roster({}).of_app("x", wanted_by="run-1")


@pytest.mark.parametrize("name", ["Rex", "", "a b", "x" * 64])
def test_an_agents_name_is_a_dns_label(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_roster({"a": Agent(name=name)})
    assert str(caught.value) == f"agent name {name!r} is not usable: lower-case letters, digits and '-', at most 63"


@pytest.mark.parametrize(
    ("other", "login"),
    [
        (Agent(name="max", github_app="5dlabs-rex[bot]"), "5dlabs-rex"),
        (Agent(name="max", github_app="Rex"), "rex"),
    ],
)
def test_two_agents_never_share_a_login(other: Agent, login: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_roster({"rex": REX, "max": other})
    assert str(caught.value) == f"agents 'rex' and 'max' share the login '{login}'; give each its own App"


@pytest.mark.lesson(26)
def test_where_the_forge_has_told_an_agents_login_no_person_of_its_name_is_taken_for_it() -> None:
    tess = Agent(name="tess", github_app="5DLabs-Tess", forge_login="acme-tess[bot]", forge_email="7+acme-tess[bot]@x")
    assert (tess.login, tess.email) == ("acme-tess[bot]", "7+acme-tess[bot]@x")
    assert tess.is_login("Acme-Tess")
    assert not any(tess.is_login(login) for login in ("tess", "tess[bot]", "5dlabs-tess[bot]", ""))
    roster = make_roster({"tess": tess})
    assert all(roster.of_app(name, wanted_by="run-1") is tess for name in ("tess", "5DLabs-Tess", "acme-tess[bot]"))
    assert roster.named("") is None
    assert REX.email == "rex@coderun.invalid"
