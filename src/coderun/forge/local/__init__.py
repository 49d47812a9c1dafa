"""The local forge: a bare git repository with pull requests, labels, reviews, comments and checks beside it.

```
git push ──► hook (pre-receive: who, what, may they?) ──► announced ─┐
                                                                     ├─► observe ──► pull requests, events ──► readers
git update-ref, our own merge ──► the refs themselves ───────────────┘
```
What the refs say is the truth; the hook only tells who meant to move them. Every read looks at the refs first, so nothing
here depends on a hook having run, and no decision about plays is taken here.
"""

from coderun.forge.local.forge import LocalForge
from coderun.forge.local.records import BaseState, BaseSync, ForgeEvent, ForgeSettings, Identity

__all__ = ["BaseState", "BaseSync", "ForgeEvent", "ForgeSettings", "Identity", "LocalForge"]
