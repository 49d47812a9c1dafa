"""The HTTP side: finds out what a request wants, lets faults and access have their way, answers as the real server does."""

import asyncio
import contextlib
import json
import re
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import yaml
from aiohttp import web
from tests.fakes.apiserver import discovery
from tests.fakes.apiserver.access import Attributes, Audit, Entry, User, Users, permit
from tests.fakes.apiserver.catalog import SERVER_VERSION, Catalog
from tests.fakes.apiserver.deleting import Deleted, Deleter, Deletion
from tests.fakes.apiserver.errors import (
    Cause,
    StatusError,
    bad_request,
    forbidden_field,
    internal,
    method_not_allowed,
    no_such_path,
    required,
    too_large,
    too_many,
    unsupported,
    unsupported_media,
)
from tests.fakes.apiserver.faults import Fault, FaultKind, Faults
from tests.fakes.apiserver.logs import PodLogs
from tests.fakes.apiserver.patches import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from tests.fakes.apiserver.reading import Query, Reader, encoded, partial
from tests.fakes.apiserver.resources import Resource
from tests.fakes.apiserver.schema import Json
from tests.fakes.apiserver.storage import Storage, Stored
from tests.fakes.apiserver.writing import Options, Place, Writer, Written

MAX_BODY = 3 * 1024 * 1024
_JSON = "application/json"
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
_OPTION_KINDS = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}


class Answer(NamedTuple):
    """What is sent back; a stream where `lines` is given."""

    body: bytes
    status: int = 200
    warnings: tuple[str, ...] = ()
    lines: AsyncIterator[bytes] | None = None
    kind: str = _JSON


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a path means."""

    place: Place
    verb: str

    @property
    def place_of_audit(self) -> tuple[str, str, str, str, str]:
        """Group, resource, subresource, namespace and name."""
        place = self.place
        return (place.resource.group, place.resource.plural, place.subresource, place.namespace, place.name)


class Api:
    """Answers requests."""

    def __init__(
        self,
        *,
        storage: Storage,
        catalog: Catalog,
        writer: Writer,
        deleter: Deleter,
        reader: Reader,
        users: Users,
        logs: PodLogs,
        touched: Callable[[Resource, Stored], None],
    ) -> None:
        self.faults = Faults()
        self.audit = Audit()
        self.streams: set[asyncio.Transport] = set()
        self._storage = storage
        self._catalog = catalog
        self._writer = writer
        self._deleter = deleter
        self._reader = reader
        self._users = users
        self._logs = logs
        self._touched = touched

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            user = self._users.of(request.headers.get("Authorization", ""))
            plain = await self._plain(request, user)
            if plain is not None:
                return _response(plain)
            target = self._target(request)
        except StatusError as error:
            return _response(_failure(error))
        fault = self.faults.take(target.verb, request.path) if self.faults.waiting else None
        if fault is not None and not fault.after and (met := await self._meet(fault, request)) is not None:
            self._note(request, user, target, met.status)
            return met
        answer = await self._answer(request, user, target)
        self._note(request, user, target, answer.status)
        if fault is not None and fault.after and (met := await self._meet(fault, request)) is not None:
            return met
        if answer.lines is not None:
            return await self._stream(request, answer)
        return _response(answer)

    async def _answer(self, request: web.BaseRequest, user: User, target: Target) -> Answer:
        place = target.place
        try:
            permit(user, place.resource, place.subresource, target.verb, place.namespace, place.name)
            return await self._serve(request, target)
        except StatusError as error:
            return _failure(error)
        except web.HTTPRequestEntityTooLarge:
            return _failure(too_large())
        except Exception as error:  # noqa: BLE001 - a server answers, whatever breaks in it
            return _failure(internal(f"{type(error).__name__}: {error}"))

    def _note(self, request: web.BaseRequest, user: User, target: Target, status: int) -> None:
        agent = request.headers.get("User-Agent", "")
        dry = "dryRun" in request.rel_url.query
        self.audit.append(Entry(user.name, agent, target.verb, *target.place_of_audit, status, dry))

    # --- paths ----------------------------------------------------------------------------------------------------------------

    async def _plain(self, request: web.BaseRequest, user: User) -> Answer | None:
        """Paths that are no resource."""
        path = request.path.rstrip("/")
        if path in {"/healthz", "/livez", "/readyz"}:
            return Answer(b"ok", kind="text/plain")
        if path == _REVIEWS and request.method == "POST":
            return self._review(await _body(request), user)
        parts = path.strip("/").split("/")
        if parts[0] == "_fake":
            found = self._of_the_fake(parts[-1])
        elif parts[0] in {"api", "apis", "version"} and len(parts) <= 3 and (parts[0] != "api" or len(parts) < 3):
            found = self._discovered(parts)
        else:
            return None
        if found is None:
            raise no_such_path()
        return Answer(msgspec.json.encode(found))

    def _discovered(self, parts: list[str]) -> Any:
        match parts:
            case ["version"]:
                return SERVER_VERSION
            case ["api"]:
                return discovery.versions()
            case ["apis"]:
                return discovery.groups(self._catalog)
            case ["api", version]:
                return discovery.resources(self._catalog, "", version)
            case ["apis", name]:
                return discovery.group(self._catalog, name)
            case ["apis", name, version]:
                return discovery.resources(self._catalog, name, version)
            case _:
                return None

    def _of_the_fake(self, what: str) -> Any:
        """What programs beside this process may ask of the fake itself."""
        match what:
            case "audit":
                counted = self.audit.counted()
                return {"requests": dict(counted), "writes": len(self.audit.writes())}
            case "forget":
                self.audit.clear()
                return {}
            case "compact":
                self._storage.compact()
                return {}
            case _:
                return None

    @staticmethod
    def _review(body: Json, user: User) -> Answer:
        asked = body.get("spec", {}).get("resourceAttributes", {})
        resource = asked.get("resource", "") + (f"/{asked['subresource']}" if asked.get("subresource") else "")
        attributes = Attributes(
            asked.get("verb", ""), asked.get("group", ""), resource, asked.get("namespace", ""), asked.get("name", "")
        )
        return Answer(msgspec.json.encode({**body, "status": {"allowed": user.may(attributes)}}), status=201)

    def _target(self, request: web.BaseRequest) -> Target:
        parts = request.path.strip("/").split("/")
        group, version, rest = ("", parts[1], parts[2:]) if parts[0] == "api" and len(parts) > 1 else ("", "", [])
        if parts[0] == "apis" and len(parts) > 2:
            group, version, rest = parts[1], parts[2], parts[3:]
        namespace = ""
        if rest[:1] == ["namespaces"] and len(rest) > 2 and not (group == "" and rest[2] in {"status", "finalize"}):
            namespace, rest = rest[1], rest[2:]
        resource = self._catalog.find(group, version, rest[0]) if rest else None
        if resource is None or len(rest) > 3 or (bool(namespace) and not resource.namespaced):
            raise no_such_path()
        name, sub = (*rest[1:], "", "")[:2]
        if sub and sub not in resource.subresources:
            raise no_such_path()
        place = Place(resource=resource, namespace=namespace, name=name, subresource=sub)
        return Target(place=place, verb=_verb(request, name))

    # --- verbs ----------------------------------------------------------------------------------------------------------------

    async def _serve(self, request: web.BaseRequest, target: Target) -> Answer:
        place = target.place
        if place.resource.namespaced and not place.namespace and (place.name or target.verb == "create"):
            raise method_not_allowed(place.resource)
        if place.subresource not in {"", "status"}:
            return await self._below(request, target)
        match target.verb:
            case "get":
                stored = self._reader.get(place)
                return Answer(partial(stored) if _wants_metadata(request) else encoded(place.resource, stored))
            case "list":
                return Answer(self._reader.listed(place, _query(request), metadata=_wants_metadata(request)))
            case "watch":
                return self._watch(place, _query(request))
            case "create" | "update" | "patch":
                return await self._write(request, target)
            case "delete":
                return self._deleted(place, self._deleter.delete(place, await _deletion(request)))
            case _:
                return await self._delete_all(request, place)

    def _watch(self, place: Place, query: Query) -> Answer:
        query.match(place.resource)
        return Answer(b"", lines=self._reader.watch(place, query))

    async def _write(self, request: web.BaseRequest, target: Target) -> Answer:
        place = target.place
        kind = request.content_type if request.can_read_body else ""
        body = await _body(request)
        options = _options(request, target.verb, kind)
        if target.verb == "create":
            if place.name:
                raise method_not_allowed(place.resource)
            done = self._writer.create(place, body, options)
        elif target.verb == "update":
            done = self._writer.update(place, body, options)
        elif kind == APPLY_PATCH:
            done = self._writer.apply(place, body, options)
        else:
            done = self._writer.patch(place, _patch_kind(kind, place.resource), body, options)
        if not options.dry_run:
            self._touched(place.resource, done.stored)
        return self._written(place, done, metadata=_wants_metadata(request))

    @staticmethod
    def _written(place: Place, done: Written, *, metadata: bool) -> Answer:
        body = partial(done.stored) if metadata else encoded(place.resource, done.stored)
        return Answer(body, status=201 if done.created else 200, warnings=done.warnings)

    def _deleted(self, place: Place, done: Deleted) -> Answer:
        self._touched(place.resource, done.stored)
        if not done.gone or place.resource.returns_deleted:
            return Answer(encoded(place.resource, done.stored))
        group = {"group": place.resource.group} if place.resource.group else {}
        details = {"name": place.name, **group, "kind": place.resource.plural, "uid": done.stored.meta["uid"]}
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return Answer(msgspec.json.encode(status))

    async def _delete_all(self, request: web.BaseRequest, place: Place) -> Answer:
        wanted = await _deletion(request)
        query = _query(request)
        listed = self._reader.listed(place, query)
        match = query.match(place.resource)
        for stored in self._storage.all_of(place.resource.table, place.namespace):
            if match is None or match(stored.value):
                one = Place(resource=place.resource, namespace=place.namespace, name=stored.meta["name"])
                self._touched(place.resource, self._deleter.delete(one, wanted).stored)
        return Answer(listed)

    # --- subresources of pods -------------------------------------------------------------------------------------------------

    async def _below(self, request: web.BaseRequest, target: Target) -> Answer:
        place = target.place
        pod = Place(resource=place.resource, namespace=place.namespace, name=place.name)
        match (target.verb, place.subresource):
            case ("get", "log"):
                return self._log(request, pod)
            case ("create", "eviction"):
                body = await _body(request)
                asked = body.get("deleteOptions") or {}
                done = self._deleter.delete(pod, Deletion(grace=asked.get("gracePeriodSeconds")))
                self._touched(pod.resource, done.stored)
                return _success()
            case ("create", "binding"):
                self._bind(pod, (await _body(request))["target"]["name"])
                return _success()
            case _:
                raise method_not_allowed(place.resource)

    def _bind(self, pod: Place, node: str) -> None:
        stored = self._reader.get(pod)
        if stored.value["spec"].get("nodeName"):
            why = f'pod {pod.name} is already assigned to node "{stored.value["spec"]["nodeName"]}"'
            raise StatusError(409, "Conflict", f'Operation cannot be fulfilled on pods/binding "{pod.name}": {why}')
        condition = {"type": "PodScheduled", "status": "True"}
        status = {**stored.value.get("status", {}), "conditions": [condition]}
        value = {
            **stored.value,
            "metadata": dict(stored.meta),
            "spec": {**stored.value["spec"], "nodeName": node},
            "status": status,
        }
        self._storage.put(pod.resource.table, value, stored.managers)

    def _log(self, request: web.BaseRequest, pod: Place) -> Answer:
        stored, asked = self._reader.get(pod), request.rel_url.query
        names = [one["name"] for one in stored.value["spec"].get("containers", [])]
        container = asked.get("container") or (names[0] if len(names) == 1 else "")
        if not container:
            raise bad_request(f"a container name must be specified for pod {pod.name}, choose one of: [{' '.join(names)}]")
        known = names + [one["name"] for one in stored.value["spec"].get("initContainers", [])]
        if container not in known:
            raise bad_request(f"container {container} is not valid for pod {pod.name}")
        if not stored.value["spec"].get("nodeName") and not self._logs.has(pod.namespace, pod.name, container):
            return Answer(b"", status=204)
        if not self._logs.has(pod.namespace, pod.name, container):
            raise bad_request(f'container "{container}" in pod "{pod.name}" is waiting to start: ContainerCreating')
        lines = self._logs.read(
            (pod.namespace, pod.name, container),
            follow=asked.get("follow", "") in {"true", "1"},
            tail=int(asked["tailLines"]) if "tailLines" in asked else None,
            limit=int(asked["limitBytes"]) if "limitBytes" in asked else None,
        )
        return Answer(b"", lines=lines, kind="text/plain")

    # --- sending --------------------------------------------------------------------------------------------------------------

    async def _stream(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": answer.kind, **_usual()})
        response.enable_chunked_encoding()
        transport = request.transport
        assert answer.lines is not None
        try:
            if transport is not None:
                self.streams.add(transport)
            await response.prepare(request)
            async for lines in answer.lines:
                await response.write(lines)
            await response.write_eof()
        except (ConnectionError, RuntimeError):
            return response
        finally:
            self.streams.discard(transport)
            with contextlib.suppress(RuntimeError):
                await answer.lines.aclose()  # type: ignore[attr-defined] # an async generator
        return response

    async def _meet(self, fault: Fault, request: web.BaseRequest) -> web.StreamResponse | None:
        """What a fault answers; None where the request goes on."""
        match fault.kind:
            case FaultKind.SLOW:
                await asyncio.sleep(fault.seconds)
                return None
            case FaultKind.HANG:
                await self.faults.hang()
                return None
            case FaultKind.CUT:
                if request.transport is not None:
                    request.transport.close()
                return web.Response(status=500)
            case FaultKind.THROTTLE:
                return _response(_failure(too_many(1 if fault.retry_after is None else fault.retry_after)))
            case FaultKind.ERROR:
                error = StatusError(fault.status, fault.reason, fault.message, retry_after=fault.retry_after)
                return _response(_failure(error))


def _verb(request: web.BaseRequest, name: str) -> str:
    match request.method:
        case "GET" if request.rel_url.query.get("watch", "") in {"true", "1"}:
            return "watch"
        case "GET":
            return "get" if name else "list"
        case "DELETE":
            return "delete" if name else "deletecollection"
        case method if method in _VERBS:
            return _VERBS[method]
        case _:
            raise method_not_allowed()


def _usual() -> dict[str, str]:
    return {"Audit-Id": str(uuid.uuid4()), "Cache-Control": "no-cache, private"}


def _response(answer: Answer) -> web.Response:
    headers = _usual()
    response = web.Response(body=answer.body, status=answer.status, headers=headers, content_type=answer.kind)
    for warning in answer.warnings:
        text = warning.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{text}"')
    if answer.status == 429 or (answer.status == 503 and b"retryAfterSeconds" in answer.body):
        response.headers["Retry-After"] = str(json.loads(answer.body)["details"]["retryAfterSeconds"])
    return response


def _failure(error: StatusError) -> Answer:
    return Answer(msgspec.json.encode(error.body()), status=error.code)


def _success() -> Answer:
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return Answer(msgspec.json.encode(status), status=201)


def _wants_metadata(request: web.BaseRequest) -> bool:
    return "as=PartialObjectMetadata" in request.headers.get("Accept", "")


async def _body(request: web.BaseRequest) -> Any:
    raw = await request.read()
    if not raw:
        return {}
    kind = request.content_type
    if kind == "application/vnd.kubernetes.protobuf":
        raise unsupported_media(kind, [_JSON, "application/yaml"])
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        if not kind.endswith("yaml"):
            raise bad_request(f"error decoding the body: {error}") from error
    try:
        return yaml.safe_load(raw)
    except yaml.YAMLError as error:
        raise bad_request(f"error decoding YAML: {error}") from error


def _query(request: web.BaseRequest) -> Query:
    asked = request.rel_url.query
    limit = asked.get("limit", "0") or "0"
    exact = asked.get("resourceVersionMatch") == "Exact"
    if exact and not asked.get("resourceVersion"):
        text = "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
        raise StatusError(422, "Invalid", f'ListOptions.meta.k8s.io "" is invalid: {text}')
    return Query(
        labels=asked.get("labelSelector", ""),
        fields=asked.get("fieldSelector", ""),
        limit=int(limit),
        token=asked.get("continue", ""),
        version=asked.get("resourceVersion", ""),
        exact=exact,
        bookmarks=asked.get("allowWatchBookmarks", "") in {"true", "True", "1"},
        initial=asked.get("sendInitialEvents", "") in {"true", "True", "1"},
        timeout=float(asked.get("timeoutSeconds") or 0),
    )


def _options(request: web.BaseRequest, verb: str, kind: str) -> Options:
    asked = request.rel_url.query
    manager, force = asked.get("fieldManager", ""), asked.get("force", "")
    causes: list[Cause] = []
    if asked.get("dryRun", "All") != "All":
        causes.append(unsupported("dryRun", asked["dryRun"], ["All"]))
    if kind == APPLY_PATCH and not manager:
        causes.append(required("fieldManager", "is required for apply patch"))
    if kind != APPLY_PATCH and force:
        causes.append(forbidden_field("force", "may not be specified for non-apply patch"))
    if causes:
        said = [f"{cause.field}: {cause.message}" for cause in causes]
        text = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
        details = {"group": "meta.k8s.io", "kind": _OPTION_KINDS[verb], "causes": [cause.body() for cause in causes]}
        raise StatusError(422, "Invalid", f'{_OPTION_KINDS[verb]}.meta.k8s.io "" is invalid: {text}', details=details)
    return Options(
        manager=manager or re.split(r"[/ ]", request.headers.get("User-Agent", "") or "unknown")[0],
        force=force in {"true", "True", "1"},
        dry_run="dryRun" in asked,
        validation=asked.get("fieldValidation", "Warn"),
    )


def _patch_kind(kind: str, resource: Resource) -> str:
    known = [JSON_PATCH, MERGE_PATCH, *(() if resource.is_custom else (STRATEGIC_PATCH,)), APPLY_PATCH]
    if kind not in known:
        raise unsupported_media(kind, known)
    return kind


async def _deletion(request: web.BaseRequest) -> Deletion:
    body, asked = await _body(request), request.rel_url.query
    conditions = body.get("preconditions") or {}
    grace = body.get("gracePeriodSeconds", asked.get("gracePeriodSeconds"))
    return Deletion(
        grace=None if grace is None else int(grace),
        propagation=body.get("propagationPolicy") or asked.get("propagationPolicy", ""),
        uid=conditions.get("uid") or "",
        version=conditions.get("resourceVersion") or "",
        dry_run="dryRun" in asked or bool(body.get("dryRun")),
    )
