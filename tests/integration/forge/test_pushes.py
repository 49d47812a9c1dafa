"""Who may push what, and how pushes and moved refs become known."""

import resource
import sys
from pathlib import Path

import pytest
from tests.contracts.forge_contract import open_one, seen
from tests.integration.forge.local_place import LocalPlace, git, make_user_repository, run_git

from coderun.forge.local import LocalForge
from coderun.model.errors import ConfigError, ForgeUnavailableError, NotFoundError, RefusedError
from coderun.model.pulls import NewPullRequest, PullRequest, PullState


async def names_after(place: LocalPlace, after: int = 0) -> list[tuple[str, str]]:
    return [(event.name, event.actor) for event in await place.person().events_after(after, 1000)]


async def test_an_agent_cannot_push_to_the_base_branch(place: LocalPlace) -> None:
    clone = place.commit("main", {"a.txt": "x"})
    done = place.try_push(clone, "HEAD:refs/heads/main", by="rex")
    assert done.returncode != 0
    assert "'main' is the protected base branch and rex[bot] an agent; push a branch of your own" in done.stderr


@pytest.mark.parametrize("refspec", ["HEAD:refs/tags/v1", "HEAD:refs/coderun/x", "HEAD:refs/pull/1/head", "HEAD:refs/notes/x"])
async def test_an_agent_pushes_branches_only(place: LocalPlace, refspec: str) -> None:
    done = place.try_push(place.commit("x", {"a.txt": "x"}), refspec, by="rex")
    assert done.returncode != 0
    assert "rex[bot] may push branches only" in done.stderr or "hidden ref" in done.stderr


@pytest.mark.parametrize("by", ["", "rex"])
async def test_nobody_deletes_or_rewinds_the_base_branch(place: LocalPlace, by: str) -> None:
    place.push("main", {"a.txt": "x"})
    clone = place.clone()
    for refspec in (":refs/heads/main", "+origin/main~1:refs/heads/main"):
        done = place.try_push(clone, refspec, by=by)
        assert done.returncode != 0, refspec
        assert "'main' is the protected base branch" in done.stderr


async def test_a_person_moves_the_base_forward_and_pushes_tags_but_not_the_forges_own_refs(place: LocalPlace) -> None:
    sha = place.push("main", {"a.txt": "x"})
    assert git(place.bare, "rev-parse", "main") == sha
    clone = place.clone()
    assert place.try_push(clone, "HEAD:refs/tags/v1").returncode == 0
    done = place.try_push(clone, "HEAD:refs/pull/1/head")
    assert "'refs/pull/1/head' is kept by the forge; push branches and tags only" in done.stderr


@pytest.mark.parametrize("content", ["wrong", "", "crf_' OR 1=1 --"])
async def test_an_unknown_token_is_refused(place: LocalPlace, content: str) -> None:
    place.token_file("rex").write_text(content)
    done = place.try_push(place.commit("x", {"a.txt": "x"}), "HEAD:refs/heads/x", by="rex")
    assert done.returncode != 0
    assert "the forge token is unknown or revoked" in done.stderr


async def test_a_token_file_that_is_not_there_is_no_person(place: LocalPlace) -> None:
    place.token_file("rex").unlink()
    done = place.try_push(place.commit("x", {"a.txt": "x"}), "HEAD:refs/heads/x", by="rex")
    assert "cannot be read (No such file or directory)" in done.stderr
    assert done.returncode != 0


async def test_a_revoked_token_neither_pushes_nor_opens_the_forge(place: LocalPlace) -> None:
    await place.person().revoke_token("run-rex")
    done = place.try_push(place.commit("x", {"a.txt": "x"}), "HEAD:refs/heads/x", by="rex")
    assert "unknown or revoked" in done.stderr
    with pytest.raises(RefusedError, match="unknown or revoked"):
        place.open("rex")
    place.push("y", {"a.txt": "x"}, by="cleo")


async def test_only_the_hash_of_a_token_is_stored(place: LocalPlace) -> None:
    token = place.token_file("rex").read_text()
    place.close()
    for path in place.folder.glob("forge.db*"):
        assert token.encode() not in path.read_bytes()


async def test_agents_issue_no_tokens_and_change_no_settings(place: LocalPlace) -> None:
    rex = place.agent("rex")
    with pytest.raises(RefusedError, match=r"rex\[bot\] is an agent and may not issue tokens"):
        await rex.issue_token("tess[bot]", "run")
    with pytest.raises(RefusedError, match="may not change the forge's settings"):
        await rex.configure(rex.settings)
    with pytest.raises(RefusedError, match="may not record checks"):
        await rex.set_checks("0" * 40, [])


async def test_an_agent_that_bears_the_persons_login_gets_no_token(place: LocalPlace) -> None:
    with pytest.raises(ConfigError, match=r"agent 'ada\[bot\]' and the person 'ada' are one login"):
        await place.person().issue_token("ada[bot]", "run")


@pytest.mark.parametrize("branch", ["-x", "HEAD"])
async def test_a_branch_that_looks_like_something_else_is_refused(place: LocalPlace, branch: str) -> None:
    done = place.try_push(place.commit("x", {"a.txt": "x"}), f"HEAD:refs/heads/{branch}", by="rex")
    assert done.returncode != 0
    assert "give it another name" in done.stderr or "invalid" in done.stderr.lower()


async def test_a_push_that_a_later_hook_refuses_never_shows(place: LocalPlace) -> None:
    pull = await open_one(place)
    before = await place.person().revision()
    update = place.bare / "hooks" / "update"
    update.write_text("#!/bin/sh\nexit 1\n")
    update.chmod(0o700)
    done = place.try_push(place.commit(pull.head_branch, {"a.txt": "no"}), f"HEAD:refs/heads/{pull.head_branch}", by="cleo")
    assert done.returncode != 0
    now = await seen(place.open(), pull.number)
    assert (now.head_sha, len(now.pushes)) == (pull.head_sha, 1)
    assert await names_after(place, before) == []
    update.unlink()
    sha = place.push(pull.head_branch, {"a.txt": "yes"}, by="tess")
    now = await seen(place.open(), pull.number)
    assert [(p.sha, p.actor.login) for p in now.pushes[1:]] == [(sha, "tess[bot]")]


async def test_a_ref_moved_behind_the_hooks_is_noticed_and_nobodys(place: LocalPlace) -> None:
    pull = await open_one(place)
    place.push("other", {"b.txt": "x"}, by="rex", start=pull.head_sha)
    sha = git(place.bare, "rev-parse", "other")
    git(place.bare, "update-ref", f"refs/heads/{pull.head_branch}", sha)
    now = await seen(place.person(), pull.number)
    assert now.head_sha == sha
    assert now.pushes[-1].actor.login == "unknown"
    assert not now.pushes[-1].actor.can_write


async def test_several_pushes_between_two_looks_all_show_with_their_actors(place: LocalPlace) -> None:
    pull = await open_one(place)
    second = place.push(pull.head_branch, {"a.txt": "2"}, by="cleo")
    third = place.push(pull.head_branch, {"a.txt": "3"}, by="tess", start=pull.head_sha, force=True)
    place.push(pull.head_branch, {}, by="rex", start=second, force=True)
    now = await seen(place.person(), pull.number)
    assert [p.sha for p in now.pushes] == [pull.head_sha, second, third, second]
    assert [p.actor.login for p in now.pushes] == ["rex[bot]", "cleo[bot]", "tess[bot]", "rex[bot]"]


async def test_a_head_that_went_away_and_came_back_shows_both_moves(place: LocalPlace) -> None:
    pull = await open_one(place)
    second = place.push(pull.head_branch, {"a.txt": "2"}, by="cleo")
    place.push(pull.head_branch, {}, by="cleo", start=pull.head_sha, force=True)
    now = await seen(place.person(), pull.number)
    assert [p.sha for p in now.pushes] == [pull.head_sha, second, pull.head_sha]


async def test_a_branch_pushed_before_its_pull_request_tells_who_pushed_it(place: LocalPlace) -> None:
    place.push("x", {"a.txt": "1"}, by="cleo")
    new = NewPullRequest(title="T", body="", head_branch="x", base_branch="main")
    pull = await place.agent("rex").open_pull_request(new)
    assert (pull.author.login, pull.pushes[0].actor.login) == ("rex[bot]", "cleo[bot]")


async def test_events_tell_of_pushes_and_changes_in_order_and_never_twice(place: LocalPlace) -> None:
    start = await place.person().revision()
    pull = await open_one(place)
    await place.agent("cleo").add_label(pull.number, "ready-for-qa")
    await place.agent("cleo").add_label(pull.number, "ready-for-qa")
    place.push(pull.head_branch, {"a.txt": "2"})
    assert await names_after(place, start) == [
        ("push", "rex[bot]"),
        ("pull_request.opened", "rex[bot]"),
        ("pull_request.labeled", "cleo[bot]"),
        ("push", "ada"),
        ("pull_request.synchronize", "ada"),
    ]
    events = await place.open().events_after(start, 2)
    assert [event.id for event in events] == [start + 1, start + 2]
    assert (events[0].ref, events[0].head_sha, events[0].pull) == (f"refs/heads/{pull.head_branch}", pull.head_sha, None)
    assert (events[1].pull, events[1].ref) == (pull.number, f"refs/heads/{pull.head_branch}")
    assert await place.person().revision() == start + 5


async def test_two_lookers_record_a_push_once(place: LocalPlace) -> None:
    pull = await open_one(place)
    others = [place.open() for _ in range(3)]
    place.push(pull.head_branch, {"a.txt": "2"}, by="cleo")
    for forge in others:
        assert len((await seen(forge, pull.number)).pushes) == 2


async def test_a_deleted_branch_closes_its_pull_request_and_keeps_its_commits(place: LocalPlace) -> None:
    pull = await open_one(place)
    place.delete_branch(pull.head_branch)
    now = await seen(place.person(), pull.number)
    assert (now.state, now.head_sha) == (PullState.CLOSED, pull.head_sha)
    await place.person().tidy()
    assert git(place.bare, "rev-parse", f"refs/pull/{pull.number}/head") == pull.head_sha
    assert "+one" in await place.person().diff(pull.number)
    with pytest.raises(RefusedError, match="its branch 'feature/task-7-x' is gone"):
        await place.person().reopen_pull_request(pull.number)


async def test_a_reopened_pull_request_stands_at_its_branchs_head(place: LocalPlace) -> None:
    pull = await open_one(place)
    await place.person().close_pull_request(pull.number)
    sha = place.push(pull.head_branch, {"a.txt": "2"}, by="cleo")
    assert (await seen(place.person(), pull.number)).head_sha == pull.head_sha
    await place.person().reopen_pull_request(pull.number)
    now = await seen(place.person(), pull.number)
    assert (now.state, now.head_sha, now.pushes[-1].actor.login) == (PullState.OPEN, sha, "cleo[bot]")


async def test_draft_is_turned_on_and_off(place: LocalPlace) -> None:
    pull = await open_one(place)
    await place.person().set_draft(pull.number, draft=True)
    assert (await seen(place.person(), pull.number)).draft
    with pytest.raises(RefusedError, match="is a draft"):
        await place.person().merge(pull.number, head_sha=pull.head_sha, admin=True)
    await place.person().set_draft(pull.number, draft=False)
    assert not (await seen(place.person(), pull.number)).draft


async def test_the_users_own_hooks_path_does_not_apply(place: LocalPlace, tmp_path: Path) -> None:
    own = tmp_path / "own hooks"
    own.mkdir()
    (own / "pre-receive").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
    (own / "pre-receive").chmod(0o700)
    config = tmp_path / "gitconfig"
    config.write_text(f'[core]\n\thooksPath = "{own}"\n')
    clone = place.commit("main", {"a.txt": "x"})
    environment = {"GIT_CONFIG_GLOBAL": str(config), **place.environment("rex")}
    done = run_git(clone, "push", "origin", "HEAD:refs/heads/main", env=environment)
    assert "protected base branch" in done.stderr
    assert not (tmp_path / "ran").exists()


async def test_a_push_wakes_the_listeners(tmp_path: Path) -> None:
    place = LocalPlace(tmp_path)
    script = tmp_path / "wake up.py"
    script.write_text("import sys, pathlib\nwith open(sys.argv[1] + '/woken', 'a') as f: f.write('w')\n")
    await place.init(wake_script=script, wake_dir=tmp_path)
    assert not (tmp_path / "woken").exists()
    place.push("x", {"a.txt": "1"})
    assert (tmp_path / "woken").read_text() == "w"
    place.close()


async def test_an_interpreter_that_is_gone_refuses_pushes_and_says_so(place: LocalPlace) -> None:
    hook = place.bare / "hooks" / "pre-receive"
    hook.write_text(hook.read_text().replace(sys.executable, "/nowhere/python"))
    done = place.try_push(place.commit("x", {"a.txt": "x"}), "HEAD:refs/heads/x")
    assert done.returncode != 0
    assert "/nowhere/python is gone; run coderun once" in done.stderr
    await place.init()
    assert place.try_push(place.commit("x", {"a.txt": "x"}), "HEAD:refs/heads/x").returncode == 0


async def test_a_repository_that_vanished_closes_no_pull_requests(place: LocalPlace) -> None:
    pull = await open_one(place)
    place.bare.rename(place.folder / "away")
    with pytest.raises(ForgeUnavailableError, match="is gone; put it back"):
        await place.person().get_pull_request(pull.number)
    (place.folder / "away").rename(place.bare)
    assert (await seen(place.person(), pull.number)).state is PullState.OPEN


async def test_a_folder_without_a_forge_is_not_found(tmp_path: Path) -> None:
    place = LocalPlace(tmp_path)
    with pytest.raises(NotFoundError, match="there is no local forge"):
        place.open()


async def test_packed_refs_are_read_as_well_as_loose_ones(place: LocalPlace) -> None:
    pull = await open_one(place)
    git(place.bare, "pack-refs", "--all")
    assert (await seen(place.open(), pull.number)).head_sha == pull.head_sha
    sha = place.push(pull.head_branch, {"a.txt": "2"}, by="rex")
    assert (await seen(place.person(), pull.number)).head_sha == sha
    await place.person().tidy()
    assert (await seen(place.person(), pull.number)).state is PullState.OPEN


async def test_a_push_with_both_hooks_costs_little_more_than_one_without(place: LocalPlace) -> None:
    clone = place.commit("x", {"a.txt": "1"})

    def cheapest(target: str) -> float:
        """Processor seconds of git and all it starts: unlike the wall clock, the same on a busy machine."""
        costs = []
        for number in range(7):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            git(clone, "push", "-q", target, f"HEAD:refs/heads/speed-{number}")
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return min(costs)

    bare = place.root / "plain.git"
    git(place.root, "clone", "-q", "--bare", str(place.bare), str(bare))
    overhead = cheapest("origin") - cheapest(str(bare))
    assert overhead < 0.12, overhead


async def test_a_read_that_finds_nothing_new_starts_no_process(place: LocalPlace) -> None:
    pulls = [await open_one(place, f"feature/task-{number}-x") for number in range(1, 4)]
    forge = LocalPlaceWithoutGit(place)
    for pull in pulls:
        assert await forge.read(pull) == await seen(place.person(), pull.number)


class LocalPlaceWithoutGit:
    """The same forge opened by a process that could not run git if it wanted to."""

    def __init__(self, place: LocalPlace) -> None:
        self._forge = LocalForge.open(place.folder, clock=place.clock, environment={"PATH": "/nowhere"})

    async def read(self, pull: PullRequest) -> PullRequest:
        task = int(pull.head_branch.split("-")[1])
        [found] = await self._forge.find_pull_requests(task)
        assert await self._forge.get_pull_request(found.number) == found
        return found


async def test_a_sha256_repository_gets_a_forge_of_its_kind(tmp_path: Path) -> None:
    place = LocalPlace(tmp_path)
    place.user = make_user_repository(tmp_path / "sha256", object_format="sha256")
    await place.init()
    await place.prepare_agents("rex")
    pull = await open_one(place)
    assert len(pull.head_sha) == 64
    await place.person().merge(pull.number, head_sha=pull.head_sha, admin=True)
    assert place.base_files()["a.txt"] == "one\n"
    place.close()
