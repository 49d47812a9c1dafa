"""`coderun github`: the agents' Apps on GitHub, made and looked at."""

from typing import TYPE_CHECKING, Annotated

import typer

from coderun.cli.terminal import Exit, Output, OutputOption, RepoOption, folder_of, run_async, safe, say, to_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from coderun.app.configuration import Configuration
    from coderun.app.doctor import Finding
    from coderun.app.github_desk import Desk
    from coderun.app.github_place import GitHubPlace
    from coderun.app.github_setup import Setup

app = typer.Typer(
    name="github",
    help="Set the agents up on GitHub, and check that all is right there.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

UrlOption = Annotated[str, typer.Option("--url", help="A GitHub Enterprise Server; github.com by default.", metavar="URL")]
RepositoryOption = Annotated[
    str, typer.Option("--repository", help="The repository; else coderun.yaml or origin names it.", metavar="OWNER/NAME")
]
AgentOption = Annotated[
    list[str] | None, typer.Option("--agent", help="Only this agent; may be given more than once.", metavar="AGENT")
]


@app.command("setup", short_help="Make a GitHub App for every agent, and keep its key here.")
def setup(
    agent: AgentOption = None,
    organization: Annotated[str, typer.Option("--org", help="The organisation that shall own the Apps.", metavar="NAME")] = "",
    user: Annotated[bool, typer.Option("--user", help="The Apps shall belong to whoever confirms them.")] = False,
    controller: Annotated[
        bool, typer.Option("--controller-app", help="An App for the controller, too, so that no agent's holds what it needs.")
    ] = False,
    prefix: Annotated[
        str, typer.Option("--prefix", help="Apps are called PREFIX-AGENT; the owner by default.", metavar="PREFIX")
    ] = "",
    webhook_url: Annotated[
        str, typer.Option("--webhook-url", help="Public address of this controller's webhook door.", metavar="URL")
    ] = "",
    manual: Annotated[bool, typer.Option("--manual", help="Print how to do it by hand, and do nothing.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Make Apps anew that are here already.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until every App is installed, too.")] = True,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    port: Annotated[
        int, typer.Option("--port", help="Port of the local page; a free one by default.", min=0, max=65535, metavar="PORT")
    ] = 0,
    url: UrlOption = "",
    repository: RepositoryOption = "",
    repo: RepoOption = "",
) -> None:
    """Make one GitHub App for every agent of the pipeline, and keep its private key on this machine.

    A page on this machine shows what each App will hold and why. Its buttons lead to GitHub, where you confirm; GitHub sends
    you back here. Nothing that is here already is replaced unless you say --replace: a broken-off set-up goes on where it was.

    Examples:
        coderun github setup
        coderun github setup --org acme --webhook-url https://coderun.example.com/github/webhook
        coderun github setup --url https://ghes.example --agent rex
        coderun github setup --manual
    """
    from coderun.model.errors import ConfigError

    if organization and user:
        raise ConfigError("--org and --user name two owners; give one of them")
    configuration, place, folder = _look_around(repo, url, repository)
    _check_webhook(webhook_url)

    async def body() -> None:
        import os

        from coderun.app.github_desk import open_desk
        from coderun.app.github_keys import read_app
        from coderun.app.github_setup import CONTROLLER, Setup, agents_of, plan_apps
        from coderun.app.github_setup import manual as by_hand
        from coderun.app.local import now
        from coderun.app.logs import log_to_stderr

        log_to_stderr()
        async with open_desk(place, clock=now, environ=os.environ) as desk:
            owner = organization or ("" if user else await _owner(desk, place))
            wanted = plan_apps(
                configuration,
                place,
                only=([CONTROLLER.name, *(agent or agents_of(configuration))] if controller else agent or ()),
                organization=owner,
                prefix=prefix,
                webhook_url=webhook_url,
                has_controller=read_app(folder, CONTROLLER.name) is not None,
            )
            if manual:
                say(by_hand(wanted, place, folder))
                return
            await _set_up(
                Setup(wanted, place=place, folder=folder, desk=desk, tell=say, replace=replace),
                port=port,
                wait=wait,
                browser=browser,
            )
            _tell_next(place, folder, webhook=bool(webhook_url))

    try:
        run_async(body())
    except KeyboardInterrupt:
        say("\nstopped; what is made is kept, and the same command goes on from there", err=True)
        raise typer.Exit(Exit.INTERRUPTED) from None


def _look_around(repo: str, url: str, repository: str) -> "tuple[Configuration, GitHubPlace, Path]":
    import os
    from pathlib import Path

    from coderun.app.configuration import read_configuration
    from coderun.app.github_keys import keys_folder
    from coderun.app.github_place import find_place
    from coderun.app.places import find_repository

    root = find_repository(folder_of(repo), environ=os.environ)
    configuration = read_configuration(root)
    place = find_place(root, configuration.config.forge, environ=os.environ, url=url, repository=repository)
    return configuration, place, keys_folder(place.host, environ=os.environ, home=Path.home())


def _check_webhook(url: str) -> None:
    from coderun.model.errors import ConfigError
    from coderun.model.github import github_host

    if url:
        try:
            github_host(url)
        except ConfigError as error:
            raise ConfigError(
                f"--webhook-url {safe(url, 200)!r} is no https address without credentials; correct it"
            ) from error


async def _owner(desk: "Desk", place: "GitHubPlace") -> str:
    """The organisation that the repository belongs to: a private App can be installed at its owner's alone."""
    from coderun.model.errors import ConfigError, RefusedError

    try:
        return place.repository.owner if await desk.owner_is_organization() else ""
    except RefusedError as error:
        raise ConfigError(f"{error}; name the owner of the Apps with --org ORGANISATION or --user") from error


async def _set_up(setup: "Setup", *, port: int, wait: bool, browser: bool) -> None:
    import asyncio

    from coderun.web.github_setup import serve_setup

    await setup.aim()
    await setup.look()
    if setup.is_installed or (setup.is_made and not wait):
        return
    async with serve_setup(setup, port=port) as address:
        say(f"open {address} in a browser on this machine; Ctrl-C ends it")
        if browser and _has_screen():
            import webbrowser

            await asyncio.to_thread(webbrowser.open, address)
        else:
            number = address.rstrip("/").rpartition(":")[2]
            say(f"  from another machine: ssh -L {number}:127.0.0.1:{number} THIS-MACHINE, then open it there")
        await setup.follow(pause=lambda: asyncio.sleep(3), wait_for_installation=wait)


def _has_screen() -> bool:
    import os
    import sys

    return sys.stdout.isatty() and (
        sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    )


def _tell_next(place: "GitHubPlace", folder: "Path", *, webhook: bool) -> None:
    from coderun.app.github_setup import config_lines

    say(f"\nevery agent has its App; keys are in {safe(folder)}. In coderun.yaml:")
    for line in config_lines(place, webhook=webhook):
        say(f"  {line}")
    say("then `coderun github check` looks at it all")


@app.command("check", short_help="Look at everything on GitHub that a play needs.")
def check(
    agent: AgentOption = None,
    ping: Annotated[bool, typer.Option("--ping/--no-ping", help="Send a signed ping to the webhook's address.")] = True,
    url: UrlOption = "",
    repository: RepositoryOption = "",
    output: OutputOption = Output.TABLE,
    repo: RepoOption = "",
) -> None:
    """Look at everything on GitHub that a play needs, and say what to click where it is not right.

    Keys, logins, permissions, installations, webhook and its last deliveries, the repository, rules that would stop a push or a
    merge. Exit code 0: nothing stands in the way; 1: something does; 5: GitHub does not answer.

    Examples:
        coderun github check
        coderun github check --agent rex --no-ping
        coderun github check -o json
    """
    from coderun.app.github_check import has_errors
    from coderun.cli.doctor import print_findings

    findings = run_async(_check(agent or (), url=url, repository=repository, repo=repo, ping=ping))
    if output is Output.TABLE:
        print_findings(findings)
    elif output is Output.NAME:
        for finding in findings:
            say(safe(finding.name))
    else:
        say(to_text({"checks": findings}, output))
    if has_errors(findings):
        raise typer.Exit(Exit.FAILED)


async def _check(agents: "Sequence[str]", *, url: str, repository: str, repo: str, ping: bool) -> "list[Finding]":
    import os
    from pathlib import Path

    from coderun.app.github_check import check as look
    from coderun.app.github_desk import open_desk
    from coderun.app.github_keys import read_credentials
    from coderun.app.local import now
    from coderun.app.logs import log_nothing
    from coderun.app.places import find_repository

    configuration, place, _ = _look_around(repo, url, repository)
    named = configuration.config.forge.token_file
    token_file = find_repository(folder_of(repo), environ=os.environ) / named if named else None
    credentials = read_credentials(place.host, environ=os.environ, home=Path.home(), token_file=token_file)
    log_nothing()
    async with open_desk(place, clock=now, environ=os.environ) as desk:
        base = configuration.config.base_branch
        return await look(configuration, credentials, desk, base=base, ping=ping, only=agents, now=now)


@app.command("secrets", short_help="Print the Apps' keys as Secrets for a cluster.")
def secrets(
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the Secrets.", metavar="NAMESPACE")] = "",
    url: UrlOption = "",
    repository: RepositoryOption = "",
    repo: RepoOption = "",
) -> None:
    """Print the keys of this machine's Apps as Kubernetes Secrets, for `kubectl apply -f -`.

    What the chart has to be told goes to standard error. Nothing is printed to a terminal: the keys would stay in its memory.

    Examples:
        coderun github secrets --namespace coderun | kubectl apply -f -
    """
    import os
    import sys
    from pathlib import Path

    from coderun.app.github_keys import read_credentials
    from coderun.app.github_secrets import chart_values, secret_manifests
    from coderun.model.errors import ConfigError
    from coderun.model.yaml import dump

    _, place, _ = _look_around(repo, url, repository)
    credentials = read_credentials(place.host, environ=os.environ, home=Path.home())
    manifests = secret_manifests(credentials, namespace=namespace)
    if sys.stdout.isatty():
        raise ConfigError(
            "private keys are not printed to a terminal; pipe them: "
            "`coderun github secrets --namespace coderun | kubectl apply -f -`"
        )
    for manifest in manifests:
        say(f"---\n{dump(manifest).rstrip()}")
    say("# for the chart's values:\n" + dump(chart_values(credentials)).rstrip(), err=True)
