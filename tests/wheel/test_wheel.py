"""The built wheel, installed alone in an empty environment, does the main job; all it needs is in it."""

import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from coderun import __version__

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "coderun"
DATA = (
    "plan/packaged/pipelines/play.yaml",
    "plan/packaged/roster.yaml",
    "app/demo/agent.py",
    "app/demo/project/.taskmaster/tasks/tasks.json",
    "app/demo/project/lint.py",
    "app/demo/project/tests/test_cart.py",
    "py.typed",
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run(*argv: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, argv)), cwd=cwd, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    built = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ".")
    assert built.returncode == 0, built.stderr + built.stdout
    [path] = folder.glob("coderun-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory, leave_out: Callable[[str, str], NoReturn]) -> Path:
    """The `bin` folder of an environment that holds the wheel and what it depends on, nothing else."""
    folder = tmp_path_factory.mktemp("alone")
    venv.create(folder, with_pip=True, symlinks=True)
    pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    needed = run(*pip, "--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", ROOT / "requirements" / "run.lock")
    if needed.returncode:
        leave_out("wheel", f"its dependencies cannot be installed here: {needed.stderr.strip().splitlines()[-1]}")
    ours = run(*pip, "--no-deps", "--no-index", wheel)
    assert ours.returncode == 0, ours.stderr
    consistent = run(folder / "bin" / "python", "-m", "pip", "check")
    assert consistent.returncode == 0, consistent.stdout
    return folder / "bin"


def test_everything_the_program_reads_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    assert [name for name in DATA if f"coderun/{name}" not in packed] == []
    tracked = run("git", "ls-files", "-z", "--", ".", cwd=SOURCES).stdout.split("\0")
    assert [name for name in tracked if name and f"coderun/{name}" not in packed] == []
    assert not [name for name in packed if "__pycache__" in name or not name.startswith("coderun")]
    assert any(name.endswith("licenses/LICENSE") for name in packed)


def test_the_wheel_installed_alone_plays_the_demo_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    home, here = tmp_path / "home", tmp_path / "empty"
    home.mkdir()
    here.mkdir()
    env = {
        "PATH": f"{installed}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TMPDIR": str(tmp_path),
    }
    version = run(installed / "coderun", "--version", cwd=here, env=env)
    assert (version.returncode, version.stdout) == (0, f"coderun {__version__}\n")
    demo = run(installed / "coderun", "demo", "--plain", cwd=here, env=env)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "3 of 3 pull requests merged" in demo.stdout
    for seen in ("ChangesRequested: tess[bot] asked for changes", "back to quality", "Merged: pull request #3 is merged"):
        assert seen in demo.stdout
    shown = next(line for line in demo.stdout.splitlines() if line.lstrip().startswith("why a task went as it did"))
    why = run("sh", "-c", shown.partition("as it did")[2], cwd=here, env=env)
    assert why.returncode == 0, why.stderr
    assert "ChangesRequested" in why.stdout
    assert list(here.iterdir()) == []
