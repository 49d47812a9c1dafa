"""Runs and settings that the tests of templates share: small ones, full ones, and hostile ones."""

from typing import Any

from coderun.app.configuration import packaged_roster
from coderun.app.templates import packaged_templates
from coderun.model.coderun import Budget, CliConfig, CodeRun, CodeRunSpec, PullRequestRef
from coderun.model.gates import Gate, GateKind
from coderun.model.meta import ObjectMeta
from coderun.model.names import LABEL_PLAY
from coderun.model.roster import Agent, Roster
from coderun.model.task import TaskText
from coderun.plan.context import build_context
from coderun.plan.order import ForgeRef
from coderun.plan.plan import labels_of, order_of
from coderun.plan.settings import CheckNote, Permissions, RunSettings, Telemetry, ToolServer
from coderun.plan.subject import Subject, kind_of
from coderun.plan.templates import TemplateSet, TemplateText, template_set
from coderun.plan.tools import ANNOTATION_TOOLS, tools_of

ROSTER = packaged_roster()
GENERAL = Agent(name="zoe", role="", description="Does what there is to do")
EVERYBODY = Roster({**ROSTER.agents, "zoe": GENERAL})
PACKAGED = template_set(packaged_templates())
FORGE = ForgeRef(kind="local", location="/state/forge", repository="/state/forge/repo.git")

HOSTILE = "it's \"q\" $(touch PWNED) `touch PWNED` ${HOME} \\ ; touch PWNED & | > PWNED\n-x --help\n#\ntouch PWNED\n'"
MINIMAL = RunSettings(forge=FORGE, templates=PACKAGED)
FULL = RunSettings(
    forge=FORGE,
    templates=PACKAGED,
    permissions=Permissions(allow=("WebFetch", "Bash(make *)"), deny=("Bash(rm *)",)),
    telemetry=Telemetry(enabled=True, otlp_endpoint="http://collector:4317", logs_endpoint="http://collector:4318"),
    tool_server=ToolServer(url="http://tools:3000/mcp"),
    checks=(
        CheckNote(name="unit tests", command=("python3", "-m", "pytest", "-k", "a b")),
        CheckNote(name="spelling", command=("sh", "-c", 'echo "$HOME" && true'), required=False, timeout=30),
    ),
)
EVIDENCE = {
    "implementation": (Gate(kind=GateKind.PULL_REQUEST),),
    "quality": (Gate(kind=GateKind.LABEL, label="ready-for-qa"), Gate(kind=GateKind.CHECKS)),
    "testing": (Gate(kind=GateKind.REVIEW),),
}


def minimal_run(agent: str, **more: Any) -> CodeRun:
    """A run of which only what must be said is said."""
    spec = {"task_id": 7, "service": "shop", "repository_url": "acme/shop", "github_app": agent, **more}
    return CodeRun(metadata=ObjectMeta(name=f"run-7-{agent}"), spec=CodeRunSpec(**spec))


def full_run(agent: str, text: str = "Sell tea", **more: Any) -> CodeRun:
    """A run that says everything that can be said; `text` is wherever a stranger's text can be."""
    role = EVERYBODY.agents[agent].role
    spec: dict[str, Any] = {
        "task_id": 7,
        "service": "shop",
        "repository_url": text,
        "docs_repository_url": f"docs {text}",
        "docs_project_directory": text,
        "docs_branch": text,
        "working_directory": "apps/shop front",
        "github_app": agent,
        "model": text,
        "context_version": 3,
        "continue_session": True,
        "overwrite_memory": True,
        "prompt_modification": text,
        "stage": text,
        "base_branch": text,
        "pull_request": PullRequestRef(number=12, url=f"https://forge/12?{text}", head_sha="ab" * 20),
        "evidence": EVIDENCE.get(role, (Gate(kind=GateKind.RUN),)),
        "task": TaskText(title=text, description=text, details=text, test_strategy=text, files={f"{text}.md": text}),
        "context": {text: text},
        "budget": Budget(max_usd=2.5, max_turns=100),
        "timeout": 900,
        "cli_config": CliConfig(cli_type="claude", model=text),
        **more,
    }
    annotations = {
        ANNOTATION_TOOLS: '{"localServers": {"git": {"enabled": true}, "notes": {"command": "notes", "args": [], "tools": []}}}'
    }
    metadata = ObjectMeta(name=f"run-7-{agent}", labels={LABEL_PLAY: "play-shop-7"}, annotations=annotations)
    return CodeRun(metadata=metadata, spec=CodeRunSpec(**spec))


def subject_of(run: CodeRun, settings: RunSettings = MINIMAL, *, attempt: int = 1) -> Subject:
    agent, order = order_of(run, EVERYBODY, settings, attempt=attempt)
    kind = kind_of(agent)
    return Subject(
        run=run,
        agent=agent,
        order=order,
        settings=settings,
        tools=tools_of(run, agent),
        kind=kind,
        hooks=settings.templates.hooks(agent.name, kind),
        labels=labels_of(run, agent),
    )


def context_of(run: CodeRun, settings: RunSettings = MINIMAL, *, attempt: int = 1) -> dict[str, Any]:
    return build_context(subject_of(run, settings, attempt=attempt))


def with_users(texts: dict[str, str]) -> TemplateSet:
    """The packaged templates with a user's, by key, over them."""
    own = tuple(
        TemplateText(key=key, text=text, origin=f".coderun/templates/{key}.hbs", is_users=True) for key, text in texts.items()
    )
    return template_set((*packaged_templates(), *own))
