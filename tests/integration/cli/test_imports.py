"""Local mode starts without the libraries that only GitHub needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NEEDLESS = {"aiohttp", "jwt", "cryptography", "yarl", "kubernetes"}


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), (["get"], 4)])
def test_a_local_command_imports_no_http_and_no_cryptography(words: list[str], code: int, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    person = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *person, "commit", "--quiet", "--allow-empty", "--message=first"], cwd=folder, check=True)
    source = str(Path(__file__).parents[3] / "src")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path), "PYTHONPATH": source}
    command = [sys.executable, "-X", "importtime", "-m", "coderun.cli.main", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "coderun.cli.get" in imported, done.stderr
    assert {name.partition(".")[0] for name in imported} & NEEDLESS == set()
    assert "coderun.forge.github.client" not in imported
    assert done.returncode == code, done.stderr[-500:]
