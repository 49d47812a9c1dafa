"""Commands in comments: what is one, and who may give it."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.pipeline.samples import CLEO, DEV, MALLORY, NOW, ROSTER, play_at, pull_request

from coderun.model.errors import RefusedError
from coderun.model.play import COMMANDS_LIMIT, PlayCommand, PlayPhase, PlaySpec, is_known_comment, with_commands
from coderun.model.pulls import Actor, Comment
from coderun.model.roster import Agent, make_roster
from coderun.pipeline.commands import Asked, Verb, asked_in, change_of, refusal_of, stale
from coderun.pipeline.wishes import approving, pausing


def comment(body: str = "/coderun pause", actor: Actor = DEV, number: int = 1) -> Comment:
    return Comment(id=number, actor=actor, body=body, at=NOW)


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ("/coderun pause", Asked(verb=Verb.PAUSE)),
        ("/coderun resume\n\nI have looked at it.", Asked(verb=Verb.RESUME)),
        ("\r\n  /CodeRun   Retry  \r\nplease", Asked(verb=Verb.RETRY)),
        ("/coderun abort", Asked(verb=Verb.ABORT)),
        ("/coderun approve", Asked(verb=Verb.APPROVE)),
        ("/coderun", Asked(said="")),
        ("/coderun approve $(id)", Asked(said="approve $(id)")),
        ("/coderun \x1b[31mred\u202e", Asked(said="red")),
        (f"/coderun {'x' * 500}", Asked(said="x" * 39 + "…")),
    ],
)
def test_the_first_line_is_a_command_and_nothing_else(body: str, asked: Asked) -> None:
    assert asked_in(body) == asked


@pytest.mark.parametrize(
    "body",
    [
        "",
        "please /coderun pause",
        "> /coderun abort",
        "```\n/coderun abort\n```",
        "    /coderun abort",
        "I will say\n/coderun abort",
        "/coderunner abort",
        "/code run abort",
        "/coderun pause\n\n<!-- coderun:status:play-shop-1 -->",
    ],
)
def test_prose_quotes_code_and_our_own_comments_are_no_commands(body: str) -> None:
    assert asked_in(body) is None


@given(st.text(max_size=60))
def test_any_text_is_a_command_or_none(body: str) -> None:
    asked = asked_in(body)
    assert asked is None or asked.said.isprintable()


@pytest.mark.parametrize(
    ("actor", "refusal"),
    [
        (DEV, ""),
        (MALLORY, "mallory may not write to the repository"),
        (CLEO, "cleo[bot] is who agents act as, and agents do not command"),
        (Actor(login="5dlabs-CLEO", can_write=True), "5dlabs-CLEO is who agents act as, and agents do not command"),
        (Actor(login="Some-App[Bot]", can_write=True), "Some-App[Bot] is no person"),
        (Actor(login="Grace", can_write=True), "Grace is who agents act as, and agents do not command"),
        (Actor(login="\x1b[2J"), "somebody unknown may not write to the repository"),
    ],
)
def test_people_with_write_access_may_command_and_agents_never(actor: Actor, refusal: str) -> None:
    in_her_name = Agent(name="max", forge_login="grace")
    roster = make_roster({**ROSTER.agents, "max": in_her_name})
    assert refusal_of(comment(actor=actor), roster) == refusal


def test_a_command_makes_what_the_command_line_makes() -> None:
    open_play = play_at("quality", phase=PlayPhase.RUNNING)
    assert change_of(Verb.PAUSE, "dev", NOW)(open_play) == pausing(open_play)
    assert change_of(Verb.APPROVE, "dev", NOW)(open_play) == approving("dev", NOW)(open_play)
    ended = play_at(phase=PlayPhase.SUCCEEDED)
    for verb in Verb:
        with pytest.raises(RefusedError):
            change_of(verb, "dev", NOW)(ended)


def test_an_approval_is_for_what_its_author_could_see() -> None:
    here = play_at("quality", phase=PlayPhase.RUNNING, stage_since=NOW)
    pull = pull_request(head_since=NOW)
    said = comment("/coderun approve")
    assert stale(Verb.APPROVE, said, here, pull) == ""
    moved = pull_request(head_since=NOW + timedelta(seconds=1))
    assert (
        stale(Verb.APPROVE, said, here, moved) == "the head moved to aaaa after the comment; approve that one, if you mean it"
    )
    assert stale(Verb.PAUSE, said, here, moved) == ""
    later = play_at("testing", phase=PlayPhase.RUNNING, stage_since=NOW + timedelta(seconds=6))
    assert stale(Verb.APPROVE, said, later, pull) == "stage testing began after the comment; approve that one, if you mean it"
    unknown = Comment(id=1, actor=DEV, body="/coderun approve")
    assert stale(Verb.APPROVE, unknown, later, moved) == ""
    assert stale(Verb.APPROVE, said, play_at(), pull_request(head_since=None)) == ""


def test_each_comment_counts_once_and_old_ones_never_again() -> None:
    spec = PlaySpec(task_id=1, repository_url="/s")
    assert not is_known_comment(spec, 5)
    spec = with_commands(spec, [PlayCommand(comment=number) for number in range(10, 10 + COMMANDS_LIMIT + 5)])
    assert [command.comment for command in spec.commands] == list(range(15, 15 + COMMANDS_LIMIT))
    assert is_known_comment(spec, 20)
    assert is_known_comment(spec, 10)
    assert not is_known_comment(spec, 100)
