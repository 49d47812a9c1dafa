"""Merges a pull request for real, without a working tree.

The merge is tried, made a commit, and the base moved by one compare-and-swap that also holds the head still. It is announced in
the database before git moves the base, and becomes known as every move does (`observe`): a crash in between leaves either no
merge, or one that the next look records. Whether a merge is allowed is decided elsewhere.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from coderun.forge.local.database import Database
from coderun.forge.local.git import Author, Git
from coderun.forge.local.journal import announce, known_branch, micros, withdraw
from coderun.forge.local.records import ForgeSettings, Identity
from coderun.forge.texts import branch_ref, one_line
from coderun.model.errors import RefusedError
from coderun.model.logins import normalise_login
from coderun.model.pulls import MergeMethod, PullRequest

_MAX_NAMED = 20
_MAX_COAUTHORS = 20


class Merger(msgspec.Struct, frozen=True, kw_only=True):
    """Who merges, how, and when."""

    identity: Identity
    method: MergeMethod
    at: datetime


async def merge_once(db: Database, git: Git, pull: PullRequest, settings: ForgeSettings, merger: Merger) -> bool:
    """Try once to move the base; False where base or head moved meanwhile.

    Raises:
        RefusedError: head and base do not go together; the message names the files.
    """
    base = known_branch(db, pull.base_branch)
    commit = await _merge_commit(git, pull, base, settings, merger)
    ref = branch_ref(pull.base_branch)
    announced = announce(
        db, ref, base, commit, login=merger.identity.login, at=micros(merger.at), pull=pull.number, head_sha=pull.head_sha
    )
    held = f"verify {branch_ref(pull.head_branch)}\0{pull.head_sha}"
    if await git.update_refs([held, f"update {ref}\0{commit}\0{base}"]):
        withdraw(db, announced)
        return False
    return True


async def _merge_commit(git: Git, pull: PullRequest, base: str, settings: ForgeSettings, merger: Merger) -> str:
    where = f"pull request {pull.number} ({one_line(pull.head_branch, 120)!r} into {one_line(pull.base_branch, 120)!r})"
    if not base:
        raise RefusedError(f"{where} cannot be merged: its base branch is gone; open another one")
    if not await git.commits_between(base, pull.head_sha, limit=1):
        raise RefusedError(f"{where} cannot be merged: its head has no commits that the base lacks; push some, or close it")
    tried = await git.merge_tree(base, pull.head_sha)
    if not tried.tree:
        named = ", ".join(one_line(path, 200) for path in tried.conflicts[:_MAX_NAMED]) or "no common history"
        more = f" and {len(tried.conflicts) - _MAX_NAMED} more" if len(tried.conflicts) > _MAX_NAMED else ""
        raise RefusedError(
            f"{where} conflicts with its base in {named}{more}; merge the base into the branch, resolve and push"
        )
    committer = author_of(merger.identity, settings)
    at = int(merger.at.timestamp())
    if merger.method is MergeMethod.MERGE:
        message = f"Merge pull request #{pull.number} from {pull.head_branch}\n\n{pull.title}\n"
        return await git.commit_tree(tried.tree, [base, pull.head_sha], message, author=committer, committer=committer, at=at)
    known = [author for author in await git.authors(base, pull.head_sha) if _is_usable(author)]
    first, *others = known or [committer]
    message = squash_message(pull, others)
    return await git.commit_tree(tried.tree, [base], message, author=first, committer=committer, at=at)


def squash_message(pull: PullRequest, others: Sequence[Author]) -> str:
    """Title with the number, body, and everybody else who wrote the commits."""
    trailers = "\n".join(
        f"Co-authored-by: {one_line(other.name)} <{one_line(other.email)}>" for other in others[:_MAX_COAUTHORS]
    )
    calm = "".join(c if c.isprintable() or c in "\n\t" else " " for c in pull.body).strip()
    return "\n\n".join(part for part in (f"{pull.title} (#{pull.number})", calm, trailers) if part) + "\n"


def author_of(identity: Identity, settings: ForgeSettings) -> Author:
    """How an identity signs commits that the forge makes for it."""
    made_up = Author(name=identity.login, email=f"{normalise_login(identity.login)}@coderun.invalid")
    if identity.is_agent:
        return made_up
    own = Author(name=settings.person_name, email=settings.person_email or made_up.email)
    return own if _is_usable(own) else made_up


def _is_usable(author: Author) -> bool:
    """Whether git takes this as a name and address: it strips marks, and refuses what is empty then."""
    return any(c.isalnum() for c in author.name) and any(c.isalnum() for c in author.email)
