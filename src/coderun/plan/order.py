"""The order of a run: all that `coderun agent` is told, as one file.

It holds no secret. Tokens travel in a file of their own that only the runner reads.
"""

from typing import Final

import msgspec

from coderun.model.coderun import Budget, CliConfig, PullRequestRef, SecretEnvVar, Shape
from coderun.model.gates import Gate
from coderun.model.task import TaskText

LOCAL: Final = "local"
GITHUB: Final = "github"


class ForgeRef(Shape, frozen=True, kw_only=True):
    """Where the forge of a run is.

    Attributes:
        kind: `local` or `github`.
        location: Folder of the local forge, or the API's base URL.
        repository: What git clones: the local bare repository's path, or an https URL without credentials.
        web: Base of GitHub's pages and of its git URLs, "" for the local forge.
        trusted: Logins of Apps that may write, those of all agents; on GitHub nobody else tells of them.
    """

    kind: str
    location: str
    repository: str
    web: str = ""
    trusted: tuple[str, ...] = ()


class AgentIdentity(Shape, frozen=True, kw_only=True):
    """Who the agent is, on the forge and in commits.

    Attributes:
        may_push: Whether its token lets it push; what it leaves in the worktree is put aside where not.
    """

    name: str
    login: str
    email: str
    role: str = ""
    may_push: bool = True


class Limits(Shape, frozen=True, kw_only=True):
    """Time limits in seconds.

    Attributes:
        timeout: Wall clock of the whole attempt.
        grace: From the polite stop to the kill.
        checks_wait: How long the runner waits for the checks of a commit it pushed.
        checks_grace: How long no check at all is taken for "still to come" where the forge cannot tell.
        poll: From one look at the forge to the next where nobody tells of news.
    """

    timeout: float = 7200.0
    grace: float = 20.0
    checks_wait: float = 1800.0
    checks_grace: float = 60.0
    poll: float = 1.0


class RunOrder(Shape, frozen=True, kw_only=True):
    """The file `order.json` of a run folder: what to do, as whom, on what, and what must be seen on the forge afterwards.

    Attributes:
        evidence: What the forge must show for success; from it follow the runner's duties: `pull-request` = push and open it,
            `label` = set it once the checks of the head have passed, `checks` = wait for them, `review` = post the review the
            verdict asks for, `run` = nothing but the agent's success.
        prompt: What the agent CLI is told in this run.
        system_prompt: What is added to the CLI's system prompt.
        context: Untrusted texts for the agent on why it runs (again), by title; written to files, quoted in the prompt.
        env: Further environment for the agent (no secrets).
        branch: Head branch to work on.
    """

    coderun: str
    job: str
    attempt: int
    play: str = ""
    stage: str
    iteration: int = 1
    agent: AgentIdentity
    cli: CliConfig = CliConfig()
    model: str = ""
    system_prompt: str = ""
    prompt: str = ""
    service: str
    workspace: str
    task_id: int
    task: TaskText
    context: dict[str, str] = {}
    forge: ForgeRef
    base_branch: str
    branch: str
    pull_request: PullRequestRef | None = None
    working_directory: str = "."
    evidence: tuple[Gate, ...] = ()
    continue_session: bool = False
    session_id: str = ""
    overwrite_memory: bool = False
    budget: Budget | None = None
    limits: Limits = Limits()
    env: dict[str, str] = {}


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """The stored object that a run belongs to: what is made for the run goes when it goes."""

    api_version: str
    kind: str
    name: str
    uid: str
    namespace: str


class PodNeeds(msgspec.Struct, frozen=True, kw_only=True):
    """What only a pod can give a run; a runtime of processes passes over it.

    Attributes:
        secret_env: Variables read from keys of Secrets; a name is there once, and not in the order's `env`.
        secret_sets: Secrets every key of which becomes a variable, weaker than all others.
        service_account: The account that the roster grants the agent, "" for none: no token is mounted then.
        docker: Whether a Docker daemon of its own runs beside the agent.
    """

    secret_env: tuple[SecretEnvVar, ...] = ()
    secret_sets: tuple[str, ...] = ()
    service_account: str = ""
    docker: bool = False


class RunPlan(msgspec.Struct, frozen=True, kw_only=True):
    """All that a runtime makes of a run.

    Attributes:
        files: Further files of the run folder by relative name (rendered templates).
        token: Forge token of this run; never written anywhere but to the token file.
        labels: For every object made for this run.
        owner: The CodeRun; None where it is not stored (yet).
    """

    order: RunOrder
    files: dict[str, str] = {}
    token: str = ""
    labels: dict[str, str] = {}
    owner: Owner | None = None
    needs: PodNeeds = PodNeeds()

    @property
    def job(self) -> str:
        """Name of the job."""
        return self.order.job

    @property
    def workspace(self) -> str:
        """Name of the workspace."""
        return self.order.workspace
