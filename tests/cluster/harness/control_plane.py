"""A real control plane: etcd, kube-apiserver, kube-controller-manager and kube-scheduler, with certificates and RBAC.

Each has an address of its own on the loopback (the API server of a node: on the node's network), so that any number of them
stand side by side on the usual ports. Nothing runs pods here; `node.Node` adds that.
"""

import base64
import http.client
import json
import random
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.cluster.harness import pki, state
from tests.cluster.harness.processes import Process, run
from tests.cluster.harness.programs import program

_API_PORT = 6443
_ETCD_PORT = 2379
_OK = 200
_CALL_SECONDS = 120
# Where "kubernetes.default" points where no node could reach it: the API server refuses to advertise the loopback.
_NOWHERE = "198.51.100.1"


class ClientFiles(NamedTuple):
    """What a TLS client of an administrator needs."""

    authority: Path
    certificate: Path
    key: Path


class ControlPlane:
    """A control plane; runs as long as its context is open. Everything in it is the administrator's unless said otherwise.

    `tries_pods_after` is how long the scheduler leaves a pod alone that it found no node for, where no event wakes it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        address: str | None = None,
        services: str = "10.96.0.0/24",
        tries_pods_after: str = "5m",
    ) -> None:
        self.folder = folder
        self._inside = _loopback_address()
        self.address = address or self._inside
        self.url = f"https://{self.address}:{_API_PORT}"
        self.services = services
        self._tries_pods_after = tries_pods_after
        self.authority = pki.Authority(folder / "pki")
        network, _, _ = services.rpartition(".")
        service = f"{network}.1"
        names = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
        self._server = self.authority.issue("apiserver", "kube-apiserver", hosts=(self.address, service, "127.0.0.1", *names))
        self._to_kubelet = self.authority.issue("apiserver-kubelet", "apiserver-kubelet", "system:masters")
        self._tokens = self.authority.signing_key("service-accounts")
        self._admin = self.authority.issue("admin", "admin", "system:masters")
        self.client_files = ClientFiles(self.authority.certificate, self._admin.certificate, self._admin.key)
        self.kubeconfig = self.user_kubeconfig("admin", self._admin)
        self._tls = ssl.create_default_context(cafile=self.authority.certificate)
        self._tls.load_cert_chain(self._admin.certificate, self._admin.key)
        self._advertised = address or _NOWHERE
        self._etcd = Process("etcd", self._etcd_command(), folder)
        self._apiserver = Process("apiserver", self._apiserver_command(), folder)
        self._controllers = Process("controller-manager", self._controllers_command(), folder)
        self._scheduler = Process("scheduler", self._scheduler_command(), folder)
        self._running = ExitStack()

    @classmethod
    @contextmanager
    def open(cls) -> Iterator["ControlPlane"]:
        """A control plane in a folder of its own, gone with the context.

        Raises:
            UnavailableError: This machine cannot build its programs.
        """
        with state.claim() as folder, cls(folder) as control_plane:
            yield control_plane

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._etcd.stop)
            self._etcd.start()
            self._etcd.wait_for("an answer", self._etcd_answers)
            stack.callback(self._apiserver.stop)
            self.start_apiserver()
            for process in (self._controllers, self._scheduler):
                stack.callback(process.stop)
                process.start()
            self._controllers.wait_for(
                "a service account", lambda: self._exists("/api/v1/namespaces/default/serviceaccounts/default")
            )
            self._running = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._running.close()

    # Asking and telling it.

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """What `kubectl` printed, as the administrator.

        Raises:
            BrokenError: It failed; with its words.
        """
        return run(program("kubectl"), "--kubeconfig", self.kubeconfig, *arguments, stdin=stdin)

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Apply objects on the server's side, as a field manager named `test`."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self.kubectl("apply", "--server-side", "--field-manager", "test", "-f", "-", stdin=text)

    def get(self, kind: str, name: str, namespace: str = "default") -> dict[str, Any]:
        """One object, whole."""
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-n", namespace, "-o", "json"))
        return found

    def call(
        self, method: str, path: str, body: Any = None, *, content_type: str = "application/json", token: str | None = None
    ) -> tuple[int, Any]:
        """Status and document of one plain request: as the administrator, or with a token instead of a certificate."""
        tls = ssl.create_default_context(cafile=self.authority.certificate) if token else self._tls
        connection = http.client.HTTPSConnection(self.address, _API_PORT, context=tls, timeout=_CALL_SECONDS)
        try:
            headers = {"Accept": "application/json", "Content-Type": content_type}
            if token:
                headers["Authorization"] = f"Bearer {token}"
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        is_json = (answer.getheader("Content-Type") or "").startswith("application/json")
        return answer.status, json.loads(text) if is_json else text.decode(errors="replace")

    # Rooms and people in it.

    def new_namespace(self, prefix: str = "test", labels: Mapping[str, str] | None = None) -> str:
        """A namespace nobody else has, ready for pods."""
        metadata = {"generateName": f"{prefix}-", "labels": dict(labels or {})}
        status, made = self.call("POST", "/api/v1/namespaces", {"metadata": metadata})
        assert status == _OK + 1, made
        name: str = made["metadata"]["name"]
        default = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        self._controllers.wait_for(f"a service account in {name}", lambda: self._exists(default))
        return name

    def service_account_kubeconfig(self, namespace: str, name: str, rules: Sequence[Mapping[str, Any]]) -> Path:
        """The kubeconfig of a service account that may do what the rules of its Role say, and nothing else."""
        metadata = {"name": name, "namespace": namespace}
        rbac = "rbac.authorization.k8s.io"
        self.apply(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
            {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": metadata, "rules": list(rules)},
            {
                "apiVersion": f"{rbac}/v1",
                "kind": "RoleBinding",
                "metadata": metadata,
                "roleRef": {"apiGroup": rbac, "kind": "Role", "name": name},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
            },
        )
        path = self.folder / f"{namespace}-{name}.kubeconfig"
        token = self.service_account_token(namespace, name)
        return pki.kubeconfig(path, server=self.url, authority=self.authority.certificate, user=token, namespace=namespace)

    def service_account_token(self, namespace: str, name: str) -> str:
        """A token of a service account, good for a day."""
        return self.kubectl("create", "token", name, "-n", namespace, "--duration", "24h").strip()

    def user_kubeconfig(self, name: str, user: pki.KeyPair) -> Path:
        """The kubeconfig of somebody with a certificate."""
        return pki.kubeconfig(
            self.folder / f"{name}.kubeconfig", server=self.url, authority=self.authority.certificate, user=user
        )

    # Trouble on demand.

    def stop_apiserver(self) -> None:
        """From now on nobody answers at `url`; requests under way break off."""
        self._apiserver.stop()

    def start_apiserver(self) -> None:
        """The API server answers again, at the same address and with the same objects."""
        self._apiserver.start()
        self._apiserver.wait_for("readiness", self._is_ready)

    def restart_apiserver(self) -> None:
        """Every connection breaks; then it answers as before."""
        self.stop_apiserver()
        self.start_apiserver()

    def compact_etcd(self) -> None:
        """Make every resourceVersion that anybody holds too old: whoever goes on from one gets 410.

        The API server answers watches from its own memory, so it is stopped meanwhile: history moves on without it and is
        compacted, and it comes back knowing nothing older.
        """
        self.stop_apiserver()
        key = base64.b64encode(b"coderun-test").decode()
        revision = ""
        for _ in range(10):
            put = self._ask_etcd("/v3/kv/put", {"key": key, "value": key})
            revision = put["header"]["revision"]
        self._ask_etcd("/v3/kv/compaction", {"revision": revision, "physical": True})
        self.start_apiserver()

    # How each part is started.

    def _etcd_command(self) -> list[str | Path]:
        clients, peers = f"http://{self._inside}:{_ETCD_PORT}", f"http://{self._inside}:{_ETCD_PORT + 1}"
        return [
            program("etcd"),
            *("--data-dir", self.folder / "etcd"),
            *("--listen-client-urls", clients, "--advertise-client-urls", clients),
            *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", f"default={peers}"),
            *("--unsafe-no-fsync", "--log-level", "warn"),
        ]

    def _apiserver_command(self) -> list[str | Path]:
        return [
            program("kube-apiserver"),
            *("--etcd-servers", f"http://{self._inside}:{_ETCD_PORT}"),
            *("--bind-address", self.address, "--secure-port", str(_API_PORT), "--advertise-address", self._advertised),
            *("--tls-cert-file", self._server.certificate, "--tls-private-key-file", self._server.key),
            *("--client-ca-file", self.authority.certificate),
            *("--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction"),
            *("--service-account-issuer", "https://kubernetes.default.svc"),
            *("--service-account-key-file", self._tokens.certificate, "--service-account-signing-key-file", self._tokens.key),
            *("--service-cluster-ip-range", self.services),
            *("--kubelet-certificate-authority", self.authority.certificate),
            *("--kubelet-client-certificate", self._to_kubelet.certificate, "--kubelet-client-key", self._to_kubelet.key),
            *("--kubelet-preferred-address-types", "InternalIP", "--profiling=false"),
        ]

    def _controllers_command(self) -> list[str | Path]:
        pair = self.authority.issue("controllers", "system:kube-controller-manager")
        return [
            program("kube-controller-manager"),
            *self._component("controller-manager", pair),
            "--use-service-account-credentials",
            *("--service-account-private-key-file", self._tokens.key, "--root-ca-file", self.authority.certificate),
            *("--cluster-signing-cert-file", self.authority.certificate, "--cluster-signing-key-file", self.authority.key),
            *("--kube-api-qps", "500", "--kube-api-burst", "1000", "--concurrent-job-syncs", "10"),
        ]

    def _scheduler_command(self) -> list[str | Path]:
        pair = self.authority.issue("scheduler", "system:kube-scheduler")
        return [
            program("kube-scheduler"),
            *self._component("scheduler", pair),
            *("--kube-api-qps", "500", "--kube-api-burst", "1000"),
            *("--pod-max-in-unschedulable-pods-duration", self._tries_pods_after),
        ]

    def _component(self, name: str, pair: pki.KeyPair) -> list[str | Path]:
        config = self.user_kubeconfig(name, pair)
        return [
            *("--kubeconfig", config, "--authentication-kubeconfig", config, "--authorization-kubeconfig", config),
            *("--bind-address", self._inside, "--leader-elect=false", "--profiling=false"),
        ]

    # Whether it answers.

    def _etcd_answers(self) -> bool:
        try:
            return bool(self._ask_etcd("/v3/maintenance/status", {}))
        except OSError:
            return False

    def _ask_etcd(self, path: str, body: Mapping[str, Any]) -> Any:
        connection = http.client.HTTPConnection(self._inside, _ETCD_PORT, timeout=_CALL_SECONDS)
        try:
            connection.request("POST", path, json.dumps(body))
            answer = connection.getresponse()
            document = json.loads(answer.read())
        finally:
            connection.close()
        assert answer.status == _OK, f"etcd answered {answer.status} to {path}: {document}"
        return document

    def _is_ready(self) -> bool:
        try:
            return self.call("GET", "/readyz")[0] == _OK
        except (OSError, http.client.HTTPException):
            return False

    def _exists(self, path: str) -> bool:
        return self.call("GET", path)[0] == _OK


def _loopback_address() -> str:
    """One of sixteen million that nobody else listens at."""
    return f"127.{random.randint(1, 254)}.{random.randint(1, 254)}.{random.randint(2, 254)}"
