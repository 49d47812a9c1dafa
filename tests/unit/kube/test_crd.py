"""The custom resource definitions against the structs they are made from, and against what people hand in."""

from typing import Any

import msgspec
import pytest
from tests.fakes.structural import pruned, refusals, whole

from coderun.kube.crd import KINDS, Kind, definitions
from coderun.kube.fields import FIELDS
from coderun.kube.schema import WHOLE, Schema
from coderun.model.coderun import CodeRun
from coderun.model.docsrun import DocsRun
from coderun.model.play import Play

DEFINITIONS = {made["spec"]["names"]["kind"]: made for made in definitions()}
ALL_KINDS = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)


def schema(kind: str) -> Schema:
    made: Schema = DEFINITIONS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return made


def walk(made: Schema, path: str) -> list[tuple[str, Schema]]:
    found = [(path, made)]
    for name, inner in made.get("properties", {}).items():
        found += walk(inner, f"{path}.{name}")
    for inner in filter(None, (made.get("items"), made.get("additionalProperties"))):
        found += walk(inner, f"{path}[]")
    return found


@ALL_KINDS
@pytest.mark.lesson(2)
def test_every_field_that_is_written_is_in_the_schema(kind: Kind) -> None:
    for part, struct in (("spec", kind.spec), ("status", kind.status)):
        made = schema(kind.kind)["properties"][part]
        strict = {**made, "x-kubernetes-preserve-unknown-fields": False}
        written = msgspec.to_builtins(whole(struct))
        assert set(written) == {field.encode_name for field in msgspec.structs.fields(struct)}, "something is in every field"
        assert list(pruned(written, strict)) == []


@ALL_KINDS
@pytest.mark.lesson(2)
def test_no_status_that_is_written_is_refused(kind: Kind) -> None:
    made = schema(kind.kind)["properties"]["status"]
    assert refusals(msgspec.to_builtins(whole(kind.status)), made) == []
    assert refusals({}, made) == []
    limits = {
        "pattern",
        "maxLength",
        "minLength",
        "maxItems",
        "maxProperties",
        "minimum",
        "maximum",
        "x-kubernetes-validations",
    }
    assert [(path, key) for path, inner in walk(made, "status") for key in limits & set(inner)] == []


@ALL_KINDS
def test_every_field_has_words_for_people(kind: Kind) -> None:
    for part in ("spec", "status"):
        silent = [
            path
            for path, made in walk(schema(kind.kind)["properties"][part], part)
            if not path.endswith("[]") and "description" not in made
        ]
        assert silent == [], "say in coderun.kube.fields what these are, then run `make chart`"


def test_there_are_no_words_for_structs_that_no_kind_uses() -> None:
    used: set[type] = set()

    def note(type_: msgspec.inspect.Type) -> None:
        for one in getattr(type_, "types", (type_,)):
            if isinstance(one, msgspec.inspect.StructType):
                used.add(one.cls)
                for field in one.fields:
                    note(field.type)
            for inner in ("item_type", "value_type"):
                if hasattr(one, inner):
                    note(getattr(one, inner))

    for kind in KINDS:
        note(msgspec.inspect.type_info(kind.spec))
        note(msgspec.inspect.type_info(kind.status))
    assert set(FIELDS) == used, "coderun.kube.fields has words for each struct of a kind and for no other"
    assert all(WHOLE in said for said in FIELDS.values())


@ALL_KINDS
def test_schemas_are_structural(kind: Kind) -> None:
    for path, made in walk(schema(kind.kind), kind.kind):
        typed = "type" in made or made.get("x-kubernetes-preserve-unknown-fields") or made.get("x-kubernetes-int-or-string")
        assert typed, path
        assert not {"$ref", "title", "anyOf", "oneOf", "additionalItems"} & set(made), path
        assert not ("properties" in made and "additionalProperties" in made), path


@ALL_KINDS
def test_lists_and_maps_say_how_they_merge(kind: Kind) -> None:
    lists = [(path, made) for path, made in walk(schema(kind.kind), kind.kind) if made.get("type") == "array"]
    assert all(made["x-kubernetes-list-type"] in {"atomic", "map"} for _, made in lists)
    keyed = [(path, made["x-kubernetes-list-map-keys"]) for path, made in lists if made["x-kubernetes-list-type"] == "map"]
    assert keyed in ([], [(f"{kind.kind}.status.conditions", ["type"])])


@ALL_KINDS
def test_columns_show_fields_that_exist(kind: Kind) -> None:
    known = {path.removeprefix(kind.kind).replace("[]", "") for path, _ in walk(schema(kind.kind), kind.kind)}
    for column in kind.columns:
        path = column.path.replace('[?(@.type=="Ready")]', "").replace('[?(@.type=="Accepted")]', "")
        assert path in known | {".metadata.creationTimestamp"}, column


def test_names_are_those_that_people_type() -> None:
    names = {kind: made["spec"]["names"] for kind, made in DEFINITIONS.items()}
    assert names["CodeRun"]["shortNames"] == ["cr"]
    assert {kind: made["plural"] for kind, made in names.items()} == {
        "CodeRun": "coderuns",
        "Play": "plays",
        "DocsRun": "docsruns",
        "Delivery": "deliveries",
    }
    assert {made["metadata"]["name"] for made in DEFINITIONS.values()} == {
        f"{made['plural']}.agents.platform" for made in names.values()
    }
    assert all(made["spec"]["versions"][0]["subresources"] == {"status": {}} for made in DEFINITIONS.values())


def test_defaults_of_the_schema_are_those_of_the_structs() -> None:
    spec = schema("CodeRun")["properties"]["spec"]["properties"]
    assert {name: made["default"] for name, made in spec.items() if "default" in made} == {
        "docsBranch": "main",
        "workingDirectory": ".",
        "contextVersion": 1,
        "baseBranch": "main",
    }
    play = schema("Play")["properties"]["spec"]["properties"]
    assert {name: made["default"] for name, made in play.items() if "default" in made} == {
        "pipeline": "play",
        "baseBranch": "main",
        "maxIterations": 5,
        "priority": 1,
    }


AUGUST: dict[str, Any] = {
    "taskId": 5,
    "service": "cto",
    "repositoryUrl": "https://github.com/5dlabs/cto",
    "docsRepositoryUrl": "5dlabs/cto",
    "docsProjectDirectory": "docs",
    "workingDirectory": ".",
    "model": "claude-3-5-sonnet-20241022",
    "githubUser": "",
    "githubApp": "5DLabs-Rex",
    "contextVersion": 2,
    "docsBranch": "feature/example",
    "continueSession": True,
    "overwriteMemory": False,
    "enableDocker": True,
    "taskRequirements": "",
    "serviceAccountName": "",
    "localTools": "filesystem,git",
    "remoteTools": "memory_create_entities",
    "promptModification": "",
    "env": {"PR_URL": "https://github.com/5dlabs/cto/pull/1", "PR_NUMBER": "1", "QA_READY": "", "WORKFLOW_STAGE": "quality"},
    "envFromSecrets": [{"name": "DB", "secretName": "db.main", "secretKey": "url"}],
}
LATER = {
    **AUGUST,
    "taskRequirements": "c2VjcmV0czogW10K",
    "cliConfig": {
        "cliType": "factory",
        "model": "gpt-5",
        "settings": {"reasoningEffort": "high", "deep": {"er": [1]}},
        "maxTokens": 64000,
        "temperature": 0.7,
        "modelRotation": ["a", "b"],
        "someFutureSetting": True,
    },
    "someFutureField": {"a": [1, {"b": 2}]},
}
MINIMAL = {"taskId": 1, "service": "api", "repositoryUrl": "acme/api", "docsRepositoryUrl": "acme/docs", "model": "opus"}
LEGACY_STATUS = {
    "phase": "",
    "message": "m",
    "lastUpdate": "2025-08-17T10:00:00Z",
    "jobName": "j",
    "pullRequestUrl": "https://github.com/5dlabs/cto/pull/1",
    "retryCount": 1,
    "conditions": [
        {
            "type": "Running",
            "status": "True",
            "lastTransitionTime": "2025-08-17T10:00:00+00:00",
            "reason": "JobStarted",
            "message": "m",
        }
    ],
    "configmapName": "c",
    "contextVersion": 2,
    "promptModification": "p",
    "promptMode": "append",
    "sessionId": "s",
    "workCompleted": False,
    "remediationStatus": "r",
    "qaStatus": "q",
    "finishedAt": "2025-08-17T10:00:00Z",
    "expireAt": "2025-08-17T11:00:00Z",
    "cleanupCompletedAt": "2025-08-17T12:00:00Z",
}


@pytest.mark.parametrize("spec", [AUGUST, LATER, MINIMAL], ids=["august", "later", "minimal"])
def test_coderuns_of_the_existing_system_are_taken_and_nothing_of_them_is_dropped(spec: dict[str, Any]) -> None:
    run = {"apiVersion": "agents.platform/v1", "kind": "CodeRun", "metadata": {"name": "r"}, "spec": spec}
    legacy = {**run, "status": LEGACY_STATUS}
    for each in (run, legacy):
        assert refusals(each, schema("CodeRun")) == []
        assert [path for path in pruned(each, schema("CodeRun")) if not path.startswith(".metadata")] == []
        assert msgspec.convert(each, CodeRun).spec.task_id == spec["taskId"]


def test_docsruns_of_the_existing_system_are_taken() -> None:
    docs = {
        "metadata": {"name": "d"},
        "spec": {
            "repositoryUrl": "https://github.com/5dlabs/cto",
            "workingDirectory": "docs",
            "sourceBranch": "main",
            "model": "opus",
            "githubUser": "someone",
            "remoteTools": ["a"],
            "localTools": ["b"],
            "includeCodebase": False,
            "someFutureField": 1,
        },
        "status": {"phase": "Running", "lastUpdate": "2025-08-17T10:00:00Z", "jobName": "docs-x", "workCompleted": False},
    }
    assert refusals(docs, schema("DocsRun")) == []
    assert list(pruned(docs["spec"], schema("DocsRun")["properties"]["spec"])) == []
    assert msgspec.convert(docs, DocsRun).spec.source_branch == "main"


@pytest.mark.lesson(3)
@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"taskId": 0}, "taskId"),
        ({"taskId": "7"}, "taskId"),
        ({"taskId": 10**9}, "taskId"),
        ({"service": ""}, "service"),
        ({"service": "My_Service"}, "service"),
        ({"service": "a" * 64}, "service"),
        ({"service": "a.b"}, "service"),
        ({"repositoryUrl": ""}, "repositoryUrl"),
        ({"repositoryUrl": "just-a-name"}, "repositoryUrl"),
        ({"repositoryUrl": "acme/api\nextra"}, "repositoryUrl"),
        ({"docsRepositoryUrl": "name"}, "docsRepositoryUrl"),
        ({"cliConfig": {"cliType": ""}}, "cliConfig.cliType"),
        ({"cliConfig": {"cliType": "claud"}}, "cliConfig.cliType"),
        ({"cliConfig": {"temperature": 3}}, "cliConfig.temperature"),
        ({"env": {"A": 1}}, "env.A"),
        ({"envFromSecrets": [{"name": "A B", "secretName": "s", "secretKey": "k"}]}, "envFromSecrets.0.name"),
        ({"envFromSecrets": [{"name": "A", "secretName": "S_", "secretKey": "k"}]}, "envFromSecrets.0.secretName"),
        ({"envFromSecrets": [{"name": "A", "secretName": "s", "secretKey": "a/b"}]}, "envFromSecrets.0.secretKey"),
        ({"envFromSecrets": [{"name": "A", "secretName": "s"}]}, "envFromSecrets.0"),
        ({"pullRequest": {"number": 0}}, "pullRequest.number"),
        ({"budget": {"maxUsd": -1}}, "budget.maxUsd"),
        ({"timeout": 0}, "timeout"),
        ({"evidence": [{"kind": "luck"}]}, "evidence.0.kind"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_bad_coderun_is_refused_and_the_field_is_named(change: dict[str, Any], where: str) -> None:
    found = refusals({"spec": {**MINIMAL, **change}}, schema("CodeRun"))
    assert [text.partition(":")[0] for text in found] == [f"spec.{where}"]


@pytest.mark.parametrize("missing", ["taskId", "service", "repositoryUrl"])
def test_a_coderun_without_what_it_is_about_is_refused(missing: str) -> None:
    spec = {key: value for key, value in MINIMAL.items() if key != missing}
    assert [text for text in refusals({"spec": spec}, schema("CodeRun")) if missing in text] != []
    assert refusals({}, schema("CodeRun")) != []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"service": "a b"}, "service"),
        ({"pipeline": ""}, "pipeline"),
        ({"maxIterations": 0}, "maxIterations"),
        ({"retries": -1}, "retries"),
        ({"agents": {"quality": 1}}, "agents.quality"),
        ({"baseBranch": ""}, "baseBranch"),
    ],
    ids=str,
)
def test_a_bad_play_is_refused_and_the_field_is_named(change: dict[str, Any], where: str) -> None:
    spec = {"taskId": 3, "repositoryUrl": "acme/api"}
    assert refusals({"spec": {**spec, "service": ""}}, schema("Play")) == []
    found = refusals({"spec": {**spec, **change}}, schema("Play"))
    assert [text.partition(":")[0] for text in found] == [f"spec.{where}"]
    assert msgspec.convert({"metadata": {"name": "p"}, "spec": spec}, Play).spec.pipeline == "play"


def test_identity_is_guarded_by_rules_that_say_what_to_do() -> None:
    messages = {
        kind: [
            rule["message"]
            for _, made in walk(schema(kind), kind)
            for rule in made.get("x-kubernetes-validations", [])
            if "cannot be changed" in rule["message"]
        ]
        for kind in DEFINITIONS
    }
    assert messages == {
        "CodeRun": [
            "githubApp cannot be changed once it is set; create another CodeRun",
            "stage cannot be changed once it is set; create another CodeRun",
            "taskId cannot be changed; create another CodeRun",
            "service cannot be changed; create another CodeRun",
            "repositoryUrl cannot be changed; create another CodeRun",
        ],
        "Play": [
            "service cannot be changed once it is set; create another Play",
            "taskId cannot be changed; create another Play",
            "repositoryUrl cannot be changed; create another Play",
            "pipeline cannot be changed; create another Play",
        ],
        "DocsRun": ["repositoryUrl cannot be changed; create another DocsRun"],
        "Delivery": ["a delivery is what came in; its spec cannot be changed"],
    }
