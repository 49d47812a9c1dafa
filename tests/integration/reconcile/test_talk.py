"""Talking with people on a pull request of the fake GitHub: commands, the status comment, the check."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.fakes.github.state import Comment
from tests.integration.forge.github_place import REPOSITORY, GitHubPlace
from tests.unit.pipeline.samples import PACKAGED

from coderun.forge.protocol import Forge
from coderun.model.coderun import PullRequestRef
from coderun.model.errors import RefusedError
from coderun.model.meta import ObjectMeta
from coderun.model.play import Play, PlayCommand, PlayPhase, PlaySpec, PlayStatus, Waiting
from coderun.model.pulls import Check, CheckState, NewPullRequest, PullRequest
from coderun.model.roster import Agent, make_roster
from coderun.reconcile.talk import EDIT_SECONDS, EDITS_A_MINUTE, TalkReconciler, TalkSettings
from coderun.store.protocol import ObjectT
from coderun.store.sqlite import SqliteStore

NAME = "play-shop-1"
REST = "that failed or was aborted"
ROSTER = make_roster({name: Agent(name=name, role=name, github_app=name) for name in ("rex", "cleo")})


class OneForge:
    """The one repository there is."""

    def __init__(self, forge: Forge) -> None:
        self._forge = forge

    async def of(self, repository_url: str) -> Forge:
        assert repository_url
        return self._forge


class Scene:
    """A play at stage quality whose pull request is on the fake GitHub; rex is who talks."""

    def __init__(self, place: GitHubPlace, store: SqliteStore, pull: PullRequest) -> None:
        self.place = place
        self.store = store
        self.pull = pull
        self.seconds = 0.0

    def reconciler(self, store: SqliteStore | None = None, **settings: Any) -> TalkReconciler:
        return TalkReconciler(
            store=store or self.store,
            forges=OneForge(self.place.agent("rex")),
            settings=TalkSettings(pipelines={"play": PACKAGED}, roster=ROSTER, **settings),
            clock=self.place.clock.peek,
            monotonic=lambda: self.seconds,
        )

    async def say(self, login: str, body: str) -> Comment:
        async def work() -> Comment:
            return self.place.fake.people.comment(REPOSITORY, self.pull.number, login, body)

        return await self.place.there(work())

    async def play(self) -> Play:
        found = await self.store.get(Play, NAME)
        assert found is not None
        return found

    async def given(self) -> list[tuple[str, str, bool, str]]:
        return [(each.command, each.by, each.accepted, each.outcome) for each in (await self.play()).spec.commands]

    async def move(self, **status: Any) -> None:
        play = await self.play()
        await self.store.update_status(replace(play, status=replace(play.status, **status)))

    async def bodies(self) -> list[str]:
        return [comment.body for comment in await self.place.agent("rex").comments(self.pull.number)]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    place = GitHubPlace(tmp_path / "place")
    store = SqliteStore.open(tmp_path / "state.db", clock=place.clock.peek)
    try:
        await place.open("rex", "cleo")
        place.push("feature/task-1-implementation", {"a.txt": "1\n"}, by="rex")
        new = NewPullRequest(title="Sell tea", body="", head_branch="feature/task-1-implementation", base_branch="main")
        pull = await place.agent("rex").open_pull_request(new)
        ref = PullRequestRef(number=pull.number, url=pull.url, head_sha=pull.head_sha)
        made = await store.create(
            Play(metadata=ObjectMeta(name=NAME), spec=PlaySpec(task_id=1, repository_url="acme/shop"), status=PlayStatus())
        )
        status = PlayStatus(phase=PlayPhase.RUNNING, stage="quality", pull_request=ref, stage_since=place.clock.peek())
        await store.update_status(replace(made, status=status))
        yield Scene(place, store, pull)
    finally:
        await store.close()
        await place.close()


async def test_a_command_of_somebody_with_write_access_is_obeyed_once(scene: Scene) -> None:
    comment = await scene.say("ada", "/coderun pause\nplease")
    await scene.reconciler().reconcile(NAME)
    assert (await scene.play()).spec.paused
    assert await scene.given() == [("pause", "ada", True, "paused")]
    assert [content for _, content in comment.reactions] == ["+1"]
    # Somebody resumes; neither a repetition nor a controller that starts anew pauses it again.
    play = await scene.play()
    await scene.store.update(replace(play, spec=replace(play.spec, paused=False)))
    for again in (scene.reconciler(), scene.reconciler()):
        await again.reconcile(NAME)
    assert not (await scene.play()).spec.paused
    assert [content for _, content in comment.reactions] == ["+1"]


async def test_commands_are_obeyed_in_the_order_they_were_given(scene: Scene) -> None:
    for body in ("/coderun pause", "/coderun resume", "/coderun pause", "looks good", "/coderun abort"):
        await scene.say("ada", body)
    await scene.reconciler().reconcile(NAME)
    play = await scene.play()
    assert (play.spec.paused, play.spec.abort_requested) == (True, True)
    assert [command for command, *_ in await scene.given()] == ["pause", "resume", "pause", "abort"]


@pytest.mark.parametrize(
    ("login", "body", "outcome"),
    [
        ("mallory", "/coderun abort", "refused: mallory may not write to the repository"),
        ("ada", "/coderun explode $(touch owned)", "refused: 'explode $(touch owned)' is no command; there are /coderun "),
        ("ada", "/coderun", "refused: '' is no command; there are /coderun approve|pause|resume|retry|abort"),
    ],
)
async def test_what_is_refused_is_recorded_with_its_reason(scene: Scene, login: str, body: str, outcome: str) -> None:
    comment = await scene.say(login, body)
    await scene.reconciler().reconcile(NAME)
    play = await scene.play()
    assert not play.spec.abort_requested
    [(_, by, accepted, said)] = await scene.given()
    assert (by, accepted) == (login, False)
    assert said.startswith(outcome)
    assert [content for _, content in comment.reactions] == ["confused"]


async def test_agents_do_not_command_whatever_they_may_write(scene: Scene) -> None:
    await scene.place.agent("cleo").comment(scene.pull.number, "/coderun approve")
    await scene.reconciler().reconcile(NAME)
    assert await scene.given() == [
        ("approve", "cleo[bot]", False, "refused: cleo[bot] is who agents act as, and agents do not command")
    ]
    assert (await scene.play()).spec.approvals == ()


async def test_an_approval_is_for_the_head_that_its_author_saw(scene: Scene) -> None:
    await scene.say("ada", "/coderun approve")
    pushed = scene.place.push("feature/task-1-implementation", {"a.txt": "2\n"}, by="rex")
    reconciler = scene.reconciler()
    await reconciler.reconcile(NAME)  # the play has not seen that head yet
    assert await scene.given() == []
    play = await scene.play()
    assert play.status.pull_request is not None
    await scene.move(pull_request=replace(play.status.pull_request, head_sha=pushed))
    await reconciler.reconcile(NAME)
    [(_, _, accepted, outcome)] = await scene.given()
    assert (accepted, outcome.partition(" to ")[0]) == (False, "refused: the head moved")
    await scene.say("ada", "/coderun approve")
    await reconciler.reconcile(NAME)
    [approval] = (await scene.play()).spec.approvals
    assert (approval.by, approval.stage, approval.head_sha) == ("ada", "quality", pushed)


async def test_a_retry_does_not_wait_for_an_ended_play_to_see_a_new_head(scene: Scene) -> None:
    await scene.move(phase=PlayPhase.ABORTED)
    scene.place.push("feature/task-1-implementation", {"a.txt": "2\n"}, by="rex")
    await scene.say("ada", "/coderun approve")
    await scene.say("ada", "/coderun retry")
    await scene.reconciler().reconcile(NAME)
    assert [accepted for _, _, accepted, _ in await scene.given()] == [False, True]


async def test_what_cannot_be_is_refused_as_on_the_command_line_and_retry_reopens(scene: Scene) -> None:
    await scene.move(phase=PlayPhase.FAILED)
    await scene.say("ada", "/coderun resume")
    await scene.say("ada", "/coderun retry")
    await scene.reconciler().reconcile(NAME)
    assert [(accepted, outcome) for *_, accepted, outcome in await scene.given()] == [
        (
            False,
            f"refused: play {NAME} has ended (Failed) and cannot be resumed; `coderun retry` goes on with one {REST}",
        ),
        (True, "goes on with fresh attempts"),
    ]
    assert (await scene.play()).spec.retries == 1


async def test_comments_of_before_the_play_and_commands_that_are_off_count_nothing(scene: Scene, tmp_path: Path) -> None:
    await scene.say("ada", "/coderun abort")
    await scene.reconciler(commands=False).reconcile(NAME)
    assert await scene.given() == []
    scene.place.clock()
    late = SqliteStore.open(tmp_path / "late.db", clock=scene.place.clock.peek)
    play = await late.create(replace(await scene.play(), status=PlayStatus()))
    await late.update_status(replace(play, status=(await scene.play()).status))
    await scene.reconciler(late).reconcile(NAME)
    found = await late.get(Play, NAME)
    await late.close()
    assert found is not None
    assert found.spec.commands == ()


class Contended:
    """A store in which somebody else writes first, once."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._was_first = False

    async def get(self, kind: type[ObjectT], name: str) -> ObjectT | None:
        return await self._store.get(kind, name)

    async def update(self, changed: Play) -> Play:
        if not self._was_first:
            self._was_first = True
            theirs = await self._store.get(Play, changed.name)
            assert theirs is not None
            record = PlayCommand(comment=1, command="x")
            await self._store.update(replace(theirs, spec=replace(theirs.spec, auto_merge=True, commands=(record,))))
        return await self._store.update(changed)


async def test_a_command_meets_somebody_elses_write_and_loses_neither(scene: Scene) -> None:
    await scene.say("ada", "/coderun pause")
    contended = Contended(scene.store)
    await scene.reconciler(contended).reconcile(NAME)  # type: ignore[arg-type] # the two methods in use
    play = await scene.play()
    assert (play.spec.paused, play.spec.auto_merge) == (True, True)
    assert [each.command for each in play.spec.commands] == ["x", "pause"]


async def test_there_is_one_status_comment_and_it_is_edited(scene: Scene) -> None:
    reconciler = scene.reconciler(status_comment=True)
    assert (await reconciler.reconcile(NAME)).after is None
    [first] = await scene.bodies()
    assert "**coderun**: task 1 at work" in first
    await reconciler.reconcile(NAME)
    written = len(scene.place.fake.journal)
    await scene.move(waiting=Waiting(kind="run", message="cleo works on quality", would_move="its end"))
    assert (await reconciler.reconcile(NAME)).after == EDIT_SECONDS  # edits are spaced
    assert [entry["method"] for entry in scene.place.fake.journal[written:] if entry["method"] != "GET"] == []
    scene.seconds = EDIT_SECONDS
    await reconciler.reconcile(NAME)
    # A controller that starts anew finds it as it is, and the end is told at once.
    await scene.reconciler(status_comment=True).reconcile(NAME)
    [second] = await scene.bodies()
    assert "cleo works on quality" in second
    await scene.move(phase=PlayPhase.SUCCEEDED, waiting=None)
    await reconciler.reconcile(NAME)
    [last] = await scene.bodies()
    assert "**coderun**: task 1 merged" in last
    edits = [entry for entry in scene.place.fake.journal if entry["method"] == "PATCH" and "comments" in entry["path"]]
    assert len(edits) == 2


async def test_what_is_told_of_many_plays_leaves_room_for_what_they_do(scene: Scene) -> None:
    reconciler, first = scene.reconciler(status_comment=True), await scene.play()
    for number in range(EDITS_A_MINUTE):
        other = replace(first, metadata=ObjectMeta(name=f"play-other-{number}"))
        made = await scene.store.create(other)
        await scene.store.update_status(replace(made, status=first.status))
        assert (await reconciler.reconcile(made.name)).after is None
    assert (await reconciler.reconcile(NAME)).after == 60.0
    assert len(await scene.bodies()) == EDITS_A_MINUTE
    scene.seconds += 60.0
    assert (await reconciler.reconcile(NAME)).after is None
    assert len(await scene.bodies()) == EDITS_A_MINUTE + 1


async def test_the_status_comment_is_no_command_and_tells_what_became_of_them(scene: Scene) -> None:
    reconciler = scene.reconciler(status_comment=True)
    await scene.say("mallory", "/coderun abort")
    await reconciler.reconcile(NAME)
    await reconciler.reconcile(NAME)
    [_, status] = await scene.bodies()
    assert "- `/coderun abort` by `mallory`: `refused: mallory may not write to the repository`" in status
    assert len(await scene.given()) == 1


async def test_the_check_says_it_on_the_head_and_is_no_evidence_for_the_play(scene: Scene) -> None:
    reconciler = scene.reconciler(check_run=True)
    await reconciler.reconcile(NAME)
    runs = [run for run in scene.place.fake.repo(REPOSITORY).checks if run.sha == scene.pull.head_sha]
    assert [(run.name, run.status, run.conclusion) for run in runs] == [("coderun", "in_progress", None)]
    pull = await scene.place.agent("cleo").get_pull_request(scene.pull.number)
    assert pull is not None
    assert pull.checks.items == ()
    assert pull.checks.state is not CheckState.PENDING
    scene.seconds = EDIT_SECONDS
    await scene.move(stage="merge")
    await reconciler.reconcile(NAME)
    assert [(run.name, run.conclusion) for run in runs] == [("coderun", "success")]


def checks_on(scene: Scene, sha: str) -> list[tuple[str, str | None, str | None]]:
    """Status, conclusion and title of the checks of a commit."""
    runs = (run for run in scene.place.fake.repo(REPOSITORY).checks if run.sha == sha)
    return [(run.status, run.conclusion, run.output["title"]) for run in runs]


async def move_head(scene: Scene, text: str) -> str:
    """Somebody pushes, and the play sees it."""
    pushed = scene.place.push("feature/task-1-implementation", {"a.txt": text}, by="rex")
    ref = (await scene.play()).status.pull_request
    assert ref is not None
    await scene.move(pull_request=replace(ref, head_sha=pushed))
    scene.seconds += EDIT_SECONDS
    return pushed


async def test_the_check_on_a_head_that_was_left_behind_is_completed_and_says_why(scene: Scene) -> None:
    reconciler = scene.reconciler(check_run=True)
    await reconciler.reconcile(NAME)
    pushed = await move_head(scene, "2\n")
    await reconciler.reconcile(NAME)
    assert checks_on(scene, scene.pull.head_sha) == [("completed", "cancelled", "a newer commit took over")]
    [old] = [run for run in scene.place.fake.repo(REPOSITORY).checks if run.sha == scene.pull.head_sha]
    assert f"went on with a newer commit, `{pushed[:12]}`" in old.output["summary"]
    assert checks_on(scene, pushed) == [("in_progress", None, "task 1 at work")]
    written = len(scene.place.fake.journal)
    await reconciler.reconcile(NAME)
    assert [entry["method"] for entry in scene.place.fake.journal[written:] if entry["method"] != "GET"] == []


async def test_a_controller_that_starts_anew_completes_the_checks_on_all_heads_of_before(scene: Scene) -> None:
    await scene.reconciler(check_run=True).reconcile(NAME)
    between = await move_head(scene, "2\n")
    await scene.reconciler(check_run=True, commands=False).reconcile(NAME)
    await scene.place.agent("rex").set_checks(scene.pull.head_sha, [Check(name="coderun", state=CheckState.PENDING)])
    last = await move_head(scene, "3\n")
    await scene.reconciler(check_run=True).reconcile(NAME)
    assert [status for status, *_ in checks_on(scene, scene.pull.head_sha)] == ["completed", "completed"]
    assert [title for *_, title in checks_on(scene, between)] == ["a newer commit took over"]
    assert checks_on(scene, last) == [("in_progress", None, "task 1 at work")]


async def test_a_head_that_comes_back_has_a_check_of_its_own_again(scene: Scene) -> None:
    reconciler = scene.reconciler(check_run=True)
    await reconciler.reconcile(NAME)
    before = (await scene.play()).status.pull_request
    await move_head(scene, "2\n")
    await reconciler.reconcile(NAME)
    await scene.move(pull_request=before)
    scene.seconds += EDIT_SECONDS
    await reconciler.reconcile(NAME)
    assert [status for status, *_ in checks_on(scene, scene.pull.head_sha)] == ["completed", "in_progress"]


@pytest.mark.parametrize(
    ("phase", "conclusion", "title"),
    [
        (PlayPhase.SUCCEEDED, "success", "task 1 merged"),
        (PlayPhase.FAILED, "failure", "task 1 failed"),
        (PlayPhase.ABORTED, "cancelled", "task 1 aborted"),
    ],
)
async def test_the_end_of_a_play_is_the_conclusion_of_its_check(
    scene: Scene, phase: PlayPhase, conclusion: str, title: str
) -> None:
    await scene.reconciler(check_run=True).reconcile(NAME)
    await scene.move(phase=phase)
    for _ in range(2):
        await scene.reconciler(check_run=True).reconcile(NAME)
    assert checks_on(scene, scene.pull.head_sha) == [("completed", conclusion, title)]


async def test_a_play_that_is_deleted_leaves_no_check_open(scene: Scene) -> None:
    reconciler = scene.reconciler(check_run=True)
    await reconciler.reconcile(NAME)
    await scene.store.delete(Play, NAME)
    for _ in range(2):
        await reconciler.reconcile(NAME)
    assert checks_on(scene, scene.pull.head_sha) == [("completed", "cancelled", "its play is gone")]


class Mute:
    """A forge that refuses to be told anything."""

    def __init__(self, forge: Forge) -> None:
        self._forge = forge
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._forge, name)

    async def comment(self, number: int, body: str, *, marker: str = "") -> None:
        self.asked += 1
        raise RefusedError(f"no comments on {number}: {body[:5]} {marker}")

    async def react(self, number: int, comment: int, *, accepted: bool) -> None:
        raise RefusedError(f"no reactions on {number} {comment} {accepted}")


async def test_a_forge_that_takes_no_words_stops_no_command_and_is_not_asked_again_and_again(scene: Scene) -> None:
    mute = Mute(scene.place.agent("rex"))
    reconciler = TalkReconciler(
        store=scene.store,
        forges=OneForge(mute),
        settings=TalkSettings(pipelines={"play": PACKAGED}, roster=ROSTER, status_comment=True),
        clock=scene.place.clock.peek,
        monotonic=lambda: 0.0,
    )
    await scene.say("ada", "/coderun pause")
    for _ in range(3):
        await reconciler.reconcile(NAME)
    assert (await scene.play()).spec.paused
    assert mute.asked == 1


async def test_a_play_without_a_pull_request_or_that_is_gone_is_not_talked_about(scene: Scene) -> None:
    reconciler = scene.reconciler(status_comment=True)
    await scene.move(pull_request=None)
    assert (await reconciler.reconcile(NAME)).after is None
    assert (await reconciler.reconcile("play-shop-9")).after is None
    assert await scene.bodies() == []
