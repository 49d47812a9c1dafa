"""A fake GitHub to try coderun against, with an App for each agent: `python -m tests.fakes.github`; ends with Ctrl-C."""

import argparse
import asyncio
import contextlib
import shlex
import signal
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from tests.fakes.github.fake import FakeGitHub
from tests.fakes.github.git import Bare

from coderun.app.configuration import read_configuration
from coderun.app.github_keys import AppKeys, keys_folder, write_app
from coderun.app.github_place import GitHubPlace
from coderun.app.github_setup import Wanted, config_lines, plan_apps
from coderun.forge.github.permissions import EVENTS
from coderun.model.github import github_host
from coderun.model.repository import parse_repository

OWNER = "demo-org"
REPO = f"{OWNER}/demo"
PERSON = "octocat"
SECRET = "demo-secret"
WEBHOOK_PORT = 8080


async def main(folder: Path, port: int, webhook_url: str) -> None:
    """Serves until a signal comes."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with FakeGitHub(folder / "repositories", port=port) as github:
        github.add_organization(OWNER)
        await github.create_repo(REPO, source=await _source(folder))
        github.add_collaborator(REPO, PERSON, "admin")
        place = GitHubPlace(host=github_host(github.url), repository=parse_repository(f"{github.url}/{REPO}"))
        nothing_said = folder / "nothing-said"
        nothing_said.mkdir()
        wanted = plan_apps(read_configuration(nothing_said), place, organization=OWNER, webhook_url=webhook_url)
        config = folder / "config"
        for one in wanted:
            _make_app(github, place, one, config)
        print(_told(place, github.personal_token(PERSON), config, webhook_url), flush=True)
        await stop.wait()


async def _source(folder: Path) -> Path:
    path = folder / "source.git"
    path.mkdir()
    git = Bare(path)
    await git.run("init", "--quiet", "--bare", "--initial-branch=main")
    tree = (await git.run("mktree")).text
    person = {"GIT_AUTHOR_NAME": PERSON, "GIT_AUTHOR_EMAIL": "octocat@example.com"}
    person |= {"GIT_COMMITTER_NAME": PERSON, "GIT_COMMITTER_EMAIL": "octocat@example.com"}
    first = (await git.run("commit-tree", tree, "-m", "Begin", extra=person)).text
    new = await git.commit_file(first, "README.md", b"# demo\n", "Say what this is", PERSON, 1_700_000_000)
    await git.run("update-ref", "refs/heads/main", new)
    return path


def _make_app(github: FakeGitHub, place: GitHubPlace, wanted: Wanted, config: Path) -> None:
    """What `coderun github setup` and the clicks of a person would make: the App, its installation, and its key here."""
    order = wanted.order
    made = github.create_app(
        order.name,
        permissions=dict(order.permissions),
        subscribed=EVENTS if order.webhook_url else (),
        owner=OWNER,
        webhook_url=order.webhook_url,
        webhook_secret=SECRET if order.webhook_url else "",
    )
    github.install(made, OWNER, repos=["demo"])
    keys = AppKeys(
        agent=order.agent,
        app_id=str(made.id),
        pem=made.private_key.encode(),
        slug=made.slug,
        webhook_secrets=(SECRET,) if order.webhook_url else (),
    )
    write_app(keys_folder(place.host, environ={"XDG_CONFIG_HOME": str(config)}, home=config), keys)


def _told(place: GitHubPlace, token: str, config: Path, webhook_url: str) -> str:
    """What to do with it, to be copied into a terminal as it stands."""
    clone = f"{place.host.web.replace('://', f'://x-access-token:{token}@')}/{REPO}.git"
    lines = [*config_lines(place, webhook=False), "checksGraceSeconds: 0  # there is no CI to wait for"]
    if webhook_url:
        lines += ["webhook:", f"  port: {urlsplit(webhook_url).port or WEBHOOK_PORT}"]
    return "\n".join(
        (
            f"A fake GitHub at {place.host.web}, with {place.slug}, and {PERSON}, who may do everything there.",
            f"REST at the root and below /api/v3. {PERSON}'s token is part of the address below.",
            "",
            "The repository, and the Apps of the agents (their keys are in the folder):",
            "",
            f"  git clone {shlex.quote(clone)}",
            f"  cd demo && export XDG_CONFIG_HOME={shlex.quote(str(config))}",
            "  cat > coderun.yaml <<'END'",
            *lines,
            "END",
            "",
            "Then:",
            "",
            "  coderun github check",
            '  coderun play "Say hello in README.md" --auto-merge',
            "",
            *(
                (f"Webhooks go to {webhook_url}, signed with {SECRET!r}: `coderun up` takes them in.", "")
                if webhook_url
                else ("With --webhook-url http://127.0.0.1:8080/github/webhook it sends webhooks to `coderun up`, too.", "")
            ),
            "Ctrl-C ends it, and what it holds is gone.",
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.github", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--webhook-url", default="", metavar="URL", help="where the webhooks of the controller's App go")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fake-github-") as made_folder, contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(Path(made_folder), chosen.port, chosen.webhook_url))
