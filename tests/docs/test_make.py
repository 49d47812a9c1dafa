"""The targets of the Makefile, from a fresh clone, with nothing but Python, git and make."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from tests.docs.pages import ROOT, read

OLD = "#!/bin/sh\nexit 1\n"
WITHOUT_ENSUREPIP = """\
#!/bin/sh
if [ "$1" = -m ] && [ "$2" = venv ]; then
    mkdir -p "$3/bin"
    echo "The virtual environment was not created successfully because ensurepip is not" >&2
    exit 1
fi
exec {python} "$@"
"""


def make(*words: str, cwd: Path = ROOT, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *words], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )


def set_up(folder: Path, path: str) -> subprocess.CompletedProcess[str]:
    script = ["sh", str(ROOT / "tools" / "setup.sh"), str(folder / "venv"), "requirements/run.lock"]
    return subprocess.run(script, cwd=ROOT, env={"PATH": path}, capture_output=True, text=True, check=False)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder to be the whole PATH, with the programs that the set-up needs and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "rm", "cat", "mkdir"):
        (folder / name).symlink_to(str(shutil.which(name)))
    return folder


def program(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def test_help_lists_every_target_with_what_it_does() -> None:
    listed = make("help")
    assert listed.returncode == 0
    targets = re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE)
    assert re.findall(r"^  make ([a-z-]+) +\S", listed.stdout, re.MULTILINE) == targets
    [phony] = re.findall(r"^\.PHONY: (.*)$", read("Makefile"), re.MULTILINE)
    assert sorted(phony.split()) == sorted(targets)


def test_make_test_runs_lint_and_every_tier() -> None:
    recipe = re.search(r"^test:.*\n((?:\t.*\n)+)", read("Makefile"), re.MULTILINE)
    assert recipe
    assert "lint" in recipe[1]
    assert re.search(r"\$\(PYTEST\) -n auto --dist worksteal --ignore tests/cluster tests \|\| ended=", recipe[1], re.MULTILINE)
    assert re.search(r"\$\(MAKE\) --no-print-directory test-cluster \|\| ended=.*\n\texit \$\$ended$", recipe[1], re.MULTILINE)
    assert "tests/tools/fetch_claude.py" in recipe[1], "the tests of the real Claude Code need it"
    clusters = re.search(r"^test-cluster:.*\n((?:\t.*\n)+)", read("Makefile"), re.MULTILINE)
    assert clusters
    assert re.search(r"\$\(PYTEST\) -n auto --dist loadgroup tests/cluster$", clusters[1], re.MULTILINE)
    ci = read(".ci/run")
    assert "CODERUN_REQUIRE=all" in ci
    assert ci.rstrip().endswith("make test")


def test_a_machine_without_a_new_enough_python_is_told_so(tools: Path, tmp_path: Path) -> None:
    program(tools / "python3", OLD)
    done = set_up(tmp_path, str(tools))
    assert done.returncode == 1
    assert "coderun needs Python 3.11 or newer; none was found on the PATH" in done.stderr
    assert "PYTHON=/path/to/python3" in done.stderr


def test_a_python_without_ensurepip_says_what_to_install(tools: Path, tmp_path: Path) -> None:
    program(tools / "python3", WITHOUT_ENSUREPIP.format(python=sys.executable))
    done = set_up(tmp_path, str(tools))
    assert done.returncode == 1
    assert "python3 cannot make a virtual environment" in done.stderr
    assert "apt-get install python3-venv" in done.stderr
    assert "ensurepip is not" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bin"], "nothing half-made is left"


def test_a_python_that_cannot_make_an_environment_is_passed_over_for_one_that_can(tools: Path, tmp_path: Path) -> None:
    program(tools / "python3", WITHOUT_ENSUREPIP.format(python=sys.executable))
    working = 'mkdir -p "$3/bin"; printf "#!/bin/sh\\nexit 0\\n" >"$3/bin/python"; chmod +x "$3/bin/python"; exit 0'
    program(tools / "python3.12", f'#!/bin/sh\nif [ "$1" = -m ]; then {working}; fi\nexit 0\n')
    (tools / "printf").symlink_to(str(shutil.which("printf")))
    (tools / "chmod").symlink_to(str(shutil.which("chmod")))
    done = set_up(tmp_path, str(tools))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "venv" / "bin" / "python").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_fresh_clone_plays_the_demo_with_nothing_but_python_git_and_make(
    tmp_path: Path, leave_out: Callable[[str, str], NoReturn]
) -> None:
    clone = tmp_path / "clone"
    cloned = subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], capture_output=True, text=True, check=False)
    if cloned.returncode:
        leave_out("fresh clone", f"this is no git repository: {cloned.stderr.strip()}")
    (tmp_path / "home").mkdir()
    env = {
        "PATH": f"{Path(sys.base_prefix) / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path),
    }
    env |= {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name.lower().endswith("_proxy")}
    assert make("help", cwd=clone, env=env).returncode == 0
    demo = make("demo", cwd=clone, env=env)
    if demo.returncode and "No matching distribution" in demo.stderr:
        leave_out("fresh clone", "the package index cannot be reached")
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "3 of 3 pull requests merged" in demo.stdout
    [shown] = [line.partition("went as it did")[2].strip() for line in demo.stdout.splitlines() if "went as it did" in line]
    why = subprocess.run(["sh", "-c", shown], cwd=clone, env=env, capture_output=True, text=True, check=False)
    assert why.returncode == 0, shown + why.stderr
    assert "ChangesRequested" in why.stdout
    status = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True)
    assert status.stdout == ""
