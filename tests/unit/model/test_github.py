import pytest

from coderun.model.errors import ConfigError
from coderun.model.github import GitHubHost, github_host

PUBLIC = GitHubHost(web="https://github.com", api="https://api.github.com")


@pytest.mark.parametrize("url", ["", "  ", "https://github.com", "https://GitHub.com/", "https://api.github.com", "github.com"])
def test_nothing_and_every_address_of_github_com_are_github_com(url: str) -> None:
    assert github_host(url) == PUBLIC
    assert github_host(url).name == "github.com"
    assert github_host(url).is_hosted


@pytest.mark.parametrize(
    "url", ["https://ghes.example", "https://GHES.example/", "https://ghes.example/api/v3/", "ghes.example"]
)
def test_a_server_of_ones_own_has_its_api_below_it(url: str) -> None:
    assert github_host(url) == GitHubHost(web="https://ghes.example", api="https://ghes.example/api/v3")
    assert not github_host(url).is_hosted


@pytest.mark.parametrize("url", ["https://octo.ghe.com", "https://api.octo.ghe.com/"])
def test_a_companys_github_has_its_api_beside_it(url: str) -> None:
    assert github_host(url) == GitHubHost(web="https://octo.ghe.com", api="https://api.octo.ghe.com")
    assert github_host(url).is_hosted


@pytest.mark.parametrize("url", ["http://127.0.0.1:4711", "http://localhost:4711/", "http://[::1]:4711"])
def test_plain_http_is_for_this_machine_alone(url: str) -> None:
    assert github_host(url).api == f"{url.rstrip('/')}/api/v3"
    with pytest.raises(ConfigError, match=r"'http://ghes\.example' is no address of a GitHub; write https://host"):
        github_host("http://ghes.example")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://ghes.example",
        "https://",
        "https://ghes example",
        "https://ghes.example?x=1",
        "https://ghes.example#x",
        "https://[::",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="is no address of a GitHub"):
        github_host(url)


def test_credentials_in_an_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as refused:
        github_host("https://me:secret@ghes.example")
    assert "secret" not in str(refused.value)
    assert str(refused.value) == "'https://***@ghes.example' is no address of a GitHub; write https://host, without credentials"
