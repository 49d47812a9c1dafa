"""Labels of a repository and of its pull requests; names are compared without case."""

from typing import Any

from tests.fakes.github import events
from tests.fakes.github.bodies import pulls as bodies
from tests.fakes.github.call import Answer, Call, read, write
from tests.fakes.github.errors import ApiError, not_found
from tests.fakes.github.state import Account, Label, Pull, Repo
from tests.fakes.github.world import World

EITHER = "issues|pull_requests"


async def list_labels(call: Call) -> Answer:
    """The repository's labels."""
    return call.listed(call.repo.labels, lambda one: bodies.label(call.world, call.repo, one))


async def create_label(call: Call) -> Answer:
    """A new label; one of that name already is a 422."""
    fields: dict[str, Any] = {"color": call.fields.get("color") or "ededed", "description": call.fields.get("description")}
    one, made = call.world.label(call.repo, call.text("Label", "name"), **fields)
    if not made:
        entry = {"resource": "Label", "code": "already_exists", "field": "name"}
        raise ApiError(422, "Validation Failed", errors=[entry])
    events.label(call.world, call.repo, "created", one, call.account)
    return Answer(status=201, body=bodies.label(call.world, call.repo, one))


def _label(call: Call) -> Label:
    for one in call.repo.labels:
        if one.name.lower() == call.params["name"].lower():
            return one
    raise not_found()


async def get_label(call: Call) -> Answer:
    """One label of the repository."""
    return Answer(body=bodies.label(call.world, call.repo, _label(call)))


async def update_label(call: Call) -> Answer:
    """Changes colour, description or name."""
    one = _label(call)
    one.name = call.fields.get("new_name", one.name)
    one.color = call.fields.get("color", one.color)
    one.description = call.fields.get("description", one.description)
    return Answer(body=bodies.label(call.world, call.repo, one))


async def delete_label(call: Call) -> Answer:
    """Takes a label from the repository and from everything that has it."""
    one = _label(call)
    call.repo.labels.remove(one)
    for pull in call.repo.pulls.values():
        pull.labels = [label for label in pull.labels if label is not one]
    return Answer(status=204)


def set_label(world: World, repo: Repo, pull: Pull, name: str, actor: Account) -> None:
    """Puts a label on, making it where there is none; one that is on already changes nothing."""
    one, made = world.label(repo, name)
    if made:
        events.label(world, repo, "created", one, actor)
    if one not in pull.labels:
        pull.labels.append(one)
        world.note(pull, "labeled", actor, label=one)
        events.pull_label(world, repo, pull, "labeled", one, actor)


def unset_label(world: World, repo: Repo, pull: Pull, one: Label, actor: Account) -> None:
    """Takes a label off."""
    pull.labels.remove(one)
    world.note(pull, "unlabeled", actor, label=one)
    events.pull_label(world, repo, pull, "unlabeled", one, actor)


def _names(call: Call) -> list[str]:
    wanted = call.data if isinstance(call.data, list) else call.fields.get("labels", [])
    given = [one.get("name") if isinstance(one, dict) else one for one in wanted]
    names = [name for name in given if isinstance(name, str) and name]
    if len(names) < len(given):
        raise ApiError(422, "Validation Failed")
    return names


def _shown(call: Call) -> Answer:
    return call.listed(call.pull.labels, lambda one: bodies.label(call.world, call.repo, one))


async def labels_of_issue(call: Call) -> Answer:
    """The labels that are on."""
    return _shown(call)


async def add_labels(call: Call) -> Answer:
    """Puts labels on."""
    for name in _names(call):
        set_label(call.world, call.repo, call.pull, name, call.account)
    return _shown(call)


async def replace_labels(call: Call) -> Answer:
    """Leaves exactly these labels on."""
    names = _names(call)
    kept = {name.lower() for name in names}
    for one in [one for one in call.pull.labels if one.name.lower() not in kept]:
        unset_label(call.world, call.repo, call.pull, one, call.account)
    for name in names:
        set_label(call.world, call.repo, call.pull, name, call.account)
    return _shown(call)


async def remove_label(call: Call) -> Answer:
    """Takes one label off; 404 where it is not on."""
    for one in call.pull.labels:
        if one.name.lower() == call.params["name"].lower():
            unset_label(call.world, call.repo, call.pull, one, call.account)
            return _shown(call)
    raise ApiError(404, "Label does not exist")


_LABEL = "/repos/{owner}/{repo}/labels/{name}"
_ISSUE = "/repos/{owner}/{repo}/issues/{issue_number}/labels"
ROUTES = [
    read("/repos/{owner}/{repo}/labels", list_labels, EITHER),
    write("POST", "/repos/{owner}/{repo}/labels", create_label, EITHER),
    read(_LABEL, get_label, EITHER),
    write("PATCH", _LABEL, update_label, EITHER),
    write("DELETE", _LABEL, delete_label, EITHER),
    read(_ISSUE, labels_of_issue, EITHER),
    write("POST", _ISSUE, add_labels, EITHER),
    write("PUT", _ISSUE, replace_labels, EITHER),
    write("DELETE", f"{_ISSUE}/{{name}}", remove_label, EITHER),
]
