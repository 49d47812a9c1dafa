"""The agent image that other tests run is one for real clusters: nobody's root, nothing written outside its volumes."""

import re
from pathlib import Path

import pytest
from tests.cluster.harness import Node
from tests.cluster.harness.image import AGENT_IMAGE, PACKAGES
from tests.cluster.pods import ended, pod

import coderun

DOCKERFILE = Path(__file__).parents[2] / "deploy" / "image" / "Dockerfile"


@pytest.mark.usefixtures("agent_image")
def test_its_program_is_this_checkout_and_runs_as_an_ordinary_user(node: Node, room: str) -> None:
    script = "id -u; coderun --version; git --version; touch /usr/x 2>/dev/null || echo read-only"
    node.control_plane.apply(pod("version", room, script, image=AGENT_IMAGE))
    ended(node, "version", room)
    user, version, git, root = node.kubectl("logs", "version", "-n", room).splitlines()
    assert (user, version, root) == ("1000", f"coderun {coderun.__version__}", "read-only")
    assert git.startswith("git version 2.")


@pytest.mark.usefixtures("agent_image")
def test_its_entry_point_is_coderun(node: Node, room: str) -> None:
    made = pod("entry", room, "", image=AGENT_IMAGE)
    container = made["spec"]["containers"][0]
    del container["command"]
    container["args"] = ["agent", "--help"]
    node.control_plane.apply(made)
    ended(node, "entry", room)
    assert "--pod" in node.kubectl("logs", "entry", "-n", room)


def test_it_has_what_the_dockerfile_installs() -> None:
    [install] = re.findall(r"apt-get install .*--no-install-recommends (.+) \\$", DOCKERFILE.read_text("utf-8"), re.MULTILINE)
    assert set(PACKAGES) == {"python3", *install.split()}
