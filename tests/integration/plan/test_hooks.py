"""The rendered hooks with real bash in real repositories: what they commit, what they leave, when they send the agent back."""

import json
import os
import subprocess
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.plan.samples import EVERYBODY, MINIMAL, full_run

from coderun.plan.plan import plan
from coderun.plan.settings import CheckNote

BACK = 2


class World:
    """A clone with an `origin`, on the branch of a task, as the runner leaves it to an agent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = folder / "tree"
        self.state = folder / "run" / "hook-state"
        self.result = folder / "run" / "result.json"
        (folder / "run").mkdir()
        self.checks: tuple[CheckNote, ...] = ()
        self.git("init", "-q", "--bare", "-b", "main", str(folder / "origin.git"), cwd=folder)
        self.git("clone", "-q", str(folder / "origin.git"), str(self.tree), cwd=folder)
        self.write("README.md", "# Shop\n")
        self.git("add", "README.md")
        self.git("commit", "-q", "-m", "Begin")
        self.git("push", "-q", "origin", "HEAD:main")
        self.git("switch", "-q", "-c", "feature/task-7-implementation")
        self.origin = self.refs()

    @property
    def environment(self) -> dict[str, str]:
        identity = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        return {
            **identity,
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "CODERUN_ORDER": str(self.folder / "run" / "order.json"),
            "CODERUN_RESULT": str(self.result),
            "CODERUN_FORGE_TOKEN_FILE": "/token",
        }

    def git(self, *words: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            ["git", *words], cwd=cwd or self.tree, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout.strip()

    def refs(self) -> str:
        return self.git("for-each-ref", cwd=self.folder / "origin.git")

    def write(self, name: str, text: str) -> None:
        path = self.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def commit(self, name: str, text: str = "x\n") -> None:
        self.write(name, text)
        self.git("add", "--force", "--", name)
        self.git("commit", "-q", "-m", f"Write {len(name)} characters")

    def run(self, hook: str, *arguments: str, agent: str = "rex", event: Any = None) -> tuple[int, str]:
        """Exit code of the hook and what it tells the agent."""
        settings = replace(MINIMAL, checks=self.checks)
        made = plan(full_run(agent, base_branch="main", stage="work"), EVERYBODY, settings, attempt=1)
        path = self.folder / "run" / f"hooks-{hook}.sh"
        fresh = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        fresh.write_text(made.files[path.name])
        fresh.replace(path)
        done = subprocess.run(
            ["bash", str(path), *arguments],
            cwd=self.tree,
            env=self.environment,
            input=json.dumps(event or {"hook_event_name": "Stop"}),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert self.refs() == self.origin, "a hook has pushed"
        return done.returncode, done.stderr

    def committed(self) -> list[str]:
        """Files that the branch has changed."""
        return self.git("diff", "--name-only", "origin/main", "HEAD").splitlines()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_clean_tree_is_left_alone(world: World) -> None:
    head = world.git("rev-parse", "HEAD")
    assert world.run("stop-commit") == (0, "")
    assert world.git("rev-parse", "HEAD") == head


def test_the_agent_is_asked_once_to_commit_and_then_it_is_done_for_it(world: World) -> None:
    world.write("src/new.py", "x = 1\n")
    world.write("README.md", "# Better shop\n")
    world.write(".env", "TOKEN=1\n")
    world.write("node_modules/left/pad.js", "x")
    code, said = world.run("stop-commit")
    assert code == BACK
    assert "  src/new.py" in said
    assert "must not be committed" in said
    assert world.committed() == []
    assert world.run("stop-commit")[0] == 0
    assert world.committed() == ["README.md", "src/new.py"]
    assert world.git("log", "-1", "--format=%s") == "Keep what was left of task 7"
    assert world.git("status", "--porcelain").splitlines() == ["?? .env", "?? node_modules/"]


@pytest.mark.parametrize(
    "path", [".env", "deploy/.env.production", "key.pem", "id_ed25519", "a/.aws/credentials", ".venv/x", "a/__pycache__/m.pyc"]
)
def test_private_files_are_never_committed_even_where_the_agent_staged_them(world: World, path: str) -> None:
    world.write(path, "secret")
    world.write("work.txt", "work")
    world.git("add", "--force", "--", path)
    for _ in range(3):
        world.run("stop-commit")
    assert world.committed() == ["work.txt"]


def test_a_private_file_that_the_repository_has_already_is_its_own_decision(world: World) -> None:
    world.commit(".npmrc", "registry=a\n")
    world.write(".npmrc", "registry=b\n")
    world.run("stop-commit")
    world.run("stop-commit")
    assert world.git("show", "HEAD:.npmrc") == "registry=b"


def test_large_files_and_repositories_inside_are_left_out(world: World) -> None:
    world.write("large.bin", "x" * 5_000_001)
    world.git("init", "-q", str(world.tree / "inner"))
    world.write("inner/file", "x")
    world.write("work.txt", "work")
    world.run("stop-commit")
    world.run("stop-commit")
    assert world.committed() == ["work.txt"]


def test_names_of_every_kind_are_committed_as_they_are_and_run_nothing(world: World) -> None:
    names = ["$(touch PWNED)", "-x", "a b'\"", "line\nbreak", "*", ":(top)x", "`touch PWNED`", "ä"]
    for name in names:
        world.write(name, "x")
    world.run("stop-commit")
    world.run("stop-commit")
    listed = world.git("-c", "core.quotePath=false", "ls-tree", "-z", "--name-only", "HEAD").split("\0")
    assert set(names) <= set(listed)
    assert not (world.tree / "PWNED").exists()


def test_deleted_and_renamed_files_are_committed_too(world: World) -> None:
    world.commit("old.txt", "text\n" * 20)
    world.git("mv", "old.txt", "new.txt")
    (world.tree / "README.md").unlink()
    world.run("stop-commit")
    world.run("stop-commit")
    assert world.git("ls-files").splitlines() == ["new.txt"]
    assert world.git("status", "--porcelain") == ""


def test_a_merge_under_way_is_the_agents_to_finish(world: World) -> None:
    world.commit("README.md", "# One\n")
    world.git("switch", "-q", "-c", "other", "origin/main")
    world.commit("README.md", "# Two\n")
    world.git("switch", "-q", "-")
    subprocess.run(["git", "merge", "-q", "other"], cwd=world.tree, env=world.environment, capture_output=True, check=False)
    head = world.git("rev-parse", "HEAD")
    assert world.run("stop-commit") == (0, "")
    assert world.git("rev-parse", "HEAD") == head


def test_hooks_of_the_repository_are_not_run(world: World) -> None:
    hook = world.tree / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch HOOKED\nexit 1\n")
    hook.chmod(0o755)
    world.write("work.txt", "work")
    world.run("stop-commit")
    world.run("stop-commit")
    assert world.committed() == ["work.txt"]
    assert not (world.tree / "HOOKED").exists()


@pytest.mark.lesson(48)
def test_hooks_that_run_side_by_side_take_turns_and_keep_their_state_in_files(world: World) -> None:
    world.write("work.txt", "work")
    with ThreadPoolExecutor(6) as pool:
        codes = [code for code, _ in pool.map(lambda _: world.run("stop-commit"), range(6))]
    assert sorted(codes) == [0, 0, 0, 0, 0, BACK]
    assert world.git("rev-list", "--count", "origin/main..HEAD") == "1"
    assert (world.state / "hooks-stop-commit.sh.times").read_text() == "1"
    assert (world.state / "stop-commit.head").read_text().strip() == world.git("rev-parse", "HEAD")


def test_without_a_place_for_its_state_a_hook_does_nothing(world: World) -> None:
    world.write("work.txt", "work")
    made = plan(full_run("rex", base_branch="main"), EVERYBODY, MINIMAL, attempt=1)
    environment = {name: value for name, value in world.environment.items() if not name.startswith("CODERUN_")}
    done = subprocess.run(
        ["bash", "-c", made.files["hooks-stop-commit.sh"]],
        cwd=world.tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "it does nothing" in done.stderr) == (0, True)
    assert world.committed() == []


def check(*command: str, required: bool = True, timeout: float = 60) -> CheckNote:
    return CheckNote(name="unit tests", command=command, required=required, timeout=timeout)


def test_a_red_check_sends_the_agent_back_with_the_end_of_its_output_at_most_three_times(world: World) -> None:
    world.checks = (check("sh", "-c", "echo the reason; exit 1"),)
    for _ in range(3):
        code, said = world.run("early-test")
        assert code == BACK
        assert "Check unit tests is red" in said
        assert "the reason" in said
    assert world.run("early-test")[0] == 0


def test_green_checks_run_once_for_each_state_of_the_worktree(world: World) -> None:
    world.checks = (check("sh", "-c", 'echo x >>"$0"', str(world.folder / "ran")),)
    ran = world.folder / "ran"
    assert world.run("early-test") == (0, "")
    assert world.run("early-test") == (0, "")
    assert ran.read_text() == "x\n"
    world.write("new.txt", "1")
    world.run("early-test")
    world.write("new.txt", "2")
    world.run("early-test")
    world.run("early-test")
    assert ran.read_text() == "x\n" * 3


def test_checks_that_are_not_required_and_runs_without_checks_send_nobody_back(world: World) -> None:
    world.checks = (check("false", required=False),)
    assert world.run("early-test")[0] == 0
    world.checks = ()
    assert world.run("early-test")[0] == 0


def test_a_check_gets_its_words_as_they_are_no_token_and_no_endless_time(world: World) -> None:
    words = ("$(touch PWNED)", "-x", "a 'b'", "")
    world.checks = (check("sh", "-c", 'printf "[%s]" "$@" "$CODERUN_FORGE_TOKEN_FILE"; exit 1', "sh", *words),)
    assert "[$(touch PWNED)][-x][a 'b'][][]" in world.run("early-test")[1]
    assert not (world.tree / "PWNED").exists()
    world.checks = (check("sleep", "50", timeout=1),)
    assert world.run("early-test")[0] == BACK


@pytest.mark.parametrize(
    ("prepare", "back", "said"),
    [
        (lambda w: None, True, "The branch holds no change yet"),
        (lambda w: w.commit(".coderun/tasks/task-7.json", "{}"), True, "The branch holds no change yet"),
        (lambda w: w.commit("src/a.py"), False, ""),
        (lambda w: w.commit(".env", "A=1"), True, "  .env looks private"),
        (lambda w: w.commit("big.bin", "x" * 5_000_001), True, "  big.bin is larger than 5 MB"),
        (lambda w: w.commit("a.txt", "<<<<<<< HEAD\na\n=======\nb\n>>>>>>> other\n"), True, "conflict markers were committed"),
        (lambda w: w.commit("a.txt", "blank at the end \n\n\n"), False, ""),
        (lambda w: w.result.write_text('{"verdict": "blocked", "summary": "x"}'), False, ""),
    ],
    ids=["nothing", "marker only", "work", "secret", "large", "conflict", "whitespace", "blocked"],
)
def test_what_would_become_the_pull_request_is_looked_at(
    world: World, prepare: Callable[[World], object], back: bool, said: str
) -> None:
    prepare(world)
    code, told = world.run("stop-code-pr-creation")
    assert (code, said in told) == (BACK if back else 0, True)
    assert world.run("stop-code-pr-creation")[0] == 0, "it sends back once only"


def test_a_run_that_opens_no_pull_request_is_not_asked_for_one(world: World) -> None:
    assert world.run("stop-code-pr-creation", agent="cleo") == (0, "")


@pytest.mark.parametrize(
    ("agent", "text", "said"),
    [
        ("rex", None, "Your result is missing"),
        ("rex", "", "Your result is missing"),
        ("rex", "{", "It is no JSON: JSONDecodeError."),
        ("rex", "[]", "It is no JSON object."),
        ("rex", '{"verdict": "approve", "summary": "x"}', "Its verdict is none that this stage knows."),
        ("rex", '{"verdict": "done", "summary": " "}', "Its summary is empty."),
        ("rex", '{"verdict": "done", "summary": "x", "comments": "y"}', "Its comments are no list of texts."),
        ("rex", '{"verdict": "done", "summary": "x"}', ""),
        ("tess", '{"verdict": "done", "summary": "x"}', "with one of the verdicts: approve request-changes blocked"),
        ("tess", '{"verdict": "request-changes", "summary": "x", "comments": []}', "asks for changes without a comment"),
        ("tess", '{"verdict": "request-changes", "summary": "x", "comments": ["y"]}', ""),
        ("tess", '{"verdict": "approve", "summary": "$(touch PWNED)"}', ""),
    ],
)
def test_the_result_is_looked_at_before_it_is_handed_over(world: World, agent: str, text: str | None, said: str) -> None:
    if text is not None:
        world.result.write_text(text)
    code, told = world.run("stop-pr-creation", agent=agent)
    assert (code, said in told) == (BACK if said else 0, True)
    assert world.run("stop-pr-creation", agent=agent)[0] == 0, "it sends back once only"
    assert not (world.tree / "PWNED").exists()


DOCS = ".taskmaster/docs/task-7"


def saved(world: World, path: str) -> int:
    event = {"hook_event_name": "PostToolUse", "tool_name": "Write", "tool_input": {"file_path": str(world.tree / path)}}
    return world.run("after-file-saved", agent="morgan", event=event)[0]


def test_the_documents_of_a_task_are_committed_once_all_three_are_there(world: World) -> None:
    for name in ("task.md", "prompt.md"):
        world.write(f"{DOCS}/{name}", "text\n")
        assert saved(world, f"{DOCS}/{name}") == 0
    world.write("other.txt", "not ours")
    assert world.committed() == []
    world.write(f"{DOCS}/acceptance-criteria.md", "text\n")
    assert saved(world, f"{DOCS}/acceptance-criteria.md") == 0
    assert world.committed() == [f"{DOCS}/acceptance-criteria.md", f"{DOCS}/prompt.md", f"{DOCS}/task.md"]
    assert world.git("log", "-1", "--format=%s") == "Write the documents of task-7"
    assert world.git("status", "--porcelain") == "?? other.txt"
    head = world.git("rev-parse", "HEAD")
    saved(world, f"{DOCS}/task.md")
    assert world.git("rev-parse", "HEAD") == head
    assert (world.state / "after-file-saved.commits").read_text() == f"{head} {DOCS}\n"


@pytest.mark.parametrize(
    "path",
    ["README.md", f"{DOCS}/notes.md", ".taskmaster/docs/task-x/task.md", "../outside/task.md", "", "$(touch PWNED)/task.md"],
)
def test_other_files_commit_nothing_and_never_fail_the_agent(world: World, path: str) -> None:
    for name in ("task.md", "prompt.md", "acceptance-criteria.md"):
        world.write(f"{DOCS}/{name}", "text\n")
    assert saved(world, path) == 0
    assert world.run("after-file-saved", path, agent="morgan")[0] == 0
    assert world.committed() == []


def test_a_link_in_place_of_a_document_is_not_committed(world: World) -> None:
    for name in ("task.md", "prompt.md"):
        world.write(f"{DOCS}/{name}", "text\n")
    (world.tree / DOCS / "acceptance-criteria.md").symlink_to("/etc/passwd")
    assert saved(world, f"{DOCS}/task.md") == 0
    assert world.committed() == []


@pytest.mark.parametrize("event", [None, [], {"tool_input": 3}, {"tool_input": {"file_path": ["x"]}}])
def test_an_event_that_is_not_understood_is_passed_over(world: World, event: Any) -> None:
    assert world.run("after-file-saved", agent="morgan", event=event)[0] == 0
