"""The objects of a run: whose they are, what they carry, and how little their pod may do."""

from typing import Any

import pytest
from msgspec.structs import replace
from tests.contracts.runtime_contract import plan as contract_plan

from coderun.kube import manifests
from coderun.kube.bundle import Parcel, pack
from coderun.kube.manifests import JobSettings, Manifest
from coderun.model.cluster import AccessMode, ClusterSettings, PullPolicy, WorkspaceSettings
from coderun.model.coderun import SecretEnvVar
from coderun.model.errors import InvalidCodeRunError
from coderun.model.names import LABEL_AGENT, LABEL_JOB, LABEL_SERVICE
from coderun.plan.order import Owner, PodNeeds, RunPlan

OWNER = Owner(api_version="agents.platform/v1", kind="CodeRun", name="play-1-implementation-1-1", uid="u-1", namespace="agents")
SETTINGS = JobSettings(image="agent:1")


def run_plan(**changes: Any) -> RunPlan:
    labels = {"agents.platform/play": "play-1", "task-id": "1", "service": "api", "app.kubernetes.io/name": "coderun"}
    return replace(contract_plan(), owner=OWNER, labels=labels, **changes)


def parcels_of(plan: RunPlan) -> tuple[Parcel, ...]:
    return pack(b"{}", plan.files, job=plan.job)


def made(plan: RunPlan, settings: JobSettings = SETTINGS) -> Manifest:
    return manifests.job(plan, settings, parcels_of(plan), claim="workspace-api-rex")


def pod_of(plan: RunPlan, settings: JobSettings = SETTINGS) -> Manifest:
    pod: Manifest = made(plan, settings)["spec"]["template"]["spec"]
    return pod


def container_of(plan: RunPlan, settings: JobSettings = SETTINGS) -> Manifest:
    container: Manifest = pod_of(plan, settings)["containers"][0]
    return container


@pytest.mark.lesson(6, 43)
def test_everything_made_for_a_run_is_the_coderuns_from_the_first_write_and_carries_its_labels() -> None:
    plan = run_plan()
    reference = {
        "apiVersion": "agents.platform/v1",
        "kind": "CodeRun",
        "name": "play-1-implementation-1-1",
        "uid": "u-1",
        "controller": True,
        "blockOwnerDeletion": True,
    }
    for one in (manifests.files_map(plan, parcels_of(plan)[0]), manifests.token_secret(plan), made(plan)):
        assert one["metadata"]["ownerReferences"] == [reference]
        assert one["metadata"]["labels"] == {**plan.labels, LABEL_JOB: plan.job}
    assert made(plan)["spec"]["template"]["metadata"]["labels"] == {**plan.labels, LABEL_JOB: plan.job}


def test_a_run_that_is_not_stored_has_objects_without_an_owner() -> None:
    assert "ownerReferences" not in manifests.token_secret(contract_plan())["metadata"]


def test_a_workspace_belongs_to_an_agent_and_a_service_and_to_no_run() -> None:
    claim = manifests.workspace_claim(run_plan(), SETTINGS)
    assert "ownerReferences" not in claim["metadata"]
    labels = claim["metadata"]["labels"]
    assert (labels[LABEL_SERVICE], labels[LABEL_AGENT]) == ("api", "rex")
    assert not {"agents.platform/play", "task-id", LABEL_JOB} & labels.keys()
    assert claim["spec"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}}
    fast = manifests.workspace_claim(run_plan(), replace(SETTINGS, storage_class="fast"))
    assert fast["spec"]["storageClassName"] == "fast"
    assert manifests.legacy_workspace(run_plan()) == "workspace-api"


@pytest.mark.lesson(8)
def test_the_files_of_a_run_cannot_change_under_its_pod() -> None:
    plan = run_plan()
    parcel = parcels_of(plan)[0]
    made_map = manifests.files_map(plan, parcel)
    assert made_map["immutable"] is True
    assert made_map["metadata"]["name"] == f"{plan.job}-{parcel.digest}"
    assert made_map["data"] == parcel.data


def test_the_pod_of_a_run_is_one_that_the_restricted_standard_admits() -> None:
    pod = pod_of(run_plan())
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    kinds = {key for volume in pod["volumes"] for key in volume} - {"name"}
    assert kinds == {"configMap", "secret", "persistentVolumeClaim", "emptyDir"}


@pytest.mark.lesson(13)
def test_a_job_runs_one_pod_once_within_a_time_limit() -> None:
    spec = made(replace(run_plan(), order=replace(run_plan().order, limits=contract_plan(timeout=100, grace=20).order.limits)))[
        "spec"
    ]
    assert (spec["backoffLimit"], spec["completions"], spec["parallelism"]) == (0, 1, 1)
    assert spec["podReplacementPolicy"] == "Failed"
    assert spec["activeDeadlineSeconds"] == 100 + 20 + 120 + 900
    pod = spec["template"]["spec"]
    assert (pod["restartPolicy"], pod["terminationGracePeriodSeconds"]) == ("Never", 120)
    assert pod["containers"][0]["resources"] == {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "8Gi"}}


def test_a_job_stopped_before_its_start_is_made_for_the_record_only() -> None:
    plan = run_plan()
    job = manifests.job(plan, SETTINGS, parcels_of(plan), claim="c", stopped="changed my mind")
    assert job["spec"]["suspend"] is True
    assert job["metadata"]["annotations"]["agents.platform/stop-reason"] == "changed my mind"
    assert "agents.platform/stop-reason" not in made(plan)["metadata"]["annotations"]
    assert "suspend" not in made(plan)["spec"]


@pytest.mark.lesson(28)
def test_no_token_of_a_service_account_is_mounted_unless_the_roster_grants_the_account() -> None:
    plain = pod_of(run_plan(), replace(SETTINGS, service_account="agents"))
    assert (plain["automountServiceAccountToken"], plain["serviceAccountName"]) == (False, "agents")
    assert "serviceAccountName" not in pod_of(run_plan())
    granted = pod_of(run_plan(needs=PodNeeds(service_account="tess")), replace(SETTINGS, service_account="agents"))
    assert (granted["automountServiceAccountToken"], granted["serviceAccountName"]) == (True, "tess")


def test_the_rendered_script_is_what_a_pod_starts_and_the_runner_where_there_is_none() -> None:
    with_script = run_plan(files={"container.sh": "exec coderun agent --pod"})
    assert container_of(with_script)["command"] == ["bash", "/etc/coderun/order/container.sh"]
    assert container_of(run_plan())["command"] == ["coderun", "agent", "--pod"]


def test_the_report_comes_as_the_termination_message_and_the_last_words_where_there_is_none() -> None:
    container = container_of(run_plan())
    assert (container["terminationMessagePath"], container["terminationMessagePolicy"]) == (
        "/dev/termination-log",
        "FallbackToLogsOnError",
    )


@pytest.mark.lesson(14, 35)
def test_the_token_is_a_mounted_folder_and_in_no_variable() -> None:
    plan = run_plan()
    secret = manifests.token_secret(plan)
    assert secret["data"] == {"token": "dG9rZW4tb2YtdGhpcy1ydW4="}
    assert secret["metadata"]["name"] == f"{plan.job}-token"
    volume = next(one for one in pod_of(plan)["volumes"] if one["name"] == "token")
    assert volume["secret"] == {"secretName": f"{plan.job}-token", "defaultMode": 0o440}
    (mount,) = [one for one in container_of(plan)["volumeMounts"] if one["name"] == "token"]
    assert "subPath" not in mount
    assert plan.token not in str(made(plan))


def test_secrets_a_run_asks_for_reach_the_agent_under_names_that_cannot_change_the_runner() -> None:
    needs = PodNeeds(secret_env=(SecretEnvVar(name="PATH", secret_name="s", secret_key="k"),), secret_sets=("all",))
    login = SecretEnvVar(name="ANTHROPIC_API_KEY", secret_name="models", secret_key="anthropic")
    container = container_of(
        run_plan(needs=needs), replace(SETTINGS, login=(login,), env={"HTTPS_PROXY": "http://p", "HOME": "/x"})
    )
    env = {one["name"]: one for one in container["env"]}
    assert len(env) == len(container["env"])
    assert env["CODERUN_SECRET_PATH"]["valueFrom"] == {"secretKeyRef": {"name": "s", "key": "k"}}
    assert env["ANTHROPIC_API_KEY"]["valueFrom"] == {"secretKeyRef": {"name": "models", "key": "anthropic", "optional": True}}
    assert container["envFrom"] == [{"prefix": "CODERUN_SECRET_", "secretRef": {"name": "all"}}]
    assert "PATH" not in env
    assert (env["HTTPS_PROXY"]["value"], env["HOME"]["value"]) == ("http://p", "/tmp")


@pytest.mark.lesson(27)
def test_a_docker_daemon_ends_with_the_agent_and_only_where_it_is_allowed() -> None:
    plan = run_plan(needs=PodNeeds(docker=True))
    allowed = replace(SETTINGS, docker_image="docker:dind")
    manifests.check_allowed(plan, allowed)
    pod = pod_of(plan, allowed)
    (daemon,) = pod["initContainers"]
    assert (daemon["restartPolicy"], daemon["securityContext"]["privileged"]) == ("Always", True)
    host = {"name": "CODERUN_PLAIN_DOCKER_HOST", "value": "unix:///var/run/docker/docker.sock"}
    assert host in pod["containers"][0]["env"]
    volumes = {one["name"] for one in pod["volumes"]}
    assert {mount["name"] for one in (daemon, *pod["containers"]) for mount in one["volumeMounts"]} <= volumes
    with pytest.raises(
        InvalidCodeRunError, match=r"spec\.enableDocker asks for a Docker daemon, which this installation does not"
    ):
        manifests.check_allowed(plan, SETTINGS)


@pytest.mark.parametrize("secret", ["app-rex", "coderun-7-api-other-1-token"])
def test_no_run_reads_a_secret_of_the_controllers(secret: str) -> None:
    settings = replace(SETTINGS, reserved_secrets=("app-rex",))
    for needs in (
        PodNeeds(secret_env=(SecretEnvVar(name="K", secret_name=secret, secret_key="k"),)),
        PodNeeds(secret_sets=(secret,)),
    ):
        with pytest.raises(InvalidCodeRunError, match=f"from Secret '{secret}', which is the controller's own"):
            manifests.check_allowed(run_plan(needs=needs), settings)
    manifests.check_allowed(run_plan(needs=PodNeeds(secret_sets=("theirs",))), settings)


def test_a_job_names_its_workspace_and_its_config_maps_for_whoever_looks() -> None:
    plan = run_plan()
    job = manifests.job(plan, SETTINGS, (Parcel(digest="a"), Parcel(digest="b")), claim="workspace-api-rex")
    assert job["metadata"]["annotations"] == {
        "agents.platform/workspace": "workspace-api-rex",
        "agents.platform/files": f"{plan.job}-a,{plan.job}-b",
    }


def test_several_config_maps_are_mounted_as_one_folder() -> None:
    plan = run_plan()
    parcels = (Parcel(digest="a"), Parcel(digest="b"))
    job = manifests.job(plan, SETTINGS, parcels, claim="c")
    volume = next(one for one in job["spec"]["template"]["spec"]["volumes"] if one["name"] == "order")
    assert volume["projected"]["sources"] == [{"configMap": {"name": f"{plan.job}-{digest}"}} for digest in "ab"]


def test_where_pods_go_and_what_they_are_is_the_operators_choice() -> None:
    chosen = replace(
        SETTINGS,
        image_pull_secrets=("registry",),
        node_selector={"pool": "agents"},
        tolerations=({"key": "agents"},),
        affinity={"nodeAffinity": {}},
        priority_class="low",
        runtime_class="gvisor",
        user=2000,
    )
    pod = pod_of(run_plan(), chosen)
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert (pod["nodeSelector"], pod["tolerations"], pod["affinity"]) == (
        {"pool": "agents"},
        [{"key": "agents"}],
        {"nodeAffinity": {}},
    )
    assert (pod["priorityClassName"], pod["runtimeClassName"]) == ("low", "gvisor")
    assert {pod["securityContext"][key] for key in ("runAsUser", "runAsGroup", "fsGroup")} == {2000}


def test_the_settings_are_those_of_the_configuration() -> None:
    cluster = ClusterSettings(image="agent:2", image_pull_policy=PullPolicy.ALWAYS, env={"A": "b"}, tmp_size="1Gi")
    workspaces = WorkspaceSettings(storage_class="fast", size="5Gi", access_mode=AccessMode.ONE_POD, adopt_legacy=True)
    assert JobSettings.of(cluster, workspaces) == JobSettings(
        image="agent:2",
        image_pull_policy="Always",
        env={"A": "b"},
        tmp_size="1Gi",
        storage_class="fast",
        workspace_size="5Gi",
        access_mode="ReadWriteOncePod",
        adopt_legacy=True,
    )


def test_a_token_is_read_as_it_was_written_and_nonsense_is_none() -> None:
    assert manifests.token_in(manifests.token_data("ghs_1")) == "ghs_1"
    assert manifests.token_in(manifests.token_data("")) == ""
    for nonsense in ({}, {"token": "not base 64!"}, {"token": "/w=="}, {"other": "Z2hz"}):
        assert manifests.token_in(nonsense) == ""
