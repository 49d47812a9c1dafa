import pytest
from hypothesis import given
from hypothesis import strategies as st

from coderun.model.errors import ConfigError
from coderun.model.repository import RepositoryId, canonical, default_service, parse_repository

ACME = RepositoryId(host="github.com", owner="acme", name="my.repo")


@pytest.mark.lesson(41)
@pytest.mark.parametrize(
    "text",
    [
        "acme/my.repo",
        "Acme/My.Repo",
        " acme/my.repo\n",
        "acme/my.repo.git",
        "acme/my.repo/",
        "github.com/acme/my.repo",
        "https://github.com/acme/my.repo",
        "HTTPS://GitHub.com/Acme/My.Repo.git/",
        "https://github.com/acme/my.repo.GIT",
        "http://github.com/acme/my.repo",
        "https://x-access-token:secret@github.com/acme/my.repo.git",
        "ssh://git@github.com/acme/my.repo.git",
        "ssh://git@github.com:22/acme/my.repo.git",
        "git://github.com/acme/my.repo.git",
        "git@github.com:acme/my.repo.git",
        "git@github.com:/acme/my.repo",
    ],
)
def test_one_repository_has_one_id_however_it_is_written(text: str) -> None:
    assert parse_repository(text) == ACME


@pytest.mark.lesson(41)
@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("/srv/code/Demo", "/srv/code/Demo"),
        ("/srv/code/Demo/", "/srv/code/Demo"),
        ("//srv//code/./Demo", "/srv/code/Demo"),
        ("file:///srv/code/Demo", "/srv/code/Demo"),
        ("file://localhost/srv/code/Demo", "/srv/code/Demo"),
        ("/srv/with space/$(x)", "/srv/with space/$(x)"),
        ("/", "/"),
    ],
)
def test_a_folder_is_known_by_its_absolute_path(text: str, name: str) -> None:
    found = parse_repository(text)
    assert found == RepositoryId(host="", owner="", name=name)
    assert found.is_local


def test_owner_and_name_alone_are_on_the_host_that_is_worked_with() -> None:
    assert parse_repository("Acme/shop", "GHE.example") == RepositoryId(host="ghe.example", owner="acme", name="shop")
    assert canonical("Acme/shop", "ghe.example") == canonical("https://ghe.example/acme/shop.git")
    assert canonical("git@github.com:acme/shop.git", "ghe.example") == "github.com/acme/shop"


def test_forges_on_other_hosts_are_other_repositories() -> None:
    assert parse_repository("https://ghe.example.org:8443/acme/my.repo") == RepositoryId(
        host="ghe.example.org", owner="acme", name="my.repo"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "acme",
        "./demo",
        "../demo",
        "demo/..",
        "acme/.",
        "acme/.git",
        "acme/my repo",
        "acme/my\nrepo",
        "acme/$(x)",
        "-acme/x",
        "https://github.com/acme",
        "https://github.com/acme/x/tree/main",
        "https://user@evil@github.com/acme/x",
        "https://-x/acme/x",
        "ftp://github.com/acme/x",
        "file://srv/demo",
        "github.com:acme/x",
        "acme/\N{KELVIN SIGN}it",
    ],
)
def test_what_is_no_repository_is_refused_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_repository(text)
    assert str(caught.value) == (
        f"repository {text!r} is not understood; write owner/name, https://host/owner/name, "
        "git@host:owner/name.git or an absolute path"
    ).replace("//user@evil@", "//***@")


@pytest.mark.parametrize("secret", ["tok3n", "u:tok3n", "u:tok3n/x", "u:tok3n@x"])
def test_an_address_that_is_refused_does_not_show_its_password(secret: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_repository(f"https://{secret}@github.com/acme")
    assert "tok3n" not in str(caught.value)


@pytest.mark.lesson(41)
@pytest.mark.parametrize("text", ["acme/my.repo", "https://ghe.example.org/a/b", "http://localhost:80/a/b", "/srv/code/Demo"])
def test_the_text_of_an_id_gives_that_id_again(text: str) -> None:
    found = parse_repository(text)
    assert parse_repository(str(found)) == found


def test_the_slug_is_for_names() -> None:
    assert ACME.slug == "acme-my.repo"
    assert str(ACME) == "github.com/acme/my.repo"
    assert parse_repository("/srv/code/Demo").slug == "Demo"


@given(st.text())
def test_any_text_is_a_repository_or_refused(text: str) -> None:
    try:
        found = parse_repository(text)
    except ConfigError:
        return
    assert parse_repository(str(found)) == found


@pytest.mark.parametrize(
    ("text", "id_"),
    [("Acme/Shop.git", "github.com/acme/shop"), ("/srv//shop/", "/srv/shop"), ("what is this?", "what is this?")],
)
def test_whatever_is_written_for_a_repository_has_a_text_to_compare(text: str, id_: str) -> None:
    assert canonical(text) == id_


@pytest.mark.parametrize(
    ("text", "service"),
    [
        ("https://github.com/Acme/My.Repo.git", "my-repo"),
        ("acme/shop", "shop"),
        ("/home/ada/Tea Shop", "tea-shop"),
        ("no repository", "no-repository"),
    ],
)
def test_what_is_played_in_a_repository_is_its_name_where_nobody_says_more(text: str, service: str) -> None:
    assert default_service(text) == service
