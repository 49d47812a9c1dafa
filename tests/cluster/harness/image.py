"""The agent image for tests, made without a container engine: what `deploy/image/Dockerfile` says, from locked packages.

Three layers: the system (a minute) and the locked packages are kept by what they are made of, the project takes seconds.
"""

import sys
import tempfile
from pathlib import Path

from tests.cluster.harness import cache, debian
from tests.cluster.harness.errors import BrokenError, UnavailableError
from tests.cluster.harness.oci import Owner, pack_image, pack_layer
from tests.cluster.harness.processes import run

AGENT_IMAGE = "localhost/coderun-agent:test"
PYTHON = "3.11"

_RELEASE = "bookworm"
PACKAGES = ("python3", "git", "ca-certificates", "procps")
_SITE = f"usr/local/lib/python{PYTHON}/dist-packages"
_HOME = "home/agent"
_AGENT = Owner(1000, 1000)
_LAUNCHER = "#!/usr/bin/python3\nfrom coderun.cli.main import main\n\nmain()\n"
_NEEDLESS = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale", "var/log")
_ROOT = Path(__file__).parents[3]
_BUILD_SECONDS = 1800.0


def agent_image(tar: Path, *more: Path) -> Path:
    """Write the image, with the code of this checkout and `more` folders over it, as an OCI tar.

    Raises:
        UnavailableError: This machine cannot make one; with the reason.
    """
    added = [tar.with_suffix(f".layer-{number}") for number in range(len(more) + 1)]
    try:
        _install_project(added[0])
        for folder, layer in zip(more, added[1:], strict=True):
            pack_layer(folder, layer)
        pack_image(
            tar,
            AGENT_IMAGE,
            [*kept_layers(), *added],
            Entrypoint=["coderun"],
            User="1000:1000",
            WorkingDir=f"/{_HOME}",
            Env=[f"HOME=/{_HOME}", "LANG=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1"],
        )
    finally:
        for layer in added:
            layer.unlink(missing_ok=True)
    return tar


def kept_layers() -> list[Path]:
    """The layers below the project, made now where no earlier run did."""
    return [_system(), _locked_packages()]


def _system() -> Path:
    path = cache.root() / f"layer-system-{cache.digest(Path(__file__))}"
    if not path.exists():
        debian.need(debian.IMAGE)
    return cache.keep(path, _bootstrap)


def _bootstrap(part: Path) -> None:
    sys.stderr.write("building the system of the agent image (a minute, once a machine) ...\n")
    with tempfile.TemporaryDirectory() as scratch:
        system = Path(scratch, "system")
        try:
            included = f"--include={','.join(PACKAGES)}"
            run(debian.tool("debootstrap"), "--variant=minbase", included, _RELEASE, system, seconds=_BUILD_SECONDS)
        except BrokenError as error:
            raise UnavailableError(f"the agent image cannot be built: {error}") from error
        for needless in _NEEDLESS:
            cache.discard(system / needless)
            (system / needless).mkdir()
        with (system / "etc/passwd").open("a", encoding="utf-8") as people:
            people.write(f"agent:x:{_AGENT.uid}:{_AGENT.gid}::/{_HOME}:/bin/bash\n")
        with (system / "etc/group").open("a", encoding="utf-8") as groups:
            groups.write(f"agent:x:{_AGENT.gid}:\n")
        (system / _HOME).mkdir()
        pack_layer(system, part, owners={_HOME: _AGENT})


def _locked_packages() -> Path:
    lock = _ROOT / "requirements" / "run.lock"
    return cache.keep(
        cache.root() / f"layer-packages-{cache.digest(lock, Path(__file__))}", lambda part: _install_locked(lock, part)
    )


def _install_locked(lock: Path, part: Path) -> None:
    for_this_python = ["--only-binary", ":all:", "--implementation", "cp", "--python-version", PYTHON]
    platforms = [
        word
        for name in ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
        for word in ("--platform", name)
    ]
    with tempfile.TemporaryDirectory() as scratch:
        try:
            _pip(Path(scratch), *for_this_python, *platforms, "--require-hashes", "--no-deps", "-r", lock)
        except BrokenError as error:
            raise UnavailableError(f"the agent image cannot have its packages: {error}") from error
        cache.discard(Path(scratch, "bin"))
        _compile(Path(scratch))
        pack_layer(Path(scratch), part, below=_SITE)


def _install_project(part: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        image = Path(scratch, "image")
        site = image / _SITE
        _pip(site, "--no-deps", "--no-build-isolation", _ROOT)
        cache.discard(site / "bin")
        _compile(site)
        launcher = image / "usr/local/bin/coderun"
        launcher.parent.mkdir(parents=True)
        launcher.write_text(_LAUNCHER, encoding="utf-8")
        launcher.chmod(0o755)
        pack_layer(image, part)


def _pip(target: Path, *arguments: str | Path) -> None:
    quiet = ("--quiet", "--disable-pip-version-check", "--no-compile")
    run(sys.executable, "-m", "pip", "install", *quiet, "--target", target, *arguments, seconds=_BUILD_SECONDS)


def _compile(site: Path) -> None:
    """Compile modules beforehand: nothing can be written in a pod, and times of files are not kept in a layer."""
    if f"{sys.version_info.major}.{sys.version_info.minor}" == PYTHON:
        as_installed = ("-s", site, "-p", f"/{_SITE}")
        run(
            sys.executable,
            "-m",
            "compileall",
            "-q",
            "--invalidation-mode",
            "unchecked-hash",
            *as_installed,
            site,
            seconds=_BUILD_SECONDS,
        )
