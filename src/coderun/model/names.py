"""Every name this program gives, from one function each.

Names are deterministic: the same input gives the same name in every process and every build, so that an action that is
repeated finds what it made the first time. What does not fit a DNS label is shortened with a SHA-256 suffix, never cut blindly.
"""

import hashlib
import re
from typing import Final

GROUP: Final = "agents.platform"
API_VERSION: Final = "agents.platform/v1"

LABEL_CODERUN: Final = "agents.platform/coderun"
LABEL_TASK: Final = "agents.platform/task-id"
LABEL_SERVICE: Final = "agents.platform/service"
LABEL_AGENT: Final = "agents.platform/agent"
LABEL_PLAY: Final = "agents.platform/play"
LABEL_STAGE: Final = "agents.platform/stage"
LABEL_JOB: Final = "agents.platform/job"
LABEL_WORKFLOW: Final = "workflow-name"
ANNOTATION_PLAY: Final = "agents.platform/play"
ANNOTATION_ATTEMPT: Final = "agents.platform/attempt"

MAX_LABEL: Final = 63
MAX_FORGE_LABEL: Final = 50
_HASH_LENGTH: Final = 8
_NOT_DNS = re.compile(r"[^a-z0-9]+")
_DNS_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_NOT_LABEL = re.compile(r"[^A-Za-z0-9._-]+")
_TASK_BRANCH = re.compile(r"(?:feature/)?task-([0-9]+)(?:-.*)?")
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TASK_LABEL = re.compile(r"task-([1-9][0-9]{0,8})", re.IGNORECASE | re.ASCII)


def is_dns_label(text: str) -> bool:
    """Whether `text` is a DNS-1123 label: 1–63 characters of a–z, 0–9 and `-`, alphanumeric at both ends."""
    return _DNS_LABEL.fullmatch(text) is not None


def is_dns_subdomain(text: str) -> bool:
    """Whether `text` is a DNS-1123 subdomain, as names of Secrets and service accounts are: labels and dots, at most 253."""
    return len(text) <= 253 and _DNS_SUBDOMAIN.fullmatch(text) is not None  # noqa: PLR2004 - RFC 1123


def label_value(text: str) -> str:
    """`text` as the value of a label: unchanged where it is one (or empty), else what is usable of it with a hash of all."""
    plain = _NOT_LABEL.sub("-", text).strip("-._")
    if plain == text and len(text) <= MAX_LABEL:
        return text
    return f"{plain[: MAX_LABEL - _HASH_LENGTH - 1].rstrip('-._') or 'x'}-{_digest(text)}"


def dns_label(text: str) -> str:
    """`text` as a DNS-1123 label. Lower-cased, other characters become `-`; what is too long is told apart by a hash.

    Texts that differ only in case and punctuation share a label: it is a name for people, not an identity. An empty result
    (nothing usable in `text`) becomes `x-<hash>`.
    """
    plain = _NOT_DNS.sub("-", text.lower()).strip("-")
    return shorten(plain, text) if plain else f"x-{_digest(text)}"


def shorten(name: str, identity: str | None = None, *, limit: int = MAX_LABEL) -> str:
    """`name`, or its head and a SHA-256 suffix where it is longer than `limit` characters.

    `identity` is what the suffix is taken from (`name` by default): two different identities never share a shortened name.
    """
    if len(name) <= limit:
        return name
    head = name[: limit - _HASH_LENGTH - 1].rstrip("-.")
    return f"{head}-{_digest(identity or name)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]


def play_name(repository_slug: str, task_id: int) -> str:
    """Name of the Play of one task of one repository: `play-{repository slug}-{taskId}`."""
    identity = f"play-{repository_slug}-{task_id}"
    slug = _NOT_DNS.sub("-", repository_slug.lower()).strip("-") or "repository"
    name = f"play-{slug}-{task_id}"
    if len(name) <= MAX_LABEL:
        return name
    tail = f"-{_digest(identity)}-{task_id}"
    return name[: MAX_LABEL - len(tail)].rstrip("-") + tail


def coderun_name(play: str, stage: str, iteration: int, attempt: int) -> str:
    """Name of the one CodeRun of (play, stage, iteration, attempt)."""
    full = f"{play}-{stage}-{iteration}-{attempt}"
    if len(full) <= MAX_LABEL:
        return full
    tail = f"-{stage}-{iteration}-{attempt}"
    if len(tail) > MAX_LABEL - _HASH_LENGTH - 8:
        return shorten(full)
    return play[: MAX_LABEL - len(tail) - _HASH_LENGTH - 1].rstrip("-") + f"-{_digest(full)}" + tail


def job_name(task_id: int, service: str, coderun: str, attempt: int) -> str:
    """Name of the job of one attempt of a CodeRun: `coderun-{taskId}-{service}-{name}-{attempt}`, at most 63 characters."""
    full = f"coderun-{task_id}-{service}-{coderun}-{attempt}"
    if len(full) <= MAX_LABEL:
        return full
    tail = f"-{_digest(full)}-{attempt}"
    return full[: MAX_LABEL - len(tail)].rstrip("-.") + tail


def workspace_name(service: str, agent: str) -> str:
    """Name of the workspace of one agent for one service: `workspace-{service}-{agent}`.

    Where it is too long the service part is shortened; the agent stays readable.
    """
    full = f"workspace-{service}-{agent}"
    if len(full) <= MAX_LABEL:
        return full
    tail = f"-{_digest(full)}-{agent}"
    if len(tail) > MAX_LABEL - len("workspace-x"):
        return shorten(full)
    return full[: MAX_LABEL - len(tail)].rstrip("-") + tail


def delivery_name(delivery_id: str) -> str:
    """Name of the object of one delivery: `delivery-{id}` for a lower-case GUID, `delivery-{SHA-256}` for any other id.

    Different ids never share a name, so that "already exists" says that this very delivery was stored before.
    """
    known = delivery_id.removeprefix("github-")
    if _GUID.fullmatch(known):
        return f"delivery-{delivery_id}"
    return f"delivery-{hashlib.sha256(delivery_id.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"


def task_branch(task_id: int) -> str:
    """The branch an implementation run works on."""
    return f"feature/task-{task_id}-implementation"


def task_of_branch(branch: str) -> int | None:
    """Task id that a head branch stands for: `task-N` or `task-N-…`, with or without `feature/` before it; else None."""
    found = _TASK_BRANCH.fullmatch(branch)
    return _positive(found.group(1)) if found else None


def task_label(task_id: int) -> str:
    """The label that ties a pull request to its task."""
    return f"task-{task_id}"


def run_label(play: str) -> str:
    """The label that ties a pull request to its play, at most 50 characters as GitHub takes them."""
    return shorten(f"run-{play}", limit=MAX_FORGE_LABEL)


def service_label(service: str) -> str:
    """The label that says which service a pull request is about, at most 50 characters."""
    return shorten(f"service-{service}", limit=MAX_FORGE_LABEL)


def task_of_label(label: str) -> int | None:
    """Task id that a label stands for: exactly `task-N`, N ≥ 1 without leading zeros or blanks, any case; else None."""
    found = _TASK_LABEL.fullmatch(label)
    return int(found.group(1)) if found else None


def marker_path(task_id: int) -> str:
    """The marker file that a run's first commit adds, relative to the root of the repository."""
    return f".coderun/tasks/task-{task_id}.json"


def _positive(digits: str) -> int | None:
    # A number longer than nine digits is no task id; int() of a huge string would also be slow on purpose.
    if len(digits) > 9:  # noqa: PLR2004 - the same nine digits as in _TASK_LABEL
        return None
    return int(digits) or None
