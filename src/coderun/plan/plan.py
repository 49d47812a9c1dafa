"""`plan(run, roster, settings)`: from a CodeRun to everything a runtime has to make of it. No I/O.

A spec that can never run is `InvalidCodeRunError` with the field's name; nothing else goes wrong here.
"""

from msgspec.structs import replace

from coderun.model.coderun import CodeRun
from coderun.model.errors import InvalidCodeRunError
from coderun.model.gates import Gate, GateKind
from coderun.model.names import (
    LABEL_AGENT,
    LABEL_CODERUN,
    LABEL_PLAY,
    LABEL_SERVICE,
    LABEL_STAGE,
    LABEL_TASK,
    LABEL_WORKFLOW,
    is_dns_label,
    job_name,
    label_value,
    shorten,
    task_branch,
    workspace_name,
)
from coderun.model.roster import Agent, Roster
from coderun.model.task import TaskText
from coderun.plan.context import build_context
from coderun.plan.needs import Needed, needed_by
from coderun.plan.order import GITHUB, AgentIdentity, ForgeRef, Limits, Owner, RunOrder, RunPlan
from coderun.plan.prompt import prompt_for
from coderun.plan.settings import RunSettings
from coderun.plan.subject import Subject, kind_of
from coderun.plan.templates import Rendered, problem_text
from coderun.plan.tools import tools_of

MAX_TASK_ID = 999_999_999


def plan(run: CodeRun, roster: Roster, settings: RunSettings, *, attempt: int) -> RunPlan:
    """The plan of one attempt of a run. The token is not in it; the reconciler adds it.

    Raises:
        InvalidCodeRunError: the spec can never run; the message names the field, or the template with line and column.
    """
    agent, order = order_of(run, roster, settings, attempt=attempt)
    rendered = render_files(run, agent, order, settings)
    if rendered.problems:
        raise InvalidCodeRunError(f"CodeRun {run.name!r} cannot be prepared: {problem_text(rendered.problems)}")
    told = replace(
        order,
        system_prompt=agent.system_prompt if rendered.system_prompt is None else rendered.system_prompt,
        prompt=order.prompt if rendered.prompt is None else rendered.prompt,
    )
    return RunPlan(
        order=told,
        files=rendered.files,
        labels=labels_of(run, agent),
        owner=owner_of(run),
        needs=needed_by(run, agent).pod,
    )


def owner_of(run: CodeRun) -> Owner | None:
    """The CodeRun as the owner of what is made for it; None where it was never stored."""
    meta = run.metadata
    if not meta.uid:
        return None
    return Owner(api_version=run.api_version, kind=run.kind, name=meta.name, uid=meta.uid, namespace=meta.namespace)


def order_of(run: CodeRun, roster: Roster, settings: RunSettings, *, attempt: int) -> tuple[Agent, RunOrder]:
    """The agent of a run and its order, as far as no template has a part in it. Raises `InvalidCodeRunError`."""
    agent = roster.of_app(run.spec.github_app, wanted_by=run.name)
    _check(run)
    needed: Needed = needed_by(run, agent)
    spec = run.spec
    job = job_name(spec.task_id, spec.service, run.name, attempt)
    play = run.metadata.labels.get(LABEL_PLAY, "")
    cli = spec.cli_config or agent.cli
    task = spec.task or TaskText(title=f"Task {spec.task_id}")
    evidence = spec.evidence or (Gate(kind=GateKind.RUN),)
    order = RunOrder(
        coderun=run.name,
        job=job,
        attempt=attempt,
        play=play,
        stage=spec.stage or agent.role or "run",
        iteration=spec.context_version,
        agent=AgentIdentity(
            name=agent.name,
            login=agent.login,
            email=agent.email,
            role=agent.role,
            may_push=_may_push(agent, evidence, settings.forge),
        ),
        cli=cli,
        model=spec.model or cli.model or agent.model,
        prompt=prompt_for(
            agent=agent,
            stage=spec.stage or agent.role or "run",
            task_id=spec.task_id,
            task=task,
            evidence=evidence,
            instructions=spec.prompt_modification,
            context=spec.context,
        ),
        service=spec.service,
        workspace=workspace_of(run, roster),
        task_id=spec.task_id,
        task=task,
        context=spec.context,
        forge=settings.forge_of(spec.repository_url, wanted_by=run.name),
        base_branch=spec.base_branch,
        branch=task_branch(spec.task_id),
        pull_request=spec.pull_request,
        working_directory=spec.working_directory or ".",
        evidence=evidence,
        continue_session=spec.continue_session,
        session_id=run.status.session_id,
        overwrite_memory=spec.overwrite_memory,
        budget=spec.budget,
        limits=_limits(run, settings.limits),
        env=needed.env,
    )
    return agent, order


def render_files(run: CodeRun, agent: Agent, order: RunOrder, settings: RunSettings) -> Rendered:
    """The files and prompts of a run from its templates, with all that is wrong with them.

    Raises:
        InvalidCodeRunError: its tools can never be put together.
    """
    kind = kind_of(agent)
    templates = settings.templates
    subject = Subject(
        run=run,
        agent=agent,
        order=order,
        settings=settings,
        tools=tools_of(run, agent),
        kind=kind,
        hooks=templates.hooks(agent.name, kind),
        labels=labels_of(run, agent),
    )
    return templates.render(templates.choices(agent.name, kind), build_context(subject))


def workspace_of(run: CodeRun, roster: Roster) -> str:
    """Name of the workspace a run works in. Raises `InvalidCodeRunError` for an unknown App."""
    return workspace_name(run.spec.service, roster.of_app(run.spec.github_app, wanted_by=run.name).name)


def labels_of(run: CodeRun, agent: Agent) -> dict[str, str]:
    """The labels of everything made for a run, those of the report among them."""
    labels = {
        LABEL_CODERUN: shorten(run.name),
        LABEL_TASK: str(run.spec.task_id),
        LABEL_SERVICE: run.spec.service,
        LABEL_AGENT: agent.name,
        LABEL_STAGE: label_value(run.spec.stage),
        LABEL_PLAY: label_value(run.metadata.labels.get(LABEL_PLAY, "")),
        "app.kubernetes.io/name": "coderun",
        "app.kubernetes.io/managed-by": "coderun",
        "app.kubernetes.io/part-of": "coderun",
        "task-id": str(run.spec.task_id),
        "service": run.spec.service,
        "github-app": agent.name,
        LABEL_WORKFLOW: label_value(run.metadata.labels.get(LABEL_WORKFLOW, "")),
    }
    return {key: value for key, value in labels.items() if value}


def _may_push(agent: Agent, evidence: tuple[Gate, ...], forge: ForgeRef) -> bool:
    """Whether the run's token lets its agent push: on GitHub not where all that the agent may do is review."""
    return forge.kind != GITHUB or agent.may_write or any(gate.kind is GateKind.PULL_REQUEST for gate in evidence)


def _check(run: CodeRun) -> None:
    spec = run.spec
    if not 1 <= spec.task_id <= MAX_TASK_ID:
        raise InvalidCodeRunError(
            f"CodeRun {run.name!r}: spec.taskId is {spec.task_id}; it must be between 1 and {MAX_TASK_ID}"
        )
    if not is_dns_label(spec.service):
        raise InvalidCodeRunError(
            f"CodeRun {run.name!r}: spec.service is {spec.service!r}; it must be lower-case letters, digits and '-', at most 63"
        )
    if spec.timeout is not None and spec.timeout < 1:
        raise InvalidCodeRunError(f"CodeRun {run.name!r}: spec.timeout is {spec.timeout}; it must be at least 1 second")
    parts = spec.working_directory.replace("\\", "/").split("/")
    if spec.working_directory.startswith("/") or ".." in parts:
        raise InvalidCodeRunError(
            f"CodeRun {run.name!r}: spec.workingDirectory is {spec.working_directory!r}; it must be inside the repository"
        )


def _limits(run: CodeRun, limits: Limits) -> Limits:
    return limits if run.spec.timeout is None else replace(limits, timeout=float(run.spec.timeout))
