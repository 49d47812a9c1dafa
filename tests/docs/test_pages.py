"""Whatever the pages show is true: links lead somewhere, examples are read by what reads them, excerpts are drawn like that."""

import json
import re
import time
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer.main
from rich.console import Console
from tests.docs.pages import ALL_BLOCKS, PAGES, ROOT, Block, blocks, marked, prose, read, slug

from coderun.agent.result import read_result
from coderun.app.configuration import packaged_roster, packaged_text, parse_pipeline
from coderun.app.explain import explain
from coderun.app.tasks import read_tasks
from coderun.cli.live import draw
from coderun.cli.main import app
from coderun.cli.why import lines_of
from coderun.model.coderun import CodeRun, CodeRunSpec, PullRequestRef
from coderun.model.config import Config, parse_config
from coderun.model.deliveries import Delivery
from coderun.model.meta import ObjectMeta
from coderun.model.play import HistoryEntry, Play, PlayPhase, PlaySpec, PlayStatus, Waiting
from coderun.model.roster import Agent
from coderun.model.task import TaskText
from coderun.model.yaml import decode, load
from coderun.pipeline.definition import Pipeline
from coderun.plan.tools import ANNOTATION_TOOLS, tools_of

LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
INLINE = re.compile(r"`([^`\n]+)`")
GROUP: Any = typer.main.get_command(app)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_within_the_repository_leads_somewhere(page: str) -> None:
    for target in (found["target"] for found in LINK.finditer(prose(page))):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / page).parent / file if file else ROOT / page
        assert path.exists(), f"{page} links to {target}"
        if anchor:
            headings = {slug(line.lstrip("# ")) for line in path.read_text("utf-8").splitlines() if line.startswith("#")}
            assert anchor in headings, f"{page} links to {target}"


def test_every_page_for_users_is_linked_from_the_readme_or_a_page_it_links() -> None:
    targets = {found["target"].rpartition("/")[2] for page in PAGES for found in LINK.finditer(read(page))}
    lonely = [page for page in PAGES if page.startswith("docs/") and "decisions" not in page and Path(page).name not in targets]
    assert lonely == []


def read_config(text: str, folder: Path) -> None:
    parse_config(text, packaged=packaged_roster())


def read_agent(text: str, folder: Path) -> None:
    indented = "".join(f"    {line}\n" for line in text.splitlines())
    read_config(f"agents:\n  mine:\n    role: testing\n{indented}", folder)


def read_pipeline(text: str, folder: Path) -> None:
    assert parse_pipeline(text, name="pipeline.yaml", config=Config(), roster=packaged_roster()).stages


def read_task_list(text: str, folder: Path) -> None:
    (folder / "tasks.json").write_text(text, encoding="utf-8")
    assert read_tasks(folder)


def read_tools(text: str, folder: Path) -> None:
    spec = CodeRunSpec(task_id=1, service="shop", repository_url="/s")
    run = CodeRun(metadata=ObjectMeta(name="r", annotations={ANNOTATION_TOOLS: text}), spec=spec)
    assert tools_of(run, Agent(name="rex")).remote


def read_agents_result(text: str, folder: Path) -> None:
    path = folder / "result.json"
    path.write_text(text, encoding="utf-8")
    assert read_result(path) is not None


READERS: dict[tuple[str, str, str], Callable[[str, Path], None]] = {
    ("docs/github.md", "yaml", "In a few steps"): read_config,
    ("docs/github.md", "yaml", "GitHub Enterprise Server"): read_config,
    ("docs/pipelines.md", "yaml", "Pipelines"): read_pipeline,
    ("docs/tasks.md", "json", "Tasks"): read_task_list,
    ("docs/templates.md", "json", "Tools"): read_tools,
    ("docs/agents.md", "json", "The `command` contract"): read_agents_result,
    ("docs/agents.md", "yaml", "The `command` contract"): read_agent,
    ("docs/agents.md", "yaml", "The `claude` adapter"): read_agent,
}
ELSEWHERE = {
    "docs/handlebars.md": "tests/docs/test_handlebars_docs.py",
    "docs/kubernetes.md": "tests/docs/test_kubernetes_page.py",
    "docs/pods.md": "tests/docs/test_pods_page.py",
}
DATA = [block for block in ALL_BLOCKS if block.language in {"yaml", "json", "toml"} and block.page not in ELSEWHERE]


@pytest.mark.parametrize("block", DATA, ids=lambda block: f"{block.page}:{block.line}")
def test_every_example_is_read_by_what_reads_it_for_real(block: Block, tmp_path: Path) -> None:
    reader = READERS.get((block.page, block.language, block.heading))
    assert reader is not None, f"no reader is named for {block.page}:{block.line}"
    reader(block.text, tmp_path)


def test_pages_whose_examples_are_tested_elsewhere_have_that_test() -> None:
    assert [test for page, test in ELSEWHERE.items() if not (ROOT / test).exists() or page not in read(test)] == []


@pytest.mark.parametrize("language", sorted({block.language for block in ALL_BLOCKS}))
def test_every_block_is_of_a_kind_that_some_test_looks_at(language: str) -> None:
    known = {"console", "yaml", "json", "toml", "python", "text", "", "sh", "handlebars", "hbs", "dockerfile"}
    assert language in known


def words_of(command: str) -> list[str]:
    return re.sub(r"\"[^\"]*\"|'[^']*'|…", "X", command).split()


def mentions(text: str) -> Iterator[str]:
    for found in INLINE.finditer(text):
        if found[1].startswith("coderun ") and not found[1].startswith(("coderun agent", "coderun COMMAND")):
            yield found[1]


def problem_of(command: str) -> str:
    """What is wrong with a command as it is written, "" where nothing is; what it is piped into is another program's."""
    words = words_of(command.partition(" | ")[0])[1:]
    group, at = GROUP, 0
    while at < len(words) and hasattr(group, "commands") and not words[at].startswith("-"):
        for name in words[at].split("|"):
            if name not in group.commands:
                return f"there is no {name}"
        group, at = group.commands[words[at].split("|")[0]], at + 1
    options = {option for parameter in group.params for option in (*parameter.opts, *parameter.secondary_opts)}
    options |= {"--help", "--install-completion", "--show-completion"}
    unknown = [word for word in words[at:] if word.startswith("-") and word != "-" and word.partition("=")[0] not in options]
    return f"there is no {', '.join(unknown)}" if unknown else ""


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_a_page_mentions_exists_with_its_options(page: str) -> None:
    wrong = {each: problem for each in mentions(prose(page)) if (problem := problem_of(each))}
    assert wrong == {}


def test_every_command_that_a_message_of_the_program_advises_exists_with_its_options() -> None:
    wrong: dict[str, str] = {}
    for path in (ROOT / "src").rglob("*.py"):
        if "demo" not in path.parts:
            text = re.sub(r"\{[^{}]*\}", "X", path.read_text(encoding="utf-8"))
            wrong |= {f"{path.name}: {each}": problem for each in mentions(text) if (problem := problem_of(each))}
    assert wrong == {}


def test_the_version_is_one_and_the_same() -> None:
    import coderun  # noqa: PLC0415 - only here

    assert tomllib.loads(read("pyproject.toml"))["project"]["version"] == coderun.__version__


AT = datetime(2026, 3, 4, 20, 7, 2, tzinfo=UTC)
PIPELINES = {"play": decode(load(packaged_text("pipelines/play.yaml"), name="play.yaml"), Pipeline)}


def play(number: int, title: str, *, stage: str, waiting: Waiting, pull: int = 0, iteration: int = 2, **more: Any) -> Play:
    status = PlayStatus(
        phase=more.pop("phase", PlayPhase.RUNNING),
        stage=stage,
        iteration=iteration,
        waiting=waiting,
        pull_request=PullRequestRef(number=pull) if pull else None,
        history=more.pop("history", ()),
    )
    name = f"play-{more.pop('slug', 'shop')}-{number}"
    return Play(
        metadata=ObjectMeta(name=name),
        spec=PlaySpec(task_id=number, repository_url="/s", task=TaskText(title=title)),
        status=status,
    )


def history_of(task: int, lines: list[str]) -> tuple[HistoryEntry, ...]:
    """The decisions of one task among those shown in an excerpt."""
    rows = [re.fullmatch(r"(\d\d):(\d\d):(\d\d) task (\d+) (\w+): (.*)", line) for line in lines]
    return tuple(
        HistoryEntry(at=AT.replace(hour=int(row[1]), minute=int(row[2]), second=int(row[3])), reason=row[5], message=row[6])
        for row in rows
        if row is not None and int(row[4]) == task
    )


def wait(message: str, seconds: int) -> Waiting:
    return Waiting(kind="run", message=message, since=AT - timedelta(seconds=seconds))


@pytest.fixture
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine's clock shows UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_utc")
def test_the_live_view_in_the_readme_is_what_is_drawn() -> None:
    excerpt = marked("README.md", "excerpt: live").text
    decisions = excerpt.rstrip("\n").rpartition("\n\n")[2].splitlines()
    plays = [
        play(
            1,
            "Discounts on the cart",
            stage="testing",
            pull=1,
            waiting=wait("tess works on testing (iteration 2, attempt 1)", 4),
            history=history_of(1, decisions),
        ),
        play(2, "Print a receipt", stage="", iteration=1, waiting=wait("task 1 must be merged first", 20)),
        play(
            3,
            "Read prices from text",
            stage="quality",
            pull=2,
            waiting=wait("cleo works on quality (iteration 2, attempt 1)", 1),
            history=history_of(3, decisions),
        ),
    ]
    console = Console(width=100, height=24, color_system=None)
    with console.capture() as capture:
        console.print(draw(plays, PIPELINES, AT, console))
    assert [line.rstrip() for line in capture.get().splitlines()] == excerpt.splitlines()


def test_the_answer_of_why_in_the_readme_has_the_rows_of_a_real_one() -> None:
    shown = marked("README.md", "excerpt: why").text.splitlines()
    waiting = Waiting(kind="person", message="m", reason="R", would_move="w", since=AT)
    entry = HistoryEntry(at=AT, reason="StagePassed", message="m")
    waits = play(
        3, "t", stage="merge", iteration=1, waiting=waiting, phase=PlayPhase.WAITING, slug="my-project", history=(entry,)
    )
    event = Delivery(id="local-000000000009", event="e", repository="/s", received_at=AT, outcome="hint for play-my-project-3")
    real = lines_of(explain(waits, [], [event], controller="pid 4711", now=AT))
    assert shown[0] == real[0]
    assert [line.partition(":")[0] for line in shown[1:]] == [line.partition(":")[0] for line in real[1:]]
    assert [len(line) - len(line.partition(":")[2].lstrip()) for line in shown[1:]] == [15] * (len(shown) - 1)


def test_the_exit_codes_are_told_alike_everywhere() -> None:
    from coderun.cli.terminal import Exit  # noqa: PLC0415 - only here

    rows = dict(re.findall(r"^\| (\d+) \| (\w+)", read("docs/commands.md"), re.MULTILINE))
    assert set(map(int, rows)) == {code.value for code in Exit}
    for place in (read("README.md"), str(app.info.epilog)):
        told = " ".join(place.split()).partition("Exit codes: ")[2]
        assert [int(code) for code in re.findall(r"(?:^|, )(\d+) ", told.partition(".")[0])] == sorted(map(int, rows))


def test_the_demo_result_json_of_the_contract_is_json() -> None:
    assert [json.loads(block.text) for block in blocks("docs/agents.md") if block.language == "json"]
