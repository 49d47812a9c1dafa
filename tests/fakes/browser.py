"""A browser for tests: reads pages, follows links and redirects, submits forms. It runs no scripts and keeps no cookies."""

from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import urljoin

import aiohttp
from yarl import URL


class Form(NamedTuple):
    action: str
    method: str
    fields: dict[str, str]


class Page(NamedTuple):
    """What a person would see, and what they could click on."""

    url: str
    status: int
    text: str
    forms: list[Form]
    links: list[str]
    headers: dict[str, str]
    source: str


class _Reader(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.scripts = 0
        self._url = url
        self._silent = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(urljoin(self._url, given.get("action", "")), given.get("method", "get").lower(), {}))
        elif tag == "input" and self.forms:
            self.forms[-1].fields[given["name"]] = given.get("value", "")
        elif tag == "a":
            self.links.append(urljoin(self._url, given["href"]))
        assert tag != "script", "the page has a script"
        assert not any(name.startswith("on") for name in given), f"the page has a script in {tag}"
        self._silent = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words.append(data)


class Browser:
    """One window."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def open(self, url: str, **headers: str) -> Page:
        async with self._session.get(URL(url, encoded=True), headers=headers) as answer:
            return await _page(answer)

    async def submit(self, form: Form) -> Page:
        """Submit a form as it stands and go where that leads."""
        assert form.method == "post"
        async with self._session.post(URL(form.action, encoded=True), data=form.fields) as answer:
            return await _page(answer)


async def _page(answer: aiohttp.ClientResponse) -> Page:
    source = await answer.text()
    reader = _Reader(str(answer.url))
    reader.feed(source)
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Page(
        str(answer.url), answer.status, " ".join("".join(reader.words).split()), reader.forms, reader.links, headers, source
    )
