"""Commands on a machine that reaches GitHub by a proxy alone, whose server has a certificate of the company."""

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.fakes.proxy import Proxy, tunnelling

from coderun.agent.access import git_variables
from coderun.plan.order import GITHUB, ForgeRef

pytestmark = pytest.mark.slow
HOST = "ghes.company.test"  # a name that nothing but the proxy knows
PASSWORD = "me:p%40ssword-of-the-proxy"
REFS = "application/x-git-upload-pack-advertisement"
TOKEN = "ghp_of_a_person"


class Company:
    """A GitHub Enterprise Server behind TLS, and the one way to it."""

    def __init__(self, folder: Path, ca: Path, proxy: Proxy, seen: list[tuple[str, str]]) -> None:
        self.folder = folder
        self.proxy = proxy
        self.seen = seen
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder / "home"), "GH_ENTERPRISE_TOKEN": TOKEN}
        self.way = {
            "HTTPS_PROXY": f"{PASSWORD}@127.0.0.1:{proxy.port}",
            "SSL_CERT_FILE": str(ca),
        }

    async def run(self, *words: str, **environment: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *words, cwd=self.folder, env={**self.environment, **environment}, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await process.communicate()
        return process.returncode or 0, out.decode()

    async def check(self, **environment: str) -> tuple[int, str]:
        words = ("github", "check", "--url", f"https://{HOST}", "--repository", "acme/shop")
        return await self.run(sys.executable, "-m", "coderun.cli.main", *words, **environment)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificate of the company's server, which signs itself, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    named = ("-subj", "/CN=company", "-addext", f"subjectAltName=DNS:{HOST}", "-keyout", "key.pem", "-out", "ca.pem")
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *named]
    subprocess.run(made, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
async def company(tmp_path: Path, certificate: Path) -> AsyncIterator[Company]:
    seen: list[tuple[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.path, request.headers.get("Authorization", "")))
        if request.path == "/api/v3/user":
            return web.json_response({"login": "ada", "id": 5})
        if request.path.endswith("/info/refs"):
            return web.Response(body=b"001e# service=git-upload-pack\n00000000", content_type=REFS)
        return web.json_response({"message": "Not Found"}, status=404)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    server = TestServer(app)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "ca.pem", certificate / "key.pem")
    await server.start_server(ssl=context)
    assert server.port is not None
    async with tunnelling(server.port, password="me:p@ssword-of-the-proxy") as proxy:
        made = Company(tmp_path, certificate / "ca.pem", proxy, seen)
        assert (await made.run("git", "init", "--quiet", "--initial-branch=main"))[0] == 0
        yield made
    await server.close()


async def test_github_is_reached_by_the_proxy_and_the_certificate_that_the_environment_names(company: Company) -> None:
    code, said = await company.check(**company.way)
    assert code == 1, said  # the repository is not there: but somebody said so
    assert ("/api/v3/user", f"Bearer {TOKEN}") in company.seen
    assert set(company.proxy.asked) == {f"CONNECT {HOST}:443"}
    assert "ada" in said


async def test_a_proxy_that_refuses_is_named_without_its_password(company: Company) -> None:
    company.proxy.asked.clear()
    code, said = await company.check(**{**company.way, "HTTPS_PROXY": f"http://me:another-word@127.0.0.1:{company.proxy.port}"})
    assert code == 5, said
    assert f"the proxy 127.0.0.1:{company.proxy.port} refuses the way there with 407 Who are you" in said
    assert "another-word" not in said
    assert company.seen == []


async def test_a_proxy_that_is_away_and_a_certificate_that_is_not_known_are_said(company: Company) -> None:
    away = await company.check(**{**company.way, "HTTPS_PROXY": "127.0.0.1:9"})
    assert (away[0], "(by the proxy 127.0.0.1:9)" in away[1]) == (5, True), away
    unknown = await company.check(HTTPS_PROXY=company.way["HTTPS_PROXY"])
    assert (unknown[0], "certificate" in unknown[1].lower()) == (5, True), unknown
    odd = await company.check(HTTPS_PROXY="socks5://127.0.0.1:1080")
    assert odd[0] == 2, odd
    assert "$HTTPS_PROXY names no HTTP proxy; write http://host:port, or unset it" in odd[1]


async def test_what_no_proxy_names_is_reached_without_one(company: Company) -> None:
    code, said = await company.check(**company.way, NO_PROXY="other.test, .company.test")
    assert code == 5, said  # nobody knows the name without the proxy
    assert company.proxy.asked == []


async def test_git_of_a_run_takes_the_same_way(company: Company) -> None:
    forge = ForgeRef(kind=GITHUB, location=f"https://{HOST}/api/v3", repository="", web=f"https://{HOST}")
    code, said = await company.run("git", "ls-remote", f"https://{HOST}/acme/shop.git", **git_variables(forge, company.way))
    assert code == 0, said
    assert set(company.proxy.asked) == {f"CONNECT {HOST}:443"}
    assert [path for path, _ in company.seen] == ["/acme/shop.git/info/refs"]
