"""What the controller of a cluster is told, and what is said of a mistake in it."""

import pytest

from coderun.model.cluster import AccessMode, ClusterConfig, parse_cluster_config
from coderun.model.config import parse_roster
from coderun.model.errors import ConfigError

ROSTER = parse_roster("agents: {rex: {role: implementation, githubApp: 5DLabs-Rex}}", name="roster.yaml")


def parse(text: str) -> ClusterConfig:
    return parse_cluster_config(text, packaged=ROSTER, name="coderun.yaml")


def test_a_cluster_is_told_how_runs_look_beside_what_any_repository_says() -> None:
    config = parse(
        """
        agents: {rex: {model: opus}}
        cluster:
          image: registry.example/agent:1
          requests: {cpu: "2", memory: 1.5Gi}
          login: [{name: ANTHROPIC_API_KEY, secretName: models, secretKey: anthropic}]
        workspaces: {size: 20Gi, accessMode: ReadWriteOncePod, adoptLegacy: true}
        """
    )
    assert config.roster(ROSTER).agents["rex"].model == "opus"
    assert (config.cluster.image, config.cluster.requests["memory"], config.cluster.user) == (
        "registry.example/agent:1",
        "1.5Gi",
        1000,
    )
    assert config.cluster.login[0].secret_key == "anthropic"
    assert (config.workspaces.access_mode, config.workspaces.adopt_legacy) == (AccessMode.ONE_POD, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "coderun.yaml:1:1: 'cluster' is missing; write `cluster: …`"),
        ("cluster: {}", "coderun.yaml:1:10: cluster: 'image' is missing; write `image: …`"),
        ("cluster: {image: ''}", "cluster.image"),
        ("cluster: {image: a, imag: b}", "cluster.imag: unknown key; did you mean 'image'?"),
        ("cluster: {image: a}\nworkspaces: {size: large}", "workspaces.size"),
        ("cluster: {image: a}\nworkspaces: {accessMode: ReadOnly}", "workspaces.accessMode: 'ReadOnly' is not known"),
        (
            "cluster:\n  image: a\n  requests: {memory: 16Gi}",
            "coderun.yaml:3:22: cluster.requests.memory: 16Gi is more than cluster.limits.memory, 8Gi; write at most that",
        ),
        (
            "cluster: {image: a, limits: {memory: 512Mi}}",
            "cluster.requests.memory: 1Gi is more than cluster.limits.memory, 512Mi",
        ),
        ("cluster: {image: a, limits: {cpu: 250m}}", "cluster.requests.cpu: 500m is more than cluster.limits.cpu, 250m"),
        ("cluster: {image: a}\nservice: A B", "service: 'A B' is no DNS label"),
    ],
)
def test_a_mistake_is_reported_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert message in str(caught.value)


def test_what_is_asked_for_may_be_all_that_may_be_used() -> None:
    told = parse('cluster: {image: a, requests: {cpu: "1.5", memory: 1024Mi, tmp: 2k}, limits: {cpu: 1500m, memory: 1Gi}}')
    assert told.cluster.requests == {"cpu": "1.5", "memory": "1024Mi", "tmp": "2k"}


def test_a_cluster_has_room_for_many_plays_and_runs_unless_it_is_told_otherwise() -> None:
    plain = parse("cluster: {image: a}\nplay: {autoMerge: true}\nlimits: {attempts: 2}")
    assert (plain.play.parallel, plain.play.auto_merge, plain.limits.parallel_runs, plain.limits.attempts) == (20, True, 100, 2)
    told = parse("cluster: {image: a}\nplay: {parallel: 2}\nlimits: {parallelRuns: 3}")
    assert (told.play.parallel, told.limits.parallel_runs) == (2, 3)
