"""Tasks as they lie on disk."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from coderun.app.tasks import read_tasks, task_from_argument, task_from_file, with_files
from coderun.model.errors import ConfigError


def put(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def one(title: str) -> list[dict[str, Any]]:
    return [{"id": 1, "title": title}]


def test_the_first_list_that_is_there_is_read(tmp_path: Path) -> None:
    for name in ("tasks.json", ".taskmaster/tasks.json", ".taskmaster/tasks/tasks.json"):
        put(tmp_path / name, one(name))
        (task,) = read_tasks(tmp_path)
        assert (task.text.title, task.source) == (name, f"{name}:1")


def test_without_a_list_it_is_said_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_tasks(tmp_path)
    assert "looked for .taskmaster/tasks/tasks.json, .taskmaster/tasks.json, tasks.json; write one" in str(caught.value)
    assert "or give a sentence or a Markdown file as the task" in str(caught.value)


def test_a_list_of_another_name_is_read_where_it_is_named(tmp_path: Path) -> None:
    put(tmp_path / "repo/plan/list.json", one("A"))
    outside = put(tmp_path / "elsewhere.json", one("B"))
    assert read_tasks(tmp_path / "repo", file="plan/list.json")[0].text.title == "A"
    assert read_tasks(tmp_path / "repo", file=outside)[0].text.title == "B"
    with pytest.raises(ConfigError, match=r"^plan/lst\.json: .*\(files like it there: list\.json\); correct tasks\.file in"):
        read_tasks(tmp_path / "repo", file="plan/lst.json")


def test_the_current_tag_of_task_master_is_followed(tmp_path: Path) -> None:
    put(tmp_path / ".taskmaster/tasks/tasks.json", {"master": {"tasks": one("M")}, "b": {"tasks": one("B")}})
    assert read_tasks(tmp_path)[0].text.title == "M"
    put(tmp_path / ".taskmaster/state.json", {"currentTag": "b"})
    assert read_tasks(tmp_path)[0].text.title == "B"
    assert read_tasks(tmp_path, tag="master")[0].text.title == "M"


def test_malformed_json_is_reported_with_file_line_and_column(tmp_path: Path) -> None:
    put(tmp_path / "tasks.json", '{"tasks": [\n  {"id": 1 "title": "x"}\n]}')
    with pytest.raises(ConfigError, match=r"^tasks\.json:2:12: not valid JSON: Expecting ',' delimiter; correct it there$"):
        read_tasks(tmp_path)


def test_the_docs_of_a_task_are_read_with_it(tmp_path: Path) -> None:
    put(tmp_path / ".taskmaster/tasks/tasks.json", one("A"))
    docs = tmp_path / ".taskmaster/docs"
    for name in ("task.md", "prompt.md", "acceptance-criteria.md", "task.txt"):
        put(docs / "task-1" / name, f"text of {name} \x1b[0m ü\x0c")
    put(docs / "task-2/task.md", "of another task")
    put(docs / "architecture.md", "the architecture")
    (docs / "task-1/picture.png").write_bytes(b"\x89PNG\x00\x01")
    (docs / "task-1/latin.txt").write_bytes(b"caf\xe9")
    (docs / "task-1/folder").mkdir()
    task = with_files(tmp_path, read_tasks(tmp_path)[0])
    assert sorted(task.text.files) == [
        "acceptance-criteria.md", "architecture.md", "latin.txt", "prompt.md", "task.md", "task.txt",
    ]  # fmt: skip
    assert task.text.files["task.md"] == "text of task.md \x1b[0m ü\x0c"
    assert task.text.files["latin.txt"] == "caf\ufffd"


def test_a_task_without_docs_is_given_back_as_it_is(tmp_path: Path) -> None:
    put(tmp_path / "tasks.json", one("A"))
    task = read_tasks(tmp_path)[0]
    assert with_files(tmp_path, task) is task


def test_docs_lie_beside_the_list_they_belong_to(tmp_path: Path) -> None:
    put(tmp_path / "sub/.taskmaster/tasks/tasks.json", one("A"))
    put(tmp_path / "sub/.taskmaster/docs/task-1/task.md", "inner")
    file = "sub/.taskmaster/tasks/tasks.json"
    assert with_files(tmp_path, read_tasks(tmp_path, file=file)[0], file=file).text.files == {"task.md": "inner"}


def test_large_docs_are_cut_with_a_note(tmp_path: Path) -> None:
    put(tmp_path / "tasks.json", one("A"))
    for number in range(6):
        put(tmp_path / f".taskmaster/docs/task-1/{number}.md", "x" * ((1 << 20) + 5))
    files = with_files(tmp_path, read_tasks(tmp_path)[0]).text.files
    assert files["0.md"].endswith(f"[cut here: {1 << 20} of {(1 << 20) + 5} bytes are shown]\n")
    assert "NOTE.txt" in files
    assert sum(map(len, files.values())) < (4 << 20) + 1000


@pytest.mark.parametrize("target", ["../secret.md", ".git/config"])
def test_a_link_that_leads_outside_is_refused(tmp_path: Path, target: str) -> None:
    repository = tmp_path / "repo"
    put(tmp_path / "secret.md", "secret")
    put(repository / ".git/config", "token")
    put(repository / "tasks.json", one("A"))
    link = repository / ".taskmaster/docs/task-1/task.md"
    link.parent.mkdir(parents=True)
    link.symlink_to(repository / target)
    with pytest.raises(ConfigError, match=r"task-1/task\.md: leads outside the repository, to .*; put the file itself there"):
        with_files(repository, read_tasks(repository)[0])
    (repository / "tasks.json").unlink()
    (repository / "tasks.json").symlink_to(repository / target)
    with pytest.raises(ConfigError, match=r"^tasks\.json: leads outside the repository"):
        read_tasks(repository)


def test_a_link_inside_the_repository_is_followed(tmp_path: Path) -> None:
    put(tmp_path / "tasks.json", one("A"))
    put(tmp_path / "docs/spec.md", "spec")
    folder = tmp_path / ".taskmaster/docs/task-1"
    folder.mkdir(parents=True)
    (folder / "task.md").symlink_to("../../../docs/spec.md")
    assert with_files(tmp_path, read_tasks(tmp_path)[0]).text.files == {"task.md": "spec"}


def test_what_is_no_regular_file_never_blocks(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "tasks.json")
    with pytest.raises(ConfigError, match=r"^tasks\.json: is no regular file; name a text file$"):
        read_tasks(tmp_path)
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(ConfigError, match=r"^folder\.json: is no regular file"):
        read_tasks(tmp_path, file="folder.json")
    (tmp_path / "binary.json").write_bytes(b"\x00\x01")
    with pytest.raises(ConfigError, match=r"^binary\.json: is a binary file; name the list of tasks"):
        read_tasks(tmp_path, file="binary.json")
    (tmp_path / "loop.json").symlink_to("loop.json")
    with pytest.raises(ConfigError, match=r"^loop\.json: cannot be read"):
        read_tasks(tmp_path, file="loop.json")


def test_a_markdown_file_is_a_task(tmp_path: Path) -> None:
    path = put(tmp_path / "idea.md", "# Say goodbye\n\nPolitely.\n")
    task = task_from_file(path, task_id=4)
    assert (task.id, task.text.title, task.text.description) == (4, "Say goodbye", "# Say goodbye\n\nPolitely.")
    put(path, " \n")
    with pytest.raises(ConfigError, match=r"idea\.md: the task has no text"):
        task_from_file(path, task_id=4)


LONG_WORD = "x" * 10_000
"""Longer than a file's name may be."""


def test_an_argument_is_a_file_or_a_sentence(tmp_path: Path) -> None:
    put(tmp_path / "idea.md", "# From the file\n")
    put(tmp_path / "my idea.md", "# From the other\n")
    put(tmp_path / "tasks.json", one("A"))
    (tmp_path / "notes").mkdir()
    titles = {
        text: task_from_argument(text, cwd=tmp_path, task_id=1).text.title
        for text in ("idea.md", "my idea.md", "Correct README.md", "Write idea.md\nand more", "word", LONG_WORD)
    }
    assert titles == {
        "idea.md": "From the file",
        "my idea.md": "From the other",
        "Correct README.md": "Correct README.md",
        "Write idea.md\nand more": "Write idea.md",
        "word": "word",
        LONG_WORD: f"{LONG_WORD[:119]}…",
    }
    for word, kind in {".": "a folder", "notes/": "a folder", "tasks.json": r"no \.md or \.markdown or \.txt file"}.items():
        with pytest.raises(ConfigError, match=rf"^{re.escape(word)}: is {kind}; name a Markdown file, say the task"):
            task_from_argument(word, cwd=tmp_path, task_id=1)
    with pytest.raises(ConfigError, match=r"absent\.md: there is no such file \(files like it there: idea\.md, my idea\.md\)"):
        task_from_argument("absent.md", cwd=tmp_path, task_id=1)
