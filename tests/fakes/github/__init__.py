"""A GitHub for tests: REST, enforced App tokens, git over HTTP, pull requests that follow their branches, signed webhooks.

State is in memory beside real bare git repositories. It knows nothing of coderun; `tests/integration/fakegithub` holds it
to GitHub's official schemas. Not here: issues that are no
pull requests, teams, inline review comments, workflows, GraphQL queries.
"""

from tests.fakes.github.fake import FakeGitHub, MadeApp
from tests.fakes.github.faults import Fault, FaultKind, WebhookFault, WebhookFaultKind

__all__ = ["FakeGitHub", "Fault", "FaultKind", "MadeApp", "WebhookFault", "WebhookFaultKind"]
