"""The local forge's own words: settings, identities, events, and what a look at the user's base branch found.

No I/O. What the hook needs of the settings is kept beside them as plain text (see `journal.write_settings`).
"""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

UNKNOWN_LOGIN: Final = "unknown"
BOT_SUFFIX: Final = "[bot]"


class ForgeSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How this forge protects itself and what it waits for.

    Attributes:
        base_branch: The protected branch.
        person: Login of whoever acts without a token.
        person_name: Name in the commits of that person's merges; the login where empty.
        person_email: Address in them; made up where empty.
        require_approval: Whether a merge needs an approving review on exactly the head commit.
        approvers: Logins of which one must have approved; empty: anybody but the author.
        agents_may_merge: Whether an agent may merge once the protection holds.
        checks: Names of the checks that will report on every head; empty: none will.
    """

    base_branch: str = "main"
    person: str = "person"
    person_name: str = ""
    person_email: str = ""
    require_approval: bool = True
    approvers: tuple[str, ...] = ()
    agents_may_merge: bool = False
    checks: tuple[str, ...] = ()


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a forge object acts for; `run` is the run a token was issued for."""

    login: str
    is_agent: bool = False
    run: str = ""


class ForgeEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the durable log.

    Attributes:
        id: Grows by the order of recording and is never used twice.
        name: As a GitHub webhook with its action: `push`, `pull_request.opened`, `pull_request.synchronize`,
            `pull_request.labeled`, `pull_request_review.submitted`, `issue_comment.created`, `check_run.completed`, ….
        pull: Number of the pull request, None for a push or a check.
        ref: Full ref of a push (`refs/heads/…`); the head's for a pull request.
        head_sha: Commit it is about; "" for a deleted branch.
        actor: Login; `unknown` where a ref moved without a push.
        detail: Label name, review state, check state, `merged`, or the commit before a push. Untrusted.
    """

    id: int
    at: datetime
    name: str
    pull: int | None = None
    ref: str = ""
    head_sha: str = ""
    actor: str = ""
    detail: str = ""


class BaseState(StrEnum):
    """How the forge's base branch stands to the user's.

    SAME. ADVANCED: it was moved forward to the user's. BEHIND: the user's lacks commits of the forge's. DIVERGED: each has
    commits that the other lacks; nothing was moved. MISSING: the user's repository has no such branch or no commit on it.
    """

    SAME = "same"
    ADVANCED = "advanced"
    BEHIND = "behind"
    DIVERGED = "diverged"
    MISSING = "missing"


class BaseSync(msgspec.Struct, frozen=True, kw_only=True):
    """What became of bringing the base branch up to date; both commits as they stand afterwards, "" where there is none."""

    state: BaseState
    branch: str
    forge_sha: str = ""
    source_sha: str = ""
