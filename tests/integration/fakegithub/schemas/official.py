"""GitHub's schemas as validators: installed once per version into the user's cache, cut down to what the fake speaks."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
from tests.integration.fakegithub.schemas.extract import DEFINITIONS

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
TIMEOUT = 300
_DOCUMENTS = {"rest": "@octokit/openapi", "webhooks": "@octokit/openapi-webhooks"}


class UnavailableError(Exception):
    """npm is absent, or the packages cannot be installed; the text is the reason to show."""


def extracted(operations: list[str]) -> Path:
    """The file of the schemas of these operations; made once for each version of the packages and each list."""
    if shutil.which("npm") is None:
        raise UnavailableError("npm is not on the PATH")
    lock = (HERE / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coderun"
    folder = cache / f"npm-github-schemas-{hashlib.sha256(lock).hexdigest()[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    asked = "\n".join(operations)
    key = hashlib.sha256(asked.encode() + (HERE / "extract.py").read_bytes()).hexdigest()[:16]
    out = folder / f"extract-{key}.json"
    with (folder / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _install(folder)
        if not out.exists():
            _extract(folder, out, asked)
    return out


def _install(folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(HERE / name, folder / name)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=optional"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    if done.returncode:
        raise UnavailableError(f"npm ci failed: {done.stderr.strip()[-500:]}")
    for kind, package in _DOCUMENTS.items():
        shutil.copyfile(folder / "node_modules" / package / "generated" / "api.github.com.json", folder / f"{kind}.json")
    shutil.rmtree(folder / "node_modules")
    (folder / "complete").touch()


def _extract(folder: Path, out: Path, asked: str) -> None:
    part = out.with_suffix(".part")
    command = [sys.executable, "-m", "tests.integration.fakegithub.schemas.extract", str(folder), str(part)]
    subprocess.run(command, cwd=ROOT, input=asked, text=True, check=True, timeout=TIMEOUT)
    part.replace(out)


class Official:
    """Holds bodies to the schemas; each validator is built when it is first asked for."""

    def __init__(self, path: Path) -> None:
        self._made = json.loads(path.read_text(encoding="utf-8"))
        self._registry = jsonschema_rs.Registry([(DEFINITIONS, self._made["definitions"])], draft=jsonschema_rs.Draft202012)
        self._validators: dict[tuple[str, str], Any] = {}

    def has(self, kind: str, name: str) -> bool:
        """Whether the documents know of that answer or webhook."""
        return name in self._made[kind]

    def describes(self, answer: str) -> bool:
        """Whether the documents say what stands in the body of an answer."""
        return self._made["rest"].get(answer) is not None

    def faults(self, kind: str, name: str, body: Any) -> list[str]:
        """What is wrong with a body, by place."""
        schema = self._made[kind][name]
        if schema is None:
            return [] if body is None else [f"a body where none belongs: {str(body)[:100]}"]
        if (kind, name) not in self._validators:
            made = jsonschema_rs.Draft202012Validator(
                schema, registry=self._registry, validate_formats=True, formats={"email": _is_address}
            )
            self._validators[kind, name] = made
        return [
            f"{'/'.join(map(str, error.instance_path))}: {error.message[:300]}"
            for error in self._validators[kind, name].iter_errors(body)
        ]


def _is_address(text: str) -> bool:
    """GitHub's own addresses of bots have brackets, which the format forbids."""
    return "@" in text
