"""The page of `coderun github setup`: one button an agent, which posts its manifest to GitHub, and the way back from there.

Served on the loopback interface alone, for as long as the command runs. It shows no secret, runs no script, and answers nobody
who calls it by another name than its own (a page elsewhere could have its name point here). It decides nothing: that is
`app.github_setup`.
"""

import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from html import escape
from typing import Final

import msgspec
import structlog
from aiohttp import web

from coderun.app.github_setup import Progress, Setup, Step, install_links
from coderun.forge.github.manifest import level_in_words, permission_in_words
from coderun.model.errors import CoderunError, ConfigError, NotFoundError, RefusedError, UnavailableError
from coderun.model.text import printable

LOOPBACK: Final = "127.0.0.1"
_REFRESH_SECONDS: Final = 3
_log = structlog.get_logger(__name__)

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
body { color: #1f2328; background: #fff }
section { border: 1px solid #d0d7de; border-radius: 6px; padding: .5rem 1rem; margin: 1rem 0 }
h2 { font-size: 1.1rem; margin: .25rem 0 }
ul { margin: .25rem 0; padding-left: 1.25rem; font-size: .875rem }
button, a.next { font: inherit; padding: .3rem .8rem; margin: .25rem 0; border: 0; border-radius: 6px; cursor: pointer }
button, a.next { background: #1f6feb; color: #fff; text-decoration: none; display: inline-block }
.trouble { color: #b42318 } .done { color: #1a7f37 } .quiet { color: #59636e }
"""


class SetupPage:
    """Serves one set-up. `port` is told once it is known (`bind`)."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._root = ""

    def bind(self, port: int) -> str:
        """Say at which port this is served; the address to open."""
        self._root = f"http://{LOOPBACK}:{port}"
        return f"{self._root}/"

    def application(self) -> web.Application:
        """The pages as an application."""
        application = web.Application(middlewares=[self._guard])
        application.router.add_get("/", self._index)
        application.router.add_get("/created/{agent}", self._created)
        return application

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Answers only to its own name, and lets no other page show or script it."""
        if f"http://{request.host}" != self._root:
            return web.Response(status=421, text="this page is for the person at this machine alone\n")
        response = await handler(request)
        response.headers["Cache-Control"] = "no-store"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["X-Frame-Options"] = "DENY"
        return response

    async def _index(self, _: web.Request) -> web.Response:
        await self._setup.look()
        return self._page(200)

    async def _created(self, request: web.Request) -> web.StreamResponse:
        agent = request.match_info["agent"]
        code, state = request.query.get("code", ""), request.query.get("state", "")
        try:
            await self._setup.receive(agent, code=code, state=state)
        except CoderunError as error:
            _log.warning("set-up step failed", agent=printable(agent, 60), error=str(error))
            return self._page(_status(error), str(error))
        raise web.HTTPSeeOther("/")

    def _page(self, status: int, trouble: str = "") -> web.Response:
        nonce = secrets.token_urlsafe(16)
        response = web.Response(status=status, text=self._html(nonce, trouble), content_type="text/html", charset="utf-8")
        policy = ("default-src 'none'", f"style-src 'nonce-{nonce}'", f"form-action 'self' {self._setup.place.host.web}")
        response.headers["Content-Security-Policy"] = "; ".join((*policy, "frame-ancestors 'none'", "base-uri 'none'"))
        return response

    def _html(self, nonce: str, trouble: str) -> str:
        setup = self._setup
        waits = setup.is_made and not setup.is_installed
        refresh = f'<meta http-equiv="refresh" content="{_REFRESH_SECONDS}">' if waits and not trouble else ""
        links = install_links(setup.place, setup.progress)
        parts = [self._section(one, links.get(one.wanted.agent.name, "")) for one in setup.progress]
        back = f'<p class="trouble" role="alert">{escape(trouble)} <a href="/">Back</a></p>' if trouble else ""
        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8">{refresh}<title>coderun on GitHub</title>'
            f'<meta name="viewport" content="width=device-width"><style nonce="{nonce}">{_STYLE}</style></head><body>'
            f"<h1>Agents for {escape(setup.place.slug)}</h1>{back}<p>{escape(_where_we_are(setup))}</p>{''.join(parts)}"
            f"</body></html>\n"
        )

    def _section(self, one: Progress, install: str) -> str:
        name = escape(one.wanted.agent.name)
        roles = escape(", ".join(one.wanted.roles))
        trouble = f'<p class="trouble">{escape(one.trouble)}</p>' if one.trouble else ""
        body = self._form(one) if one.step is Step.MISSING else _made(one, install)
        return f"<section><h2>{name} <span class=quiet>({roles})</span></h2>{trouble}{body}</section>"

    def _form(self, one: Progress) -> str:
        name = one.wanted.agent.name
        url, manifest = self._setup.manifest(name, redirect_url=f"{self._root}/created/{name}")
        reasons: dict[str, list[str]] = {}
        for need in one.wanted.needs:
            reasons.setdefault(need.name, []).append(need.why)
        rows = (
            f"<li><b>{escape(permission_in_words(key))}: {escape(level_in_words(level))}</b> "
            f"<span class=quiet>{escape('; '.join(dict.fromkeys(reasons[key])))}</span></li>"
            for key, level in one.wanted.order.permissions.items()
        )
        value = escape(msgspec.json.encode(manifest).decode())
        return (
            f"<p>App <b>{escape(one.wanted.order.name)}</b>; GitHub lets you change the name. It will hold:</p>"
            f"<ul>{''.join(rows)}</ul>"
            f'<form method="post" action="{escape(url)}"><input type="hidden" name="manifest" value="{value}">'
            f"<button>Create the App of {escape(name)} on GitHub</button></form>"
        )


def _made(one: Progress, install: str) -> str:
    keys = one.keys
    slug = escape(keys.slug or f"number {keys.app_id}") if keys is not None else ""
    if one.step is Step.INSTALLED:
        return f'<p class="done">App {slug} is made and installed.</p>'
    link = (
        f'<a class="next" href="{escape(install)}" target="_blank" rel="noopener noreferrer">Install it</a>' if install else ""
    )
    return f'<p class="done">App {slug} is made; its key is on this machine.</p>{link}'


def _where_we_are(setup: Setup) -> str:
    made = sum(one.step is not Step.MISSING for one in setup.progress)
    if setup.is_installed:
        return "All is done. You can close this page."
    if setup.is_made:
        return "Every App is made. Install each one on the repository; this page notices."
    return f"{made} of {len(setup.progress)} Apps are made. Each agent acts as an App of its own: create one after the other."


def _status(error: CoderunError) -> int:
    table: tuple[tuple[type[CoderunError], int], ...] = ((NotFoundError, 404), (RefusedError, 403), (UnavailableError, 503))
    return next((status for kind, status in table if isinstance(error, kind)), 500)


@contextlib.asynccontextmanager
async def serve_setup(setup: Setup, *, port: int = 0) -> AsyncIterator[str]:
    """Serve the pages on this machine; gives the address to open. A `port` of 0 takes a free one.

    Raises:
        ConfigError: the port is taken.
    """
    page = SetupPage(setup)
    runner = web.AppRunner(page.application(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, LOOPBACK, port).start()
        except OSError as error:
            raise ConfigError(
                f"port {port} of this machine cannot be used ({error.strerror}); name another with --port"
            ) from error
        yield page.bind(runner.addresses[0][1])
    finally:
        await runner.cleanup()
