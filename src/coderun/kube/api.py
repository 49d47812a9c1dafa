"""Typed calls of the Kubernetes API: every verb we use, decoded into the partial shape the caller names.

Between `client` (bytes) and whoever keeps or runs something in a cluster. Errors are those of `kube.errors`. Writes of a leader
go through its gate: `fenced`.
"""

import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Literal, Self, TypeAlias, TypeVar

import msgspec

from coderun.kube.client import KubeClient
from coderun.kube.errors import ExpiredError
from coderun.kube.gate import Gate
from coderun.kube.objects import Bare, Page, plain
from coderun.kube.resources import PODS, Resource
from coderun.model.errors import ClusterUnavailableError, NotFoundError

T = TypeVar("T")
MANAGER: Final = "coderun-controller"
"""Our one field manager."""

PAGE: Final = 500
_LIST_TRIES: Final = 4
PatchKind: TypeAlias = Literal["merge", "json"]
_PATCHES: Final = {"merge": "application/merge-patch+json", "json": "application/json-patch+json"}
_APPLY: Final = "application/apply-patch+yaml"
_BARE: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
"""Asks for an answer without spec, data and status: what was just sent need not come back."""

_UNFIT: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufdd0-\ufdef\ufeff\ufffe\uffff]")
_UNFIT_BYTES: Final = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]|\xef[\xb7\xbb\xbf]")
_encoder: Final = msgspec.json.Encoder()
_decoders: Final[dict[Any, msgspec.json.Decoder[Any]]] = {}
_page: Final = msgspec.json.Decoder(Page)


def decoder_of(type_: type[T]) -> msgspec.json.Decoder[T]:
    """The one decoder of a shape."""
    known = _decoders.get(type_)
    if known is None:
        known = _decoders[type_] = msgspec.json.Decoder(type_)
    return known


class Api:
    """Calls over one connection."""

    def __init__(self, client: KubeClient, *, gate: Gate | None = None, dry_run: bool = False) -> None:
        self.client = client
        self._gate = gate
        self._dry_run = dry_run

    def fenced(self, gate: Gate) -> Self:
        """The same connection, with every write going through `gate`."""
        return type(self)(self.client, gate=gate, dry_run=self._dry_run)

    async def get(self, resource: Resource, namespace: str, name: str, type_: type[T]) -> T | None:
        """The object, None where there is none."""
        attempted = _say("read", resource, namespace, name)
        try:
            body = await self.client.request(
                "GET",
                resource.path(namespace, name),
                attempted=attempted,
                accept=_BARE if type_ is Bare else "",
                resource=resource.plural,
            )
        except NotFoundError:
            return None
        return _decode(body, type_, attempted)

    async def list_page(
        self, resource: Resource, namespace: str, *, labels: str = "", fields: str = "", limit: int = PAGE, continue_: str = ""
    ) -> Page:
        """One page of a list, its items as they came. Raises `ExpiredError` where `continue_` is too old."""
        query = _only(labelSelector=labels, fieldSelector=fields, limit=str(limit), **{"continue": continue_})
        attempted = _say("list", resource, namespace)
        body = await self.client.request(
            "GET", resource.path(namespace), attempted=attempted, query=query, resource=resource.plural, patience=60.0
        )
        try:
            return _page.decode(body)
        except msgspec.MsgspecError as error:
            raise ClusterUnavailableError(f"cannot {attempted}: what came back is no list ({error})") from error

    async def list(self, resource: Resource, namespace: str, *, labels: str = "", fields: str = "") -> tuple[msgspec.Raw, ...]:
        """All objects that match, as they came, page by page; from the start again where the list grew too old meanwhile.

        Raises:
            ExpiredError: it grows old faster than it can be read.
        """
        for _ in range(_LIST_TRIES - 1):
            with contextlib.suppress(ExpiredError):
                return await self._list(resource, namespace, labels, fields)
        return await self._list(resource, namespace, labels, fields)

    async def _list(self, resource: Resource, namespace: str, labels: str, fields: str) -> tuple[msgspec.Raw, ...]:
        items: tuple[msgspec.Raw, ...] = ()
        continue_ = ""
        while True:
            page = await self.list_page(resource, namespace, labels=labels, fields=fields, continue_=continue_)
            items += page.items or ()
            continue_ = page.metadata.continue_
            if not continue_:
                return items

    @contextlib.asynccontextmanager
    async def watch(
        self,
        resource: Resource,
        namespace: str,
        *,
        since: str,
        labels: str = "",
        fields: str = "",
        seconds: int = 300,
        silence: float | None = None,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The chunks of a watch from resourceVersion `since` on, with bookmarks; the server ends it after `seconds`."""
        query = _only(
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=since,
            timeoutSeconds=str(seconds),
            labelSelector=labels,
            fieldSelector=fields,
        )
        attempted = _say("watch", resource, namespace)
        async with self.client.stream(
            resource.path(namespace), attempted=attempted, query=query, silence=silence, resource=resource.plural
        ) as chunks:
            yield chunks

    async def create(self, resource: Resource, namespace: str, body: object, type_: type[T]) -> T:
        """Create it. Raises `AlreadyExistsError`."""
        name = _name_of(body)
        return await self._write(
            "POST", resource, namespace, "", body, type_, attempted=_say("create", resource, namespace, name)
        )

    async def replace(
        self, resource: Resource, namespace: str, name: str, body: object, type_: type[T], *, subresource: str = ""
    ) -> T:
        """Put `body` in its place. Raises `WriteConflictError` where `body`'s resourceVersion is not the newest."""
        attempted = _say("write", resource, namespace, name, subresource)
        return await self._write("PUT", resource, namespace, name, body, type_, attempted=attempted, subresource=subresource)

    async def apply(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: object,
        type_: type[T],
        *,
        subresource: str = "",
        force: bool = True,
    ) -> T:
        """Server-side apply as our field manager: what `body` names becomes so, what it named before and does not now goes.

        It creates what is not there. With a resourceVersion in `body`, raises `WriteConflictError` where it is not the newest.
        The server reads what is applied as YAML, which takes fewer characters than JSON does: those are escaped.
        """
        query = {"fieldManager": MANAGER, "force": "true" if force else "false"}
        attempted = _say("apply", resource, namespace, name, subresource)
        return await self._write(
            "PATCH",
            resource,
            namespace,
            name,
            as_yaml(body if isinstance(body, bytes) else _encoder.encode(body)),
            type_,
            attempted=attempted,
            subresource=subresource,
            query=query,
            content_type=_APPLY,
        )

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: object,
        type_: type[T],
        *,
        kind: PatchKind = "merge",
        subresource: str = "",
    ) -> T:
        """Change what `body` names, by a JSON merge patch (where a resourceVersion is a precondition) or a JSON patch."""
        attempted = _say("change", resource, namespace, name, subresource)
        return await self._write(
            "PATCH",
            resource,
            namespace,
            name,
            body,
            type_,
            attempted=attempted,
            subresource=subresource,
            query={"fieldManager": MANAGER},
            content_type=_PATCHES[kind],
        )

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        grace: int | None = None,
        propagation: str = "Background",
    ) -> bool:
        """Delete it, and by garbage collection what it owns; False where it is gone already.

        Raises:
            WriteConflictError: `uid` or `resource_version` are given and are not the object's.
        """
        preconditions = _only(uid=uid, resourceVersion=resource_version)
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if preconditions:
            options["preconditions"] = preconditions
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        attempted = _say("delete", resource, namespace, name)
        try:
            await self._write("DELETE", resource, namespace, name, options, Bare, attempted=attempted)
        except NotFoundError:
            return False
        return True

    @contextlib.asynccontextmanager
    async def logs(
        self, namespace: str, pod: str, *, container: str = "", follow: bool = False, tail: int | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The chunks of a container's output so far, and with `follow` what comes until it ends."""
        query = _only(container=container, follow="true" if follow else "", tailLines="" if tail is None else str(tail))
        attempted = _say("read the output of", PODS, namespace, pod)
        async with self.client.stream(PODS.path(namespace, pod, "log"), attempted=attempted, query=query) as chunks:
            yield chunks

    async def _write(
        self,
        method: str,
        resource: Resource,
        namespace: str,
        name: str,
        body: object,
        type_: type[T],
        *,
        attempted: str,
        subresource: str = "",
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> T:
        encoded = body if isinstance(body, bytes) else _encoder.encode(body)
        asked = {**({"fieldManager": MANAGER} if method in {"POST", "PUT"} else {}), **(query or {})}
        if self._dry_run:
            asked["dryRun"] = "All"
        async with self._gate.writing() if self._gate is not None else contextlib.nullcontext():
            answer = await self.client.request(
                method,
                resource.path(namespace, name, subresource),
                attempted=attempted,
                query=asked,
                body=encoded,
                content_type=content_type,
                accept=_BARE if type_ is Bare else "",
                gate=self._gate,
                resource=resource.plural,
            )
        return _decode(answer, type_, attempted)


def as_yaml(encoded: bytes) -> bytes:
    """JSON, with the characters escaped that YAML has no place for, or reads as the end of a line.

    They are DEL, C1 controls, line and paragraph separators, byte order marks and noncharacters. Such a character can only
    stand in a text, where an escape means the same. What lies beyond U+FFFF stays as it is: YAML refuses the pairs of escapes
    that JSON would have for it.
    """
    if not _UNFIT_BYTES.search(encoded):
        return encoded
    return _UNFIT.sub(lambda found: f"\\u{ord(found[0]):04x}", encoded.decode()).encode()


def _say(verb: str, resource: Resource, namespace: str, name: str = "", subresource: str = "") -> str:
    what = f"{resource.kind} {name!r}" if name else resource.kinds
    part = f"the {subresource} of " if subresource else ""
    return f"{verb} {part}{what} in namespace {namespace!r}"


def _decode(body: bytes, type_: type[T], attempted: str) -> T:
    try:
        return decoder_of(type_).decode(body)
    except msgspec.MsgspecError as error:
        raise ClusterUnavailableError(f"cannot {attempted}: what came back is not understood ({error})") from error


def _only(**given: str) -> dict[str, str]:
    return {name: value for name, value in given.items() if value}


def _name_of(body: object) -> str:
    data = body if isinstance(body, dict) else plain(body) if not isinstance(body, bytes) else {}
    return str(data.get("metadata", {}).get("name", "")) if isinstance(data, dict) else ""
