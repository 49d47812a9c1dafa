"""Template folders on disk: what is read, and what is refused with its name."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from coderun.app.configuration import read_configuration
from coderun.app.templates import packaged_templates, read_folder, user_templates
from coderun.model.errors import ConfigError

OWN = ".coderun/templates"
NOBODY = 65534


def put(repository: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text)


def test_the_packaged_set_has_what_every_agent_needs() -> None:
    keys = {text.key for text in packaged_templates()}
    assert {f"agents/{name}-system-prompt.md" for name in ("rex", "blaze", "cleo", "tess", "morgan")} <= keys
    assert {"agents/system-prompt.md", "code/container.sh", "docs/hooks/after-file-saved.sh", "docs/tool-catalog.md"} <= keys
    assert not any(text.is_users for text in packaged_templates())


def test_without_a_folder_there_are_no_templates_of_the_user(tmp_path: Path) -> None:
    assert user_templates(tmp_path) == ()


def test_the_default_folder_is_read_in_both_forms_and_hidden_and_other_files_are_passed_over(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            f"{OWN}/code/claude.md.hbs": "a",
            f"{OWN}/code_hooks_x.sh.hbs": "b",
            f"{OWN}/README.md": "no template",
            f"{OWN}/.git/code/x.hbs": "hidden",
            f"{OWN}/code/.x.hbs": "hidden",
        },
    )
    found = user_templates(tmp_path)
    assert {text.key: (text.text, text.origin, text.is_users) for text in found} == {
        "code/claude.md": ("a", f"{OWN}/code/claude.md.hbs", True),
        "code/hooks/x.sh": ("b", f"{OWN}/code_hooks_x.sh.hbs", True),
    }


def test_the_folder_that_the_configuration_names_is_read(tmp_path: Path) -> None:
    put(tmp_path, {"coderun.yaml": "templates: team/prompts\n", "team/prompts/code/claude.md.hbs": "ours"})
    (text,) = read_configuration(tmp_path).templates
    assert (text.key, text.text) == ("code/claude.md", "ours")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({f"{OWN}/claude.md.hbs": ""}, f"{OWN}/claude.md.hbs: is no template of a run; put it in agents/, code/,"),
        ({f"{OWN}/code/a/b.hbs/c.hbs": ""}, "is no template of a run"),
        (
            {f"{OWN}/code/claude.md.hbs": "", f"{OWN}/code_claude.md.hbs": ""},
            f"{OWN}/code_claude.md.hbs: stands for the same template as {OWN}/code/claude.md.hbs; keep one of them",
        ),
        ({f"{OWN}/code/claude.md.hbs": "a\0b"}, f"{OWN}/code/claude.md.hbs: is a binary file"),
        ({f"{OWN}/code/claude.md.hbs": "x" * ((1 << 20) + 1)}, "is larger than the 1048576 bytes a template may have"),
        ({OWN: "a file"}, f"template folder {OWN}: is no folder"),
        ({"coderun.yaml": "templates: nope\n"}, "template folder nope (templates in coderun.yaml): is not there; make it"),
        ({f"{OWN}/code/t{n}.hbs": "" for n in range(501)}, f"template folder {OWN}: holds more than 500 templates"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused_with_its_name(tmp_path: Path, files: dict[str, str], message: str) -> None:
    put(tmp_path, files)
    with pytest.raises(ConfigError) as refused:
        read_configuration(tmp_path)
    assert message in str(refused.value)


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path: Path) -> None:
    put(tmp_path, {f"{OWN}/code/x": ""})
    (tmp_path / OWN / "code" / "claude.md.hbs").write_bytes(b"a\nb\xff\n")
    with pytest.raises(ConfigError, match=r"code/claude\.md\.hbs:2: holds bytes that are no UTF-8"):
        user_templates(tmp_path)


@pytest.mark.parametrize("what", ["folder", "file", "nowhere"])
def test_links_that_lead_outside_the_repository_are_refused(tmp_path: Path, what: str) -> None:
    repository, outside = tmp_path / "project", tmp_path / "outside"
    put(outside, {"code/claude.md.hbs": "secret"})
    (repository / ".coderun").mkdir(parents=True)
    if what == "file":
        (repository / OWN / "code").mkdir(parents=True)
        (repository / OWN / "code" / "claude.md.hbs").symlink_to(outside / "code" / "claude.md.hbs")
    else:
        (repository / OWN).symlink_to(outside if what == "folder" else tmp_path / "gone")
    with pytest.raises(ConfigError, match="leads outside the repository" if what != "nowhere" else "leads nowhere"):
        user_templates(repository)


def test_a_link_inside_the_repository_is_followed(tmp_path: Path) -> None:
    put(tmp_path, {"prompts/code/claude.md.hbs": "ours"})
    (tmp_path / ".coderun").mkdir()
    (tmp_path / OWN).symlink_to(tmp_path / "prompts")
    assert [text.text for text in user_templates(tmp_path)] == ["ours"]


@pytest.fixture
def as_anyone() -> Iterator[Path]:
    """A folder of an ordinary user, who this process is meanwhile: root would read everything."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:  # pytest's own folders are closed to others
        if os.geteuid() != 0:
            yield Path(made)
            return
        os.chown(made, NOBODY, -1)
        os.seteuid(NOBODY)
        try:
            yield Path(made)
        finally:
            os.seteuid(0)


def test_a_folder_that_cannot_be_read_is_refused(as_anyone: Path) -> None:
    put(as_anyone, {f"{OWN}/code/claude.md.hbs": "x"})
    (as_anyone / OWN / "code").chmod(0)
    try:
        with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
            user_templates(as_anyone)
    finally:
        (as_anyone / OWN / "code").chmod(0o700)


def test_a_fifo_in_place_of_a_template_never_blocks(tmp_path: Path) -> None:
    put(tmp_path, {f"{OWN}/code/x": ""})
    os.mkfifo(tmp_path / OWN / "code" / "claude.md.hbs")
    with pytest.raises(ConfigError, match="is no regular file"):
        user_templates(tmp_path)


def test_a_folder_elsewhere_can_be_named_by_a_person(tmp_path: Path) -> None:
    put(tmp_path, {"theirs/docs_prompt.md.hbs": "x"})
    assert [text.key for text in read_folder(tmp_path / "theirs", root=tmp_path / "theirs")] == ["docs/prompt.md"]
