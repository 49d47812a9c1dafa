"""Measures one engine of PyPI in the virtual environment it is installed in; `handlebars_bench.py` runs it there.

Takes the name of the engine, and template and context as JSON on standard input; prints milliseconds and the text as JSON.
"""

import json
import re
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

CHAIN = '{{else if (eq github_app "5DLabs-Cleo")}}'


def dotpromptz(template: str, context: Any) -> tuple[Callable[[], Any], Callable[[], str]]:
    engine = import_module("dotpromptz_handlebars")

    def make() -> Any:
        made = engine.Handlebars(escape_fn="no_escape")
        made.register_helper("eq", lambda arguments, _: arguments[0] == arguments[1])
        return made.compile(template)

    ready = make()
    return make, lambda: str(ready(context))


def pydantic(template: str, context: Any) -> tuple[Callable[[], Any], Callable[[], str]]:
    engine = import_module("pydantic_handlebars")

    def make() -> Any:
        made = engine.HandlebarsEnvironment(auto_escape=False)
        made.register_helper("eq", lambda *arguments, **_: arguments[0] == arguments[1])
        return made.compile(template)

    ready = make()
    return make, lambda: str(ready.render(context))


def pybars(template: str, context: Any) -> tuple[Callable[[], Any], Callable[[], str]]:
    engine = import_module("pybars")

    # It knows neither block parameters nor chains, and escapes unless told not to.
    text = template.replace(CHAIN, CHAIN.replace("else if", "else}}{{#if"))
    text = (
        text.replace('{{model}}"\n{{/if}}', '{{model}}"\n{{/if}}{{/if}}').replace(" as |tool|", "").replace("tool.name", "name")
    )
    text = re.sub(r"{{(?![#/!]|else)([^}]*)}}", r"{{{\1}}}", text).replace("@root.", "")

    def make() -> Any:
        return engine.Compiler().compile(text)

    ready = make()
    return make, lambda: str(ready(context, helpers={"eq": lambda _, left, right: left == right}))


ENGINES = {"dotpromptz-handlebars": dotpromptz, "pydantic-handlebars": pydantic, "pybars3": pybars}


def best(count: int, work: Callable[[], object]) -> float:
    least = float("inf")
    for _ in range(count):
        start = time.perf_counter()
        work()
        least = min(least, time.perf_counter() - start)
    return least * 1000


if __name__ == "__main__":
    request = json.load(sys.stdin)
    compiled, rendered = ENGINES[sys.argv[1]](request["template"], request["context"])
    print(json.dumps({"compile": best(2, compiled), "render": best(20, rendered), "text": rendered()}))
