"""What a run needs beside its files: variables, Secrets, a service account, a Docker daemon. Pure.

Four places may set a variable; a later one wins over an earlier one, whatever kind it is:

1. `spec.env`;
2. `spec.envFromSecrets`;
3. `environment` of `spec.taskRequirements`;
4. `secrets` of `spec.taskRequirements` that name their keys.

A Secret that is named there without keys gives all its keys, weaker than all of these. Whatever is wrong with one of them is an
`InvalidCodeRunError` that names the field: nothing is left out in silence.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from coderun.model.coderun import CodeRun, SecretEnvVar
from coderun.model.errors import ConfigError, InvalidCodeRunError
from coderun.model.names import is_dns_subdomain
from coderun.model.roster import Agent
from coderun.model.text import nearest, printable
from coderun.model.yaml import decode, load
from coderun.plan.order import PodNeeds

MAX_REQUIREMENTS: Final = 256 * 1024
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OWN = re.compile(r"CODERUN_.*|GIT_(?:AUTHOR|COMMITTER)_(?:NAME|EMAIL)|HOME|TMPDIR")
_SECRET_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")


class Needed(msgspec.Struct, frozen=True, kw_only=True):
    """The plain variables of a run, and what only a pod can give it."""

    env: dict[str, str]
    pod: PodNeeds


class _SecretKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    keys: tuple[dict[str, str], ...] = ()


class _Requirements(msgspec.Struct, frozen=True, kw_only=True):
    """`taskRequirements`, decoded; what else stands there is for others."""

    secrets: tuple[_SecretKeys, ...] = ()
    environment: dict[str, str | int | float | bool] = {}


_READ: Final = tuple(_Requirements.__struct_fields__)


def is_run_variable(name: str) -> bool:
    """Whether a run may set this variable: a proper name, and none that the runner sets itself."""
    return _VARIABLE.fullmatch(name) is not None and _OWN.fullmatch(name) is None


def needed_by(run: CodeRun, agent: Agent) -> Needed:
    """What `run` needs. Raises `InvalidCodeRunError`."""
    spec = run.spec
    asked = _requirements(run)
    _check_plain(run, "env", spec.env)
    _check_plain(run, "taskRequirements: environment", asked.environment)
    found: dict[str, str | SecretEnvVar] = dict(spec.env)
    for index, one in enumerate(spec.env_from_secrets):
        _check_secret(run, one, f"envFromSecrets[{index}]")
        found[one.name] = one
    found.update({name: _text(value) for name, value in asked.environment.items()})
    for index, secret in enumerate(asked.secrets):
        for key, name in (pair for each in secret.keys for pair in each.items()):
            one = SecretEnvVar(name=name, secret_name=secret.name, secret_key=key)
            _check_secret(run, one, f"taskRequirements: secrets[{index}]")
            found[name] = one
    pod = PodNeeds(
        secret_env=tuple(one for one in found.values() if isinstance(one, SecretEnvVar)),
        secret_sets=tuple(dict.fromkeys(_whole_sets(run, asked))),
        service_account=_service_account(run, agent),
        docker=spec.enable_docker,
    )
    return Needed(env={name: value for name, value in found.items() if isinstance(value, str)}, pod=pod)


def _requirements(run: CodeRun) -> _Requirements:
    coded = "".join(run.spec.task_requirements.split())
    if not coded:
        return _Requirements()
    if len(coded) > MAX_REQUIREMENTS:
        raise _invalid(run, "taskRequirements", f"has more than {MAX_REQUIREMENTS // 1024} KiB")
    try:
        text = base64.b64decode(coded, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _invalid(run, "taskRequirements", f"is no base64 of a text ({error}); write base64 of YAML") from error
    try:
        document = load(text, name="taskRequirements")
        if document.data is None:
            return _Requirements()
        asked = decode(document, _Requirements)
    except ConfigError as error:
        raise _invalid(run, "taskRequirements", f"cannot be used: {error}") from error
    for key in document.data:
        # Keys of others are let pass, but not one that was meant for us.
        if key not in _READ and (meant := nearest(str(key).lower(), _READ, cutoff=0.8)):
            raise _invalid(run, "taskRequirements", f"has {str(key)!r}, which nobody reads; write {meant!r}")
    return asked


def _text(value: Any) -> str:
    """A scalar as it stood in the YAML: `true`, not `True`."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _check_plain(run: CodeRun, field: str, variables: Mapping[str, Any]) -> None:
    for name, value in variables.items():
        if not is_run_variable(name):
            raise _invalid(run, field, f"sets {name!r}, which is no variable that a run may set")
        if "\0" in str(value):
            raise _invalid(run, field, f"sets {name!r} to a text with a NUL in it, which no variable can hold")


def _check_secret(run: CodeRun, one: SecretEnvVar, field: str) -> None:
    if not is_run_variable(one.name):
        raise _invalid(run, field, f"sets {one.name!r}, which is no variable that a run may set")
    if not is_dns_subdomain(one.secret_name):
        raise _invalid(run, field, f"names Secret {one.secret_name!r}, which cannot be the name of a Secret")
    if _SECRET_KEY.fullmatch(one.secret_key) is None:
        raise _invalid(run, field, f"names key {one.secret_key!r}, which cannot be a key of a Secret")


def _whole_sets(run: CodeRun, asked: _Requirements) -> list[str]:
    for index, secret in enumerate(asked.secrets):
        if not is_dns_subdomain(secret.name):
            field = f"taskRequirements: secrets[{index}]"
            raise _invalid(run, field, f"names Secret {secret.name!r}, which cannot be the name of a Secret")
    return [secret.name for secret in asked.secrets if not secret.keys]


def _service_account(run: CodeRun, agent: Agent) -> str:
    """The account the roster grants. A CodeRun may name it, and no other: rights come from the roster alone."""
    named = run.spec.service_account_name
    if named and named != agent.service_account:
        granted = repr(agent.service_account) if agent.service_account else "none"
        message = f"is {named!r}, which the roster does not grant agent {agent.name!r} (granted: {granted})"
        raise _invalid(run, "serviceAccountName", message)
    return agent.service_account


def _invalid(run: CodeRun, field: str, message: str) -> InvalidCodeRunError:
    return InvalidCodeRunError(f"CodeRun {run.name!r}: spec.{field} {printable(message, 500)}")
