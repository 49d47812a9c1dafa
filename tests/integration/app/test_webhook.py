"""What the webhook door is set up with: the secrets there are, now."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from coderun.app.github_keys import AppKeys, keys_folder, write_app
from coderun.app.webhook import DoorSettings, Secrets, door_settings, read_secret
from coderun.model.config import Config, ForgeSettings, ForgeType, WebhookSettings
from coderun.model.errors import ConfigError
from coderun.model.github import github_host

PEM = b"-----BEGIN RSA PRIVATE KEY-----\nx\n-----END RSA PRIVATE KEY-----\n"
ON_GITHUB = ForgeSettings(type=ForgeType.GITHUB)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def settings(
    folder: Path,
    config: Config,
    *,
    environ: Mapping[str, str] = {},
    host: str = "",
    port: int | None = None,
    secret_files: tuple[Path, ...] = (),
) -> DoorSettings | None:
    return door_settings(
        config, root=folder, environ=environ, home=folder / "home", host=host, port=port, secret_files=secret_files
    )


def test_no_door_is_opened_unasked(tmp_path: Path) -> None:
    assert settings(tmp_path, Config()) is None


def test_what_is_typed_goes_before_what_is_configured(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("first\n")
    (tmp_path / "two").write_text("second\n")
    config = Config(webhook=WebhookSettings(port=80, secret_files=("one", "two")))
    configured = settings(tmp_path, config)
    assert configured is not None
    assert (configured.host, configured.port, tuple(configured.secrets())) == ("127.0.0.1", 80, ("first", "second"))
    typed = settings(tmp_path, config, host="::1", port=0, secret_files=(tmp_path / "two",))
    assert typed is not None
    assert (typed.host, typed.port, tuple(typed.secrets())) == ("::1", 0, ("second",))


def test_the_secrets_of_the_apps_on_this_machine_count_on_github(tmp_path: Path) -> None:
    folder = keys_folder(github_host(), environ={}, home=tmp_path / "home")
    write_app(folder, AppKeys(agent="rex", app_id="1", pem=PEM, webhook_secrets=("new", "old")))
    found = settings(tmp_path, Config(forge=ON_GITHUB), port=0)
    assert found is not None
    assert tuple(found.secrets()) == ("new", "old")
    with pytest.raises(ConfigError, match="the webhook door needs a secret"):
        settings(tmp_path, Config(), port=0)


def test_a_secret_that_is_replaced_counts_within_a_second(tmp_path: Path) -> None:
    path, clock = tmp_path / "secret", Clock()
    path.write_text("old")
    secrets = Secrets(lambda: [read_secret(path)], lambda: [path], monotonic=clock)
    (tmp_path / "new").write_text("new")
    os.replace(tmp_path / "new", path)  # noqa: PTH105 - as tools that mount secrets do
    assert tuple(secrets()) == ("old",)
    clock.now = 1.0
    assert tuple(secrets()) == ("new",)


@pytest.mark.parametrize("broken", ["", "two\nlines", None])
def test_a_secret_that_cannot_be_read_any_more_leaves_the_one_of_before(tmp_path: Path, broken: str | None) -> None:
    path, clock = tmp_path / "secret", Clock()
    path.write_text("old")
    secrets = Secrets(lambda: [read_secret(path)], lambda: [path], monotonic=clock)
    path.unlink()
    if broken is not None:
        path.write_text(broken)
    clock.now = 5.0
    assert tuple(secrets()) == ("old",)
    path.write_text("and new")
    clock.now = 10.0
    assert tuple(secrets()) == ("and new",)


def test_secrets_that_are_gone_leave_those_of_before(tmp_path: Path) -> None:
    there, clock = ["a"], Clock()
    path = tmp_path / "x"
    secrets = Secrets(lambda: there, lambda: [path], monotonic=clock)
    there.clear()
    path.touch()
    clock.now = 2.0
    assert tuple(secrets()) == ("a",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must hold one line"),
        (b" \n", "must hold one line"),
        (b"a\nb", "must hold one line"),
        (b"x" * 70_000, "must hold one line"),
        (b"\xff\xfe", "is no text"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_what_is_no_secret_is_refused_without_being_shown(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_secret(path)


def test_a_secret_is_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="is no regular file"):
        read_secret(tmp_path / "pipe")
