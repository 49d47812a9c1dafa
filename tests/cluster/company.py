"""A company with a cluster: our chart installed on a real node, the fake GitHub beside it, and agents that do as told.

The test is where agents ask what to do (`Director`), the person who writes Plays, and the operator who makes trouble.
"""

import asyncio
import http.server
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import yaml
from tests.acceptance.github_kit import AGENTS, REPOSITORY, GitHubWorld
from tests.acceptance.kit import task
from tests.cluster.harness import ControlPlane, Node
from tests.cluster.harness.processes import run
from tests.cluster.pods import RESTRICTED

T = TypeVar("T")
Step = Mapping[str, Any]
DEADLINE: Final = 420.0
AUTHORITY: Final = "/etc/ssl/certs/ca-certificates.crt"
"""Where the image of tests has the authority of the fake GitHub's certificate, and git and Python look for it."""

PROGRAM: Final = "/opt/agent/agent_program.py"
CHART: Final = Path(__file__).parents[2] / "charts" / "coderun"
TASKS: Final = 20
DONE: Final = {"do": "verdict", "verdict": "done"}
USUAL: Final[Mapping[str, Sequence[Step]]] = {
    "implementation": [{"do": "commit"}, DONE],
    "quality": [DONE],
    "testing": [{"do": "verdict", "verdict": "approve"}],
}


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """One start of an agent in a pod."""

    run: str
    task: int
    role: str
    iteration: int
    attempt: int
    repository: str

    @property
    def occasion(self) -> tuple[str, int, int]:
        return self.role, self.iteration, self.attempt


class Director:
    """Tells agents what to do: by `task:role`, else by role, else what is usual."""

    def __init__(self, host: str) -> None:
        self.script: dict[str, Sequence[Step]] = {}
        self.starts: list[Start] = []
        self.asked: list[dict[str, Any]] = []
        self.released: set[str] = set()
        director = self

        class Answers(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = json.dumps(director.answer(self.path, said)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Nothing: the test says what it saw."""

        self._server = http.server.ThreadingHTTPServer((host, 0), Answers)
        self._thread = threading.Thread(target=self._server.serve_forever, name="director")
        self._thread.start()
        self.url = f"http://{host}:{self._server.server_port}"

    def answer(self, path: str, said: Any) -> Any:
        match path:
            case "/started":
                start = msgspec.convert(said, Start)
                self.starts.append(start)
                script = {**USUAL, **self.script}
                return script.get(f"{start.task}:{start.role}", script[start.role])
            case "/held":
                return said in self.released
            case _:
                self.asked.append(said)
                return None

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Company:
    """See the module. `namespaces` are worked by the one release, which has the first as its own."""

    def __init__(self, node: Node, helm: str, folder: Path) -> None:
        self.node = node
        self.cluster: ControlPlane = node.control_plane
        self.namespaces = [self.cluster.new_namespace(name, labels=RESTRICTED) for name in ("team", "other")]
        self.namespace = self.namespaces[0]
        self.director = Director(node.address)
        pair = self.cluster.authority.issue("github", "github", hosts=(node.address,))
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(pair.certificate, pair.key)
        self.hub = GitHubWorld(folder / "world", host=node.address, tls=tls)
        self._helm = helm
        self._folder = folder

    # Setting up.

    def open(self) -> None:
        """GitHub with the repository and an App for each agent, then our chart, installed by the real `helm`."""
        self.hub.open_hub(*(task(number, f"Sell tea number {number}") for number in range(1, TASKS)))
        for name in AGENTS:
            self.keep_key(name, self.hub.apps[name].private_key)
        values = self._folder / "values.yaml"
        values.write_text(yaml.safe_dump(self._values()), encoding="utf-8")
        self.helm("install", "coderun", CHART, "-f", values, "--wait", "--timeout", "240s")

    def helm(self, *arguments: str | Path) -> str:
        """What the real `helm` says to the operator."""
        return run(self._helm, *arguments, "-n", self.namespace, "--kubeconfig", self.cluster.kubeconfig, seconds=300)

    def open_repository(self, name: str) -> str:
        """Another repository with the same content, on which all Apps are installed."""
        full_name = f"Acme/{name}"
        self.hub.here(self.hub.fake.create_repo(full_name, source=self.hub.repository))
        for agent in AGENTS:
            installed = self.hub.installations[agent]
            assert installed.repos is not None
            installed.repos.add(self.hub.fake.repo(full_name).id)
        return full_name

    def keep_key(self, agent: str, private_key: str) -> None:
        """Have the Secret with an App's key."""
        self.cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": f"app-{agent}", "namespace": self.namespace},
                "stringData": {"app-id": str(self.hub.apps[agent].id), "private-key": private_key},
            }
        )

    def _values(self) -> dict[str, Any]:
        image = {"repository": "localhost/coderun-agent", "tag": "test", "pullPolicy": "Never"}
        roles = zip(AGENTS, ("implementation", "quality", "testing"), strict=True)
        command = ["python3", PROGRAM, self.director.url]
        agents: dict[str, dict[str, Any]] = {
            name: {"role": role, "cli": {"cliType": "command", "settings": {"command": command}}} for name, role in roles
        }
        agents["tess"]["serviceAccount"] = "tester"
        return {
            "image": image,
            "namespaces": self.namespaces,
            "agents": agents,
            "config": {
                "forge": {"type": "github", "url": self.hub.fake.url, "pollSeconds": 1},
                "limits": {"retryBackoffSeconds": 0, "stopGraceSeconds": 5},
                "checksGraceSeconds": 0,
            },
            "runs": {
                "image": image,
                "env": {"SSL_CERT_FILE": AUTHORITY},
                "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}},
                "serviceAccountRules": {"tester": [{"apiGroups": [""], "resources": ["services"], "verbs": ["list"]}]},
            },
            "workspaces": {"size": "1Gi"},
            "github": {"apps": {name: {"secretName": f"app-{name}"} for name in AGENTS}},
            "env": {"SSL_CERT_FILE": AUTHORITY},
            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        }

    def clear(self) -> None:
        """End all work, so that the next test finds an idle company."""
        self.director.released |= {
            step["until"] for steps in self.director.script.values() for step in steps if "until" in step
        }
        for namespace in self.namespaces:
            self.cluster.kubectl("delete", "plays,coderuns", "--all", "-n", namespace, "--timeout", "150s")
            self.cluster.kubectl(
                "wait", "pods", "-l", "agents.platform/coderun", "-n", namespace, "--for=delete", "--timeout=150s"
            )
        self.director.script.clear()

    def close(self) -> None:
        """Nobody speaks to GitHub any more when it goes away."""
        self.helm("uninstall", "coderun", "--ignore-not-found", "--wait", "--timeout", "120s")
        self.director.close()
        asyncio.run(self.hub.clear_up())

    # What a person does.

    def play(self, number: int, *, namespace: str = "", repository: str = REPOSITORY, name: str = "") -> str:
        """Write a Play of a task, in a repository of this GitHub; its name."""
        name = name or f"play-shop-{number}"
        spec = {"taskId": number, "repositoryUrl": repository, "service": "shop", "autoMerge": True}
        metadata = {"name": name, "namespace": namespace or self.namespace}
        self.cluster.apply({"apiVersion": "agents.platform/v1", "kind": "Play", "metadata": metadata, "spec": spec})
        return name

    def until_play(
        self, name: str, holds: Callable[[dict[str, Any]], Any], what: str, *, namespace: str = ""
    ) -> dict[str, Any]:
        """The Play, once its status is as expected."""
        path = f"/apis/agents.platform/v1/namespaces/{namespace or self.namespace}/plays/{name}"

        def look() -> dict[str, Any] | None:
            status, play = self.cluster.call("GET", path)
            return play if status < 300 and holds(play.get("status", {})) else None

        return self.until(look, f"{name}: {what}")

    def until_merged(self, name: str, *, namespace: str = "") -> dict[str, Any]:
        """The Play, once it has succeeded."""

        def merged(status: dict[str, Any]) -> bool:
            assert status.get("phase") not in {"Failed", "Aborted"}, status
            return status.get("phase") == "Succeeded"

        return self.until_play(name, merged, "merged", namespace=namespace)

    def until_started(self, number: int, role: str, attempt: int = 1) -> Start:
        """The start of an agent, once it asked what to do."""

        def look() -> Start | None:
            found = (one for one in self.director.starts if (one.task, one.role, one.attempt) == (number, role, attempt))
            return next(found, None)

        return self.until(look, f"task {number}: the start of {role}, attempt {attempt}")

    def occasions(self, number: int) -> list[tuple[str, int, int]]:
        """What agents were started for in a task, in order."""
        return [start.occasion for start in self.director.starts if start.task == number]

    def assert_ran_once_each(self, number: int) -> None:
        twice = [occasion for occasion, count in Counter(self.occasions(number)).items() if count > 1]
        assert not twice, f"task {number}: the agent ran more than once for {twice}"

    def until(self, look: Callable[[], T | None], what: str) -> T:
        """What `look` finds, once it finds something."""
        end = time.monotonic() + DEADLINE
        while (found := look()) is None:
            assert time.monotonic() < end, f"waited in vain for {what}\n{self.tell()}"
            time.sleep(0.2)
        return found

    def tell(self) -> str:
        """All that may explain why something does not happen."""
        told = []
        for namespace in self.namespaces:
            asked = (["get", "plays,coderuns,jobs,pods,pvc"], ["get", "events", "--sort-by=.lastTimestamp"])
            told += [self.cluster.kubectl(*words, "-n", namespace) for words in asked]
        logs = ("logs", "-l", "app.kubernetes.io/component=controller", "--tail=60", "-n", self.namespace)
        told.append(self.cluster.kubectl(*logs))
        told.append(
            self.cluster.kubectl(
                "get", "plays,coderuns", "-A", "-o", "jsonpath={range .items[*]}{.metadata.name} {.status}\n{end}"
            )
        )
        return "\n".join(told)[-12000:]
