"""git over HTTP against the fake."""

from random import Random

from tests.integration.fakegithub.desk import REPO, Desk, git, work_tree, write


async def test_a_clone_and_a_push_work_with_a_token(desk: Desk) -> None:
    token, clone = desk.token(), desk.folder / "clone"
    assert (await git("clone", "-q", desk.remote, str(clone), token=token)).code == 0
    new = await write(clone, "three.txt", "3\n")
    assert (await git("push", "-q", "origin", "main", token=token, cwd=clone)).code == 0
    assert await desk.github.repo(REPO).git.resolve("main") == new
    moved = desk.github.repo(REPO).activity[-1]
    assert (moved.kind, moved.actor.login, moved.after) == ("push", "5dlabs-rex[bot]", new)


async def test_a_shallow_clone_works(desk: Desk) -> None:
    clone = desk.folder / "clone"
    assert (await git("clone", "-q", "--depth=1", desk.remote, str(clone), token=desk.token())).code == 0
    assert (await git("rev-list", "--count", "HEAD", cwd=clone)).text.strip() == "1"


async def test_a_read_token_may_not_push(desk: Desk) -> None:
    reader, clone = desk.token(contents="read"), desk.folder / "clone"
    await git("clone", "-q", desk.remote, str(clone), token=reader)
    await write(clone, "three.txt", "3\n")
    ended = await git("push", "origin", "main", token=reader, cwd=clone)
    assert ended.code != 0
    assert "403" in ended.text
    assert "Write access to repository not granted." in ended.text


async def test_no_token_and_a_bad_one_and_an_unknown_repository_are_told_apart(desk: Desk) -> None:
    assert "could not read Username" in (await git("ls-remote", desk.remote)).text
    assert "Authentication failed" in (await git("ls-remote", desk.remote.replace("://", "://x-access-token:bad@"))).text
    ended = await git("ls-remote", f"{desk.github.url}/5dlabs/nothing.git", token=desk.token())
    assert "not found" in ended.text


async def test_an_empty_repository_can_be_cloned_and_filled(desk: Desk) -> None:
    await desk.github.create_repo("5dlabs/empty")
    desk.installation.repos.add(desk.github.repo("5dlabs/empty").id)
    token, clone, remote = desk.token(), desk.folder / "clone", f"{desk.github.url}/5dlabs/empty.git"
    assert (await git("clone", "-q", remote, str(clone), token=token)).code == 0
    assert (await desk.bot().get("/repos/5dlabs/empty/commits")).message == "Git Repository is empty."
    await write(clone, "first.txt", "1\n")
    assert (await git("push", "-q", "origin", "HEAD:main", token=token, cwd=clone)).code == 0
    assert [one.kind for one in desk.github.repo("5dlabs/empty").activity] == ["branch_creation"]


async def test_a_force_push_moves_the_pull_request_and_is_told_as_one(desk: Desk) -> None:
    number, token, clone = await desk.pull("work"), desk.token(), desk.folder / "clone"
    await git("clone", "-q", "-b", "work", desk.remote, str(clone), token=token)
    await git("commit", "-q", "--amend", "-m", "Other words", cwd=clone)
    refused = await git("push", "origin", "work", token=token, cwd=clone)
    assert "non-fast-forward" in refused.text
    assert (await git("push", "-q", "--force", "origin", "work", token=token, cwd=clone)).code == 0
    head = (await git("rev-parse", "HEAD", cwd=clone)).text.strip()
    pull = desk.github.pull(REPO, number)
    assert pull.head_sha == head
    assert (await desk.github.repo(REPO).git.refs("refs/pull/"))[f"refs/pull/{number}/head"] == head
    assert desk.github.repo(REPO).activity[-1].kind == "force_push"
    assert pull.events[-1].kind == "head_ref_force_pushed"
    await desk.github.settle()
    told = [one for one in desk.door.got if one.event in {"push", "pull_request"}][-2:]
    assert [one.name for one in told] == ["push", "pull_request.synchronize"]
    assert told[0].body["forced"] is True
    assert told[1].body["after"] == head


async def test_deleting_the_branch_closes_the_pull_request_and_keeps_its_head(desk: Desk) -> None:
    number, token, clone = await desk.pull("work"), desk.token(), desk.folder / "clone"
    head = desk.github.pull(REPO, number).head_sha
    await git("clone", "-q", desk.remote, str(clone), token=token)
    assert (await git("push", "-q", "origin", ":work", token=token, cwd=clone)).code == 0
    assert desk.github.pull(REPO, number).state == "closed"
    assert (await git("fetch", "-q", "origin", f"refs/pull/{number}/head", token=token, cwd=clone)).code == 0
    assert (await git("rev-parse", "FETCH_HEAD", cwd=clone)).text.strip() == head
    reply = await desk.bot().ask("PATCH", f"/repos/{REPO}/pulls/{number}", {"state": "open"})
    assert (reply.status, reply.message) == (
        422,
        "Validation Failed state cannot be changed. The work branch has been deleted.",
    )


async def test_a_push_of_the_base_that_holds_the_head_merges_the_pull_request(desk: Desk) -> None:
    number, token, clone = await desk.pull("work"), desk.token(), desk.folder / "clone"
    await git("clone", "-q", "-b", "work", desk.remote, str(clone), token=token)
    assert (await git("push", "-q", "origin", "work:main", token=token, cwd=clone)).code == 0
    assert desk.github.pull(REPO, number).merged_at is not None


async def test_a_ruleset_refuses_pushes_and_says_why(desk: Desk) -> None:
    desk.github.add_ruleset(REPO, [{"type": "pull_request", "parameters": {}}, {"type": "deletion"}])
    desk.github.add_ruleset(REPO, [{"type": "non_fast_forward"}], include=["refs/heads/feature/*"])
    token, clone = desk.token(), desk.folder / "clone"
    await git("clone", "-q", desk.remote, str(clone), token=token)
    await write(clone, "three.txt", "3\n")
    refused = await git("push", "origin", "main", token=token, cwd=clone)
    assert refused.code != 0
    assert "GH013: Repository rule violations found for refs/heads/main" in refused.text
    assert "Changes must be made through a pull request." in refused.text
    assert (await git("push", "-q", "origin", "HEAD:feature/x", token=token, cwd=clone)).code == 0
    await write(clone, "four.txt", "4\n")
    assert (await git("push", "-q", "origin", "HEAD:feature/x", token=token, cwd=clone)).code == 0
    forced = await git("push", "--force", "origin", "HEAD~1:feature/x", token=token, cwd=clone)
    assert "Cannot force-push to this branch" in forced.text


async def test_a_bypass_passes_a_ruleset(desk: Desk) -> None:
    desk.github.add_ruleset(REPO, [{"type": "update"}], bypass=[desk.app.login])
    token, clone = desk.token(), desk.folder / "clone"
    await git("clone", "-q", desk.remote, str(clone), token=token)
    await write(clone, "three.txt", "3\n")
    assert (await git("push", "-q", "origin", "main", token=token, cwd=clone)).code == 0


async def test_nobody_pushes_to_the_refs_of_pull_requests(desk: Desk) -> None:
    number, token, clone = await desk.pull("work"), desk.token(), desk.folder / "clone"
    await git("clone", "-q", desk.remote, str(clone), token=token)
    ended = await git("push", "origin", f"HEAD:refs/pull/{number}/head", token=token, cwd=clone)
    assert "deny updating a hidden ref" in ended.text


async def test_a_pull_request_of_a_fork_follows_the_fork(desk: Desk) -> None:
    await desk.github.fork(REPO, "eve")
    await desk.github.people.commit("eve/demo", "work", "eve.txt", "1\n", "eve")
    pull = await desk.github.people.open_pull(REPO, "eve", title="From afar", head="eve:work")
    new = await desk.github.people.commit("eve/demo", "work", "eve.txt", "2\n", "eve")
    body = (await desk.bot().get(f"/repos/{REPO}/pulls/{pull.number}")).body
    assert (body["head"]["sha"], body["head"]["repo"]["full_name"]) == (new, "eve/demo")
    found = await desk.bot().get(f"/repos/{REPO}/pulls?head=eve:work")
    assert [one["number"] for one in found.body] == [pull.number]


async def test_a_transferred_repository_answers_at_its_new_place(desk: Desk) -> None:
    bot = desk.bot()
    desk.github.transfer(REPO, "5dlabs/renamed")
    reply = await bot.get(f"/repos/{REPO}")
    assert (reply.status, reply.headers["location"]) == (301, f"{desk.github.api_url}/repos/5dlabs/renamed")
    assert (await bot.get(reply.headers["location"])).body["full_name"] == "5dlabs/renamed"
    assert (await git("ls-remote", desk.remote, token=desk.token())).code == 0


async def test_a_push_of_thirty_megabytes_arrives(desk: Desk) -> None:
    token, clone = desk.token(), await work_tree(desk.folder / "big")
    (clone / "big.bin").write_bytes(Random(1).randbytes(30 * 1024 * 1024))
    await git("add", "big.bin", cwd=clone)
    await git("commit", "-q", "-m", "Grow", cwd=clone)
    ended = await git("push", "-q", desk.remote, "HEAD:refs/heads/big", token=token, cwd=clone)
    assert ended == (0, "")
    assert [one.ref for one in desk.github.repo(REPO).activity] == ["refs/heads/big"]


async def test_git_meets_faults_of_its_own(desk: Desk) -> None:
    token = desk.token()
    desk.github.fault("error", status=502, git=True)
    desk.github.fault("cut", git=True, path="info/refs")
    assert (await desk.bot().get(f"/repos/{REPO}")).status == 200
    assert "502" in (await git("ls-remote", desk.remote, token=token)).text
    assert "Empty reply from server" in (await git("ls-remote", desk.remote, token=token)).text
    assert (await git("ls-remote", desk.remote, token=token)).code == 0


async def test_a_pull_request_outlives_its_fork(desk: Desk) -> None:
    await desk.github.fork(REPO, "eve")
    await desk.github.people.commit("eve/demo", "work", "eve.txt", "1\n", "eve")
    pull = await desk.github.people.open_pull(REPO, "eve", title="From afar", head="eve:work")
    await desk.github.delete_repo("eve/demo")
    body = (await desk.bot().get(f"/repos/{REPO}/pulls/{pull.number}")).body
    assert (body["head"]["repo"], body["head"]["label"]) == (None, "eve:work")
    assert (await desk.bot().ask("PUT", f"/repos/{REPO}/pulls/{pull.number}/merge", {})).status == 200
