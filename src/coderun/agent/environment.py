"""What an agent program sees: its environment variables, built from nothing, and the user's login where its CLI needs one.

The caller's environment is never handed on as it is; nothing here reads `os.environ`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from coderun.agent.access import agent_variables, gh_folder, proxy_secrets
from coderun.agent.git import identity_variables
from coderun.agent.ports import Places
from coderun.agent.result import SHORTEST_SECRET
from coderun.kube.manifests import PLAIN_PREFIX, SECRET_PREFIX
from coderun.plan.needs import is_run_variable
from coderun.plan.order import RunOrder

KEPT_VARIABLES: Final = ("PATH", "LANG", "TERM", "TZ")
"""Variables of the runner's environment that every agent gets, beside `LC_*`."""

LOGIN_VARIABLES: Final = ("CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL")
"""Variables of the user's environment that are handed to the `claude` adapter and no other; their values reach no log."""

NETWORK_VARIABLES: Final = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
)
"""How this machine reaches the network; handed to adapters of CLIs that speak to a model."""

_SECRET_VARIABLES: Final = frozenset({"CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"})
_CREDENTIALS: Final = ".credentials.json"
_CREDENTIALS_LIMIT: Final = 1 << 20


def build_environment(order: RunOrder, places: Places, inherited: Mapping[str, str]) -> dict[str, str]:
    """The variables of an agent program. `order.env` may set any but the runner's own (`CODERUN_*`, HOME, TMPDIR, identity).

    What a pod was given for its agent (`CODERUN_SECRET_X`, `CODERUN_PLAIN_X`) is X here; `order.env` goes before it.
    """
    kept = {name: value for name, value in inherited.items() if name in KEPT_VARIABLES or name.startswith("LC_")}
    asked = {name: value for name, value in order.env.items() if is_settable(name, value)}
    own = {
        **identity_variables(order.agent),
        "HOME": str(places.home),
        "TMPDIR": str(places.tmp),
        "CODERUN_ORDER": str(places.run / "order.json"),
        "CODERUN_RESULT": str(places.result),
        "CODERUN_TASK_DIR": str(places.task_dir),
        "CODERUN_FILES": str(places.files),
        "CODERUN_ROLE": order.agent.role,
        "CODERUN_STAGE": order.stage,
        "CODERUN_TASK_ID": str(order.task_id),
        "CODERUN_ATTEMPT": str(order.attempt),
        "CODERUN_ITERATION": str(order.iteration),
        "CODERUN_FORGE_TOKEN_FILE": str(places.token),
        **agent_variables(order, gh=gh_folder(places.tmp), inherited=inherited),
    }
    return {**kept, **given_variables(inherited), **asked, **own}


def given_variables(inherited: Mapping[str, str]) -> dict[str, str]:
    """The variables that a pod was given for its agent."""
    return {
        name.removeprefix(prefix): value
        for prefix in (PLAIN_PREFIX, SECRET_PREFIX)
        for name, value in inherited.items()
        if name.startswith(prefix) and is_settable(name.removeprefix(prefix), value)
    }


def is_settable(name: str, value: str) -> bool:
    """Whether an order may set this variable: a proper name, no NUL in the value, and not one the runner sets."""
    return is_run_variable(name) and "\0" not in value


def login_variables(inherited: Mapping[str, str]) -> dict[str, str]:
    """The user's login and way to the network, out of the runner's environment."""
    names = (*LOGIN_VARIABLES, *NETWORK_VARIABLES)
    return {name: inherited[name] for name in names if inherited.get(name)}


def secrets_of(places: Places, inherited: Mapping[str, str]) -> tuple[str, ...]:
    """Texts that no log, summary or comment may hold: the forge token and those of `inherited_secrets`."""
    try:
        token = places.token.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        token = ""
    return tuple(filter(None, (token, *inherited_secrets(inherited))))


def inherited_secrets(inherited: Mapping[str, str]) -> tuple[str, ...]:
    """The user's login tokens, passwords of proxies and, in a pod, what it was given from Secrets.

    What is too short to be a secret is none.
    """
    logins = [inherited.get(name, "") for name in sorted(_SECRET_VARIABLES)]
    given = [value for name, value in inherited.items() if name.startswith(SECRET_PREFIX) and len(value) >= SHORTEST_SECRET]
    proxies = [value for value in proxy_secrets(inherited) if len(value) >= SHORTEST_SECRET]
    return tuple(filter(None, [*logins, *given, *proxies]))


def hand_over_credentials(inherited: Mapping[str, str], home: Path) -> bool:
    """Copy the user's Claude credentials file (and nothing else of theirs) into the agent's HOME, mode 0600, where newer.

    Returns whether the agent's HOME has one now. The user's HOME is what `inherited` says.
    """
    target = home / ".claude" / _CREDENTIALS
    source = _user_folder(inherited)
    if source is not None and _is_newer(source / _CREDENTIALS, target):
        data = _read(source / _CREDENTIALS)
        if data:
            _write(target, data)
    return target.exists()


def _user_folder(inherited: Mapping[str, str]) -> Path | None:
    chosen, home = inherited.get("CLAUDE_CONFIG_DIR", ""), inherited.get("HOME", "")
    if chosen:
        return Path(chosen)
    return Path(home, ".claude") if home else None


def _is_newer(source: Path, target: Path) -> bool:
    try:
        made = source.stat().st_mtime_ns
    except OSError:
        return False
    try:
        return made > target.stat().st_mtime_ns
    except OSError:
        return True


def _read(source: Path) -> bytes:
    try:
        with source.open("rb") as file:
            data = file.read(_CREDENTIALS_LIMIT + 1)
    except OSError:
        return b""
    return data if len(data) <= _CREDENTIALS_LIMIT else b""


def _write(target: Path, data: bytes) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = target.with_name(f"{target.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    fresh.replace(target)
