"""Which template makes which file, and what is said of templates that are wrong."""

import logging

import pytest
from tests.unit.plan.samples import EVERYBODY, FORGE, FULL, PACKAGED, context_of, full_run, minimal_run, with_users

from coderun.model.errors import InvalidCodeRunError
from coderun.plan.plan import plan
from coderun.plan.settings import RunSettings
from coderun.plan.templates import MAX_FILE_BYTES, MAX_TOTAL_BYTES, Kind, Rendered, TemplateSet, TemplateText, template_key

CODE_FILES = {
    "AGENTS.md",
    "CLAUDE.md",
    "client-config.json",
    "coding-guidelines.md",
    "container.sh",
    "github-guidelines.md",
    "mcp.json",
    "settings.json",
    "hooks-early-test.sh",
    "hooks-stop-code-pr-creation.sh",
    "hooks-stop-commit.sh",
    "hooks-stop-pr-creation.sh",
}
DOCS_FILES = {
    *(name for name in CODE_FILES if not name.startswith("hooks-")),
    "prompt.md",
    "tool-catalog.md",
    "hooks-after-file-saved.sh",
}


def settings(texts: dict[str, str]) -> RunSettings:
    return RunSettings(forge=FORGE, templates=with_users(texts))


def rendered(texts: dict[str, str], agent: str = "rex") -> Rendered:
    templates, run = with_users(texts), minimal_run(agent)
    kind = Kind(str(context_of(run)["kind"]))
    return templates.render(templates.choices(agent, kind), context_of(run))


def chosen(templates: TemplateSet, output: str, agent: str = "rex", kind: Kind = Kind.CODE) -> str:
    template = templates.choices(agent, kind)[output].template
    assert template is not None
    return ("users " if template.is_users else "packaged ") + template.key


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("code/claude.md.hbs", "code/claude.md"),
        ("code/hooks/x.sh.hbs", "code/hooks/x.sh"),
        ("agents/rex-system-prompt.md.hbs", "agents/rex-system-prompt.md"),
        ("partials/a.hbs", "partials/a"),
        ("code_claude.md.hbs", "code/claude.md"),
        ("code_hooks_x.sh.hbs", "code/hooks/x.sh"),
        ("code_hooks_x_y.sh.hbs", "code/hooks/x_y.sh"),
        ("docs_hooks_after-file-saved.sh.hbs", "docs/hooks/after-file-saved.sh"),
        ("docs_settings.json.hbs", "docs/settings.json"),
        ("agents_rex-system-prompt.md.hbs", "agents/rex-system-prompt.md"),
        ("code/claude.md", None),
        ("claude.md.hbs", None),
        ("other/claude.md.hbs", None),
        ("code/a/b/c.hbs", None),
        ("code/.hidden.hbs", None),
        ("code/../x.hbs", None),
        ("code_.hbs", None),
        ("code/a b.hbs", None),
    ],
)
def test_a_file_of_a_template_folder_has_a_key(path: str, key: str | None) -> None:
    assert template_key(path) == key


@pytest.mark.parametrize("agent", EVERYBODY.agents)
def test_a_run_has_the_files_that_are_known_of_it(agent: str) -> None:
    made = plan(minimal_run(agent), EVERYBODY, FULL, attempt=1)
    assert set(made.files) == (DOCS_FILES if agent == "morgan" else CODE_FILES)


@pytest.mark.parametrize(
    ("own", "agent", "output", "kind", "expected"),
    [
        ((), "rex", "CLAUDE.md", Kind.CODE, "packaged code/claude.md"),
        (("code/claude.md",), "rex", "CLAUDE.md", Kind.CODE, "users code/claude.md"),
        (("code/claude.md", "agents/rex-claude.md"), "rex", "CLAUDE.md", Kind.CODE, "users agents/rex-claude.md"),
        (("code/claude.md", "agents/rex-claude.md"), "cleo", "CLAUDE.md", Kind.CODE, "users code/claude.md"),
        ((), "rex", "system-prompt.md", Kind.CODE, "packaged agents/rex-system-prompt.md"),
        ((), "zoe", "system-prompt.md", Kind.CODE, "packaged agents/system-prompt.md"),
        (("agents/system-prompt.md",), "rex", "system-prompt.md", Kind.CODE, "users agents/system-prompt.md"),
        (("agents/cleo-system-prompt.md",), "rex", "system-prompt.md", Kind.CODE, "packaged agents/rex-system-prompt.md"),
        ((), "morgan", "CLAUDE.md", Kind.DOCS, "packaged docs/claude.md"),
        ((), "morgan", "mcp.json", Kind.DOCS, "packaged code/mcp.json"),
        (("docs/mcp.json", "code/mcp.json"), "morgan", "mcp.json", Kind.DOCS, "users docs/mcp.json"),
        (("code/claude.md",), "morgan", "CLAUDE.md", Kind.DOCS, "users code/claude.md"),
        (("agents/morgan-prompt.md",), "morgan", "prompt.md", Kind.DOCS, "users agents/morgan-prompt.md"),
        (("code/prompt.md",), "rex", "prompt.md", Kind.CODE, "users code/prompt.md"),
        (("code/hooks/mine.sh",), "rex", "hooks-mine.sh", Kind.CODE, "users code/hooks/mine.sh"),
        (("agents/rex-hooks-early-test.sh",), "rex", "hooks-early-test.sh", Kind.CODE, "users agents/rex-hooks-early-test.sh"),
        (("agents/rex-hooks-own.sh",), "rex", "hooks-own.sh", Kind.CODE, "users agents/rex-hooks-own.sh"),
    ],
)
def test_the_users_folder_goes_before_the_packaged_one_and_the_agents_template_before_the_general_one(
    own: tuple[str, ...], agent: str, output: str, kind: Kind, expected: str
) -> None:
    assert chosen(with_users(dict.fromkeys(own, "x")), output, agent, kind) == expected


def test_an_agents_own_hook_is_nobody_elses() -> None:
    templates = with_users({"agents/rex-hooks-own.sh": "x"})
    assert "hooks-own.sh" in templates.choices("rex", Kind.CODE)
    assert "hooks-own.sh" not in templates.choices("cleo", Kind.CODE)


def test_a_users_template_may_build_on_the_packaged_one() -> None:
    made = rendered({"code/claude.md": '{{> "packaged/code/claude.md"}}\nUse metric units.\n'})
    assert made.problems == ()
    assert made.files["CLAUDE.md"].startswith("# Memory of rex for shop\n")
    assert made.files["CLAUDE.md"].endswith("Use metric units.\n")


def test_a_users_partial_takes_the_place_of_a_packaged_one_in_every_template() -> None:
    made = rendered({"partials/git.md": "## Git\n\nNever on Fridays.\n"})
    assert made.system_prompt is not None
    assert "Never on Fridays." in made.system_prompt
    assert "Never on Fridays." in made.files["AGENTS.md"]


@pytest.mark.lesson(18)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n  {{task_idd}}\n", ".coderun/templates/code/claude.md.hbs:2:5: unknown variable 'task_idd'"),
        ('{{#if (eq githubapp "x")}}{{/if}}', ".coderun/templates/code/claude.md.hbs:1:11: unknown variable 'githubapp'"),
        ("{{#if x}}\ny", ".coderun/templates/code/claude.md.hbs:1:1: unclosed block {{#if}}"),
        ("\n{{> nope}}", ".coderun/templates/code/claude.md.hbs:2:"),
        ("{{shout task_id}}", ".coderun/templates/code/claude.md.hbs:1:1: unknown helper 'shout'"),
        ("{{task.ttle}}", ".coderun/templates/code/claude.md.hbs:1:3: missing variable 'task.ttle'"),
        ('{{> "partials/mine"}}', ".coderun/templates/partials/mine.hbs:1:3: missing variable 'nothing'"),
    ],
)
def test_what_a_template_of_the_user_gets_wrong_is_named_with_its_place(text: str, message: str) -> None:
    made = rendered({"code/claude.md": text, "partials/mine": "{{nothing}}"})
    (problem,) = made.problems
    assert problem.output == "CLAUDE.md"
    assert problem.message.startswith(message)
    assert "CLAUDE.md" not in made.files


def test_all_problems_are_told_at_once_and_nothing_is_planned() -> None:
    broken = settings({"code/claude.md": "{{nope}}", "code/mcp.json": '{"a": }', "agents/rex-system-prompt.md": "{{#if}}"})
    with pytest.raises(InvalidCodeRunError) as refused:
        plan(minimal_run("rex"), EVERYBODY, broken, attempt=1)
    said = str(refused.value)
    assert said.startswith("CodeRun 'run-7-rex' cannot be prepared: ")
    for place in (
        ".coderun/templates/code/claude.md.hbs:1:3: unknown variable 'nope'",
        ".coderun/templates/code/mcp.json.hbs: mcp.json comes out as invalid JSON: Expecting value at line 1 column 7",
        ".coderun/templates/agents/rex-system-prompt.md.hbs:1:",
    ):
        assert place in said


def test_a_broken_template_stops_only_the_runs_that_need_it() -> None:
    broken = settings({"agents/cleo-claude.md": "{{nope}}", "docs/claude.md": "{{#if"})
    assert plan(minimal_run("rex"), EVERYBODY, broken, attempt=1).files
    for name in ("cleo", "morgan"):
        with pytest.raises(InvalidCodeRunError):
            plan(minimal_run(name), EVERYBODY, broken, attempt=1)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            {"code/claude.md": "x" * (MAX_FILE_BYTES + 1)},
            f"code/claude.md.hbs: CLAUDE.md comes to {MAX_FILE_BYTES + 1} bytes, more than {MAX_FILE_BYTES}; shorten it",
        ),
        (
            {f"code/hooks/h{n}.sh": "x" * 400_000 for n in range(3)},
            f"more than the {MAX_TOTAL_BYTES} that a ConfigMap holds (largest: hooks-h0.sh 400011, hooks-h1.sh 400011, ",
        ),
        ({"code/claude.md": "a\0b"}, "CLAUDE.md would hold a NUL byte"),
        ({"code/settings.json": "[" * 100_000}, "settings.json comes out as invalid JSON: it is nested too deeply"),
        ({"code/mcp.json": ""}, "mcp.json comes out as invalid JSON: Expecting value at line 1 column 1"),
    ],
)
def test_files_that_no_run_can_have_are_refused_before_anything_is_made(texts: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidCodeRunError) as refused:
        plan(minimal_run("rex"), EVERYBODY, settings(texts), attempt=1)
    assert message in str(refused.value)


def test_a_template_that_never_ends_is_stopped() -> None:
    loops = "{{#each hook_scripts}}" * 1 + '{{> "partials/loop"}}' + "{{/each}}"
    made = rendered({"code/claude.md": loops, "partials/loop": '{{> "partials/loop"}}'})
    assert "partials/loop.hbs" in made.problems[0].message


APPS = '{{#if (eq github_app "5DLabs-Cleo")}}cleo{{else if (eq github_app "5DLabs-Tess")}}tess{{else}}other{{/if}}'
ABLE = '{{#if (contains capabilities "review")}}reviews{{else if (contains capabilities "write-code")}}writes{{/if}}'


@pytest.mark.parametrize(
    ("agent", "by_app", "by_capability"),
    [("rex", "other", "writes"), ("cleo", "cleo", "writes"), ("tess", "tess", "reviews")],
)
def test_templates_branch_on_the_app_and_on_capabilities(agent: str, by_app: str, by_capability: str) -> None:
    made = rendered({"code/claude.md": f"{APPS} {ABLE}"}, agent)
    assert made.files["CLAUDE.md"] == f"{by_app} {by_capability}"


@pytest.mark.lesson(47)
def test_expressions_of_github_actions_come_out_whole() -> None:
    made = rendered({"code/hooks/ci.sh": "echo '${{ github.actor }}' ${{ secrets.GITHUB_TOKEN }} ${{task_id}}"})
    assert made.files["hooks-ci.sh"] == "echo '${{ github.actor }}' ${{ secrets.GITHUB_TOKEN }} $7"
    assert (
        '"${{ github.actor }}"'
        in PACKAGED.render(PACKAGED.choices("rex", Kind.CODE), context_of(full_run("rex"))).files["github-guidelines.md"]
    )


def test_a_template_of_the_system_before_renders() -> None:
    theirs = (
        '{{!-- memory --}}\n{{#if task_id}}Task {{task_id}} of {{service}}{{/if}} on "{{#if docs_branch}}{{docs_branch}}'
        '{{else}}main{{/if}}"\n{{#each permissions.allow}}\n{{this}}{{#unless @last}},{{/unless}}\n{{/each}}\n'
        "{{#if telemetry.enabled}}t{{/if}}{{#if retry.is_retry}}again{{/if}}"
        "{{docsRepositoryUrl}} {{workflow.name}}|{{attempts}}"
    )
    made = rendered({"code/claude.md": theirs})
    assert made.problems == ()
    assert made.files["CLAUDE.md"] == 'Task 7 of shop on "main"\nacme/shop |1'


def test_the_prompt_of_a_docs_run_holds_the_catalogue_and_the_standard_prompt() -> None:
    made = plan(full_run("morgan"), EVERYBODY, FULL, attempt=1)
    assert made.order.prompt == made.files["prompt.md"]
    assert "- `memory_create_entities`" in made.order.prompt
    assert "CODERUN_RESULT" in made.order.prompt


def test_each_run_quotes_its_own_catalogue() -> None:
    catalogue, quote = "[{{toolman_catalog_markdown}}{{task_title}}]", "{{toolman_catalog_markdown}}"
    texts = (("docs/tool-catalog.md", catalogue), ("docs/claude.md", quote), ("docs/prompt.md", ""))
    templates = TemplateSet(TemplateText(key=key, text=text, origin=key) for key, text in texts)
    choices = templates.choices("rex", Kind.DOCS)
    made = [
        templates.render(choices, {"toolman_catalog_markdown": "", "task_title": title}).files["CLAUDE.md"]
        for title in ("one", "two", "one")
    ]
    assert made == ["[one]", "[two]", "[one]"]


@pytest.mark.parametrize("text", ['{{log "here"}}', "{{> partials/said}}"])
def test_what_a_template_writes_to_the_log_is_written_for_each_run(text: str, caplog: pytest.LogCaptureFixture) -> None:
    texts = (("code/claude.md", text), ("partials/said", '{{log "here"}}'))
    templates = TemplateSet(TemplateText(key=key, text=text, origin=key) for key, text in texts)
    with caplog.at_level(logging.INFO, logger="coderun.handlebars"):
        for _ in range(3):
            assert not templates.render(templates.choices("rex", Kind.CODE), {}).problems
    assert [record.getMessage() for record in caplog.records] == ["here"] * 3


def test_without_templates_a_run_has_no_files_and_the_rosters_prompt() -> None:
    made = plan(minimal_run("rex"), EVERYBODY, RunSettings(forge=FORGE), attempt=1)
    assert (made.files, made.order.system_prompt) == ({}, EVERYBODY.agents["rex"].system_prompt)


def test_a_template_of_the_user_that_no_run_needs_is_found() -> None:
    templates = with_users({"code/claude.md": '{{> "partials/a"}}', "partials/a": "x", "partials/b": "x", "code/claud.md": "x"})
    unused = templates.unused(templates.choices("rex", Kind.CODE).values())
    assert [text.key for text in unused] == ["code/claud.md", "partials/b"]
