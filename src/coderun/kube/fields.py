"""What the custom resource definitions say of each field beyond its type: words for people, limits, who may change it.

`kube.schema` lays this over the schemas made from the structs. In a spec that people write there are limits, so that a bad
object is refused with a message that names the field. In a status (`kube.crd` takes them out there) and in deliveries there are
none but types and enums: a write of the controller must never be refused.
Where a regular expression would be the message, a CEL rule says in words what to write.
"""

from typing import Any, Final

from coderun.kube.schema import ANYTHING, WHOLE, Schema, Words
from coderun.model.coderun import (
    Budget,
    CliConfig,
    CliType,
    CodeRunSpec,
    CodeRunStatus,
    PullRequestRef,
    RunOutcome,
    RunPhase,
    SecretEnvVar,
    Usage,
)
from coderun.model.deliveries import DeliveryHint, DeliverySpec, DeliveryStatus
from coderun.model.docsrun import DocsRunPhase, DocsRunSpec, DocsRunStatus
from coderun.model.gates import Gate
from coderun.model.meta import Condition
from coderun.model.play import (
    Approval,
    HistoryEntry,
    PassedGate,
    PlayCommand,
    PlayRun,
    PlaySpec,
    PlayStatus,
    Waiting,
)
from coderun.model.task import TaskText

MAX_TASK: Final = 999_999_999
DNS_LABEL: Final = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
OTHER_CLIS: Final = ("cursor", "factory", "gemini", "grok", "openhands", "qwen")
"""CLIs that the existing system knows and we have no adapter for: accepted here, refused by a condition that says so."""

_REPOSITORY = r"^\S*/\S+$"
_REPOSITORY_OR_NOTHING = r"^(\S*/\S+)?$"
_REPOSITORY_FORMS = "owner/name, https://host/owner/name, git@host:owner/name.git or an absolute path"
_BASE64 = r"^[A-Za-z0-9+/\\s]*={0,2}\\s*$"


def _say(description: str, **more: Any) -> Schema:
    return {"description": description, **more}


def _rule(rule: str, message: str, **more: str) -> Schema:
    return {"rule": rule, "message": message, **more}


def _fixed(kind: str, field: str) -> list[Schema]:
    return [_rule("self == oldSelf", f"{field} cannot be changed; create another {kind}")]


def _set_once(kind: str, field: str) -> Schema:
    """For an optional field: it may be filled in later, then it stays."""
    kept = f"has(self.{field}) && self.{field} == oldSelf.{field}"
    return _rule(
        f"!has(oldSelf.{field}) || oldSelf.{field} == '' || ({kept})",
        f"{field} cannot be changed once it is set; create another {kind}",
        fieldPath=f".{field}",
    )


def _inside(field: str) -> list[Schema]:
    return [
        _rule(
            r"!self.startsWith('/') && !self.matches('(^|/)\\.\\.(/|$)')",
            f"{field} must lead to a folder inside the repository: a relative path without '..'",
        )
    ]


def _task_id(kind: str) -> Schema:
    return _say(
        "Id of the task in its repository's task list.",
        minimum=1,
        maximum=MAX_TASK,
        **{"x-kubernetes-validations": _fixed(kind, "taskId")},
    )


def _repository(kind: str, what: str) -> Schema:
    return _say(
        f"{what}: {_REPOSITORY_FORMS}.",
        maxLength=2048,
        pattern=_REPOSITORY,
        **{"x-kubernetes-validations": _fixed(kind, "repositoryUrl")},
    )


_ATOMIC: Schema = {"x-kubernetes-map-type": "atomic"}
_CONDITIONS = _say(
    "Standard conditions, one of each type.",
    **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
)
_OBSERVED = _say("The metadata.generation that this status is about.")
_LEGACY = "Of the existing system; kept, and read by nobody."
_LEGACY_TEXT: Schema = {"type": "string", "description": _LEGACY}

FIELDS: Final[Words] = {
    CodeRunSpec: {
        WHOLE: _say(
            "What one execution shall do. Fields that nobody here knows are kept.",
            **ANYTHING,
            **{"x-kubernetes-validations": [_set_once("CodeRun", "githubApp"), _set_once("CodeRun", "stage")]},
        ),
        "taskId": _task_id("CodeRun"),
        "service": _say(
            "What is worked on, as a DNS label; with the agent it names the workspace.",
            maxLength=63,
            pattern=DNS_LABEL,
            **{"x-kubernetes-validations": _fixed("CodeRun", "service")},
        ),
        "repositoryUrl": _repository("CodeRun", "Repository that is worked on"),
        "docsRepositoryUrl": _say(
            "Repository of the task documents; empty is the one that is worked on.",
            maxLength=2048,
            pattern=_REPOSITORY_OR_NOTHING,
        ),
        "docsProjectDirectory": _say(
            "Folder of the docs repository that holds .taskmaster; empty or '.' is its root.",
            maxLength=1024,
            **{"x-kubernetes-validations": _inside("docsProjectDirectory")},
        ),
        "docsBranch": _say("Branch of the docs repository.", maxLength=200),
        "workingDirectory": _say(
            "Folder the agent starts in, relative to the root of the repository; '.' is the root.",
            maxLength=1024,
            **{"x-kubernetes-validations": _inside("workingDirectory")},
        ),
        "githubApp": _say(
            "GitHub App of the agent that does it, as the roster has it; a run without one that is known is invalid.",
            maxLength=253,
        ),
        "githubUser": _say("Of the time before Apps; accepted and not used.", maxLength=253),
        "model": _say("Model of the agent; empty takes the agent's own.", maxLength=253),
        "contextVersion": _say("Raised by whoever submits the same work again.", minimum=0),
        "continueSession": _say("Whether the agent goes on with the session of its last run of this task."),
        "overwriteMemory": _say("Whether the memory file is written anew; else the agent's own is kept."),
        "env": _say(
            "Environment variables of the agent.",
            maxProperties=512,
            **{
                "x-kubernetes-validations": [
                    _rule(
                        "self.all(name, name.matches('^[A-Za-z_][A-Za-z0-9_]*$'))",
                        "env names must be letters, digits and '_', and begin with no digit",
                    )
                ]
            },
        ),
        "envFromSecrets": _say("Environment variables read from Secrets of the namespace.", maxItems=512),
        "taskRequirements": _say(
            "Base64 of a YAML document with `secrets` and `environment`, merged with env.",
            maxLength=524_288,
            **{
                "x-kubernetes-validations": [
                    _rule(f"self.matches('{_BASE64}')", "taskRequirements must be base64 of a YAML document")
                ]
            },
        ),
        "serviceAccountName": _say(
            "Service account of the pod, where the agent's roster entry allows it.", maxLength=253, pattern="^[-.a-z0-9]*$"
        ),
        "cliConfig": _say("Agent CLI that runs, in place of the agent's own."),
        "enableDocker": _say("Whether a Docker daemon runs beside the agent; only where the controller's settings allow it."),
        "localTools": _say("Accepted from the existing system; tools come from the roster and from annotations."),
        "remoteTools": _say("Accepted from the existing system; tools come from the roster and from annotations."),
        "promptModification": _say("Instructions added to what the agent is told.", maxLength=65_536),
        "stage": _say("Stage of the pipeline this is a run of; empty where no Play made it.", maxLength=63),
        "baseBranch": _say("Branch that the work is meant for.", maxLength=200, minLength=1),
        "pullRequest": _say("Pull request that is worked on, as of one head commit."),
        "evidence": _say("What the forge must show for the run to have succeeded.", maxItems=64),
        "task": _say("Text of the task, where it does not come from the docs repository."),
        "context": _say("Why it runs again (review comments, failed checks), as title and text. Untrusted.", **_ATOMIC),
        "budget": _say("Limits of what may be spent."),
        "timeout": _say("Limit of one attempt in seconds; empty takes the configured one.", minimum=1, maximum=315_360_000),
        "cancelRequested": _say("Why the run shall end; setting it cancels the run.", maxLength=65_536),
    },
    SecretEnvVar: {
        WHOLE: _say("An environment variable read from a key of a Secret."),
        "name": _say("Name of the variable.", maxLength=253, pattern="^[A-Za-z_][A-Za-z0-9_]*$"),
        "secretName": _say("Name of the Secret.", maxLength=253, pattern="^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"),
        "secretKey": _say("Key in the Secret.", maxLength=253, pattern="^[-._a-zA-Z0-9]+$"),
    },
    CliConfig: {
        WHOLE: _say("Which agent CLI runs, and how. Settings that nobody here knows are kept.", **ANYTHING),
        "cliType": _say("The CLI.", enum=[*(cli.value for cli in CliType), *OTHER_CLIS]),
        "model": _say("Model it is told to use.", maxLength=253),
        "settings": _say("Settings of the CLI; `command` is the argument list of the CLI `command`."),
        "maxTokens": _say("Limit of tokens in one answer.", minimum=1),
        "temperature": _say("Sampling temperature.", minimum=0, maximum=2),
        "modelRotation": _say("Models to take in turn."),
    },
    PullRequestRef: {
        WHOLE: _say("A pull request, as of one head commit.", **_ATOMIC),
        "number": _say("Its number.", minimum=1),
        "url": _say("Its address."),
        "headSha": _say("Its head commit."),
    },
    Budget: {
        WHOLE: _say("Limits of what may be spent; what is left out has no limit."),
        "maxUsd": _say("US dollars.", minimum=0),
        "maxTurns": _say("Turns of the agent.", minimum=0),
    },
    Gate: {
        WHOLE: _say("A claim about the forge."),
        "kind": _say("What it looks at."),
        "label": _say("Name of the label, for the kind `label`.", maxLength=253),
        "by": _say("Whose doing counts: the stage's agent, or anyone."),
    },
    TaskText: {
        WHOLE: _say("What an agent is told of a task. Untrusted text of the repository.", **_ATOMIC),
        "title": _say("Its title, one line."),
        "description": _say("What it is about."),
        "details": _say("How it is to be done."),
        "testStrategy": _say("How it is to be tested."),
        "files": _say("Further task files by name."),
    },
    CodeRunStatus: {
        WHOLE: _say(
            "What is known of one execution; written by the controller.",
            properties={
                "lastUpdate": _LEGACY_TEXT,
                "contextVersion": {"type": "integer", "format": "int64", "description": _LEGACY},
                "promptModification": _LEGACY_TEXT,
                "promptMode": _LEGACY_TEXT,
                "remediationStatus": _LEGACY_TEXT,
                "qaStatus": _LEGACY_TEXT,
                "cleanupCompletedAt": _LEGACY_TEXT,
            },
        ),
        "phase": _say("Where it stands.", enum=["", *(phase.value for phase in RunPhase)]),
        "conditions": _CONDITIONS,
        "observedGeneration": _OBSERVED,
        "workCompleted": _say("Whether nothing more will be done."),
        "jobName": _say("Job of the current attempt."),
        "configmapName": _say("ConfigMap with the files of the current attempt."),
        "workspace": _say("Volume claim that it works in."),
        "sessionId": _say("Session of the agent CLI, to go on with."),
        "pullRequestUrl": _say("Pull request that it opened or worked on."),
        "headSha": _say("Head commit that it left."),
        "attempt": _say("Number of the current attempt, from 1; written before the attempt's Job exists."),
        "retryCount": _say("How often the start of the current attempt was asked for."),
        "parkedUntil": _say("When a run that waits for a usage limit goes on."),
        "startedAt": _say("When its agent began."),
        "finishedAt": _say("When it ended."),
        "expireAt": _say("When what was made for it is removed."),
        "result": _say("What it left behind."),
        "usage": _say("What it consumed."),
        "message": _say("For people: how it stands, or why it ended."),
    },
    RunOutcome: {
        WHOLE: _say("What a finished attempt left behind.", **_ATOMIC),
        "exitCode": _say("Exit code of the agent CLI; empty where it never ran."),
        "isError": _say("Whether it failed."),
        "terminalReason": _say("CamelCase word for programs (Completed, EvidenceMissing, TimedOut, JobLost, …)."),
        "verdict": _say("What the agent says of its own work; the evidence decides."),
        "summary": _say("For people; untrusted where it is the agent's."),
    },
    Usage: {
        WHOLE: _say("What was consumed.", **_ATOMIC),
        "inputTokens": _say("Tokens read."),
        "outputTokens": _say("Tokens written."),
        "cacheReadTokens": _say("Tokens read from the provider's cache."),
        "costUsd": _say("US dollars."),
        "turns": _say("Turns of the agent."),
    },
    Condition: {
        WHOLE: _say("A standard condition."),
        "type": _say("What it is about."),
        "status": _say("True, False or Unknown."),
        "reason": _say("CamelCase word for programs."),
        "message": _say("For people."),
        "lastTransitionTime": _say("When its status last changed."),
        "observedGeneration": _say("The metadata.generation that it is about."),
    },
    PlaySpec: {
        WHOLE: _say(
            "What shall happen to a task.",
            **{"x-kubernetes-validations": [_set_once("Play", "service")]},
        ),
        "taskId": _task_id("Play"),
        "repositoryUrl": _repository("Play", "Repository of the task"),
        "service": _say(
            "What is worked on, as a DNS label; empty is the repository's name.",
            maxLength=63,
            pattern=f"^$|{DNS_LABEL}",
        ),
        "pipeline": _say(
            "Name of the pipeline definition.",
            minLength=1,
            maxLength=253,
            **{"x-kubernetes-validations": _fixed("Play", "pipeline")},
        ),
        "agents": _say("Agent by role; a role that is left out goes to the roster's first agent of that role."),
        "baseBranch": _say("Branch that the work is merged into.", minLength=1, maxLength=200),
        "autoMerge": _say("Whether the pull request is merged without a person, once every gate has passed."),
        "maxIterations": _say("Restarts by reviews and conflicts before a person is asked.", minimum=1, maximum=1_000_000),
        "budget": _say("Limits of what the play may spend."),
        "paused": _say("While true, nothing more is started."),
        "abortRequested": _say("Ends the play; its work is kept."),
        "approvals": _say("Gates that people passed by hand, each for one head commit.", maxItems=256),
        "task": _say("Text of the task, where it does not come from the repository."),
        "dependsOn": _say("Task ids whose plays must have succeeded first."),
        "priority": _say("Lower starts first among the plays that are ready."),
        "retries": _say(
            "Raise it to go on with a play that failed, was aborted or waits.",
            minimum=0,
            **{"x-kubernetes-validations": [_rule("self >= oldSelf", "retries can only be raised")]},
        ),
        "cliConfig": _say("Agent CLI of all runs of this play, in place of the agents' own."),
        "commands": _say("The last commands that were given in comments on the pull request, oldest first.", maxItems=256),
    },
    PlayCommand: {
        WHOLE: _say("A command that somebody gave in a comment, and what was made of it."),
        "comment": _say("Id of the comment on the forge.", minimum=0),
        "command": _say("What was asked for; untrusted where it was refused."),
        "by": _say("Who asked."),
        "at": _say("When."),
        "accepted": _say("Whether it was done."),
        "outcome": _say("For people: what came of it, or why it was refused."),
    },
    Approval: {
        WHOLE: _say("A human decision that passes the gates of a stage for one head commit."),
        "stage": _say("The stage.", minLength=1),
        "headSha": _say("The head commit."),
        "by": _say("Who decided."),
        "at": _say("When."),
        "iteration": _say("The iteration it counts in; 0 is any.", minimum=0),
    },
    PlayStatus: {
        WHOLE: _say("What is known of a play; written by the controller."),
        "phase": _say("Where it stands; Waiting waits for a person."),
        "stage": _say("Stage of the pipeline it is in."),
        "iteration": _say("Pass through the pipeline, from 1."),
        "remediations": _say("Restarts that count towards maxIterations."),
        "firstAttempt": _say("Attempts before this one are not held against the stage."),
        "pullRequest": _say("Its pull request."),
        "gates": _say("Gates that hold."),
        "waiting": _say("What it waits for."),
        "runs": _say("Runs that it made."),
        "history": _say("The last 50 decisions."),
        "conditions": _CONDITIONS,
        "observedGeneration": _OBSERVED,
        "reviewed": _say("Id of the last review that was answered."),
        "resolvedHead": _say("Head commit that the restarted stage must replace."),
        "retriesSeen": _say("The value of spec.retries that has been acted on."),
        "extraIterations": _say("Iterations that people added."),
        "stageSince": _say("When the stage was entered."),
        "freshSince": _say("Sessions of earlier iterations than this are not continued."),
        "startedAt": _say("When its first stage began."),
        "finishedAt": _say("When it ended."),
        "message": _say("For people: how it stands, or why it ended."),
    },
    PassedGate: {
        WHOLE: _say("A gate that held."),
        "name": _say("The gate."),
        "stage": _say("Stage it belongs to."),
        "headSha": _say("For which commit."),
        "actor": _say("By whom."),
        "since": _say("Since when."),
    },
    Waiting: {
        WHOLE: _say("What a play waits for.", **_ATOMIC),
        "kind": _say("run, gate, person, dependency, slot, time or stop."),
        "target": _say("What exactly: the name of a run or gate, task ids."),
        "since": _say("Since when."),
        "reason": _say("CamelCase word for programs."),
        "message": _say("For people: why."),
        "wouldMove": _say("For people: what would end the wait."),
    },
    HistoryEntry: {
        WHOLE: _say("One decision."),
        "at": _say("When."),
        "stage": _say("In which stage."),
        "iteration": _say("In which iteration."),
        "reason": _say("CamelCase word for programs."),
        "message": _say("For people: what changed and why."),
    },
    PlayRun: {
        WHOLE: _say("A run that the play made."),
        "name": _say("Name of its CodeRun."),
        "stage": _say("Of which stage."),
        "iteration": _say("In which iteration."),
        "attempt": _say("Which attempt of the stage."),
        "agent": _say("By which agent."),
        "phase": _say("Where it stood when it was last seen."),
        "reason": _say("Why it ended."),
    },
    DocsRunSpec: {
        WHOLE: _say("What the documentation agent shall do. Fields that nobody here knows are kept.", **ANYTHING),
        "repositoryUrl": _repository("DocsRun", "Repository whose task documents are written"),
        "workingDirectory": _say(
            "Folder that holds .taskmaster; '.' is the root of the repository.",
            maxLength=1024,
            **{"x-kubernetes-validations": _inside("workingDirectory")},
        ),
        "sourceBranch": _say("Branch the work starts from.", minLength=1, maxLength=200),
        "model": _say("Model of the agent; empty takes the configured one.", maxLength=253),
        "githubUser": _say("Of the time before Apps; accepted and not used.", maxLength=253),
        "githubApp": _say("GitHub App of the agent that does it.", maxLength=253),
        "cli": _say("Agent CLI that runs; empty takes the agent's.", maxLength=63),
        "includeCodebase": _say("Whether the agent is given the source code as context."),
        "remoteTools": _say("Names of remote MCP tools."),
        "localTools": _say("Names of local MCP servers."),
    },
    DocsRunStatus: {
        WHOLE: _say("What is known of one execution; written by the controller."),
        "phase": _say("Where it stands.", enum=["", *(phase.value for phase in DocsRunPhase)]),
        "conditions": _CONDITIONS,
        "observedGeneration": _OBSERVED,
        "workCompleted": _say("Whether nothing more will be done."),
        "jobName": _say("Job of its attempt."),
        "configmapName": _say("ConfigMap with its files."),
        "pullRequestUrl": _say("Pull request that it opened."),
        "lastUpdate": _say("When the existing system last wrote this status."),
        "message": _say("For people: how it stands, or why it ended."),
    },
    DeliverySpec: {
        WHOLE: _say(
            "What is kept of one event: what correlation needs, never the body.",
            **{
                "x-kubernetes-validations": [_rule("self == oldSelf", "a delivery is what came in; its spec cannot be changed")]
            },
        ),
        "deliveryId": _say("The forge's delivery id; the object's name follows from it."),
        "event": _say("Name of the event with its action."),
        "repository": _say("Canonical repository id."),
        "receivedAt": _say("When it was stored."),
        "digest": _say("SHA-256 of the body as it came, in hex."),
        "actor": _say("Login of whoever caused it."),
        "hints": _say("What it points at."),
    },
    DeliveryHint: {
        WHOLE: _say("Whatever is known of a pull request, tasks, a branch and a commit."),
        "pullRequest": _say("Number of a pull request; 0 is none."),
        "tasks": _say("Task ids that labels and branches name."),
        "branch": _say("Head branch."),
        "headSha": _say("Head commit."),
    },
    DeliveryStatus: {
        WHOLE: _say("What became of it; written by the controller."),
        "state": _say("Whether it has been looked at, and whether it moved a play."),
        "outcome": _say("For people: which plays it was a hint for, or why none."),
    },
}
