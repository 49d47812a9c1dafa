"""Random bytes and mutated templates: nothing but `TemplateError`, no hang, no memory without bound.

`CODERUN_FUZZ_SECONDS` makes it longer, `CODERUN_FUZZ_SEED` repeats a run.
"""

import os
import random
import time
import tracemalloc
from typing import Any

import pytest

from coderun.handlebars import Limits, Template, TemplateError

SECONDS = float(os.environ.get("CODERUN_FUZZ_SECONDS", "3"))
SEED = int(os.environ.get("CODERUN_FUZZ_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
MAX_BYTES = 256 << 20
pytestmark = pytest.mark.timeout(2 * SECONDS + 120)
SEEDS = (
    "{{#each l as |x i|}}\n  {{x.name}} {{@index}} {{../a}}{{#unless @last}},{{/unless}}\n{{else}}none{{/each}}",
    "{{#if (and a (eq b 'x'))}}1{{else if c}}2{{else}}3{{/if}} {{~default s \"}}\"~}}",
    '{{#> layout k=1}}{{#*inline "i"}}{{a}}{{/inline}}{{> @partial-block}}{{/layout}}{{> p}} {{> (lookup . "n") o}}',
    "{{{{raw}}}} {{x}} {{{{/raw}}}} \\{{a}} \\\\{{b}} {{!-- c --}} {{! d }} {{{json o}}} {{&s}} ${{ github.ref }}",
    "{{#with o as |w|}}{{w.y}}{{this.[a b]}}{{@root.a}}{{../../a}}{{/with}}{{^l}}none{{/l}}{{#o}}{{y}}{{/o}}",
)
PARTIALS = {
    "p": "{{a}}{{#if l}}{{> q}}{{/if}}",
    "q": "  {{> i}}\n{{@index}}",
    "layout": "<{{> @partial-block}}{{> i}}>",
    "i": "{{#each l}}{{> p}}{{/each}}",
}
CONTEXT: dict[str, Any] = {
    "a": 1,
    "b": "x",
    "l": [1, {"name": "n"}, []],
    "o": {"y": None, "a b": 2.5},
    "s": "'\n",
    "n": "p",
    "c": False,
}
TOKENS = (
    "{{",
    "}}",
    "{{{",
    "}}}",
    "{{#",
    "{{/",
    "{{^",
    "{{else",
    "{{>",
    "{{!",
    "--",
    "~",
    "\\",
    "(",
    ")",
    "|",
    "as |",
    "=",
    '"',
    "'",
    "[",
    "]",
    "../",
    "@",
    ".",
    "/",
    "&",
    "*",
    "\0",
    "\n",
    "\r",
    "\ud800",
    "😀",
    "${{ ",
    "if",
    "each",
    "l",
    "0",
)


def random_text(chance: random.Random) -> str:
    kind = chance.random()
    if kind < 0.1:
        return bytes(chance.randrange(256) for _ in range(chance.randrange(200))).decode("utf-8", "surrogateescape")
    if kind < 0.3:
        return "".join(chance.choice(TOKENS) for _ in range(chance.randrange(60)))
    text = chance.choice(SEEDS)
    for _ in range(chance.randrange(1, 6)):
        text = mutated(text, chance)
    return text


def mutated(text: str, chance: random.Random) -> str:
    start = chance.randrange(len(text) + 1)
    end = min(len(text), start + chance.randrange(12))
    match chance.randrange(5):
        case 0:
            return text[:start] + text[end:]
        case 1:
            return text[:start] + chance.choice(TOKENS) + text[start:]
        case 2:
            return text[:start] + text[start:end] * chance.randrange(2, 5) + text[end:]
        case 3:
            return text[:end] + chance.choice(SEEDS) + text[end:]
        case _:
            return text[:start] + chr(chance.randrange(1, 0x2FF)) + text[end:]


def test_random_templates_raise_nothing_but_template_errors_in_bounded_time_and_memory() -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    limits = Limits(steps=20_000, output_chars=1 << 20)
    end, rendered = time.monotonic() + SECONDS, 0
    failures: dict[str, str] = {}
    tracemalloc.start()
    while time.monotonic() < end:
        text, strict, keep = random_text(chance), chance.random() < 0.5, chance.random() < 0.5
        start = time.thread_time()
        try:
            Template(text, partials=PARTIALS, strict=strict, limits=limits, keep_github_expressions=keep).render(CONTEXT)
            rendered += 1
        except TemplateError as error:
            failures[type(error).__name__] = str(error)
        assert time.thread_time() - start < 5, f"seed {SEED}: slow template {text!r}"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MAX_BYTES
    assert rendered
    assert failures.keys() == {"TemplateSyntaxError", "TemplateRenderError"}
    assert all(failures.values())
