"""GitHub's webhooks as deliveries, and the pull requests, tasks and branches they point at.

Between the webhook door, which has checked the signature, and the controller. Pure. An event never says what is so: it names
what somebody should look at again, so an event we do not know, or whose parts are of another shape, costs nothing but a hint.
Titles, bodies and comments are not looked into.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, TypeVar
from urllib.parse import parse_qsl

import msgspec

from coderun.events.marks import remarks_on
from coderun.model.deliveries import Delivery, Hint
from coderun.model.errors import ConfigError, MalformedDeliveryError, TooLargeError
from coderun.model.names import task_of_branch, task_of_label
from coderun.model.repository import parse_repository
from coderun.model.text import printable

PREFIX: Final = "github-"
MAX_BODY: Final = 25 * 1024 * 1024
_GUID: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}")
_WORD: Final = re.compile(r"[a-z][a-z_]{0,63}")
_SHA: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_BRANCH_REF: Final = "refs/heads/"
_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"
_MAX_FIELDS: Final = 8
T = TypeVar("T")


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a payload."""


class _Envelope(_Part, frozen=True, kw_only=True):
    """The parts of a payload that are looked at; each is decoded by itself, so that one of another shape spoils no other."""

    action: msgspec.Raw = msgspec.Raw()
    repository: msgspec.Raw = msgspec.Raw()
    installation: msgspec.Raw = msgspec.Raw()
    pull_request: msgspec.Raw = msgspec.Raw()
    issue: msgspec.Raw = msgspec.Raw()
    label: msgspec.Raw = msgspec.Raw()
    check_run: msgspec.Raw = msgspec.Raw()
    check_suite: msgspec.Raw = msgspec.Raw()
    ref: msgspec.Raw = msgspec.Raw()
    branches: msgspec.Raw = msgspec.Raw()
    sender: msgspec.Raw = msgspec.Raw()
    after: msgspec.Raw = msgspec.Raw()
    sha: msgspec.Raw = msgspec.Raw()


class _Named(_Part, frozen=True, kw_only=True):
    name: str = ""


class _Account(_Part, frozen=True, kw_only=True):
    login: str = ""


class _Identified(_Part, frozen=True, kw_only=True):
    id: int | None = None


class _Repository(_Part, frozen=True, kw_only=True):
    id: int | None = None
    full_name: str = ""
    html_url: str = ""


class _Side(_Part, frozen=True, kw_only=True):
    ref: str = ""
    sha: str = ""
    repo: _Identified | None = None


class _Pull(_Part, frozen=True, kw_only=True):
    number: int
    head: _Side = _Side()
    base: _Side = _Side()
    labels: tuple[_Named, ...] = ()


class _Issue(_Part, frozen=True, kw_only=True):
    number: int
    pull_request: msgspec.Raw = msgspec.Raw()
    labels: tuple[_Named, ...] = ()


class _Suite(_Part, frozen=True, kw_only=True):
    head_branch: str | None = None
    head_sha: str = ""
    pull_requests: tuple[_Pull, ...] = ()


class _Run(_Part, frozen=True, kw_only=True):
    head_sha: str = ""
    pull_requests: tuple[_Pull, ...] = ()
    check_suite: _Suite = _Suite()


def to_delivery(headers: Mapping[str, str], body: bytes, received_at: datetime) -> Delivery:
    """The delivery behind a request whose signature holds. Header names may have any case; the body is kept as JSON.

    Raises:
        TooLargeError: more than the 25 MiB that GitHub sends at most.
        MalformedDeliveryError: headers are missing or no names, the content type is another one, the body is no JSON object.
    """
    if len(body) > MAX_BODY:
        raise TooLargeError(f"the delivery is {len(body)} bytes long; GitHub sends {MAX_BODY} at most")
    named = {name.lower(): value.strip() for name, value in headers.items()}
    guid = _header(named, "x-github-delivery", _GUID)
    event = _header(named, "x-github-event", _WORD)
    text = _json_of(named.get("content-type", ""), body)
    envelope = _open(text)
    action = _part(envelope.action, str) or ""
    return Delivery(
        id=f"{PREFIX}{guid.lower()}",
        event=f"{event}.{action}" if _WORD.fullmatch(action) else event,
        repository=_repository_of(envelope),
        received_at=received_at,
        body=text,
    )


def _header(headers: Mapping[str, str], name: str, shape: re.Pattern[str]) -> str:
    value = headers.get(name, "")
    if not shape.fullmatch(value):
        found = f"is {printable(value, 80)!r}" if value else "is missing"
        raise MalformedDeliveryError(f"the header {name} of the delivery {found}; GitHub sends one with every delivery")
    return value


def _json_of(content_type: str, body: bytes) -> bytes:
    kind = content_type.partition(";")[0].strip().lower()
    if kind == _JSON:
        return body
    if kind != _FORM:
        raise MalformedDeliveryError(
            f"the delivery's content type is {printable(content_type, 80)!r}; set the webhook's to {_JSON} or {_FORM}"
        )
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError as error:
        raise MalformedDeliveryError("the delivery's form cannot be read; GitHub sends percent-encoded UTF-8") from error
    payload = next((value for name, value in fields if name == "payload"), None)
    if payload is None:
        raise MalformedDeliveryError("the delivery's form has no field 'payload'; GitHub sends the event in it")
    return payload.encode()


def _open(body: bytes) -> _Envelope:
    try:
        return msgspec.json.decode(body, type=_Envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedDeliveryError(f"the delivery's body is no JSON object: {printable(str(error), 200)}") from error


def _part(raw: msgspec.Raw, kind: type[T]) -> T | None:
    """A part as `kind`; None where it is missing, null or of another shape."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _repository_of(envelope: _Envelope) -> str:
    """Canonical id as text, "" for events that concern no repository."""
    found = _part(envelope.repository, _Repository) or _Repository()
    for text in (found.html_url, found.full_name):
        try:
            return str(parse_repository(text))
        except ConfigError:
            continue
    return ""


def installation_of(delivery: Delivery) -> int | None:
    """Id of the App's installation that the delivery came through; a repository's own webhook has none."""
    envelope = _reopened(delivery)
    found = _part(envelope.installation, _Identified)
    return found.id if found is not None else None


def moves_installation(delivery: Delivery) -> bool:
    """Whether installations may be others than before: what is remembered of them is to be found anew."""
    return delivery.event.partition(".")[0] in {"installation", "installation_repositories", "repository"}


def hints_of(delivery: Delivery) -> tuple[Hint, ...]:
    """What a delivery points at, one hint for each pull request or branch; none where it points at nothing."""
    envelope = _reopened(delivery)
    actor = (_part(envelope.sender, _Account) or _Account()).login
    return tuple(msgspec.structs.replace(hint, actor=actor) for hint in _hints(envelope))


def _hints(envelope: _Envelope) -> Iterable[Hint]:
    label = _part(envelope.label, _Named)
    labels = (label,) if label is not None else ()
    pull = _part(envelope.pull_request, _Pull)
    if pull is not None:
        return (_hint_of_pull(pull, labels),)
    issue = _part(envelope.issue, _Issue)
    if issue is not None:
        of_pull = _part(issue.pull_request, dict) is not None
        return (_hint_of_issue(issue, (*issue.labels, *labels)),) if of_pull else ()
    return _hints_of_commit(envelope)


def _reopened(delivery: Delivery) -> _Envelope:
    try:
        return _open(delivery.body)
    except MalformedDeliveryError:
        return _Envelope()


def _hint_of_issue(issue: _Issue, labels: tuple[_Named, ...]) -> Hint:
    return Hint(number=issue.number, tasks=_tasks(labels), remarks=_remarks(labels, ""))


def _hint_of_pull(pull: _Pull, labels: Iterable[_Named] = ()) -> Hint:
    named = (*pull.labels, *labels)
    tasks = _tasks(named)
    home = pull.head.repo is not None and pull.base.repo is not None and pull.head.repo.id == pull.base.repo.id
    # An outsider names the branches of a fork: they stand for nothing.
    branch = pull.head.ref if home else ""
    return Hint(
        number=pull.number,
        tasks=tasks | _task_of(branch),
        branch=branch,
        head_sha=_sha(pull.head.sha),
        remarks=_remarks(named, branch),
    )


def _hints_of_commit(envelope: _Envelope) -> Iterable[Hint]:
    """Of events about a commit or a branch: checks, statuses, pushes."""
    run = _part(envelope.check_run, _Run)
    suite = _part(envelope.check_suite, _Suite) or (run.check_suite if run is not None else _Suite())
    pulls = {pull.number: pull for pull in (*(run.pull_requests if run is not None else ()), *suite.pull_requests)}
    sha = _sha((run.head_sha if run is not None else "") or suite.head_sha)
    sha = sha or _sha(_part(envelope.after, str) or "") or _sha(_part(envelope.sha, str) or "")
    for number in sorted(pulls):
        yield _hint_of_pull(pulls[number])
    names = [suite.head_branch or ""] if not pulls else []
    names += [branch.name for branch in _part(envelope.branches, tuple[_Named, ...]) or ()]
    ref = _part(envelope.ref, str) or ""
    names.append(ref.removeprefix(_BRANCH_REF) if ref.startswith(_BRANCH_REF) else "")
    for name in dict.fromkeys(name for name in names if name):
        yield Hint(tasks=_task_of(name), branch=name, head_sha=sha, remarks=_remarks((), name))


def _remarks(labels: Iterable[_Named], branch: str) -> tuple[str, ...]:
    return remarks_on(labels=dict.fromkeys(label.name for label in labels), branch=branch)


def _sha(text: str) -> str:
    """A commit's name, "" for what is none: zeros (a branch that was deleted), another shape."""
    return text if _SHA.fullmatch(text) and text.strip("0") else ""


def _tasks(labels: Iterable[_Named]) -> frozenset[int]:
    found = {task_of_label(label.name) for label in labels}
    return frozenset(task for task in found if task is not None)


def _task_of(branch: str) -> frozenset[int]:
    task = task_of_branch(branch)
    return frozenset() if task is None else frozenset({task})
