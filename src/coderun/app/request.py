"""What a person asks for on the command line, turned into Plays and CodeRuns."""

import shlex
import shutil
from pathlib import Path

import msgspec

from coderun.app.submit import (
    PlayOptions,
    Submitted,
    Wishes,
    choose,
    choose_next,
    make_play,
    submit,
)
from coderun.app.system import Workplace
from coderun.app.tasks import read_tasks, task_from_argument, with_files
from coderun.model.coderun import Budget, CliConfig, CliType, CodeRun, CodeRunSpec, PullRequestRef
from coderun.model.errors import AlreadyExistsError, ConfigError, NotFoundError
from coderun.model.gates import Gate, GateKind
from coderun.model.meta import ObjectMeta
from coderun.model.names import LABEL_AGENT, LABEL_SERVICE, LABEL_STAGE, LABEL_TASK, shorten
from coderun.model.play import Play, PlayPhase
from coderun.model.pulls import PullState
from coderun.model.repository import canonical, parse_repository
from coderun.model.roster import Agent
from coderun.model.task import Task, find_task, order_tasks, parse_task_list, waiting_for

FIRST_OWN_ID = 9001


class PlayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `coderun play`, as typed. Exactly one of text, task, tasks, next_task and all_tasks says what to play."""

    text: str = ""
    task: int | None = None
    tasks: str = ""
    next_task: bool = False
    all_tasks: bool = False
    agent_command: str = ""
    auto_merge: bool | None = None
    max_iterations: int | None = None
    ignore_dependencies: bool = False


async def request_plays(system: Workplace, request: PlayRequest) -> list[Submitted]:
    """Create the Plays that are asked for.

    Raises:
        ConfigError: the request, the tasks or the agents' programs are wrong; nothing was created then.
    """
    _check_request(request)
    done, under_way = await _known(system)
    cli = _command_cli(system, request.agent_command)
    options = _options(system, request, cli)
    wishes = Wishes(auto_merge=request.auto_merge, max_iterations=request.max_iterations, cli_config=cli)
    if request.text:
        plays = [make_play(await _own_task(system, request.text), options, {}, done)]
    else:
        plays = await _plays_of_tasks(system, request, options, done, under_way)
    if cli is None:
        system.check_agents()
    return await submit(system.store, plays, wishes)


async def _plays_of_tasks(
    system: Workplace, request: PlayRequest, options: PlayOptions, done: frozenset[int], under_way: frozenset[int]
) -> list[Play]:
    """The Plays of the tasks that are asked for, none of them stored. Raises `ConfigError`."""
    tasks = _read(system)
    known = {task.id: task for task in tasks}
    if request.all_tasks:
        chosen = order_tasks(tasks, done=done)
    elif request.next_task:
        chosen = [choose_next(tasks, done=done, under_way=under_way)]
    else:
        ids = [request.task] if request.task is not None else parse_task_list(request.tasks)
        played = frozenset(play.spec.task_id for play in await system.store.find(Play))
        if request.ignore_dependencies:
            chosen = [find_task(known, task_id) for task_id in ids]
        else:
            chosen = choose(tasks, ids, done=done, played=played)
    if not chosen:
        raise ConfigError(f"there is nothing to play: {waiting_for(tasks, done=done)}")
    file = system.configuration.config.tasks.file or None
    return [make_play(with_files(system.repository, task, file=file), options, known, done) for task in chosen]


async def request_run(system: Workplace, *, agent: str, task: int | None, text: str, agent_command: str) -> str:
    """Create one CodeRun outside a play; its name.

    Raises:
        ConfigError: the agent or task is not known, or no program is there to run.
    """
    roster = system.configuration.roster
    chosen = roster.named(agent)
    if chosen is None:
        raise ConfigError(f"there is no agent {agent!r} in the roster (known: {', '.join(sorted(roster.agents))})")
    if (task is None) == (not text):
        raise ConfigError("say what to run: either --task N, or a Markdown file or a sentence")
    cli = _command_cli(system, agent_command)
    if task is not None:
        wanted = with_files(
            system.repository,
            find_task({each.id: each for each in _read(system)}, task),
            file=system.configuration.config.tasks.file or None,
        )
    else:
        wanted = await _own_task(system, text)
    if cli is None:
        system.check_agents(only=chosen)
    return await _create_run(system, chosen, wanted, cli)


def command_cli(agent_command: str, *, cwd: Path, path: str) -> CliConfig | None:
    """The CLI that `--agent-command` stands for, None where it was not given.

    Agents work in worktrees of their own, so words that name a file here (the program, a script) are made absolute. `path` is
    where programs are looked for.

    Raises:
        ConfigError: it cannot be split into words, or there is no such program.
    """
    if not agent_command:
        return None
    words = _words(agent_command)
    found = [str(cwd / word) if _is_file_here(cwd, word) and (at or "/" in word) else word for at, word in enumerate(words)]
    if shutil.which(found[0], path=path) is None:
        where = f"{found[0]} is not there, or may not be executed" if "/" in found[0] else f"{found[0]!r} is not on the PATH"
        raise ConfigError(f"--agent-command: {where}; name a program that can be run (see docs/agents.md)")
    return CliConfig(cli_type=CliType.COMMAND.value, settings={"command": found})


def _command_cli(system: Workplace, agent_command: str) -> CliConfig | None:
    if system.runs_here or not agent_command:
        return command_cli(agent_command, cwd=system.cwd, path=system.environment.get("PATH", ""))
    # It is a program of the agent's image, and its words mean files there.
    return CliConfig(cli_type=CliType.COMMAND.value, settings={"command": _words(agent_command)})


def _words(agent_command: str) -> list[str]:
    try:
        words = shlex.split(agent_command)
    except ValueError as error:
        raise ConfigError(f"--agent-command {agent_command!r} cannot be split into words: {error}") from error
    if not words:
        raise ConfigError("--agent-command is empty; name a program and its arguments")
    return words


def _is_file_here(cwd: Path, word: str) -> bool:
    try:
        return bool(word) and not word.startswith("/") and (cwd / word).is_file()
    except (OSError, ValueError):
        return False


def _check_request(request: PlayRequest) -> None:
    said = [
        name
        for name, given in (
            ("a task text", bool(request.text)),
            ("--task", request.task is not None),
            ("--tasks", bool(request.tasks)),
            ("--next", request.next_task),
            ("--all", request.all_tasks),
        )
        if given
    ]
    if not said:
        raise ConfigError(
            'say what to play: --task N, --tasks 1-5,8, --next, --all, a Markdown file, or a sentence ("Fix the typo")'
        )
    if len(said) > 1:
        raise ConfigError(f"{' and '.join(said)} exclude each other; give one of them")


def _options(system: Workplace, request: PlayRequest, cli: CliConfig | None) -> PlayOptions:
    config = system.configuration.config
    merging = config.play.auto_merge if request.auto_merge is None else request.auto_merge
    budgets = config.budgets
    limited = budgets.per_run_usd is not None or budgets.per_run_turns is not None
    return PlayOptions(
        repository=system.hosting.repository,
        service=system.service,
        base_branch=system.base_branch,
        pipeline=system.configuration.pipeline.name,
        agents=dict(config.roles),
        auto_merge=merging,
        max_iterations=config.play.max_iterations if request.max_iterations is None else request.max_iterations,
        budget=Budget(max_usd=budgets.per_run_usd, max_turns=budgets.per_run_turns) if limited else None,
        cli_config=cli,
        ignore_dependencies=request.ignore_dependencies,
    )


def _read(system: Workplace) -> list[Task]:
    settings = system.configuration.config.tasks
    return read_tasks(system.repository, file=settings.file or None, tag=settings.tag or None)


async def _known(system: Workplace) -> tuple[frozenset[int], frozenset[int]]:
    """Task ids that are done (in the store, or derived from merged pull requests), and those under way."""
    plays = await system.store.find(Play)
    done = {play.spec.task_id for play in plays if play.is_finished and play.status.phase.value == "Succeeded"}
    done |= await system.hosting.merged_tasks(system.base_branch)
    under_way = {play.spec.task_id for play in plays if not play.is_finished}
    return frozenset(done - under_way), frozenset(under_way)


async def _own_task(system: Workplace, text: str) -> Task:
    """A task of a text of its own; the same text has the same number every time.

    A number that a pull request carries is another's: somebody else may play texts in the same repository.
    """
    task = task_from_argument(text, cwd=system.cwd, task_id=FIRST_OWN_ID)
    plays = await system.store.find(Play)
    same = next((p.spec.task_id for p in plays if p.spec.task_id >= FIRST_OWN_ID and p.spec.task == task.text), None)
    if same is not None:
        return task_from_argument(text, cwd=system.cwd, task_id=same)
    free = max([FIRST_OWN_ID, *(p.spec.task_id + 1 for p in plays)])
    if system.runs_here:
        forge = await system.hosting.open()
        while await forge.find_pull_requests(free):
            free += 1
    return task_from_argument(text, cwd=system.cwd, task_id=free)


async def _pull_here(system: Workplace, task: Task) -> PullRequestRef | None:
    """The open pull request of a task, asked of its forge."""
    forge = await system.hosting.open()
    pulls = [pull for pull in await forge.find_pull_requests(task.id) if pull.state is PullState.OPEN]
    return PullRequestRef(number=pulls[0].number, url=pulls[0].url, head_sha=pulls[0].head_sha) if pulls else None


async def _pull_of_a_play(system: Workplace, task: Task) -> PullRequestRef | None:
    """The pull request of a task as its play has it: whose keys are in a cluster asks no forge."""
    repository = parse_repository(system.hosting.repository)
    for play in await system.store.find(Play):
        same = play.spec.task_id == task.id and canonical(play.spec.repository_url, repository.host) == str(repository)
        if same and play.status.phase is not PlayPhase.SUCCEEDED and play.status.pull_request is not None:
            return play.status.pull_request
    return None


async def _create_run(system: Workplace, agent: Agent, task: Task, cli: CliConfig | None) -> str:
    stage = next((s for s in system.configuration.pipeline.stages if s.role and s.role == agent.role), None)
    evidence = tuple(g for g in stage.asked if g.kind is not GateKind.MERGED) if stage else (Gate(kind=GateKind.RUN),)
    needs_pull = any(gate.kind in {GateKind.LABEL, GateKind.REVIEW, GateKind.CHECKS} for gate in evidence)
    ref = await (_pull_here(system, task) if system.runs_here else _pull_of_a_play(system, task))
    if needs_pull and ref is None:
        raise NotFoundError(
            f"agent {agent.name} works on a pull request, and none of task {task.id} is "
            + ("open" if system.runs_here else f"known{system.where}; `coderun play` makes one")
        )
    number = 1
    while True:
        name = shorten(f"run-{system.service}-{task.id}-{agent.name}-{number}")
        run = CodeRun(
            metadata=ObjectMeta(
                name=name,
                labels={
                    LABEL_TASK: str(task.id),
                    LABEL_SERVICE: system.service,
                    LABEL_AGENT: agent.name,
                    LABEL_STAGE: stage.name if stage else "",
                },
            ),
            spec=CodeRunSpec(
                task_id=task.id,
                service=system.service,
                repository_url=system.hosting.repository,
                docs_repository_url=system.hosting.repository,
                github_app=agent.github_app or agent.name,
                stage=stage.name if stage else "",
                base_branch=system.base_branch,
                pull_request=ref,
                evidence=evidence,
                task=task.text,
                cli_config=cli,
                continue_session=number > 1,
            ),
        )
        try:
            await system.store.create(run)
        except AlreadyExistsError:
            number += 1
        else:
            return name
