"""Puts the real Claude Code binary into the cache, for the tests marked `claude`; it is never vendored.

Safe to repeat and to run twice at once: the binary is unpacked beside its place and renamed into it. Prints the path.

    python tests/tools/fetch_claude.py [--wheel FILE]
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final

CLI_VERSION: Final = "2.1.330"
PACKAGE: Final = "claude-agent-sdk"
PACKAGE_VERSION: Final = "0.2.187"
MEMBER: Final = "claude_agent_sdk/_bundled/claude"


def cached_binary(home: Path) -> Path:
    """Where the binary of the pinned version is kept below the home folder `home`."""
    return home / ".cache" / "coderun" / f"claude-{CLI_VERSION}" / "claude"


def download_wheel(into: Path) -> Path:
    """The wheel that bundles the binary, downloaded by pip into `into`."""
    wanted = f"{PACKAGE}=={PACKAGE_VERSION}"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--only-binary=:all:", "--dest", str(into), wanted], check=True, stdout=sys.stderr)
    return next(into.glob("*.whl"))


def unpack(wheel: Path, target: Path) -> None:
    """Put the binary of `wheel` at `target`, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".claude-")
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, os.fdopen(descriptor, "wb") as out:
            shutil.copyfileobj(source, out, 1 << 20)
        Path(name).chmod(0o755)
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)


def main() -> int:
    """Fetch it unless it is there."""
    parser = argparse.ArgumentParser(description="Put the real Claude Code binary into the cache.")
    parser.add_argument("--wheel", type=Path, help="a wheel that was downloaded before")
    wheel: Path | None = parser.parse_args().wheel
    target = cached_binary(Path.home())
    if not target.exists():
        with tempfile.TemporaryDirectory() as folder:
            unpack(wheel or download_wheel(Path(folder)), target)
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
