"""How fast templates compile and render, beside npm handlebars and the engines of PyPI.

All measure the same script template and the same context in the same run. The engines of PyPI are installed into a throw-away
virtual environment below the user's cache; one that cannot be installed is a line of the table that says so.
"""

import json
import os
import re
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "src")]

from benchmarks.table import Row  # noqa: E402 - found through the line above
from tests.differential.reference import UnavailableError, installed  # noqa: E402 - as above

from coderun.handlebars import Limits, Template  # noqa: E402 - found through the line above

COMPILE_LIMIT_MS = 60.0
RENDER_LIMIT_MS = 1.0
NODE_FACTOR = 5.0
DOTPROMPTZ_FACTOR = 20.0
ENGINES = ("dotpromptz-handlebars", "pydantic-handlebars", "pybars3")
PART = """\
#!/usr/bin/env bash
# {{service}}: part {{@root.task_id}}
set -euo pipefail
export TASK_ID={{task_id}}
export REPOSITORY="{{repository.url}}"
log() {
  printf '%s %s\\n' "$(date -u +%FT%TZ)" "$*" >&2
}
{{#if continue_session}}
log "continuing the session of {{service}}"
{{else if (eq github_app "5DLabs-Cleo")}}
log "reviewing as {{github_app}}"
{{else}}
log "starting with {{model}}"
{{/if}}
{{! the settings are JSON }}
cat > settings.json <<'JSON'
{
  "model": "{{model}}",
  "branch": "{{docs.branch}}",
  "env": { "HOME": "${HOME:-/home/agent}" }
}
JSON
{{#unless overwrite_memory}}
cp --no-clobber memory.md "{{working_directory}}/"
{{/unless}}
{{#each tools as |tool|}}
run --tool {{tool.name}} --index {{@index}}{{#unless @last}} --more{{/unless}}
{{/each}}
{{#with repository}}
git clone --branch {{branch}} -- {{url}} work
{{/with}}
if [ -d work ]; then
  cd work
fi
log "{{service}} is ready"
exit 0
"""
LINES = 1_100
CONTEXT: dict[str, Any] = {
    "service": "cto",
    "task_id": 7,
    "repository": {"url": "https://example.org/a/b.git", "branch": "main"},
    "continue_session": False,
    "github_app": "5DLabs-Cleo",
    "model": "large",
    "docs": {"branch": "main"},
    "overwrite_memory": False,
    "working_directory": "services/cto",
    "tools": [{"name": "search"}, {"name": "fetch"}, {"name": "shell"}],
}
NODE = """
const Handlebars = require("handlebars");
const { template, context, rounds } = JSON.parse(require("fs").readFileSync(0, "utf8"));
Handlebars.Utils.escapeExpression = (value) => (value === null || value === undefined ? "" : String(value));
Handlebars.registerHelper("eq", (a, b) => a === b);
const best = (count, work) => {
  let least = Infinity;
  for (let round = 0; round < count; round++) {
    const start = process.hrtime.bigint();
    work();
    least = Math.min(least, Number(process.hrtime.bigint() - start) / 1e6);
  }
  return least;
};
const compile = best(10, () => Handlebars.compile(template)(context));
const spec = Handlebars.precompile(template);
const ready = Handlebars.template(eval(`(${spec})`));
const first = best(1, () => ready(context));
const render = best(rounds, () => ready(context));
console.log(JSON.stringify({ compile, first, render, text: ready(context) }));
"""


class Engine(NamedTuple):
    """One engine: milliseconds, and a remark where there is no number."""

    engine: str
    compile_ms: float | None
    render_ms: float | None
    remark: str = ""


def script_template() -> str:
    """The template everything is measured with: 1,100 lines or a few more."""
    return PART * -(-LINES // PART.count("\n"))


def best(count: int, work: Callable[[], object]) -> float:
    """The least of `count` measurements, in milliseconds."""
    least = float("inf")
    for _ in range(count):
        start = time.perf_counter()
        work()
        least = min(least, time.perf_counter() - start)
    return least * 1000


def our_row(template: str) -> Engine:
    """This project's engine."""
    compile_ms = best(10, lambda: Template(template))
    ready = Template(template)
    return Engine("coderun.handlebars", compile_ms, best(200, lambda: ready.render(CONTEXT)))


def node_row(template: str) -> Engine:
    """npm handlebars: compile includes the first rendering, since it compiles when it is first called."""
    try:
        folder = installed()
    except UnavailableError as error:
        return Engine("npm handlebars", None, None, f"not measured: {error}")
    answer = _node(folder, template)
    if answer["text"] != Template(template).render(CONTEXT):
        return Engine("npm handlebars", None, None, "renders another text")
    return Engine(
        "npm handlebars, precompiled", answer["compile"], answer["render"], f"first rendering {answer['first']:.2f} ms"
    )


def _node(folder: Path, template: str) -> dict[str, Any]:
    done = subprocess.run(
        ["node", "-e", NODE],
        input=json.dumps({"template": template, "context": CONTEXT, "rounds": 200}),
        env={**os.environ, "NODE_PATH": str(folder / "node_modules")},
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def other_row(engine: str, template: str) -> Engine:
    """An engine of PyPI, in a virtual environment of its own."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coderun" / "bench"
    python, done_file = cache / engine / "bin" / "python", cache / engine / "complete"
    try:
        if not done_file.exists():
            venv.create(cache / engine, with_pip=True)
            install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", engine]
            subprocess.run(install, check=True, capture_output=True, text=True, timeout=120)
            done_file.touch()
        request = json.dumps({"template": template, "context": CONTEXT})
        done = subprocess.run(
            [str(python), str(Path(__file__).with_name("handlebars_engines.py")), engine],
            input=request,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip().splitlines()
        return Engine(engine, None, None, f"not measured: {said[-1] if said else error}")
    except (OSError, subprocess.TimeoutExpired) as error:
        return Engine(engine, None, None, f"not measured: {error}")
    answer = json.loads(done.stdout)
    same = answer["text"] == Template(template).render(CONTEXT)
    return Engine(engine, answer["compile"], answer["render"], "" if same else "renders another text")


def scaling_rows() -> list[Engine]:
    """Compile time against the number of tags, which should grow no faster than they do."""
    found = []
    tags = len(re.findall("{{", PART))
    for count in (250, 1_000, 4_000, 8_000):
        made = partial(Template, PART * (count // tags), limits=Limits(tags=10 * count))
        found.append(Engine(f"coderun.handlebars, {count} tags", best(3, made), None))
    return found


def engines(*, others: bool = True) -> list[Engine]:
    """All measurements."""
    template = script_template()
    found = [our_row(template), node_row(template)]
    if others:
        found += [other_row(engine, template) for engine in ENGINES]
    return found + scaling_rows()


def rows() -> list[Row]:
    """What is promised, for the table of all benchmarks."""
    ours, node, *rest = engines()
    assert ours.compile_ms is not None
    assert ours.render_ms is not None
    found = [
        Row("template of 1,100 lines: compile", ours.compile_ms, "ms", f"≤ {COMPILE_LIMIT_MS:g}"),
        Row("template of 1,100 lines: render", ours.render_ms, "ms", f"≤ {RENDER_LIMIT_MS:g}"),
    ]
    if node.render_ms:
        shown = f"{node.engine} {node.render_ms:.2f} ms"
        found.append(Row("… ours / npm handlebars", ours.render_ms / node.render_ms, "×", f"≤ {NODE_FACTOR:g}", shown))
    for other in rest:
        if other.engine in ENGINES and other.render_ms:
            least = DOTPROMPTZ_FACTOR if other.engine.startswith("dotpromptz") else 1
            shown = f"{other.render_ms:.2f} ms"
            found.append(Row(f"… {other.engine} / ours", other.render_ms / ours.render_ms, "×", f"≥ {least:g}", shown))
    for other in (node, *rest):
        if other.remark.startswith("not measured"):
            print(f"{other.engine}: {other.remark}", file=sys.stderr)
    return found


def failures(measured: list[Engine]) -> list[str]:
    """The promises that do not hold, as sentences."""
    ours, node = measured[0], measured[1]
    assert ours.compile_ms is not None
    assert ours.render_ms is not None
    found = []
    if ours.compile_ms > COMPILE_LIMIT_MS:
        found.append(f"compiling takes {ours.compile_ms:.1f} ms, more than {COMPILE_LIMIT_MS:g}")
    if ours.render_ms > RENDER_LIMIT_MS:
        found.append(f"rendering takes {ours.render_ms:.2f} ms, more than {RENDER_LIMIT_MS:g}")
    if node.render_ms and ours.render_ms > NODE_FACTOR * node.render_ms:
        found.append(
            f"rendering takes {ours.render_ms / node.render_ms:.1f} times as long as npm handlebars, more than {NODE_FACTOR:g}"
        )
    for other in measured[2:]:
        least = DOTPROMPTZ_FACTOR if other.engine.startswith("dotpromptz") else 1
        if other.render_ms and other.render_ms < least * ours.render_ms:
            found.append(f"rendering is not {least:g} times as fast as {other.engine}")
    return found


def main() -> int:
    """Prints the table; 1 where a promise does not hold."""
    template = script_template()
    lines, tags = template.count("\n"), len(re.findall("{{", template))
    print(f"a script template of {lines} lines, {tags} tags, {len(template) / 1000:.1f} KB; least of several runs\n")
    print(f"{'engine':<38}{'compile ms':>12}{'render ms':>12}  remark")
    measured = engines(others="--fast" not in sys.argv)
    for row in measured:
        times = [f"{value:.2f}" if value is not None else "–" for value in (row.compile_ms, row.render_ms)]
        print(f"{row.engine:<38}{times[0]:>12}{times[1]:>12}  {row.remark}")
    for sentence in failures(measured):
        print(f"FAILED: {sentence}")
    return bool(failures(measured))


if __name__ == "__main__":
    sys.exit(main())
