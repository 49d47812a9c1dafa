"""A fake GitHub to try things against: `python -m tests.fakes.github [--port N] [--webhook-url URL]`; ends with Ctrl-C."""

import argparse
import asyncio
import contextlib
import signal
import tempfile
from pathlib import Path

from tests.fakes.github.fake import FakeGitHub, MadeApp
from tests.fakes.github.git import Bare

OWNER = "demo-org"
REPO = f"{OWNER}/demo"
PERSON = "octocat"
SECRET = "demo-secret"
AGENTS = ("Demo-Rex", "Demo-Cleo", "Demo-Tess")
PERMISSIONS = {
    "administration": "read",
    "checks": "write",
    "contents": "write",
    "issues": "write",
    "pull_requests": "write",
    "statuses": "write",
}


async def main(folder: Path, port: int, webhook_url: str) -> None:
    """Serves until a signal comes."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with FakeGitHub(folder / "repositories", port=port) as github:
        await github.create_repo(REPO, source=await _source(folder))
        github.add_collaborator(REPO, PERSON, "admin")
        apps = [_app(github, name, webhook_url) for name in AGENTS]
        _tell(github, folder, apps)
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


def _app(github: FakeGitHub, name: str, webhook_url: str) -> MadeApp:
    made = github.create_app(name, permissions=PERMISSIONS, owner=OWNER, webhook_url=webhook_url, webhook_secret=SECRET)
    github.install(made, OWNER)
    return made


def _tell(github: FakeGitHub, folder: Path, apps: list[MadeApp]) -> None:
    print(f"fake GitHub   {github.url}   (REST at the root and below /api/v3, git at /{REPO}.git)")
    print(f"repository    {github.url}/{REPO}.git")
    print(f"person        {PERSON}, token {github.personal_token(PERSON)}")
    for made in apps:
        key = folder / f"{made.slug}.pem"
        key.write_text(made.private_key, encoding="utf-8")
        key.chmod(0o600)
        print(f"App           {made.slug}: id {made.id}, private key {key}")
    print(f"webhooks      signed with {SECRET!r}; address by --webhook-url or PATCH /app/hook/config")
    print("Ctrl-C ends it, and what it holds is gone.", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.github", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--webhook-url", default="", help="where the Apps' webhooks go")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as made_folder, contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(Path(made_folder), chosen.port, chosen.webhook_url))
