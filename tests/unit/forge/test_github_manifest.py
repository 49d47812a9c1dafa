"""What GitHub is told of an App to be made, and the addresses around it."""

import pytest

from coderun.forge.github.manifest import (
    MAX_NAME,
    AppOrder,
    app_name,
    creation_url,
    event_in_words,
    install_url,
    is_code,
    manifest_of,
    permissions_in_words,
    settings_url,
)
from coderun.model.github import github_host

PUBLIC, OWN = github_host(), github_host("https://ghes.example")


@pytest.mark.parametrize(
    ("prefix", "agent", "name"),
    [
        ("acme", "rex", "acme-rex"),
        ("Acme & Sons!", "rex", "Acme-Sons-rex"),
        ("", "rex", "rex"),
        ("--", "rex", "rex"),
        ("a-very-long-name-of-an-organisation", "cleo", "a-very-long-name-of-an-organi-cleo"),
        ("acme", "x" * 40, "x" * 34),
    ],
)
def test_a_name_fits_and_keeps_the_agents(prefix: str, agent: str, name: str) -> None:
    assert app_name(prefix, agent) == name
    assert len(name) <= MAX_NAME


def test_without_an_address_an_app_gets_no_events() -> None:
    order = AppOrder(agent="rex", name="acme-rex", description="d", permissions={"contents": "read"}, homepage="https://h")
    manifest = manifest_of(order, redirect_url="http://127.0.0.1:1/created/rex")
    assert manifest["hook_attributes"] == {"url": "https://h", "active": False}
    assert manifest["default_events"] == []
    assert manifest["public"] is False
    assert manifest["default_permissions"] == {"contents": "read"}


def test_addresses_of_an_organisation_and_of_a_server_of_ones_own() -> None:
    assert creation_url(PUBLIC, "acme", "s t") == "https://github.com/organizations/acme/settings/apps/new?state=s+t"
    assert creation_url(OWN, "") == "https://ghes.example/settings/apps/new"
    assert settings_url(PUBLIC, "acme-rex", "acme", part="permissions") == (
        "https://github.com/organizations/acme/settings/apps/acme-rex/permissions"
    )
    assert settings_url(OWN, "acme-rex") == "https://ghes.example/settings/apps/acme-rex"
    assert install_url(PUBLIC, "a/b") == "https://github.com/apps/a%2Fb/installations/new"
    assert install_url(OWN, "acme-rex") == "https://ghes.example/github-apps/acme-rex/installations/new"


def test_words_are_those_of_githubs_pages() -> None:
    held = {"pull_requests": "write", "statuses": "read", "administration": "admin", "x": "odd"}
    assert (
        permissions_in_words(held) == "Pull requests: Read and write, Commit statuses: Read-only, Administration: Admin, X: odd"
    )
    assert event_in_words("pull_request_review") == "Pull request review"


def test_a_code_is_made_of_plain_characters() -> None:
    assert is_code("a1b2-_")
    assert not any(map(is_code, ("", "a b", "a/b", "é", "x" * 201)))
