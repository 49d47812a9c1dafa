"""Keys from mounted Secrets, as the kubelet lays them out: links into a folder that is swapped when a Secret changes."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from coderun.app.github_keys import AppKeys, PersonalAccess
from coderun.app.mounted_keys import mounted_credentials
from coderun.model.errors import ConfigError
from coderun.model.github import github_host

HOST = github_host()
PEM = "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\n"


def mount(folder: Path, files: Mapping[str, str], *, version: int = 1) -> None:
    """As the kubelet writes a Secret: files in a folder of its own, reached through a link that is replaced in one step."""
    content = folder / f"..{version}"
    content.mkdir(parents=True)
    for name, text in files.items():
        (content / name).write_text(text, encoding="utf-8")
        (content / name).chmod(0o440)
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(f"..data/{name}")
    fresh = folder / "..fresh"
    fresh.symlink_to(content.name)
    fresh.rename(folder / "..data")


def test_each_agents_app_is_read_and_a_changed_secret_is_seen(tmp_path: Path) -> None:
    mount(tmp_path / "rex", {"app-id": "1724452\n", "private-key": PEM, "client-id": "Iv1\n", "webhook-secret": "s3\n"})
    mount(tmp_path / "cleo", {"app-id": "Iv23li", "private-key": PEM})
    mount(tmp_path / ".person", {"token": "ghp_abc\n"})
    found = mounted_credentials(HOST, tmp_path)
    rex = AppKeys(agent="rex", app_id="1724452", pem=PEM.encode(), client_id="Iv1", webhook_secrets=("s3",))
    assert found.apps == {"cleo": AppKeys(agent="cleo", app_id="Iv23li", pem=PEM.encode()), "rex": rex}
    assert found.personal == PersonalAccess(token="ghp_abc", source=str(tmp_path / ".person" / "token"))
    assert (found.webhook_secrets, found.folder, found.host) == (("s3",), tmp_path, HOST)

    mount(tmp_path / "rex", {"app-id": "2", "private-key": PEM, "client-id": "", "webhook-secret": ""}, version=2)
    assert mounted_credentials(HOST, tmp_path).apps["rex"] == AppKeys(agent="rex", app_id="2", pem=PEM.encode())


def test_nothing_mounted_is_nothing_known(tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("x")
    for folder in (tmp_path, tmp_path / "not there"):
        found = mounted_credentials(HOST, folder)
        assert (found.apps, found.personal) == ({}, None)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"app-id": "1"}, "rex/private-key is missing or empty; the Secret of this agent's App needs the key 'private-key'"),
        ({"private-key": PEM}, "rex/app-id is missing or empty"),
        ({"app-id": "a b", "private-key": PEM}, "rex/app-id is neither an App's number nor its client id"),
        ({"app-id": "1", "private-key": "s3cret"}, "rex/private-key is no private key in PEM form"),
        ({"app-id": "1", "private-key": PEM + "x" * 70_000}, "rex/private-key is larger than 65536 bytes"),
    ],
)
def test_a_secret_that_is_wrong_is_named_and_never_shown(files: dict[str, str], said: str, tmp_path: Path) -> None:
    mount(tmp_path / "rex", files)
    with pytest.raises(ConfigError) as caught:
        mounted_credentials(HOST, tmp_path)
    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_personal_token_must_be_one_line(tmp_path: Path) -> None:
    mount(tmp_path / ".person", {"token": "two words"})
    with pytest.raises(ConfigError, match="holds no token") as caught:
        mounted_credentials(HOST, tmp_path)
    assert "two words" not in str(caught.value)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "rex" / "app-id").mkdir(parents=True)
    with pytest.raises(ConfigError, match="rex/app-id cannot be read: Is a directory"):
        mounted_credentials(HOST, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be read: Not a directory"):
        mounted_credentials(HOST, tmp_path / "file")
