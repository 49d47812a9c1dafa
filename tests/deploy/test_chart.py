"""The chart, rendered by the real `helm` with several sets of values."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.deploy.chart import NAMESPACE, RELEASE, SETS, Helm, Rendered, values_of, write_values
from tests.deploy.chart_files import CHART

from coderun.app.configuration import packaged_roster
from coderun.kube.crd import definitions
from coderun.model.cluster import AccessMode, ClusterConfig, parse_cluster_config
from coderun.model.config import ForgeType

EACH = pytest.mark.parametrize("values", SETS)
NAMESPACED = {"CustomResourceDefinition", "Namespace"}


def config_of(rendered: Rendered) -> ClusterConfig:
    return parse_cluster_config(rendered.config, packaged=packaged_roster(), name="coderun.yaml")


@EACH
def test_the_chart_passes_its_linter(helm: Helm, values: str) -> None:
    done = helm.run("lint", "--strict", "--kube-version", "1.34.0", CHART, *values_of(values))
    assert done.returncode == 0, done.stdout + done.stderr


@EACH
def test_every_object_has_its_place_and_its_labels(helm: Helm, values: str) -> None:
    rendered = helm.render(*values_of(values))
    keys = [
        (one["apiVersion"], one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in rendered.objects
    ]
    assert len(keys) == len(set(keys))
    for one in rendered.objects:
        assert ("namespace" in one["metadata"]) is (one["kind"] not in NAMESPACED), one
        labels = one["metadata"]["labels"]
        assert (labels["app.kubernetes.io/managed-by"], labels["app.kubernetes.io/instance"]) == ("Helm", RELEASE)
        assert all(len(value) <= 63 for value in labels.values())


@EACH
@pytest.mark.lesson(28)
def test_nobody_gets_rights_beyond_the_worked_namespaces(helm: Helm, values: str) -> None:
    rendered = helm.render(*values_of(values))
    assert rendered.of("ClusterRole") == rendered.of("ClusterRoleBinding") == []
    for role in rendered.of("Role"):
        for rule in role["rules"]:
            assert "*" not in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}, role["metadata"]["name"]
            assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])


@EACH
def test_the_controller_is_told_what_it_understands(helm: Helm, values: str) -> None:
    config = config_of(helm.render(*values_of(values)))
    assert config.forge.type is ForgeType.GITHUB
    assert config.cluster.service_account.endswith("-agent")


@EACH
def test_the_controllers_pod_is_restricted(helm: Helm, values: str) -> None:
    pod = helm.render(*values_of(values)).pod
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    [container] = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"livenessProbe", "readinessProbe", "startupProbe", "resources"} <= set(container)
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    assert all(mount.get("readOnly") for mount in container["volumeMounts"] if mount["name"] != "tmp")


def test_the_defaults_install_two_controllers_for_their_own_namespace(helm: Helm) -> None:
    rendered = helm.render()
    deployment = rendered.one("Deployment")
    assert deployment["spec"]["replicas"] == 2
    assert rendered.one("PodDisruptionBudget")["spec"]["minAvailable"] == 1
    [container] = rendered.pod["containers"]
    assert container["args"] == [
        "controller",
        f"--namespace={NAMESPACE}",
        f"--lease-namespace={NAMESPACE}",
        "--config=/etc/coderun/config/coderun.yaml",
        "--health-port=8081",
        "--log-level=info",
    ]
    assert container["image"] == "coderun/controller:0.1.0"
    assert config_of(rendered).cluster.image == "coderun/agent:0.1.0"
    assert {one["kind"] for one in rendered.objects} == {
        "ConfigMap",
        "CustomResourceDefinition",
        "Deployment",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Role",
        "RoleBinding",
        "Service",
        "ServiceAccount",
    }


def test_the_definitions_are_those_of_the_code_and_stay_when_the_release_goes(helm: Helm) -> None:
    rendered = helm.render()
    made = {one["metadata"]["name"]: one["spec"] for one in definitions()}
    assert {one["metadata"]["name"]: one["spec"] for one in rendered.of("CustomResourceDefinition")} == made
    assert all(
        one["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"} for one in rendered.of("CustomResourceDefinition")
    )
    gone = helm.render("--set", "crds.keep=false").of("CustomResourceDefinition")
    assert all("annotations" not in one["metadata"] for one in gone)
    assert helm.render("--set", "crds.install=false").of("CustomResourceDefinition") == []


@pytest.mark.lesson(34)
def test_what_is_switched_off_is_off(helm: Helm) -> None:
    rendered = helm.render(*values_of("off"))
    assert {one["kind"] for one in rendered.objects} == {"ConfigMap", "Deployment", "ServiceAccount"}
    assert [one["metadata"]["name"] for one in rendered.of("ServiceAccount")] == [f"{RELEASE}-coderun-agent"]
    config = config_of(rendered)
    assert (config.play.auto_merge, config.telemetry.enabled, config.workspaces.adopt_legacy) == (False, False, False)
    assert config.webhook.port == 0
    assert rendered.pod["serviceAccountName"] == "existing"


@pytest.mark.lesson(34)
def test_every_value_arrives(helm: Helm) -> None:
    rendered = helm.render(*values_of("everything"))
    config = config_of(rendered)
    assert config.cluster.image == "registry.example/coderun/agent:2"
    assert config.cluster.docker_image == "docker:28-dind"
    assert config.cluster.env == {"HTTPS_PROXY": "http://proxy:3128", "RETRIES": "3"}
    assert config.cluster.login[0].secret_name == "models"
    assert config.cluster.reserved_secrets == ("a-person", "database", "github-app-5dlabs-rex", "github-webhook-secret", "tess")
    assert (config.cluster.node_selector, config.cluster.runtime_class) == ({"pool": "agents"}, "gvisor")
    assert config.cluster.tolerations == ({"key": "agents", "operator": "Exists"},)
    assert (config.workspaces.access_mode, config.workspaces.adopt_legacy) == (AccessMode.ONE_POD, True)
    assert (config.play.max_iterations, config.roles) == (3, {"implementation": "rex"})
    assert config.webhook.secret_files == ("/etc/coderun/webhook/secret", "/etc/coderun/webhook/old-secret")
    roster = config.roster(packaged_roster())
    assert (roster.agents["rex"].model, roster.agents["tess"].service_account) == ("opus", "coderun-tess")
    [container] = rendered.pod["containers"]
    assert container["image"] == "registry.example/coderun/controller@sha256:" + "0123456789abcdef" * 4
    assert {"--namespace=team-a", "--namespace=team-b", "--templates=/etc/coderun/templates"} <= set(container["args"])
    assert {"--github-keys=/etc/coderun/github", "--log-level=debug"} <= set(container["args"])
    assert rendered.pod["nodeSelector"] == {"pool": "system"}
    assert rendered.pod["imagePullSecrets"] == [{"name": "pull-me"}]


def test_each_worked_namespace_has_its_own_rights_accounts_and_policy(helm: Helm) -> None:
    rendered = helm.render(*values_of("everything"))
    for namespace in ("team-a", "team-b"):
        subjects = rendered.one("RoleBinding", f"{RELEASE}-agents", namespace)["subjects"]
        assert subjects == [{"kind": "ServiceAccount", "name": "the-controller", "namespace": NAMESPACE}]
        rendered.one("NetworkPolicy", f"{RELEASE}-agents-agents", namespace)
        for account in (f"{RELEASE}-agents-agent", "coderun-tess"):
            assert rendered.one("ServiceAccount", account, namespace)["automountServiceAccountToken"] is False
        assert rendered.one("Role", "coderun-tess", namespace)["rules"] == [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}
        ]
        made = rendered.one("Namespace", namespace)
        assert made["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    own = [role["metadata"]["name"] for role in rendered.of("Role") if role["metadata"]["namespace"] == NAMESPACE]
    assert own == [f"{RELEASE}-agents-lease"], "the release's namespace is not worked here"


def test_keys_of_apps_are_mounted_by_reference_for_the_controller_alone(helm: Helm) -> None:
    rendered = helm.render(*values_of("everything"))
    assert rendered.of("Secret") == []
    volumes = {volume["name"]: volume for volume in rendered.pod["volumes"]}
    items = [
        (source["secret"]["name"], item["key"], item["path"])
        for name in ("app-rex", "app-tess")
        for source in volumes[name]["projected"]["sources"]
        for item in source["secret"]["items"]
    ]
    assert items == [
        ("github-app-5dlabs-rex", "app-id", "app-id"),
        ("github-app-5dlabs-rex", "private-key", "private-key"),
        ("github-app-5dlabs-rex", "client-id", "client-id"),
        ("github-app-5dlabs-rex", "webhook-secret", "webhook-secret"),
        ("tess", "GITHUB_APP_ID", "app-id"),
        ("tess", "GITHUB_APP_PRIVATE_KEY", "private-key"),
        ("tess", "client-id", "client-id"),
        ("tess", "webhook-secret", "webhook-secret"),
    ]
    assert volumes["github-token"]["secret"]["items"] == [{"key": "token", "path": "token"}]
    assert volumes["webhook"]["secret"]["secretName"] == "github-webhook-secret"


def test_agents_reach_dns_and_the_outside_on_443_and_nobody_reaches_them(helm: Helm) -> None:
    policy = helm.render().one("NetworkPolicy", f"{RELEASE}-coderun-agents")["spec"]
    assert policy["podSelector"] == {"matchExpressions": [{"key": "agents.platform/coderun", "operator": "Exists"}]}
    assert (policy["policyTypes"], policy["ingress"]) == (["Ingress", "Egress"], [])
    dns, web = policy["egress"]
    assert dns["ports"] == [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
    assert dns["to"][0] == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    assert web["ports"] == [{"port": 443, "protocol": "TCP"}]
    four, six = (peer["ipBlock"] for peer in web["to"])
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"} == set(four["except"])
    assert (six["cidr"], six["except"]) == ("::/0", ["fc00::/7", "fe80::/10"])
    more = helm.render(*values_of("everything")).one("NetworkPolicy", f"{RELEASE}-agents-agents", "team-a")["spec"]["egress"]
    assert more[2]["to"] == [{"podSelector": {"matchLabels": {"app": "toolman"}}}]


def test_own_templates_come_in_flat_keys_and_are_split_below_a_mebibyte(helm: Helm, tmp_path: Path) -> None:
    texts = {f"code/hooks/h{number}.sh.hbs": f"#!/bin/sh\n# {number}\n" + "x" * 400_000 for number in range(5)}
    rendered = helm.render(*write_values(tmp_path, {"templates": {"files": {**texts, "agents/rex.md.hbs": "{{service}}"}}}))
    parcels = [one["data"] for one in rendered.of("ConfigMap") if "coderun.yaml" not in one["data"]]
    assert len(parcels) == 3
    assert all(sum(map(len, parcel.values())) < 1 << 20 for parcel in parcels)
    found = {key: text for parcel in parcels for key, text in parcel.items()}
    assert found == {**{path.replace("/", "_"): text for path, text in texts.items()}, "agents_rex.md.hbs": "{{service}}"}
    [volume] = [volume for volume in rendered.pod["volumes"] if volume["name"] == "templates"]
    assert [source["configMap"]["name"] for source in volume["projected"]["sources"]] == [
        one["metadata"]["name"] for one in rendered.of("ConfigMap") if "coderun.yaml" not in one["data"]
    ]
    said = helm.refusal(*write_values(tmp_path, {"templates": {"files": {"code/big.md.hbs": "x" * 1_000_000}}}))
    assert "code/big.md.hbs has 1000000 bytes" in said


def test_a_change_of_configuration_rolls_the_controller(helm: Helm) -> None:
    def mark(*arguments: str) -> Any:
        return helm.render(*arguments).one("Deployment")["spec"]["template"]["metadata"]["annotations"]["coderun/config"]

    assert mark() == mark()
    assert mark() != mark("--set", "config.limits.parallelRuns=2")


@pytest.mark.lesson(34)
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replica": 2}, "replica"),
        ({"webhook": {"enable": False}}, "enable"),
        ({"config": {"limts": {}}}, "limts"),
        ({"config": {"limits": {"parallelRuns": 0}}}, "parallelRuns"),
        ({"config": {"cluster": {"image": "x"}}}, "cluster"),
        ({"agents": {"rex": {"rol": "x"}}}, "rol"),
        ({"agents": {"Rex": {"role": "x"}}}, 'agents: "Rex" is no name of an agent; write lower-case letters'),
        ({"workspaces": {"size": "large"}}, "size"),
        ({"runs": {"docker": {"enabled": "yes"}}}, "enabled"),
        ({"runs": {"login": [{"name": "A"}]}}, "secretName"),
        ({"github": {"apps": {"rex": {"privateKey": "-----BEGIN"}}}}, "privateKey"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"replicas": "2"}, "replicas"),
        ({"templates": {"files": {"../x.hbs": ""}}}, 'templates.files: "../x.hbs" is no path of a template; write one such as'),
        ({"env": {"A-B": "x"}}, 'env: "A-B" is no name of a variable; write letters'),
        ({"runs": {"env": {"1A": "x"}}}, 'runs.env: "1A" is no name of a variable; write letters'),
        (
            {"image": {"repository": "registry.example/x:1.0"}},
            'image.repository: "registry.example/x:1.0" is no name of an image',
        ),
        ({"runs": {"image": {"repository": "Acme Agent"}}}, "with its tag in runs.image.tag"),
        ({"image": {"tag": "1.0@sha256"}}, 'image.tag: "1.0@sha256" is no tag'),
        ({"runs": {"login": [{"name": "A", "secretName": "s", "secretKey": "k", "secret": "s"}]}}, "secret"),
        ({"runs": {"login": [{"name": "a-key", "secretName": "s", "secretKey": "k"}]}}, "/runs/login/0/name"),
        ({"resources": {"limits": {"memory": "0.5.5Gi"}}}, "/resources/limits/memory"),
        (
            {"config": {"forge": {"url": "github.com"}}},
            'config.forge.url: "github.com" is no address of a forge; write one such as https',
        ),
        ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs: a route needs a gateway; write one such as"),
        *(
            (
                {"networkPolicy": {"clusterRanges": [wrong]}},
                f'clusterRanges: "{wrong}" is no range of IPv4 addresses; write one such as',
            )
            for wrong in ("10.0.0.0/99", "10.0.0.0", "300.0.0.0/8", "10.0.0/8", "fc00::/7", "0.0.0.0/0")
        ),
        *(
            (
                {"networkPolicy": {"clusterRanges6": [wrong]}},
                f'clusterRanges6: "{wrong}" is no range of IPv6 addresses; write one',
            )
            for wrong in ("10.0.0.0/8", "fc00::/200", "fc00::")
        ),
        (
            {"networkPolicy": {"dns": [{"ipBlock": {"cidr": "10.0.0.10"}}]}},
            'networkPolicy.dns: ipBlock.cidr "10.0.0.10" is no range',
        ),
        (
            {"networkPolicy": {"agentEgress": [{"to": [{"ipBlock": {"cidr": "10.0.0.10/33"}}]}]}},
            'networkPolicy.agentEgress: ipBlock.cidr "10.0.0.10/33" is no range of addresses; write one such as',
        ),
        ({"ingress": {"enabled": True}, "webhook": {"enabled": False}}, "ingress.enabled needs webhook.enabled"),
        ({"httpRoute": {"enabled": True}, "webhook": {"enabled": False}}, "httpRoute.enabled needs webhook.enabled"),
        (
            {"github": {"apps": {"rexx": {"secretName": "s"}}}},
            'there is no agent "rexx" (known agents: blaze, cleo, morgan, rex, tess)',
        ),
        ({"runs": {"serviceAccountRules": {"other": []}}}, 'no agent has the service account "other"'),
    ],
    ids=str,
)
def test_values_that_are_wrong_are_refused_and_named(helm: Helm, values: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert said in helm.refusal(*write_values(tmp_path, values))


@EACH
def test_no_image_is_taken_from_a_place_nobody_named(helm: Helm, values: str) -> None:
    text = (CHART / "values.yaml").read_text("utf-8")
    assert re.findall(r"(?:repository|image): \S*\.\S*/\S+", text) == []
    named = yaml.safe_load(values_of(values)[1].read_text("utf-8")) if values != "defaults" else {}  # type: ignore[union-attr]
    prefix = named.get("image", {}).get("repository", "coderun/controller")
    assert helm.render(*values_of(values)).pod["containers"][0]["image"].startswith(prefix)
