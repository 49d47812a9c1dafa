"""What people do in the browser or at their desk: `github.people.review("o/r", 1, "ada", "APPROVED")`."""

from typing import Any

from tests.fakes.github import events, merging, pulls, pushes
from tests.fakes.github.routes.labels import set_label, unset_label
from tests.fakes.github.state import NO_SHA, Comment, Pull, Review
from tests.fakes.github.world import World


class People:
    """The hands of every person; a login that is not there yet is made."""

    def __init__(self, world: World) -> None:
        self._world = world

    def _pull(self, full_name: str, number: int) -> Pull:
        return self._world.named(full_name).pulls[number]

    async def open_pull(self, full_name: str, login: str, *, title: str, head: str, base: str = "main", **more: Any) -> Pull:
        """Opens a pull request as a person."""
        return await pulls.open_pull(
            self._world, self._world.named(full_name), self._world.add_account(login), title=title, head=head, base=base, **more
        )

    def label(self, full_name: str, number: int, name: str, login: str) -> None:
        """Puts a label on as a person."""
        set_label(
            self._world, self._world.named(full_name), self._pull(full_name, number), name, self._world.add_account(login)
        )

    def unlabel(self, full_name: str, number: int, name: str, login: str) -> None:
        """Takes a label off as a person."""
        pull = self._pull(full_name, number)
        found = next(one for one in pull.labels if one.name.lower() == name.lower())
        unset_label(self._world, self._world.named(full_name), pull, found, self._world.add_account(login))

    def review(self, full_name: str, number: int, login: str, state: str, body: str = "") -> Review:
        """Reviews the head as a person: APPROVED, CHANGES_REQUESTED or COMMENTED."""
        pull, account, now = self._pull(full_name, number), self._world.add_account(login), self._world.clock()
        made = Review(
            id=self._world.new_id(), author=account, state=state, body=body, commit_id=pull.head_sha, submitted_at=now
        )
        pull.reviews.append(made)
        events.review(self._world, self._world.named(full_name), pull, "submitted", made, account)
        return made

    def comment(self, full_name: str, number: int, login: str, body: str) -> Comment:
        """Says something on a pull request as a person."""
        pull, account, now = self._pull(full_name, number), self._world.add_account(login), self._world.clock()
        made = Comment(id=self._world.new_id(), author=account, body=body, created_at=now, updated_at=now)
        pull.comments.append(made)
        pull.updated_at = now
        events.comment(self._world, self._world.named(full_name), pull, "created", made, account)
        return made

    async def merge(self, full_name: str, number: int, login: str, method: str = "merge") -> str:
        """Merges as a person; the rules hold."""
        pull = self._pull(full_name, number)
        return await merging.merge(
            self._world, self._world.named(full_name), pull, self._world.add_account(login), method=method
        )

    def close(self, full_name: str, number: int, login: str) -> None:
        """Closes unmerged as a person."""
        pulls.close(self._world, self._world.named(full_name), self._pull(full_name, number), self._world.add_account(login))

    def set_draft(self, full_name: str, number: int, login: str, *, draft: bool) -> None:
        """Makes a pull request a draft or ready for review, as a person."""
        pull = self._pull(full_name, number)
        pulls.set_draft(self._world, self._world.named(full_name), pull, self._world.add_account(login), draft=draft)

    async def commit(self, full_name: str, branch: str, path: str, text: str, login: str) -> str:
        """Commits one file to a branch as a person, past every rule, making the branch from the default one."""
        repo, account = self._world.named(full_name), self._world.add_account(login)
        async with repo.git.lock:
            before = await pushes.watched(repo)
            old = before.get(f"refs/heads/{branch}")
            parent = old or before[f"refs/heads/{repo.default_branch}"]
            now = self._world.clock()
            new = await repo.git.commit_file(parent, path, text.encode(), f"Change {path}", login, now)
            await repo.git.update_ref(f"refs/heads/{branch}", new, old or NO_SHA)
            await pushes.record(self._world, repo, before, account)
        return new

    async def enqueue(self, full_name: str, number: int, login: str) -> str:
        """Puts a pull request on the merge queue; the commit that its checks are about."""
        pull = self._pull(full_name, number)
        return (await merging.enqueue(self._world, self._world.named(full_name), pull, self._world.add_account(login))).sha

    async def run_queue(self, full_name: str, number: int, *, passed: bool = True) -> None:
        """Ends a pull request's time on the queue."""
        service = self._world.add_account("github-merge-queue[bot]", "Bot")
        await merging.run_queue(
            self._world, self._world.named(full_name), self._pull(full_name, number), service, passed=passed
        )
