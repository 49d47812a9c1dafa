"""What our code relies on in a Kubernetes API server. Subclass it and give it a `cluster`: the fake one, or a real one."""

import asyncio
import base64
import functools
import io
import itertools
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
import pytest
import yaml

Json = dict[str, Any]
DEADLINE = 60.0
JSON = "application/json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
GROUP = "contract.example.com"
WIDGETS = f"/apis/{GROUP}/v1"
CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.contract.example.com}
spec:
  group: contract.example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget, shortNames: [wd]}
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {status: {}}
      schema:
        openAPIV3Schema:
          type: object
          required: [spec]
          properties:
            spec:
              type: object
              required: [size, service]
              x-kubernetes-validations:
                - {rule: "self.service == oldSelf.service", message: service is immutable}
                - {rule: "!has(self.note) || self.note != 'forbidden'", message: the note may not say so, fieldPath: .note}
              properties:
                size: {type: integer, minimum: 1, maximum: 1000}
                service: {type: string, pattern: '^[a-z]([-a-z0-9]*[a-z0-9])?$', minLength: 1, maxLength: 20}
                mode: {type: string, enum: [fast, slow], default: slow}
                note: {type: string, nullable: true}
                deep:
                  type: object
                  default: {}
                  properties: {level: {type: integer, default: 3}}
                tags: {type: object, additionalProperties: {type: string}}
                free: {type: object, x-kubernetes-preserve-unknown-fields: true}
                port: {x-kubernetes-int-or-string: true}
                words: {type: array, items: {type: string}}
                names: {type: array, x-kubernetes-list-type: set, items: {type: string}}
                parts:
                  type: array
                  x-kubernetes-list-type: map
                  x-kubernetes-list-map-keys: [name]
                  items:
                    type: object
                    required: [name]
                    properties: {name: {type: string}, count: {type: integer}}
            status:
              type: object
              properties:
                phase: {type: string, enum: [Pending, Running, Done]}
                since: {type: string, format: date-time}
                conditions:
                  type: array
                  x-kubernetes-list-type: map
                  x-kubernetes-list-map-keys: [type]
                  items:
                    type: object
                    required: [type, status]
                    properties: {type: {type: string}, status: {type: string}, reason: {type: string}}
"""
_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came back."""

    status: int
    body: Any
    headers: dict[str, str]
    warnings: list[str]

    @property
    def reason(self) -> str:
        return str(self.body.get("reason", ""))

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))

    @property
    def causes(self) -> set[tuple[str, str]]:
        """Field and reason of each mistake."""
        return {(one.get("field", ""), one["reason"]) for one in self.body.get("details", {}).get("causes", [])}

    @property
    def version(self) -> str:
        return str(self.body["metadata"]["resourceVersion"])


@dataclass(kw_only=True)
class Api:
    """A client without opinions."""

    session: aiohttp.ClientSession
    url: str
    ssl: Any = True

    async def call(
        self, method: str, path: str, body: Any = None, *, kind: str = JSON, accept: str = "", **query: str
    ) -> Reply:
        """One request, whatever comes of it."""
        data = None if body is None else io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
        headers = {"Content-Type": kind} if body is not None else {}
        headers |= {"Accept": accept} if accept else {}
        async with self.session.request(
            method, self.url + path, data=data, params=query, headers=headers, ssl=self.ssl
        ) as response:
            raw = await response.read()
            found = json.loads(raw) if raw and response.content_type == JSON else raw.decode()
            warnings = response.headers.getall("Warning", [])
            return Reply(status=response.status, body=found, headers=dict(response.headers), warnings=warnings)

    async def get(self, path: str, **query: str) -> Reply:
        return await self.call("GET", path, **query)

    async def create(self, path: str, body: Any, **query: str) -> Reply:
        return await self.call("POST", path, body, **query)

    async def put(self, path: str, body: Any, **query: str) -> Reply:
        return await self.call("PUT", path, body, **query)

    async def patch(self, path: str, body: Any, kind: str = MERGE, **query: str) -> Reply:
        return await self.call("PATCH", path, body, kind=kind, **query)

    async def apply(self, path: str, body: Any, manager: str = "us", **query: str) -> Reply:
        return await self.call("PATCH", path, body, kind=APPLY, fieldManager=manager, **query)

    async def delete(self, path: str, body: Any = None, **query: str) -> Reply:
        return await self.call("DELETE", path, body, **query)

    @asynccontextmanager
    async def watch(self, path: str, **query: str) -> AsyncIterator["Watch"]:
        """A watch, for as long as the block lasts."""
        params = {"watch": "true", **query}
        async with self.session.get(self.url + path, params=params, ssl=self.ssl) as response:
            yield Watch(status=response.status, stream=response.content)


@dataclass(kw_only=True)
class Watch:
    """Events as they come."""

    status: int
    stream: aiohttp.StreamReader
    seen: list[Json] = field(default_factory=list)

    async def next(self) -> Json | None:
        """The next event, None at the end."""
        async with asyncio.timeout(DEADLINE):
            line = await self.stream.readline()
        if not line:
            return None
        event: Json = json.loads(line)
        self.seen.append(event)
        return event

    async def until(self, fits: Callable[[Json], bool]) -> Json:
        """The first event that fits."""
        while (event := await self.next()) is not None:
            if fits(event):
                return event
        raise AssertionError(f"the watch ended after {self.seen}")

    async def brief(self, count: int) -> list[tuple[str, str]]:
        """Type and name of the next events, bookmarks left out."""
        found: list[tuple[str, str]] = []
        while len(found) < count and (event := await self.next()) is not None:
            if event["type"] != "BOOKMARK":
                found.append((event["type"], event["object"]["metadata"].get("name", "")))
        return found


class Cluster(Protocol):
    """A server to hold to the contract, with the widgets' CRD in it."""

    api: Api

    async def compact(self) -> None:
        """Make it forget the past."""
        ...

    async def user(self, namespace: str, name: str, rules: list[Json]) -> Api:
        """A client that is a ServiceAccount with a Role of these rules in the namespace."""
        ...

    collects_slowly: bool


async def install(api: Api) -> None:
    """Create the widgets' CRD, and wait until it is served."""
    await api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", yaml.safe_load(CRD))
    await eventually(lambda: api.get(f"{WIDGETS}/widgets"), lambda reply: reply.status == 200)


async def eventually(look: Callable[[], Any], fits: Callable[[Any], bool]) -> Any:
    """What `look()` gives, as soon as it fits."""
    async with asyncio.timeout(DEADLINE):
        while not fits(found := await look()):  # noqa: ASYNC110 - seen from outside, as a user would
            await asyncio.sleep(0.02)
        return found


def widget(name: str = "one", *, labels: dict[str, str] | None = None, **spec: Any) -> Json:
    meta: Json = {"name": name, **({"labels": labels} if labels else {})}
    return {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": meta, "spec": {"size": 3, "service": "demo", **spec}}


def job(name: str = "one", **spec: Any) -> Json:
    container = {"name": "agent", "image": "example.invalid/agent:1", "env": [{"name": "A", "value": "1"}]}
    pod = {"restartPolicy": "Never", "containers": [container]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"suspend": True, "template": {"spec": pod}, **spec},
    }


def config_map(name: str = "one", data: dict[str, str] | None = None, **more: Any) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data or {"a": "1"}, **more}


def owned(thing: Json, owner: Json) -> Json:
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {**thing, "metadata": {**thing["metadata"], "ownerReferences": [reference]}}


class ApiServerContract:
    """One sentence of behaviour a test. `cluster` is a fixture of the subclass."""

    @pytest.fixture
    def api(self, cluster: Cluster) -> Api:
        return cluster.api

    @pytest.fixture
    async def ns(self, api: Api) -> AsyncIterator[str]:
        name = f"contract-{next(_numbers)}-{uuid.uuid4().hex[:6]}"
        made = await api.create("/api/v1/namespaces", {"metadata": {"name": name}})
        assert made.status == 201, made.body
        yield name
        await api.delete(f"/api/v1/namespaces/{name}")

    @pytest.fixture
    def widgets(self, ns: str) -> str:
        return f"{WIDGETS}/namespaces/{ns}/widgets"

    @pytest.fixture
    def jobs(self, ns: str) -> str:
        return f"/apis/batch/v1/namespaces/{ns}/jobs"

    @pytest.fixture
    def maps(self, ns: str) -> str:
        return f"/api/v1/namespaces/{ns}/configmaps"

    # --- identity and versions ------------------------------------------------------------------------------------------------

    async def test_a_new_object_gets_uid_version_generation_and_time(self, api: Api, widgets: str) -> None:
        made = await api.create(widgets, widget())
        assert made.status == 201
        meta = made.body["metadata"]
        assert str(uuid.UUID(meta["uid"])) == meta["uid"]
        assert meta["generation"] == 1
        assert meta["resourceVersion"].isdecimal()
        assert meta["creationTimestamp"].endswith("Z")
        assert (await api.get(f"{widgets}/one")).body == made.body

    async def test_what_the_caller_claims_of_identity_and_time_is_not_taken(self, api: Api, widgets: str) -> None:
        body = widget()
        body["metadata"] |= {"uid": "mine", "generation": 9, "creationTimestamp": "2001-01-01T00:00:00Z"}
        meta = (await api.create(widgets, body)).body["metadata"]
        assert meta["uid"] != "mine"
        assert meta["generation"] == 1
        assert not meta["creationTimestamp"].startswith("2001")

    async def test_every_write_raises_the_version_and_equal_ones_do_not(self, api: Api, widgets: str) -> None:
        first = await api.create(widgets, widget())
        second = await api.patch(f"{widgets}/one", {"spec": {"size": 4}})
        same = await api.patch(f"{widgets}/one", {"spec": {"size": 4}})
        other = await api.create(widgets, widget("two"))
        assert int(first.version) < int(second.version) == int(same.version) < int(other.version)
        put = await api.put(f"{widgets}/one", second.body)
        assert (put.status, put.version) == (200, second.version)

    async def test_generation_counts_changes_of_the_spec_alone(self, api: Api, widgets: str) -> None:
        await api.create(widgets, widget())
        labelled = await api.patch(f"{widgets}/one", {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}})
        assert labelled.body["metadata"]["generation"] == 1
        told = await api.patch(f"{widgets}/one/status", {"status": {"phase": "Running"}})
        assert told.body["metadata"]["generation"] == 1
        changed = await api.patch(f"{widgets}/one", {"spec": {"size": 5}})
        assert changed.body["metadata"]["generation"] == 2

    async def test_generated_names_begin_with_their_prefix(self, api: Api, widgets: str) -> None:
        body = widget()
        body["metadata"] = {"generateName": "run-"}
        made = await api.create(widgets, body)
        assert made.status == 201
        assert made.body["metadata"]["name"].startswith("run-")
        assert len(made.body["metadata"]["name"]) == len("run-") + 5

    async def test_a_taken_name_is_refused(self, api: Api, widgets: str) -> None:
        await api.create(widgets, widget())
        again = await api.create(widgets, widget(size=9))
        assert (again.status, again.reason) == (409, "AlreadyExists")
        assert again.message == 'widgets.contract.example.com "one" already exists'

    async def test_what_is_not_there_is_not_found(self, api: Api, widgets: str, maps: str) -> None:
        for reply, shown in (
            (await api.get(f"{widgets}/none"), 'widgets.contract.example.com "none" not found'),
            (await api.patch(f"{widgets}/none", {"spec": {"size": 2}}), 'widgets.contract.example.com "none" not found'),
            (await api.delete(f"{widgets}/none"), 'widgets.contract.example.com "none" not found'),
            (await api.get(f"{maps}/none"), 'configmaps "none" not found'),
        ):
            assert (reply.status, reply.reason, reply.message) == (404, "NotFound", shown)

    async def test_a_kind_or_namespace_that_is_not_there_is_not_found(self, api: Api, ns: str) -> None:
        no_kind = await api.get(f"{WIDGETS}/namespaces/{ns}/gadgets")
        assert no_kind.status == 404
        no_place = await api.create(f"{WIDGETS}/namespaces/nowhere-at-all/widgets", widget())
        assert (no_place.status, no_place.message) == (404, 'namespaces "nowhere-at-all" not found')
        assert (await api.get(f"{WIDGETS}/namespaces/nowhere-at-all/widgets")).body["items"] == []

    async def test_same_names_live_in_two_namespaces(self, api: Api, widgets: str) -> None:
        here = await api.create(widgets, widget())
        there = await api.create(f"{WIDGETS}/namespaces/default/widgets", widget(name := f"one-{uuid.uuid4().hex[:6]}"))
        also = await api.create(widgets, widget(name))
        assert here.status == there.status == also.status == 201
        assert there.body["metadata"]["uid"] != also.body["metadata"]["uid"]
        await api.delete(f"{WIDGETS}/namespaces/default/widgets/{name}")

    # --- concurrency ----------------------------------------------------------------------------------------------------------

    async def test_an_update_of_an_older_version_conflicts(self, api: Api, widgets: str) -> None:
        first = await api.create(widgets, widget())
        await api.patch(f"{widgets}/one", {"spec": {"size": 4}})
        late = await api.put(f"{widgets}/one", first.body)
        assert (late.status, late.reason) == (409, "Conflict")
        assert "the object has been modified; please apply your changes to the latest version" in late.message
        status = await api.put(f"{widgets}/one/status", {**first.body, "status": {"phase": "Done"}})
        assert (status.status, status.reason) == (409, "Conflict")
        patched = await api.patch(f"{widgets}/one", {"metadata": {"resourceVersion": first.version}, "spec": {"size": 8}})
        assert (patched.status, patched.reason) == (409, "Conflict")

    async def test_an_update_of_another_uid_is_refused(self, api: Api, widgets: str) -> None:
        made = (await api.create(widgets, widget())).body
        other = {**made, "metadata": {**made["metadata"], "uid": str(uuid.uuid4())}}
        for path in (f"{widgets}/one", f"{widgets}/one/status"):
            put = await api.put(path, other)
            assert (put.status, put.reason) == (409, "Conflict")
            assert "Precondition failed: UID in precondition" in put.message
        patched = await api.patch(f"{widgets}/one", {"metadata": {"uid": str(uuid.uuid4())}, "spec": {"size": 9}})
        assert (patched.status, patched.reason) == (422, "Invalid")
        assert ("metadata.uid", "FieldValueInvalid") in patched.causes

    async def test_a_patch_of_the_status_keeps_to_the_version_it_names(self, api: Api, widgets: str) -> None:
        made = await api.create(widgets, widget())
        await api.patch(f"{widgets}/one", {"spec": {"size": 9}})
        status = {"metadata": {"resourceVersion": made.version}, "status": {"phase": "Done"}}
        merged = await api.patch(f"{widgets}/one/status", status)
        assert (merged.status, merged.reason) == (409, "Conflict")
        kind = {"apiVersion": f"{GROUP}/v1", "kind": "Widget"}
        named = {"name": "one", "resourceVersion": made.version}
        applied = await api.apply(f"{widgets}/one/status", {**kind, **status, "metadata": named}, force="true")
        assert (applied.status, applied.reason) == (409, "Conflict")

    async def test_an_update_without_a_version_is_refused_for_widgets_and_leases(self, api: Api, ns: str, widgets: str) -> None:
        await api.create(widgets, widget())
        reply = await api.put(f"{widgets}/one", widget(size=9))
        assert (reply.status, reply.reason) == (422, "Invalid")
        assert "metadata.resourceVersion: Invalid value: " in reply.message
        assert "must be specified for an update" in reply.message
        leases = f"/apis/coordination.k8s.io/v1/namespaces/{ns}/leases"
        lease = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15}}
        assert (await api.create(leases, lease)).status == 201
        refused = await api.put(f"{leases}/l", lease)
        assert refused.status == 422
        assert "metadata.resourceVersion: Invalid value: " in refused.message
        assert "must be specified for an update" in refused.message

    async def test_config_maps_may_be_overwritten_without_a_version(self, api: Api, maps: str) -> None:
        await api.create(maps, config_map())
        reply = await api.put(f"{maps}/one", config_map(data={"a": "2"}))
        assert (reply.status, reply.body["data"]) == (200, {"a": "2"})

    async def test_of_two_holders_of_a_lease_one_wins(self, api: Api, ns: str) -> None:
        leases = f"/apis/coordination.k8s.io/v1/namespaces/{ns}/leases"
        spec = {"holderIdentity": "", "leaseDurationSeconds": 15, "acquireTime": "2026-01-01T00:00:00.000000Z"}
        made = (await api.create(leases, {"metadata": {"name": "l"}, "spec": spec})).body
        takes = [{**made, "spec": {**made["spec"], "holderIdentity": name}} for name in ("a", "b")]
        replies = await asyncio.gather(*(api.put(f"{leases}/l", take) for take in takes))
        assert sorted(reply.status for reply in replies) == [200, 409]

    # --- status ---------------------------------------------------------------------------------------------------------------

    async def test_the_status_is_dropped_at_creation_and_by_writes_of_the_object(self, api: Api, widgets: str) -> None:
        made = await api.create(widgets, {**widget(), "status": {"phase": "Done"}})
        assert "status" not in made.body
        told = await api.patch(f"{widgets}/one/status", {"status": {"phase": "Running"}})
        assert told.body["status"] == {"phase": "Running"}
        kept = await api.patch(f"{widgets}/one", {"status": {"phase": "Done"}, "spec": {"size": 4}})
        assert (kept.body["status"], kept.body["spec"]["size"]) == ({"phase": "Running"}, 4)
        put = await api.put(f"{widgets}/one", {**kept.body, "status": {"phase": "Done"}})
        assert put.body["status"] == {"phase": "Running"}

    async def test_a_write_of_the_status_leaves_spec_and_metadata_alone(self, api: Api, widgets: str) -> None:
        made = await api.create(widgets, widget(labels={"a": "b"}))
        body = {**made.body, "spec": {"size": 99, "service": "demo"}, "status": {"phase": "Done"}}
        body["metadata"] = {**body["metadata"], "labels": {"x": "y"}}
        put = await api.put(f"{widgets}/one/status", body)
        assert put.status == 200
        assert put.body["spec"] == made.body["spec"]
        assert put.body["metadata"]["labels"] == {"a": "b"}
        assert put.body["status"] == {"phase": "Done"}

    async def test_the_status_is_read_with_the_object(self, api: Api, widgets: str) -> None:
        await api.create(widgets, widget())
        await api.patch(f"{widgets}/one/status", {"status": {"phase": "Done"}})
        assert (await api.get(f"{widgets}/one/status")).body == (await api.get(f"{widgets}/one")).body

    # --- pruning, defaults, checks --------------------------------------------------------------------------------------------

    async def test_unknown_fields_are_dropped_with_a_warning(self, api: Api, widgets: str) -> None:
        reply = await api.create(
            widgets, widget(bogus=1, deep={"more": 2}, free={"any": {"thing": [1]}}), fieldValidation="Warn"
        )
        assert reply.status == 201
        assert "bogus" not in reply.body["spec"]
        assert reply.body["spec"]["deep"] == {"level": 3}
        assert reply.body["spec"]["free"] == {"any": {"thing": [1]}}
        assert any('unknown field \\"spec.bogus\\"' in warning for warning in reply.warnings)
        assert any('unknown field \\"spec.deep.more\\"' in warning for warning in reply.warnings)

    async def test_unknown_fields_are_refused_where_asked_for(self, api: Api, widgets: str, jobs: str) -> None:
        reply = await api.create(widgets, widget(bogus=1), fieldValidation="Strict")
        assert (reply.status, reply.reason) == (400, "BadRequest")
        assert 'unknown field "spec.bogus"' in reply.message
        built_in = await api.create(jobs, job(bogus=1), fieldValidation="Strict")
        assert (built_in.status, built_in.reason) == (400, "BadRequest")
        assert 'unknown field "spec.bogus"' in built_in.message

    async def test_defaults_are_filled_in_also_below_defaults(self, api: Api, widgets: str) -> None:
        spec = (await api.create(widgets, widget())).body["spec"]
        assert (spec["mode"], spec["deep"]) == ("slow", {"level": 3})

    async def test_nulls_are_dropped_unless_they_may_stand(self, api: Api, widgets: str) -> None:
        spec = (await api.create(widgets, widget(mode=None, tags=None, note=None))).body["spec"]
        assert spec["mode"] == "slow"
        assert "tags" not in spec
        assert spec["note"] is None

    @pytest.mark.parametrize(
        ("spec", "field", "reason", "says"),
        [
            ({"size": 0}, "spec.size", "FieldValueInvalid", "should be greater than or equal to 1"),
            ({"size": 1001}, "spec.size", "FieldValueInvalid", "should be less than or equal to 1000"),
            ({"size": "3"}, "spec.size", "FieldValueTypeInvalid", "must be of type integer"),
            ({"size": None}, "spec.size", "FieldValueRequired", "Required value"),
            ({"service": "A_b"}, "spec.service", "FieldValueInvalid", "should match"),
            ({"service": "a" * 21}, "spec.service", "FieldValueTooLong", "Too long"),
            ({"mode": "sideways"}, "spec.mode", "FieldValueNotSupported", 'supported values: "fast", "slow"'),
            ({"words": [1]}, "spec.words[0]", "FieldValueTypeInvalid", "must be of type string"),
            ({"tags": {"a": 1}}, "spec.tags.a", "FieldValueTypeInvalid", "must be of type string"),
            ({"port": {}}, "spec.port", "FieldValueTypeInvalid", "must be of type"),
            ({"note": "forbidden"}, "spec.note", "FieldValueInvalid", "the note may not say so"),
            ({"parts": [{"count": 1}]}, "spec.parts[0].name", "FieldValueRequired", "Required value"),
            ({"parts": [{"name": "a"}, {"name": "a"}]}, "spec.parts[1]", "FieldValueDuplicate", "Duplicate value"),
            ({"names": ["a", "a"]}, "spec.names[1]", "FieldValueDuplicate", "Duplicate value"),
        ],
    )
    async def test_a_bad_value_is_refused_with_its_field(
        self, api: Api, widgets: str, spec: Json, field: str, reason: str, says: str
    ) -> None:
        reply = await api.create(widgets, widget(**spec))
        assert (reply.status, reply.reason) == (422, "Invalid"), reply.body
        assert (field, reason) in reply.causes
        assert says in reply.message
        assert field in reply.message

    @pytest.mark.parametrize("port", [80, "http"])
    async def test_a_port_may_be_a_number_or_a_name(self, api: Api, widgets: str, port: int | str) -> None:
        assert (await api.create(widgets, widget(port=port))).body["spec"]["port"] == port

    async def test_a_bad_status_is_refused_with_its_field(self, api: Api, widgets: str) -> None:
        await api.create(widgets, widget())
        reply = await api.patch(f"{widgets}/one/status", {"status": {"phase": "Lost", "since": "yesterday"}})
        assert (reply.status, reply.reason) == (422, "Invalid")
        assert {("status.phase", "FieldValueNotSupported"), ("status.since", "FieldValueTypeInvalid")} <= reply.causes

    async def test_an_immutable_field_stays(self, api: Api, widgets: str) -> None:
        await api.create(widgets, widget())
        reply = await api.patch(f"{widgets}/one", {"spec": {"service": "other"}})
        assert (reply.status, reply.reason) == (422, "Invalid")
        assert 'spec: Invalid value: "object": service is immutable' in reply.message or "service is immutable" in reply.message
        assert ("spec", "FieldValueInvalid") in reply.causes

    @pytest.mark.parametrize("name", ["Upper", "under_score", "-dash", "a" * 254, "dot.", "sp ace"])
    async def test_a_bad_name_is_refused(self, api: Api, maps: str, widgets: str, name: str) -> None:
        for reply in (await api.create(maps, config_map(name)), await api.create(widgets, widget(name))):
            assert (reply.status, reply.reason) == (422, "Invalid")
            assert ("metadata.name", "FieldValueInvalid") in reply.causes

    async def test_a_name_may_have_253_characters_and_dots(self, api: Api, widgets: str) -> None:
        assert (await api.create(widgets, widget("a" * 251 + ".b"))).status == 201

    async def test_a_missing_name_is_refused(self, api: Api, widgets: str) -> None:
        body = widget()
        body["metadata"] = {}
        reply = await api.create(widgets, body)
        assert (reply.status, reply.reason) == (422, "Invalid")
        assert "name or generateName is required" in reply.message

    @pytest.mark.parametrize(
        "labels", [{"a": "b" * 64}, {"a": "not good"}, {"a b": "c"}, {"k" * 64: "v"}, {"Upper.Prefix/x": "v"}, {"a": "-x"}]
    )
    async def test_a_bad_label_is_refused(self, api: Api, widgets: str, labels: dict[str, str]) -> None:
        reply = await api.create(widgets, widget(labels=labels))
        assert (reply.status, reply.reason) == (422, "Invalid")
        assert ("metadata.labels", "FieldValueInvalid") in reply.causes

    async def test_annotations_have_a_limit_of_256_kib(self, api: Api, widgets: str) -> None:
        body = widget()
        body["metadata"]["annotations"] = {"a/b": "x" * 262_145}
        reply = await api.create(widgets, body)
        assert (reply.status, reply.reason) == (422, "Invalid")
        assert ("metadata.annotations", "FieldValueTooLong") in reply.causes

    async def test_labels_must_be_strings(self, api: Api, maps: str) -> None:
        body = config_map()
        body["metadata"]["labels"] = {"a": 1}
        assert (await api.create(maps, body)).status == 400

    async def test_a_body_for_another_name_namespace_or_kind_is_refused(self, api: Api, widgets: str) -> None:
        await api.create(widgets, widget())
        other = await api.put(f"{widgets}/one", widget("two"))
        assert other.status == 400
        away = widget("three")
        away["metadata"]["namespace"] = "elsewhere"
        assert (await api.create(widgets, away)).status == 400
        kind = await api.create(widgets, {**widget("four"), "kind": "Gadget"})
        assert (kind.status, kind.causes) == (422, {("kind", "FieldValueInvalid")})
        assert (await api.create(widgets, {**widget("five"), "apiVersion": f"{GROUP}/v9"})).status == 400

    async def test_a_body_that_is_no_json_is_refused(self, api: Api, widgets: str) -> None:
        reply = await api.create(widgets, b"{not json")
        assert (reply.status, reply.reason) == (400, "BadRequest")

    async def test_a_body_above_three_megabytes_is_refused(self, api: Api, maps: str) -> None:
        reply = await api.create(maps, config_map(data={"a": "x" * (3 * 1024 * 1024 + 10)}))
        assert reply.status == 413

    # --- server-side apply ----------------------------------------------------------------------------------------------------

    async def test_apply_creates_and_then_changes_nothing_where_nothing_differs(self, api: Api, widgets: str) -> None:
        first = await api.apply(f"{widgets}/one", widget(labels={"a": "b"}))
        again = await api.apply(f"{widgets}/one", widget(labels={"a": "b"}))
        assert (first.status, again.status) == (201, 200)
        assert again.body == first.body
        entry = first.body["metadata"]["managedFields"][0]
        assert (entry["manager"], entry["operation"], entry["fieldsType"]) == ("us", "Apply", "FieldsV1")
        assert entry["fieldsV1"] == {
            "f:metadata": {"f:labels": {"f:a": {}}},
            "f:spec": {"f:service": {}, "f:size": {}},
        }

    async def test_apply_removes_what_it_no_longer_names(self, api: Api, widgets: str) -> None:
        begun = widget(labels={"a": "b", "c": "d"}, tags={"x": "1", "y": "2"}, parts=[{"name": "p", "count": 1}, {"name": "q"}])
        await api.apply(f"{widgets}/one", begun)
        after = await api.apply(f"{widgets}/one", widget(labels={"a": "b"}, tags={"x": "1"}, parts=[{"name": "q"}]))
        assert after.body["metadata"]["labels"] == {"a": "b"}
        assert after.body["spec"]["tags"] == {"x": "1"}
        assert after.body["spec"]["parts"] == [{"name": "q"}]
        bare = await api.apply(f"{widgets}/one", widget())
        assert not bare.body["metadata"].get("labels")
        assert not bare.body["spec"].get("tags")
        assert not bare.body["spec"].get("parts")

    async def test_apply_leaves_what_others_own(self, api: Api, widgets: str) -> None:
        await api.apply(f"{widgets}/one", widget(labels={"a": "b"}))
        await api.patch(f"{widgets}/one", {"metadata": {"labels": {"x": "y"}}, "spec": {"note": "theirs", "tags": {"t": "u"}}})
        after = await api.apply(f"{widgets}/one", widget(size=7))
        assert after.body["metadata"]["labels"] == {"x": "y"}
        assert (after.body["spec"]["note"], after.body["spec"]["tags"]) == ("theirs", {"t": "u"})

    async def test_apply_conflicts_with_another_owner_unless_forced(self, api: Api, widgets: str) -> None:
        await api.apply(f"{widgets}/one", widget(size=3))
        refused = await api.apply(f"{widgets}/one", widget(size=4), "them")
        assert (refused.status, refused.reason) == (409, "Conflict")
        assert refused.message == 'Apply failed with 1 conflict: conflict with "us": .spec.size'
        assert refused.causes == {(".spec.size", "FieldManagerConflict")}
        forced = await api.apply(f"{widgets}/one", widget(size=4), "them", force="true")
        assert (forced.status, forced.body["spec"]["size"]) == (200, 4)
        owners = {one["manager"]: one["fieldsV1"] for one in forced.body["metadata"]["managedFields"]}
        assert "f:size" not in owners["us"]["f:spec"]
        assert "f:size" in owners["them"]["f:spec"]

    async def test_apply_of_an_equal_value_is_shared(self, api: Api, widgets: str) -> None:
        await api.apply(f"{widgets}/one", widget(size=3))
        shared = await api.apply(f"{widgets}/one", widget(size=3), "them")
        assert shared.status == 200
        left = await api.apply(f"{widgets}/one", {**widget(), "spec": {"service": "demo", "note": "x"}})
        assert left.body["spec"]["size"] == 3

    async def test_apply_conflicts_with_who_updated_the_field(self, api: Api, widgets: str) -> None:
        await api.apply(f"{widgets}/one", widget(size=3))
        await api.patch(f"{widgets}/one", {"spec": {"size": 5}}, fieldManager="person")
        refused = await api.apply(f"{widgets}/one", widget(size=6))
        assert refused.status == 409
        assert f'conflict with "person" using {GROUP}/v1' in refused.message

    async def test_apply_merges_lists_by_their_keys(self, api: Api, widgets: str) -> None:
        await api.apply(f"{widgets}/one", widget(parts=[{"name": "a", "count": 1}], names=["x"]))
        both = await api.apply(f"{widgets}/one", widget(parts=[{"name": "b", "count": 2}], names=["y"]), "them")
        assert both.status == 200
        assert both.body["spec"]["parts"] == [{"name": "a", "count": 1}, {"name": "b", "count": 2}]
        assert both.body["spec"]["names"] == ["x", "y"]
        words = await api.apply(f"{widgets}/two", widget("two", words=["x"]))
        assert words.body["spec"]["words"] == ["x"]
        assert (await api.apply(f"{widgets}/two", widget("two", words=["y"]), "them")).status == 409

    async def test_apply_of_the_status_touches_nothing_else(self, api: Api, widgets: str) -> None:
        await api.apply(f"{widgets}/one", widget())
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False", "reason": "Wait"}]}
        bare = {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": {"name": "one"}}
        told = await api.apply(f"{widgets}/one/status", {**bare, "status": status}, force="true")
        assert (told.status, told.body["status"]) == (200, status)
        assert told.body["spec"]["size"] == 3
        same = await api.apply(f"{widgets}/one/status", {**bare, "status": status}, force="true")
        assert same.version == told.version
        entry = next(one for one in told.body["metadata"]["managedFields"] if one.get("subresource") == "status")
        assert (entry["manager"], entry["operation"]) == ("us", "Apply")
        less = await api.apply(f"{widgets}/one/status", {**bare, "status": {"phase": "Done"}}, force="true")
        assert less.body["status"].get("conditions") in (None, [])
        spec = await api.apply(f"{widgets}/one", widget(size=9))
        assert spec.body["status"]["phase"] == "Done"

    async def test_apply_of_the_status_of_nothing_is_not_found(self, api: Api, widgets: str) -> None:
        bare = {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": {"name": "none"}, "status": {"phase": "Done"}}
        assert (await api.apply(f"{widgets}/none/status", bare)).status == 404

    async def test_apply_needs_a_manager(self, api: Api, widgets: str) -> None:
        reply = await api.call("PATCH", f"{widgets}/one", widget(), kind=APPLY)
        assert (reply.status, reply.reason) == (422, "Invalid")
        assert "fieldManager: Required value: is required for apply patch" in reply.message

    async def test_apply_refuses_fields_that_the_kind_does_not_know(self, api: Api, widgets: str, jobs: str) -> None:
        for reply in (await api.apply(f"{widgets}/one", widget(bogus=1)), await api.apply(f"{jobs}/one", job(bogus=1))):
            assert reply.status in {400, 500}
            assert ".spec.bogus: field not declared in schema" in reply.message

    async def test_apply_with_a_version_or_uid_of_something_else_conflicts(self, api: Api, widgets: str) -> None:
        made = await api.apply(f"{widgets}/one", widget())
        await api.apply(f"{widgets}/one", widget(size=5))
        old = widget(size=6)
        old["metadata"]["resourceVersion"] = made.version
        assert (await api.apply(f"{widgets}/one", old)).status == 409
        gone = widget("new")
        gone["metadata"]["uid"] = made.body["metadata"]["uid"]
        assert (await api.apply(f"{widgets}/new", gone)).status == 409
        assert (await api.get(f"{widgets}/new")).status == 404

    async def test_apply_checks_like_any_write(self, api: Api, widgets: str) -> None:
        reply = await api.apply(f"{widgets}/one", widget(size=0))
        assert (reply.status, reply.reason) == (422, "Invalid")
        assert ("spec.size", "FieldValueInvalid") in reply.causes

    async def test_apply_takes_yaml(self, api: Api, widgets: str) -> None:
        body = yaml.safe_dump(widget()).encode()
        assert (await api.apply(f"{widgets}/one", body)).status == 201

    @pytest.mark.parametrize("kind", ["configmaps", "secrets", "leases"])
    async def test_apply_of_built_in_kinds_twice_changes_nothing(self, api: Api, ns: str, kind: str) -> None:
        path, body = built_in(ns, kind)
        first = await api.apply(f"{path}/one", body, force="true")
        assert first.status == 201, first.body
        second = await api.apply(f"{path}/one", body, force="true")
        assert (second.status, second.version) == (200, first.version)

    @pytest.mark.parametrize("kind", ["jobs", "persistentvolumeclaims"])
    async def test_apply_of_what_a_controller_works_on_changes_nothing_of_ours(self, api: Api, ns: str, kind: str) -> None:
        path, body = built_in(ns, kind)
        first = await api.apply(f"{path}/one", body, force="true")
        assert first.status == 201, first.body
        second = await api.apply(f"{path}/one", body, force="true")
        assert (second.status, second.body["spec"]) == (200, first.body["spec"])
        ours = [[one for one in reply.body["metadata"]["managedFields"] if one["manager"] == "us"] for reply in (first, second)]
        assert ours[0] == ours[1]

    # --- other patches --------------------------------------------------------------------------------------------------------

    async def test_a_json_patch_tests_and_changes(self, api: Api, widgets: str) -> None:
        await api.create(widgets, widget(words=["a", "c"]))
        steps = [
            {"op": "test", "path": "/spec/size", "value": 3},
            {"op": "replace", "path": "/spec/size", "value": 8},
            {"op": "add", "path": "/spec/words/1", "value": "b"},
            {"op": "add", "path": "/metadata/annotations", "value": {"example.com/x": "y"}},
        ]
        done = await api.patch(f"{widgets}/one", steps, JSON_PATCH)
        assert (done.status, done.body["spec"]["size"], done.body["spec"]["words"]) == (200, 8, ["a", "b", "c"])
        removed = await api.patch(
            f"{widgets}/one", [{"op": "remove", "path": "/metadata/annotations/example.com~1x"}], JSON_PATCH
        )
        assert not removed.body["metadata"].get("annotations")
        refused = await api.patch(f"{widgets}/one", steps, JSON_PATCH)
        assert refused.status == 422
        assert (await api.get(f"{widgets}/one")).body["spec"]["size"] == 8

    async def test_a_merge_patch_removes_by_null(self, api: Api, widgets: str) -> None:
        await api.create(widgets, widget(labels={"a": "b", "c": "d"}, tags={"x": "1"}))
        done = await api.patch(f"{widgets}/one", {"metadata": {"labels": {"a": None}}, "spec": {"tags": None}})
        assert done.body["metadata"]["labels"] == {"c": "d"}
        assert "tags" not in done.body["spec"]

    async def test_a_strategic_patch_is_for_built_in_kinds(self, api: Api, widgets: str, jobs: str) -> None:
        await api.create(widgets, widget())
        assert (await api.patch(f"{widgets}/one", {"spec": {"size": 4}}, STRATEGIC)).status == 415
        await api.create(jobs, job())
        done = await api.patch(f"{jobs}/one", {"metadata": {"labels": {"a": "b"}}, "spec": {"suspend": True}}, STRATEGIC)
        assert (done.status, done.body["metadata"]["labels"]["a"]) == (200, "b")

    async def test_a_dry_run_answers_and_changes_nothing(self, api: Api, widgets: str) -> None:
        made = await api.create(widgets, widget(), dryRun="All")
        assert (made.status, made.body["spec"]["mode"]) == (201, "slow")
        assert (await api.get(f"{widgets}/one")).status == 404
        await api.create(widgets, widget())
        changed = await api.patch(f"{widgets}/one", {"spec": {"size": 9}}, dryRun="All")
        assert changed.body["spec"]["size"] == 9
        applied = await api.apply(f"{widgets}/one", widget(size=8), "them", force="true", dryRun="All")
        assert applied.body["spec"]["size"] == 8
        assert (await api.delete(f"{widgets}/one", dryRun="All")).status == 200
        assert (await api.get(f"{widgets}/one")).body["spec"]["size"] == 3
        assert (await api.create(widgets, widget("two", size=0), dryRun="All")).status == 422

    # --- deleting -------------------------------------------------------------------------------------------------------------

    async def test_a_deleted_object_is_gone_and_its_name_free(self, api: Api, widgets: str) -> None:
        made = await api.create(widgets, widget())
        done = await api.delete(f"{widgets}/one")
        assert (done.status, done.body["kind"], done.body["status"]) == (200, "Status", "Success")
        assert (await api.get(f"{widgets}/one")).status == 404
        again = await api.create(widgets, widget())
        assert again.body["metadata"]["uid"] != made.body["metadata"]["uid"]

    async def test_a_deletion_keeps_to_its_preconditions(self, api: Api, widgets: str) -> None:
        made = await api.create(widgets, widget())
        for conditions in ({"uid": str(uuid.uuid4())}, {"resourceVersion": "1"}):
            refused = await api.delete(f"{widgets}/one", {"preconditions": conditions})
            assert (refused.status, refused.reason) == (409, "Conflict")
        conditions = {"uid": made.body["metadata"]["uid"], "resourceVersion": made.version}
        assert (await api.delete(f"{widgets}/one", {"preconditions": conditions})).status == 200

    async def test_a_finalizer_holds_an_object_until_it_is_removed(self, api: Api, widgets: str) -> None:
        body = widget()
        body["metadata"]["finalizers"] = ["example.com/hold"]
        await api.create(widgets, body)
        done = await api.delete(f"{widgets}/one")
        assert (done.status, done.body["kind"]) == (200, "Widget")
        assert done.body["metadata"]["deletionTimestamp"]
        held = await api.get(f"{widgets}/one")
        assert held.body["metadata"]["finalizers"] == ["example.com/hold"]
        assert held.body["metadata"]["deletionGracePeriodSeconds"] == 0
        more = await api.patch(f"{widgets}/one", {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}})
        assert (more.status, more.reason) == (422, "Invalid")
        assert "no new finalizers can be added if the object is being deleted" in more.message
        let_go = await api.patch(f"{widgets}/one", {"metadata": {"finalizers": None}})
        assert let_go.status == 200
        assert (await api.get(f"{widgets}/one")).status == 404

    async def test_a_finalizer_of_a_built_in_kind_needs_a_qualified_name(self, api: Api, maps: str) -> None:
        body = config_map()
        body["metadata"]["finalizers"] = ["hold"]
        reply = await api.create(maps, body)
        assert (reply.status, reply.causes) == (422, {("metadata.finalizers[0]", "FieldValueInvalid")})

    async def test_what_a_deleted_object_owned_is_collected(self, api: Api, widgets: str, maps: str, jobs: str) -> None:
        owner = (await api.create(widgets, widget())).body
        await api.create(maps, owned(config_map(), owner))
        await api.create(jobs, owned(job(), owner))
        await api.create(maps, config_map("free"))
        await api.delete(f"{widgets}/one")
        for path in (f"{maps}/one", f"{jobs}/one"):
            await eventually(functools.partial(api.get, path), lambda reply: reply.status == 404)
        assert (await api.get(f"{maps}/free")).status == 200

    async def test_what_is_created_for_an_owner_that_is_gone_is_collected(self, api: Api, widgets: str, maps: str) -> None:
        owner = (await api.create(widgets, widget())).body
        await api.delete(f"{widgets}/one")
        await api.create(widgets, widget())
        await api.create(maps, owned(config_map(), owner))
        await eventually(lambda: api.get(f"{maps}/one"), lambda reply: reply.status == 404)

    async def test_dependents_may_be_orphaned(self, api: Api, widgets: str, maps: str) -> None:
        owner = (await api.create(widgets, widget())).body
        await api.create(maps, owned(config_map(), owner))
        await api.delete(f"{widgets}/one", {"propagationPolicy": "Orphan"})
        await eventually(lambda: api.get(f"{widgets}/one"), lambda reply: reply.status == 404)
        left = await eventually(lambda: api.get(f"{maps}/one"), lambda reply: not reply.body["metadata"].get("ownerReferences"))
        assert left.status == 200

    async def test_a_foreground_deletion_waits_for_the_dependents(self, api: Api, widgets: str, maps: str) -> None:
        owner = (await api.create(widgets, widget())).body
        held = owned(config_map(), owner)
        held["metadata"]["finalizers"] = ["example.com/hold"]
        await api.create(maps, held)
        done = await api.delete(f"{widgets}/one", {"propagationPolicy": "Foreground"})
        assert done.body["metadata"]["finalizers"] == ["foregroundDeletion"]
        await eventually(lambda: api.get(f"{maps}/one"), lambda reply: reply.body["metadata"].get("deletionTimestamp"))
        assert (await api.get(f"{widgets}/one")).status == 200
        await api.patch(f"{maps}/one", {"metadata": {"finalizers": None}})
        await eventually(lambda: api.get(f"{widgets}/one"), lambda reply: reply.status == 404)

    async def test_owner_references_must_be_whole_and_one_the_controller(self, api: Api, widgets: str, maps: str) -> None:
        owner = (await api.create(widgets, widget())).body
        bad = owned(config_map(), owner)
        bad["metadata"]["ownerReferences"][0]["uid"] = ""
        assert (await api.create(maps, bad)).status == 422
        two = owned(config_map(), owner)
        two["metadata"]["ownerReferences"].append({**two["metadata"]["ownerReferences"][0], "uid": str(uuid.uuid4())})
        assert (await api.create(maps, two)).status == 422

    async def test_a_collection_is_deleted_by_label(self, api: Api, widgets: str) -> None:
        for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
            await api.create(widgets, widget(name, labels={"group": label}))
        assert (await api.delete(widgets, labelSelector="group=x")).status == 200
        left = await api.get(widgets)
        assert [one["metadata"]["name"] for one in left.body["items"]] == ["c"]

    # --- lists ----------------------------------------------------------------------------------------------------------------

    async def test_a_list_is_ordered_by_name_and_says_its_version(self, api: Api, widgets: str, maps: str) -> None:
        for name in ("b", "c", "a"):
            await api.create(widgets, widget(name))
            await api.create(maps, config_map(name))
        listed = await api.get(widgets)
        assert [one["metadata"]["name"] for one in listed.body["items"]] == ["a", "b", "c"]
        assert int(listed.version) >= int((await api.get(f"{widgets}/a")).version)
        assert listed.body["kind"] == "WidgetList"
        assert {(one["apiVersion"], one["kind"]) for one in listed.body["items"]} == {(f"{GROUP}/v1", "Widget")}
        built_in = (await api.get(maps)).body
        assert built_in["kind"] == "ConfigMapList"
        assert not any("kind" in one for one in built_in["items"])

    async def test_pages_show_one_moment_of_the_list(self, api: Api, widgets: str) -> None:
        names = [f"w-{number:02}" for number in range(7)]
        for name in names:
            await api.create(widgets, widget(name))
        first = await api.get(widgets, limit="3")
        assert first.body["metadata"]["remainingItemCount"] == 4
        await api.delete(f"{widgets}/w-04")
        await api.patch(f"{widgets}/w-05", {"spec": {"size": 99}})
        await api.create(widgets, widget("w-99"))
        second = await api.get(widgets, limit="3", **{"continue": first.body["metadata"]["continue"]})
        third = await api.get(widgets, limit="3", **{"continue": second.body["metadata"]["continue"]})
        found = [one for page in (first, second, third) for one in page.body["items"]]
        assert [one["metadata"]["name"] for one in found] == names
        assert {one["spec"]["size"] for one in found} == {3}
        assert first.version == second.version == third.version
        assert not third.body["metadata"].get("continue")

    async def test_labels_select(self, api: Api, widgets: str) -> None:
        for name, labels in (("a", {"tier": "x", "app": "one"}), ("b", {"tier": "y"}), ("c", {})):
            await api.create(widgets, widget(name, labels=labels))
        for selector, wanted in {
            "tier=x": ["a"],
            "tier==x,app=one": ["a"],
            "tier!=x": ["b", "c"],
            "tier in (x, y)": ["a", "b"],
            "tier notin (x)": ["b", "c"],
            "tier": ["a", "b"],
            "!tier": ["c"],
            "tier in (x,y),!app": ["b"],
        }.items():
            listed = await api.get(widgets, labelSelector=selector)
            assert [one["metadata"]["name"] for one in listed.body["items"]] == wanted, selector

    async def test_a_bad_selector_is_refused(self, api: Api, widgets: str) -> None:
        assert (await api.get(widgets, labelSelector="a in b")).status == 400
        assert (await api.get(widgets, fieldSelector="spec.size=3")).status == 400

    async def test_fields_select(self, api: Api, widgets: str, ns: str) -> None:
        for name in ("a", "b"):
            await api.create(widgets, widget(name))
        listed = await api.get(widgets, fieldSelector="metadata.name=b")
        assert [one["metadata"]["name"] for one in listed.body["items"]] == ["b"]
        secrets = f"/api/v1/namespaces/{ns}/secrets"
        await api.create(secrets, {"metadata": {"name": "t"}, "type": "example.com/token", "stringData": {"token": "x"}})
        await api.create(secrets, {"metadata": {"name": "o"}})
        typed = await api.get(secrets, fieldSelector="type=example.com/token")
        assert [one["metadata"]["name"] for one in typed.body["items"]] == ["t"]

    async def test_a_list_over_all_namespaces_has_every_one(self, api: Api, widgets: str, ns: str) -> None:
        await api.create(widgets, widget())
        listed = await api.get(f"{WIDGETS}/widgets", fieldSelector=f"metadata.namespace={ns}")
        assert [one["metadata"]["namespace"] for one in listed.body["items"]] == [ns]

    async def test_a_list_may_be_of_metadata_alone(self, api: Api, widgets: str) -> None:
        await api.create(widgets, widget())
        accept = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
        async with api.session.get(api.url + widgets, headers=accept, ssl=api.ssl) as response:
            body = await response.json()
        assert body["kind"] == "PartialObjectMetadataList"
        assert "spec" not in body["items"][0]

    async def test_an_answer_may_be_metadata_alone(self, api: Api, ns: str, widgets: str) -> None:
        maps = f"/api/v1/namespaces/{ns}/configmaps"
        accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
        body = {"metadata": {"name": "bare", "labels": {"a": "b"}}, "data": {"key": "text"}}
        made = await api.call("POST", maps, body, accept=accept)
        changed = await api.call("PATCH", f"{maps}/bare", {"data": {"key": "other"}}, kind=MERGE, accept=accept)
        read = await api.call("GET", f"{maps}/bare", accept=accept)
        for reply in (made, changed, read):
            assert reply.body["kind"] == "PartialObjectMetadata"
            assert reply.body["metadata"]["labels"] == {"a": "b"}
            assert "data" not in reply.body
        assert made.status == 201
        assert int(made.version) < int(changed.version) == int(read.version)
        again = await api.call("POST", maps, body, accept=accept)
        assert (again.status, again.body["kind"], again.reason) == (409, "Status", "AlreadyExists")
        assert (await api.get(f"{maps}/bare")).body["data"] == {"key": "other"}
        gone = await api.call("DELETE", f"{maps}/bare", accept=accept)
        assert (gone.status, gone.body["kind"]) == (200, "Status")
        await api.create(widgets, {**widget(), "metadata": {"name": "one", "finalizers": ["example.com/wait"]}})
        going = await api.call("DELETE", f"{widgets}/one", accept=accept)
        assert going.status == 200
        assert going.body["metadata"]["deletionTimestamp"]
        await api.patch(f"{widgets}/one", {"metadata": {"finalizers": None}})

    # --- watches --------------------------------------------------------------------------------------------------------------

    async def test_a_watch_tells_what_happens_after_its_version(self, api: Api, widgets: str) -> None:
        await api.create(widgets, widget("before"))
        version = (await api.get(widgets)).version
        await api.create(widgets, widget())
        async with api.watch(widgets, resourceVersion=version) as watch:
            await api.patch(f"{widgets}/one", {"spec": {"size": 4}})
            await api.delete(f"{widgets}/one")
            assert await watch.brief(3) == [("ADDED", "one"), ("MODIFIED", "one"), ("DELETED", "one")]
        sizes = [event["object"]["spec"]["size"] for event in watch.seen]
        versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in watch.seen]
        assert sizes == [3, 4, 4]
        assert versions == sorted(set(versions))
        assert watch.seen[0]["object"]["kind"] == "Widget"

    async def test_a_watch_without_a_version_begins_with_what_is_there(self, api: Api, widgets: str) -> None:
        await api.create(widgets, widget("a"))
        await api.create(widgets, widget("b"))
        async with api.watch(widgets) as watch:
            assert sorted(await watch.brief(2)) == [("ADDED", "a"), ("ADDED", "b")]
            await api.create(widgets, widget("c"))
            assert await watch.brief(1) == [("ADDED", "c")]

    async def test_a_watch_of_labels_tells_of_what_comes_and_goes(self, api: Api, widgets: str) -> None:
        version = (await api.get(widgets)).version
        async with api.watch(widgets, resourceVersion=version, labelSelector="tier=x") as watch:
            await api.create(widgets, widget("no"))
            await api.create(widgets, widget())
            await api.patch(f"{widgets}/one", {"metadata": {"labels": {"tier": "x"}}})
            gone = await api.patch(f"{widgets}/one", {"metadata": {"labels": {"tier": "y"}}})
            assert await watch.brief(2) == [("ADDED", "one"), ("DELETED", "one")]
            assert watch.seen[-1]["object"]["metadata"]["resourceVersion"] == gone.version
            await api.create(widgets, widget("two", labels={"tier": "x"}))
            assert await watch.brief(1) == [("ADDED", "two")]

    async def test_a_watch_of_one_object_tells_of_it_alone(self, api: Api, widgets: str) -> None:
        version = (await api.get(widgets)).version
        async with api.watch(widgets, resourceVersion=version, fieldSelector="metadata.name=b") as watch:
            await api.create(widgets, widget("a"))
            await api.create(widgets, widget("b"))
            assert await watch.brief(1) == [("ADDED", "b")]

    @pytest.mark.slow
    async def test_a_watch_sends_a_bookmark_of_what_it_leaves_out_and_ends_in_time(self, api: Api, widgets: str) -> None:
        await api.create(widgets, widget())
        version = (await api.get(widgets)).version
        elsewhere = f"{WIDGETS}/namespaces/default/widgets"
        query = {"resourceVersion": version, "allowWatchBookmarks": "true", "timeoutSeconds": "6"}
        async with api.watch(widgets, **query) as watch:
            made = await api.create(elsewhere, widget(name := f"aside-{uuid.uuid4().hex[:6]}"))
            mark = await watch.until(lambda event: event["type"] == "BOOKMARK")
            assert int(mark["object"]["metadata"]["resourceVersion"]) >= int(made.version) > int(version)
            assert (mark["object"]["kind"], mark["object"]["apiVersion"]) == ("Widget", f"{GROUP}/v1")
            while await watch.next() is not None:
                pass
        assert {event["type"] for event in watch.seen} == {"BOOKMARK"}
        await api.delete(f"{elsewhere}/{name}")

    async def test_a_watch_may_send_what_is_there_and_say_when_it_has(self, api: Api, widgets: str) -> None:
        await api.create(widgets, widget())
        query = {"sendInitialEvents": "true", "allowWatchBookmarks": "true", "resourceVersionMatch": "NotOlderThan"}
        async with api.watch(widgets, **query) as watch:
            end = await watch.until(lambda event: event["type"] == "BOOKMARK")
        assert [event["type"] for event in watch.seen] == ["ADDED", "BOOKMARK"]
        assert end["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}

    async def test_a_watch_of_a_forgotten_version_is_told_so(self, cluster: Cluster, api: Api, widgets: str) -> None:
        await api.create(widgets, widget())
        for size in range(10, 15):
            await api.patch(f"{widgets}/one", {"spec": {"size": size}})
        await cluster.compact()

        async def first() -> Json | None:
            async with api.watch(widgets, resourceVersion="1") as watch:
                # A server that has just come back may ask for patience first.
                return None if watch.status == 429 else await watch.next()

        event = await eventually(first, lambda event: event is not None)
        assert (event["type"], event["object"]["kind"], event["object"]["code"]) == ("ERROR", "Status", 410)
        assert event["object"]["reason"] == "Expired"

    async def test_a_page_of_a_forgotten_list_is_told_so(self, cluster: Cluster, api: Api, widgets: str) -> None:
        for name in ("a", "b", "c"):
            await api.create(widgets, widget(name))
        first = await api.get(widgets, limit="1")
        await api.create(widgets, widget("d"))
        await cluster.compact()
        token = first.body["metadata"]["continue"]
        reply = await eventually(lambda: api.get(widgets, limit="1", **{"continue": token}), lambda reply: reply.status == 410)
        assert (reply.status, reply.reason) == (410, "Expired")

    # --- built-in kinds -------------------------------------------------------------------------------------------------------

    async def test_a_job_gets_its_defaults_and_labels_of_its_pods(self, api: Api, jobs: str) -> None:
        made = (await api.create(jobs, job())).body
        spec, uid = made["spec"], made["metadata"]["uid"]
        assert (spec["parallelism"], spec["completions"], spec["backoffLimit"]) == (1, 1, 6)
        assert (spec["completionMode"], spec["podReplacementPolicy"]) == ("NonIndexed", "TerminatingOrFailed")
        assert spec["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
        assert spec["template"]["metadata"]["labels"] == {
            "batch.kubernetes.io/controller-uid": uid,
            "batch.kubernetes.io/job-name": "one",
            "controller-uid": uid,
            "job-name": "one",
        }
        assert made["metadata"]["labels"] == spec["template"]["metadata"]["labels"]
        container = spec["template"]["spec"]["containers"][0]
        assert (container["terminationMessagePath"], container["imagePullPolicy"]) == ("/dev/termination-log", "IfNotPresent")
        assert made["metadata"]["generation"] == 1

    async def test_a_job_keeps_its_template_but_may_change_its_deadline(self, api: Api, jobs: str) -> None:
        unsuspended = job(suspend=False, parallelism=0)
        await api.create(jobs, unsuspended)
        done = await api.patch(f"{jobs}/one", {"spec": {"activeDeadlineSeconds": 60}})
        assert (done.status, done.body["spec"]["activeDeadlineSeconds"], done.body["metadata"]["generation"]) == (200, 60, 2)
        patch = {"spec": {"template": {"spec": {"restartPolicy": "OnFailure"}}}}
        refused = await api.patch(f"{jobs}/one", patch)
        assert (refused.status, refused.reason) == (422, "Invalid")
        assert ("spec.template", "FieldValueInvalid") in refused.causes
        assert "field is immutable" in refused.message

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"restartPolicy": "Always"}, "spec.template.spec.restartPolicy"),
            ({"containers": []}, "spec.template.spec.containers"),
            ({"containers": [{"name": "a"}]}, "spec.template.spec.containers[0].image"),
            ({"containers": [{"name": "A", "image": "x"}]}, "spec.template.spec.containers[0].name"),
            (
                {"containers": [{"name": "a", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]},
                "spec.template.spec.containers[0].volumeMounts[0].name",
            ),
        ],
    )
    async def test_a_bad_job_is_refused_with_its_field(self, api: Api, jobs: str, change: Json, field: str) -> None:
        body = job()
        body["spec"]["template"]["spec"] |= change
        reply = await api.create(jobs, body)
        assert (reply.status, reply.reason) == (422, "Invalid")
        assert field in {where for where, _ in reply.causes}, reply.body

    async def test_a_job_whose_name_is_no_label_is_refused(self, api: Api, jobs: str) -> None:
        reply = await api.create(jobs, job("a" * 64))
        assert (reply.status, reply.reason) == (422, "Invalid")

    async def test_an_immutable_config_map_stays(self, api: Api, maps: str) -> None:
        await api.create(maps, config_map(immutable=True))
        changed = await api.patch(f"{maps}/one", {"data": {"a": "2"}})
        assert (changed.status, changed.reason) == (422, "Invalid")
        assert ("data", "FieldValueForbidden") in changed.causes
        assert "field is immutable when `immutable` is set" in changed.message
        opened = await api.patch(f"{maps}/one", {"immutable": False})
        assert ("immutable", "FieldValueForbidden") in opened.causes
        labelled = await api.patch(f"{maps}/one", {"metadata": {"labels": {"a": "b"}}})
        assert labelled.status == 200

    async def test_a_config_map_has_a_limit_of_one_mebibyte(self, api: Api, maps: str) -> None:
        assert (await api.create(maps, config_map(data={"a": "x" * 1_048_576}))).status == 201
        reply = await api.create(maps, config_map("two", data={"a": "x" * 1_048_577}))
        assert (reply.status, reply.reason) == (422, "Invalid")
        assert "Too long: may not be more than 1048576 bytes" in reply.message

    async def test_a_config_map_takes_flat_keys_alone(self, api: Api, maps: str) -> None:
        reply = await api.create(maps, config_map(data={"a/b": "x"}))
        assert (reply.status, reply.reason) == (422, "Invalid")
        assert ("data[a/b]", "FieldValueInvalid") in reply.causes

    async def test_a_secret_encodes_its_texts_and_keeps_its_type(self, api: Api, ns: str) -> None:
        secrets = f"/api/v1/namespaces/{ns}/secrets"
        made = await api.create(secrets, {"metadata": {"name": "one"}, "stringData": {"token": "a b"}})
        assert made.body["data"] == {"token": base64.b64encode(b"a b").decode()}
        assert "stringData" not in made.body
        assert made.body["type"] == "Opaque"
        typed = await api.patch(f"{secrets}/one", {"type": "other"})
        assert typed.status == 422
        assert (await api.create(secrets, {"metadata": {"name": "two"}, "data": {"a": "%%"}})).status == 400

    async def test_a_claim_waits_and_keeps_its_spec(self, api: Api, ns: str) -> None:
        path, body = built_in(ns, "persistentvolumeclaims")
        made = await api.create(path, body)
        assert (made.body["status"]["phase"], made.body["spec"]["volumeMode"]) == ("Pending", "Filesystem")
        changed = await api.patch(f"{path}/one", {"spec": {"accessModes": ["ReadWriteMany"]}})
        assert (changed.status, changed.reason) == (422, "Invalid")
        bare = {"metadata": {"name": "two"}, "spec": {}}
        refused = await api.create(path, bare)
        assert {field for field, _ in refused.causes} == {"spec.accessModes", "spec.resources[storage]"}

    async def test_a_pod_waits_and_its_status_is_written_apart(self, api: Api, ns: str) -> None:
        path, body = built_in(ns, "pods")
        made = await pod_made(api, path, body)
        assert (made.body["status"]["phase"], made.body["spec"]["restartPolicy"]) == ("Pending", "Always")
        done = await api.patch(f"{path}/one/status", {"status": {"phase": "Running", "podIP": "10.0.0.1"}})
        assert (done.status, done.body["status"]["phase"]) == (200, "Running")
        listed = await api.get(path, fieldSelector="status.phase=Running")
        assert [one["metadata"]["name"] for one in listed.body["items"]] == ["one"]
        changed = await api.patch(f"{path}/one", {"spec": {"restartPolicy": "Never"}})
        assert (changed.status, changed.reason) == (422, "Invalid")

    async def test_a_pod_on_a_node_keeps_its_grace_until_its_kubelet_lets_it_go(self, api: Api, ns: str) -> None:
        path, body = built_in(ns, "pods")
        body["spec"] |= {"nodeName": "nowhere", "terminationGracePeriodSeconds": 120}
        await pod_made(api, path, body)
        going = await api.delete(f"{path}/one")
        assert going.body["metadata"]["deletionGracePeriodSeconds"] == 120
        assert (await api.get(f"{path}/one")).body["metadata"]["deletionTimestamp"]
        longer = await api.delete(f"{path}/one", {"gracePeriodSeconds": 600})
        assert longer.body["metadata"]["deletionGracePeriodSeconds"] == 120
        shorter = await api.delete(f"{path}/one", {"gracePeriodSeconds": 5})
        assert shorter.body["metadata"]["deletionGracePeriodSeconds"] == 5
        await api.delete(f"{path}/one", {"gracePeriodSeconds": 0})
        assert (await api.get(f"{path}/one")).status == 404

    async def test_a_pod_on_no_node_goes_at_once(self, api: Api, ns: str) -> None:
        path, body = built_in(ns, "pods")
        # A scheduler would look away from one that is gated.
        body["spec"]["schedulingGates"] = [{"name": "example.com/wait"}]
        await pod_made(api, path, body)
        await api.delete(f"{path}/one")
        assert (await api.get(f"{path}/one")).status == 404

    async def test_an_eviction_deletes(self, api: Api, ns: str) -> None:
        path, body = built_in(ns, "pods")
        body["spec"]["schedulingGates"] = [{"name": "example.com/wait"}]
        await pod_made(api, path, body)
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "one", "namespace": ns}}
        assert (await api.create(f"{path}/one/eviction", eviction)).status == 201
        assert (await api.get(f"{path}/one")).status == 404

    async def test_a_pod_on_no_node_has_said_nothing(self, api: Api, ns: str) -> None:
        path, body = built_in(ns, "pods")
        body["spec"]["schedulingGates"] = [{"name": "example.com/wait"}]
        await pod_made(api, path, body)
        assert (await api.get(f"{path}/one/log")).status == 204
        assert (await api.get(f"{path}/none/log")).status == 404

    async def test_a_pod_needs_its_service_account(self, api: Api, ns: str) -> None:
        path, body = built_in(ns, "pods")
        body["spec"]["serviceAccountName"] = "nobody"
        reply = await api.create(path, body)
        assert (reply.status, reply.reason) == (403, "Forbidden")
        assert "error looking up service account" in reply.message
        assert 'serviceaccount "nobody" not found' in reply.message

    async def test_an_event_is_of_an_object_in_its_namespace(self, api: Api, ns: str) -> None:
        events = f"/api/v1/namespaces/{ns}/events"
        about = {"kind": "Widget", "apiVersion": f"{GROUP}/v1", "name": "one", "namespace": ns, "uid": "u"}
        event = {"metadata": {"name": "one.1"}, "involvedObject": about, "reason": "Started", "message": "m", "type": "Normal"}
        assert (await api.create(events, event)).status == 201
        listed = await api.get(events, fieldSelector="involvedObject.name=one,reason=Started")
        assert [one["metadata"]["name"] for one in listed.body["items"]] == ["one.1"]
        away = {**event, "metadata": {"name": "two.1"}, "involvedObject": {**about, "namespace": "elsewhere"}}
        assert (await api.create(events, away)).status == 422

    async def test_a_deleted_namespace_takes_everything_with_it(self, api: Api, ns: str, widgets: str, maps: str) -> None:
        held = widget()
        held["metadata"]["finalizers"] = ["example.com/hold"]
        await api.create(widgets, held)
        await api.create(maps, config_map())
        await api.delete(f"/api/v1/namespaces/{ns}")
        await eventually(lambda: api.get(f"{maps}/one"), lambda reply: reply.status == 404)
        refused = await api.create(maps, config_map("late"))
        assert (refused.status, refused.reason) == (403, "Forbidden")
        assert "is being terminated" in refused.message
        phase = (await api.get(f"/api/v1/namespaces/{ns}")).body["status"]["phase"]
        assert phase == "Terminating"
        await api.patch(f"{widgets}/one", {"metadata": {"finalizers": None}})
        await eventually(lambda: api.get(f"/api/v1/namespaces/{ns}"), lambda reply: reply.status == 404)

    # --- who may --------------------------------------------------------------------------------------------------------------

    async def test_a_service_account_may_what_its_role_says(self, cluster: Cluster, api: Api, ns: str, widgets: str) -> None:
        rules = [
            {"apiGroups": [GROUP], "resources": ["widgets"], "verbs": ["get", "list", "watch", "create"]},
            {"apiGroups": [GROUP], "resources": ["widgets/status"], "verbs": ["patch"]},
        ]
        they = await cluster.user(ns, "worker", rules)
        await eventually(lambda: they.get(widgets), lambda reply: reply.status == 200)
        assert (await they.create(widgets, widget())).status == 201
        assert (await they.patch(f"{widgets}/one/status", {"status": {"phase": "Done"}})).status == 200
        refused = await they.patch(f"{widgets}/one", {"spec": {"size": 9}})
        assert (refused.status, refused.reason) == (403, "Forbidden")
        user = f"system:serviceaccount:{ns}:worker"
        assert refused.message == (
            f'widgets.contract.example.com "one" is forbidden: User "{user}" cannot patch resource "widgets" in API group '
            f'"{GROUP}" in the namespace "{ns}"'
        )
        everywhere = await they.get(f"{WIDGETS}/widgets")
        assert everywhere.status == 403
        assert "at the cluster scope" in everywhere.message
        review = {"spec": {"resourceAttributes": {"verb": "list", "group": GROUP, "resource": "widgets", "namespace": ns}}}
        asked = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", **review}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        assert (await they.create(path, asked)).body["status"]["allowed"] is True
        review["spec"]["resourceAttributes"]["resource"] = "secrets"
        assert (await they.create(path, asked)).body["status"]["allowed"] is False

    async def test_a_wrong_token_is_nobody(self, cluster: Cluster, ns: str, widgets: str) -> None:
        they = await cluster.user(ns, "nobody", [])
        headers = {"Authorization": "Bearer not-a-token"}
        async with they.session.get(they.url + widgets, headers=headers, ssl=they.ssl) as response:
            body = await response.json()
        assert (response.status, body["reason"]) == (401, "Unauthorized")

    # --- discovery ------------------------------------------------------------------------------------------------------------

    async def test_discovery_names_kinds_and_their_subresources(self, api: Api) -> None:
        listed = (await api.get(WIDGETS)).body
        assert {one["name"]: one["kind"] for one in listed["resources"]} == {"widgets": "Widget", "widgets/status": "Widget"}
        main = next(one for one in listed["resources"] if one["name"] == "widgets")
        assert (main["namespaced"], main["shortNames"]) == (True, ["wd"])
        assert GROUP in {one["name"] for one in (await api.get("/apis")).body["groups"]}
        assert (await api.get("/version")).body["major"] == "1"
        assert (await api.get("/readyz")).body == "ok"
        core = {one["name"] for one in (await api.get("/api/v1")).body["resources"]}
        assert {"pods", "pods/log", "pods/status", "configmaps", "secrets", "persistentvolumeclaims", "events"} <= core


def built_in(ns: str, kind: str) -> tuple[str, Json]:
    """Path and an example of a built-in kind."""
    meta = {"name": "one"}
    match kind:
        case "jobs":
            return f"/apis/batch/v1/namespaces/{ns}/jobs", job()
        case "configmaps":
            return f"/api/v1/namespaces/{ns}/configmaps", config_map()
        case "secrets":
            body = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"token": "YQ=="}}
            return f"/api/v1/namespaces/{ns}/secrets", body
        case "leases":
            spec: Json = {"holderIdentity": "us", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}
            return f"/apis/coordination.k8s.io/v1/namespaces/{ns}/leases", body
        case "persistentvolumeclaims":
            spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "none"}
            body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}
            return f"/api/v1/namespaces/{ns}/persistentvolumeclaims", body
        case "pods":
            spec = {"containers": [{"name": "agent", "image": "example.invalid/agent:1"}]}
            return f"/api/v1/namespaces/{ns}/pods", {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
        case _:
            raise AssertionError(kind)


async def pod_made(api: Api, path: str, body: Json) -> Reply:
    """A pod, as soon as its namespace has a service account for it."""
    made: Reply = await eventually(lambda: api.create(path, body), lambda reply: reply.status != 403)
    assert made.status == 201, made.body
    return made
