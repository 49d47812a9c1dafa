"""The clusters of this tier: started when the first test asks, one of each a worker, gone at the end."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import NoReturn, TypeVar

import pytest
from tests.cluster.harness import ControlPlane, Node, UnavailableError, image
from tests.cluster.harness.programs import program
from tests.cluster.pods import RESTRICTED

T = TypeVar("T")
LeaveOut = Callable[[str, str], NoReturn]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # With `--dist loadgroup` all tests on a node run in one worker, so that there is one node.
    for item in items:
        if isinstance(item, pytest.Function) and "node" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group("node"))


@pytest.fixture(scope="session")
def control_plane(leave_out: LeaveOut) -> Iterator[ControlPlane]:
    """A real control plane of this worker; tests work in namespaces of their own (`new_namespace`)."""
    yield from _opened(ControlPlane.open(), "a real control plane", leave_out)


@pytest.fixture(scope="session")
def node(leave_out: LeaveOut) -> Iterator[Node]:
    """A real node with its own control plane; tests work in namespaces of their own."""
    yield from _opened(Node.open(), "a real node", leave_out)


@pytest.fixture
def room(node: Node) -> str:
    """A namespace on the node where `restricted` is enforced."""
    return node.control_plane.new_namespace(labels=RESTRICTED)


@pytest.fixture(scope="session")
def agent_image(node: Node, leave_out: LeaveOut) -> str:
    """The name of the agent image, with the code of this checkout; the node has it."""
    tar = node.folder / "agent.tar"
    try:
        node.import_image(image.agent_image(tar))
    except UnavailableError as error:
        leave_out("the agent image", str(error))
    tar.unlink()
    return image.AGENT_IMAGE


@pytest.fixture(scope="session")
def helm(leave_out: LeaveOut) -> str:
    """The real `helm`."""
    try:
        return str(program("helm"))
    except UnavailableError as error:
        leave_out("helm", str(error))


def _opened(opened: AbstractContextManager[T], tier: str, leave_out: LeaveOut) -> Iterator[T]:
    with ExitStack() as stack:
        try:
            thing = stack.enter_context(opened)
        except UnavailableError as error:
            leave_out(tier, str(error))
        yield thing
