"""The clusters of this tier: started when the first test asks, one of each a worker, gone at the end."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest
from tests.cluster.company import AUTHORITY, PROGRAM, Company
from tests.cluster.harness import ControlPlane, Node, UnavailableError, image
from tests.cluster.harness.programs import program
from tests.cluster.pods import RESTRICTED

T = TypeVar("T")
AGENT = Path(__file__).with_name("agent_program.py")
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
    """The name of the agent image, with the code of this checkout and what tests add to it; the node has it."""
    tar, added = node.folder / "agent.tar", node.folder / "added"
    program, authority = (added / path.lstrip("/") for path in (PROGRAM, AUTHORITY))
    for path, content in ((program, AGENT.read_bytes()), (authority, node.control_plane.authority.certificate.read_bytes())):
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    try:
        node.import_image(image.agent_image(tar, added))
    except UnavailableError as error:
        leave_out("the agent image", str(error))
    tar.unlink()
    return image.AGENT_IMAGE


@pytest.fixture(scope="session")
def whole_company(node: Node, helm: str, agent_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """Our chart installed on the node, and GitHub beside it."""
    made = Company(node, helm, tmp_path_factory.mktemp("company"))
    with ExitStack() as stack:
        stack.callback(made.close)
        made.open()
        yield made


@pytest.fixture
def company(whole_company: Company) -> Iterator[Company]:
    """The company, idle before and after."""
    yield whole_company
    whole_company.clear()


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
