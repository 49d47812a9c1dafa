"""coderun.yaml: what it takes, what it refuses and in which words, and how it is laid over the packaged roster."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coderun.model.config import Config, ForgeType, is_branch_name, is_inside, parse_config, parse_roster, shell_syntax
from coderun.model.errors import ConfigError
from coderun.model.pulls import MergeMethod

PACKAGED = parse_roster(
    """
agents:
  ann: {role: implementation, githubApp: Team-Ann, model: big, systemPrompt: Write., cli: {cliType: claude, maxTokens: 9}}
  bob: {role: implementation, cli: codex}
  cat: {role: quality, tools: {remote: [search], localServers: {files: {command: x}}}, capabilities: [a, b]}
""",
    name="roster.yaml",
)


def parse(text: str) -> Config:
    return parse_config(text, packaged=PACKAGED)


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return str(caught.value)


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}"])
def test_without_a_word_everything_is_at_its_default(text: str) -> None:
    config = parse(text)
    assert config == Config()
    assert config.roster(PACKAGED) == PACKAGED
    assert (config.pipeline, config.play.parallel, config.limits.attempts, config.checks_grace_seconds) == ("play", 1, 3, 60)


def test_agents_are_laid_over_the_packaged_ones_field_by_field() -> None:
    roster = parse("agents: {ann: {model: small, cli: {temperature: 0}}, cat: {tools: {remote: []}}}").roster(PACKAGED)
    ann, cat = roster.agents["ann"], roster.agents["cat"]
    assert (ann.model, ann.role, ann.github_app, ann.system_prompt) == ("small", "implementation", "Team-Ann", "Write.")
    assert (ann.cli.cli_type, ann.cli.max_tokens, ann.cli.temperature) == ("claude", 9, 0.0)
    assert (cat.tools.remote, cat.tools.local_servers, cat.capabilities) == ((), {"files": {"command": "x"}}, ("a", "b"))


def test_another_cli_keeps_nothing_of_the_packaged_one() -> None:
    for cli in ("codex", "{cliType: codex}"):
        assert parse(f"agents: {{ann: {{cli: {cli}}}}}").roster(PACKAGED).agents["ann"].cli.max_tokens is None
    kept = parse("agents: {ann: {cli: {cliType: claude, model: x}}}").roster(PACKAGED).agents["ann"].cli
    assert (kept.model, kept.max_tokens) == ("x", 9)


def test_new_agents_come_after_the_packaged_ones_and_roles_choose() -> None:
    text = "agents: {zoe: {role: implementation}}\nroles: {implementation: zoe}\n"
    config = parse(text)
    roster = config.roster(PACKAGED)
    assert list(roster.agents) == ["ann", "bob", "cat", "zoe"]
    chosen, fallback = config.agent_in_role("implementation", roster), config.agent_in_role("quality", roster)
    assert chosen is roster.agents["zoe"]
    assert fallback is roster.agents["cat"]
    assert config.agent_in_role("cooking", roster) is None


def test_a_check_is_split_into_words_and_no_shell_is_asked() -> None:
    config = parse(
        "checks:\n- {name: a, run: \"python3 -m pytest -k 'a b'\"}\n- {name: b, run: [sh, -c, 'x && y'], required: false}\n"
    )
    assert config.checks[0].command == ("python3", "-m", "pytest", "-k", "a b")
    assert (config.checks[1].command, config.checks[1].required) == (("sh", "-c", "x && y"), False)


def test_words_of_closed_sets_are_taken() -> None:
    config = parse(
        "play: {mergeMethod: squash, autoMerge: true}\nforge: {type: github, url: https://ghe.example/api, repository: a/b}\n"
    )
    assert (config.play.merge_method, config.play.auto_merge) == (MergeMethod.SQUASH, True)
    assert config.forge.type is ForgeType.GITHUB


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rols: {}", "coderun.yaml:1:1: rols: unknown key; did you mean 'roles'?"),
        ("agents:\n  ann:\n    role: 3\n", "coderun.yaml:3:11: agents.ann.role: expected str, got int; write text, in quotes"),
        ("agents: {ann: {name: ann}}", "agents.ann.name: unknown key"),
        ("agents: {ann: {cli: {modle: x}}}", "agents.ann.cli.modle: unknown key; did you mean 'model'?"),
        ("agents: {ann: {tools: {remot: []}}}", "agents.ann.tools.remot: unknown key; did you mean 'remote'?"),
        ("agents: {ann: {cli: cluade}}", "agents.ann.cli: there is no agent CLI 'cluade'; did you mean 'claude'?"),
        ("agents: {ann: {cli: {cliType: cluade}}}", "agents.ann.cli.cliType: 'cluade' is not known; did you mean 'claude'?"),
        ("agents: {ann: {cli: command}}", "agents.ann.cli: cli 'command' runs a program of yours; name it"),
        (
            "agents: {ann: {cli: {cliType: command, settings: {comand: [a]}}}}",
            "coderun.yaml:1:51: agents.ann.cli.settings.comand: the command adapter has no such setting; did you mean",
        ),
        (
            "agents: {ann: {cli: {cliType: command, settings: {command: \"a 'b\"}}}}",
            "agents.ann.cli.settings.command: the agent's command cannot be split into words (No closing quotation); write",
        ),
        (
            "agents: {ann: {cli: {cliType: command, settings: {command: []}}}}",
            "agents.ann.cli.settings.command: the agent's command is nothing; write cli: {cliType: command",
        ),
        (
            "agents: {ann: {cli: {cliType: command, settings: {command: ['']}}}}",
            "agents.ann.cli.settings.command: the agent's command is empty",
        ),
        (
            "agents: {ann: {cli: {cliType: command, settings: {command: [a, 3]}}}}",
            "agents.ann.cli.settings.command: the agent's command is a list, where a list of texts is needed",
        ),
        (
            "agents: {ann: {cli: {cliType: claude, settings: {permisionMode: plan}}}}",
            "settings.permisionMode: the claude adapter has no such setting; did you mean 'permissionMode'? (it has: program,",
        ),
        (
            "agents: {ann: {cli: {cliType: claude, settings: {permissionMode: acceptEdit}}}}",
            "settings.permissionMode: 'acceptEdit' is not known; did you mean 'acceptEdits'? (write one of: dontAsk,",
        ),
        (
            "agents: {ann: {cli: {cliType: claude, settings: {program: [a]}}}}",
            "agents.ann.cli.settings.program: expected text; write the name or path of the binary",
        ),
        (
            "agents: {ann: {cli: {cliType: claude, settings: {disallowedTools: {a: b}}}}}",
            "agents.ann.cli.settings.disallowedTools: expected a list of texts; write [Read,",
        ),
        ("agents: {Ann: {}}", "coderun.yaml:1:10: agents.Ann: an agent's name needs lower-case letters"),
        ("agents: {dan: {githubApp: team-ann}}", "coderun.yaml:1:1: agents: agents 'ann' and 'dan' share the login 'team-ann'"),
        ("roles: {quality: kat}", "coderun.yaml:1:18: roles.quality: there is no agent 'kat'; did you mean 'cat'?"),
        ("service: My Service", "service: 'My Service' is no DNS label"),
        ("baseBranch: --upload-pack=x", "baseBranch: '--upload-pack=x' cannot be a branch"),
        ("pipeline: ply", "pipeline: there is no pipeline 'ply'; did you mean 'play'?"),
        ("pipeline: ../x.yaml", "pipeline: '../x.yaml' leads outside the repository"),
        ("templates: ../theirs", "templates: '../theirs' leads outside the repository; write a folder relative to its root"),
        ("templates: /etc", "templates: '/etc' leads outside the repository"),
        ("telemetry: {otlpEndpoint: 'localhost:4317'}", "telemetry.otlpEndpoint: 'localhost:4317' is no usable address"),
        ("telemetry: {otlpProtocol: smoke}", "telemetry.otlpProtocol: 'smoke' is not known"),
        ("toolServer: {url: 'http://me:pw@host'}", "toolServer.url: 'http://me:pw@host' is no usable address"),
        ("toolServer: {command: ' '}", "toolServer.command: the client's program is empty"),
        ("permissions: {allow: Bash}", "permissions.allow: expected array, got str; write a list"),
        ("tasks: {file: /etc/passwd}", "tasks.file: '/etc/passwd' leads outside the repository"),
        ("checks: [{name: a, run: x}, {name: a, run: y}]", "checks[1].name: the name 'a' is taken by checks[0]"),
        ("checks: [{name: ' ', run: x}]", "checks[0].name: a check needs a name of one line"),
        ("checks: [{name: a, run: a && b}]", "checks[0].run: no shell runs this, so '&&' would reach the program as it stands"),
        ("checks: [{name: a, run: \"a 'b\"}]", "checks[0].run: \"a 'b\" cannot be split into words (No closing quotation)"),
        ("checks: [{name: a, run: ''}]", "checks[0].run: the command is empty"),
        ("checks: [{name: a, run: []}]", "checks[0].run: the command is empty"),
        ("checks: [{name: a}]", "coderun.yaml:1:10: checks[0]: 'run' is missing; write `run: …`"),
        ("checks:\n", "checks: nothing is written here; write a list: [a, b], or remove the key"),
        ("limits: {attempts: 0}", "limits.attempts: expected int >= 1, got 0"),
        ("limits: {runTimeoutSeconds: 0}", "limits.runTimeoutSeconds: expected float > 0.0, got 0"),
        ("limits: {stopGraceSeconds: -1}", "limits.stopGraceSeconds: expected float >= 0.0, got -1"),
        ("limits: {runTimeoutSeconds: 1e300}", "limits.runTimeoutSeconds: expected float <= 315360000.0, got 1e+300"),
        ("play: {maxIterations: true}", "play.maxIterations: expected int, got bool; write a whole number"),
        ("budgets: {perDayUsd: 0}", "budgets.perDayUsd: expected float > 0.0, got 0"),
        ("forge: {type: gitlab}", "forge.type: 'gitlab' is not known; did you mean 'github'? (write one of: local, github)"),
        (
            "forge: {type: github}\ntasks:\n  writeBack: true",
            "coderun.yaml:3:14: tasks.writeBack: on GitHub nothing is committed to the base branch but by pull requests"
        ),
        ("forge: {repository: nonsense}", "forge.repository: repository 'nonsense' is not understood"),
        ("forge: {url: 'http://user:pw@host'}", "forge.url: 'http://user:pw@host' is no usable address"),
        ("[]", "coderun.yaml:1:1: expected object, got array"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place_and_what_to_write(text: str, message: str) -> None:
    found = refusal(text)
    assert message in found
    assert found.startswith("coderun.yaml:")


def test_a_roster_file_is_checked_the_same_way() -> None:
    with pytest.raises(ConfigError, match=r"^r\.yaml:1:10: agents\.A_B: an agent's name needs"):
        parse_roster("agents: {A_B: {}}", name="r.yaml")


@pytest.mark.parametrize(
    ("command", "syntax"),
    [
        ("make test", ""),
        ("a && b", "&&"),
        ("a | b", "|"),
        ("a; b", ";"),
        ("a > out", ">"),
        ("a &", "&"),
        ("a\nb", "\n".strip()),
        ("grep 'a && b' \"c | d\" e\\;f", ""),
        ("echo $HOME", "$H"),
        ('echo "$(id)"', "$("),
        ("echo '$HOME' a$ 5$", ""),
        ("echo `id`", "`"),
        ("PYTHONPATH=src pytest", "PYTHONPATH=src"),
        ("env PYTHONPATH=src pytest", ""),
    ],
)
def test_what_only_a_shell_understands_is_seen(command: str, syntax: str) -> None:
    assert shell_syntax(command) == syntax


@pytest.mark.parametrize("name", ["main", "feature/a-b", "release-1.2", "ünï"])
def test_branch_names_are_taken(name: str) -> None:
    assert is_branch_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-x",
        "a b",
        "a..b",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "[a",
        "a\\b",
        "/a",
        "a/",
        "a//b",
        ".a",
        "a/.b",
        "a.lock",
        "a.lock/b",
        "a.",
        "@",
        "a@{b",
        "a\nb",
        "a\x7f",
        "x" * 201,
    ],
)
def test_what_git_takes_for_no_branch_is_refused(name: str) -> None:
    assert not is_branch_name(name)


@given(st.text(alphabet="./ab\n\x00", max_size=12))
def test_a_path_that_is_inside_stays_inside(path: str) -> None:
    if is_inside(path):
        depth = 0
        for part in path.split("/"):
            depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
            assert depth >= 0
        assert not path.startswith("/")
