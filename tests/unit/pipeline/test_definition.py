import pytest
from msgspec.structs import replace
from tests.unit.pipeline.samples import CHECKS, LABEL, MERGED, PACKAGED, PULL_REQUEST, REVIEW, RUN

from coderun.model.gates import Gate, GateActor, GateKind
from coderun.pipeline.definition import Pipeline, Problem, Remedy, Stage, Trigger, problems

ROLES = ("implementation", "quality", "testing")
IMPLEMENT = Stage(name="implementation", role="implementation", gates=(PULL_REQUEST,))
MERGE = Stage(name="merge", gates=(MERGED,))
ANYONE = GateActor.ANYONE


def found(*stages: Stage, remediation: tuple[Remedy, ...] = ()) -> list[tuple[tuple[str | int, ...], str]]:
    pipeline = Pipeline(name="p", stages=stages, remediation=remediation)
    return [(problem.path, problem.message) for problem in problems(pipeline, ROLES)]


def test_the_packaged_pipeline_has_no_problem() -> None:
    assert problems(PACKAGED, ROLES) == []


def test_a_pipeline_needs_a_stage() -> None:
    assert found() == [(("stages",), "a pipeline needs at least one stage")]


@pytest.mark.parametrize("name", ["", "Quality", "a b", "x" * 64, "-a", "a\n", "ä"])
def test_a_stage_name_is_a_dns_label(name: str) -> None:
    expected = f"stage name {name!r} is not usable: lower-case letters, digits and '-'"
    assert found(replace(IMPLEMENT, name=name)) == [(("stages", 0, "name"), expected)]


def test_a_stage_name_is_there_once() -> None:
    twice = "stage 'implementation' is there twice; give each its own name"
    assert found(IMPLEMENT, IMPLEMENT) == [(("stages", 1, "name"), twice)]


@pytest.mark.parametrize(
    ("role", "hint"),
    [
        ("qualty", "; did you mean 'quality'?"),
        ("zzz", " (known: implementation, quality, testing)"),
    ],
)
def test_an_unknown_role_is_named_with_the_nearest_one(role: str, hint: str) -> None:
    message = f"stage 'q' wants role {role!r}, which no agent of the roster has{hint}"
    assert found(Stage(name="q", role=role)) == [(("stages", 0, "role"), message)]


def test_an_unknown_role_says_so_when_the_roster_is_empty() -> None:
    pipeline = Pipeline(name="p", stages=(Stage(name="q", role="quality"),))
    message = "stage 'q' wants role 'quality', which no agent of the roster has (known: none)"
    assert problems(pipeline, ()) == [Problem(path=("stages", 0, "role"), message=message)]


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"attempts": 0}, "attempts", "attempts must be at least 1"),
        ({"timeout_seconds": 0}, "timeoutSeconds", "timeoutSeconds must be at least 1"),
    ],
)
def test_numbers_of_a_stage_are_positive(changes: dict[str, object], path: str, message: str) -> None:
    assert found(replace(IMPLEMENT, **changes)) == [(("stages", 0, path), message)]
    assert found(replace(IMPLEMENT, attempts=1, timeout_seconds=1)) == []


def test_a_stage_with_neither_role_nor_gate_would_never_end() -> None:
    message = "stage 'idle' has neither a role nor a gate: nothing would ever end it"
    assert found(Stage(name="idle")) == [(("stages", 0), message)]


def test_a_stage_with_a_role_and_no_gate_asks_for_its_run_to_succeed() -> None:
    assert Stage(name="s", role="quality").asked == (RUN,)
    assert Stage(name="s").asked == ()
    assert found(Stage(name="s", role="quality")) == []


@pytest.mark.parametrize("name", ["", "  "])
def test_a_label_gate_names_its_label(name: str) -> None:
    stage = Stage(name="quality", role="quality", gates=(Gate(kind=GateKind.LABEL, label=name),))
    message = "a label gate names its label: {kind: label, label: ready-for-qa}"
    assert found(IMPLEMENT, stage) == [(("stages", 1, "gates", 0), message)]


def test_other_gates_have_no_label() -> None:
    stage = Stage(name="quality", role="quality", gates=(LABEL, Gate(kind=GateKind.CHECKS, label="x")))
    assert found(IMPLEMENT, stage) == [(("stages", 1, "gates", 1, "label"), "a checks gate has no label")]


def test_a_run_gate_needs_an_agent() -> None:
    message = "stage 'people' has no agent, so no run of it can ever succeed"
    assert found(Stage(name="people", gates=(RUN,))) == [(("stages", 0, "gates", 0), message)]


@pytest.mark.parametrize(("gate", "name"), [(LABEL, "label ready-for-qa"), (REVIEW, "review"), (PULL_REQUEST, "pull-request")])
def test_a_stage_of_people_has_no_gate_that_only_an_agent_could_pass(gate: Gate, name: str) -> None:
    message = f"stage 'people' has no agent, so nobody can pass its gate '{name}'; write `by: anyone`"
    assert (("stages", 1, "gates", 0), message) in found(IMPLEMENT, Stage(name="people", gates=(gate,)))
    assert found(IMPLEMENT, Stage(name="people", gates=(replace(gate, by=ANYONE),))) == []


@pytest.mark.parametrize("gate", [CHECKS, MERGED])
def test_checks_and_the_merge_belong_to_nobody(gate: Gate) -> None:
    assert found(IMPLEMENT, Stage(name="people", gates=(gate,))) == []


def test_a_stage_after_the_merge_is_unreachable() -> None:
    late = Stage(name="late", role="testing", gates=(REVIEW,))
    message = "stage 'late' is unreachable: a play ends when its pull request is merged, in stage 'merge'; move it before that"
    assert found(IMPLEMENT, MERGE, late) == [(("stages", 2), message)]


@pytest.mark.parametrize("gate", [LABEL, REVIEW, CHECKS, MERGED], ids=lambda gate: gate.kind.value)
def test_a_stage_cannot_look_at_a_pull_request_that_no_stage_opens(gate: Gate) -> None:
    stage = Stage(name="early", role="testing", gates=(gate,))
    message = "stage 'early' looks at a pull request, but no stage up to here opens one; add a pull-request gate before it"
    assert found(Stage(name="draft", role="implementation"), stage) == [(("stages", 1), message)]


def test_a_stage_may_look_at_the_pull_request_that_it_opens_itself() -> None:
    assert found(replace(IMPLEMENT, gates=(PULL_REQUEST, CHECKS)), MERGE) == []


def test_a_pull_request_has_one_author() -> None:
    again = Stage(name="quality", role="quality", gates=(PULL_REQUEST,))
    message = (
        "stage 'quality' wants a pull request opened by role 'quality', but stage 'implementation' has one opened by role "
        "'implementation'; write `by: anyone` in one of them"
    )
    assert found(IMPLEMENT, again) == [(("stages", 1, "gates"), message)]
    assert found(IMPLEMENT, replace(again, role="implementation")) == []
    assert found(IMPLEMENT, replace(again, gates=(replace(PULL_REQUEST, by=ANYONE),))) == []


def test_an_author_cannot_approve_their_own_pull_request() -> None:
    own = Stage(name="self-review", role="implementation", gates=(REVIEW,))
    message = (
        "stage 'self-review' wants role 'implementation' to approve the pull request that it opens itself in stage "
        "'implementation', which no forge allows; give the review to another role"
    )
    assert found(IMPLEMENT, own) == [(("stages", 1, "gates"), message)]
    assert found(replace(IMPLEMENT, gates=(replace(PULL_REQUEST, by=ANYONE),)), own) == []


@pytest.mark.parametrize(
    ("restart_at", "message"),
    [
        ("implementatio", "restartAt names stage 'implementatio', which does not exist; did you mean 'implementation'?"),
        ("zzz", "restartAt names stage 'zzz', which does not exist (known: implementation, merge)"),
        ("merge", "restartAt names stage 'merge', in which no agent works; name one with a role"),
    ],
)
def test_a_rule_restarts_at_a_stage_in_which_an_agent_works(restart_at: str, message: str) -> None:
    rule = Remedy(on=Trigger.PUSH, restart_at=restart_at)
    assert found(IMPLEMENT, MERGE, remediation=(rule,)) == [(("remediation", 0, "restartAt"), message)]


def test_a_trigger_has_one_rule() -> None:
    rule = Remedy(on=Trigger.CONFLICT, restart_at="implementation")
    message = "there are two rules for 'conflict'; keep one"
    assert found(IMPLEMENT, MERGE, remediation=(rule, rule)) == [(("remediation", 1, "on"), message)]


def test_all_problems_are_reported_at_once() -> None:
    assert len(found(Stage(name="A"), Stage(name="b", role="zzz", attempts=0))) == 4


@pytest.mark.parametrize(
    ("trigger", "counts", "expected"),
    [
        (Trigger.PUSH, None, False),
        (Trigger.CHANGES_REQUESTED, None, True),
        (Trigger.CONFLICT, None, True),
        (Trigger.PUSH, True, True),
        (Trigger.CONFLICT, False, False),
    ],
)
def test_reviews_and_conflicts_count_and_pushes_do_not_unless_a_rule_says_otherwise(
    trigger: Trigger, counts: bool | None, expected: bool
) -> None:
    assert Remedy(on=trigger, restart_at="x", counts=counts).is_counted is expected


def test_stages_are_found_by_name_and_unknown_ones_stand_after_the_last() -> None:
    assert PACKAGED.index("testing") == 2
    assert PACKAGED.index("nowhere") == 4
    assert PACKAGED.stage("testing") == PACKAGED.stages[2]
    assert PACKAGED.stage("nowhere") is None


def test_without_a_rule_for_pushes_they_go_back_to_the_first_stage_with_a_gate_bound_to_the_head() -> None:
    bare = replace(PACKAGED, remediation=())
    assert bare.remedy(Trigger.PUSH) == Remedy(on=Trigger.PUSH, restart_at="quality")
    assert bare.remedy(Trigger.CONFLICT) is None
    assert replace(bare, stages=(IMPLEMENT, MERGE)).remedy(Trigger.PUSH) is None
    assert PACKAGED.remedy(Trigger.PUSH) == PACKAGED.remediation[0]
