"""Every command of docs/kubernetes.md, in order, on a real API server with the real `helm` and `kubectl`."""

import os
import subprocess
import sys
from pathlib import Path

from tests.cluster.harness import ControlPlane
from tests.cluster.harness.programs import program
from tests.cluster.ours import remove
from tests.docs.pages import ROOT, blocks

PAGE = "docs/kubernetes.md"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nmade up\n-----END RSA PRIVATE KEY-----\n"


def test_every_command_of_the_page_works_in_the_order_of_the_page(
    control_plane: ControlPlane, helm: str, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "helm").symlink_to(helm)
    (tools / "kubectl").symlink_to(program("kubectl"))
    (tools / "coderun").write_text(f"#!{sys.executable}\nfrom coderun.cli.main import main\nmain()\n", encoding="utf-8")
    (tools / "coderun").chmod(0o755)
    (tmp_path / "charts").symlink_to(ROOT / "charts")
    (tmp_path / "rex.pem").write_text(KEY, encoding="utf-8")
    written = {block.heading: block.text for block in blocks(PAGE) if block.language == "yaml"}
    (tmp_path / "values.yaml").write_text(written["Install"], encoding="utf-8")
    (tmp_path / "play.yaml").write_text(written["A play"], encoding="utf-8")
    (tmp_path / "run.yaml").write_text(written["A single run"], encoding="utf-8")
    environment = {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "KUBECONFIG": str(control_plane.kubeconfig),
        "PYTHONPATH": str(ROOT / "src"),
    }

    def type_in(command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    remove(control_plane)
    said: dict[str, str] = {}
    for command in [command for block in blocks(PAGE) for command in block.commands]:
        if command.startswith("kubectl delete crd"):
            # No controller ever listed them here, and nobody waits five minutes: see `remove`.
            type_in("kubectl get docsruns,deliveries --all-namespaces")
        said[command] = type_in(command)
        if command.startswith("helm install"):
            type_in(
                "kubectl wait --for=condition=Established crd/plays.agents.platform crd/coderuns.agents.platform --timeout=120s"
            )
            type_in("kubectl create --dry-run=server --validate=strict -f run.yaml")
    assert "NAME" in said["kubectl get plays,cr --namespace coderun"]
    assert "play-acme-shop-3" in said["kubectl get plays,cr --namespace coderun"]
    assert "REPOSITORY" in said["kubectl get plays --namespace coderun --output wide"]
    type_in("coderun crds | kubectl apply --server-side -f -")
    type_in("kubectl delete namespace coderun --wait=false")
