"""A supervisor whose work is one program, named in the order: stands in for `python -m coderun.agent` in the runtime's tests.

The program works in the workspace and finds there `ran`, with a line for each time the work of a job was begun. Special
programs: `raise` fails with the run's token in its words, `block` hangs the loop in a program, `stubborn` ignores being
cancelled, `saves` takes a moment to save its work when asked to stop, `full` finds the disk full from then on.
"""

import asyncio
import os
import resource
import subprocess
import sys

from tests.fakes import dying

from coderun.agent.main import main
from coderun.agent.program import ProgramEnd
from coderun.agent.stop import StopSignal
from coderun.agent.supervisor import Places, Programs
from coderun.model.coderun import RunOutcome, RunPhase, RunReport
from coderun.plan.order import RunOrder


async def perform(order: RunOrder, places: Places, programs: Programs, stop: StopSignal) -> RunReport:
    with (places.workspace / "ran").open("a", encoding="utf-8") as ran:
        ran.write(f"{order.job}\n")
    argv = list(order.cli.settings["command"])
    if argv[0] == "raise":
        message = f"the forge said no to {places.token.read_text('utf-8')}"
        raise RuntimeError(message)
    if argv[0] == "block":
        subprocess.run(argv[1:], check=False)  # noqa: ASYNC221 - blocking the loop is what is tested
        return RunReport(phase=RunPhase.SUCCEEDED)
    if argv[0] == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        return RunReport(phase=RunPhase.SUCCEEDED)
    if argv[0] == "saves":
        programs.log.line("begun")
        await stop.wait()
        await asyncio.sleep(1.0)
        (places.workspace / "saved").write_text(stop.reason, encoding="utf-8")
        return RunReport(phase=RunPhase.SUCCEEDED, head_sha="abc123")
    while argv[0] == "stubborn":
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue
    end = await programs.run(
        argv,
        cwd=places.workspace,
        env={"PATH": "/usr/bin:/bin", "HOME": str(places.home), "TMPDIR": str(places.tmp), **order.env},
        on_line=lambda stream, line: programs.log.line(line.decode("utf-8", "replace")),
        stop=stop,
        grace=order.limits.grace,
    )
    return _report(end)


def _report(end: ProgramEnd) -> RunReport:
    phase = RunPhase.SUCCEEDED if end.succeeded else RunPhase.FAILED
    reason = "Completed" if end.succeeded else "AgentFailed"
    outcome = RunOutcome(exit_code=end.exit_code, is_error=not end.succeeded, terminal_reason=reason, summary=end.message)
    return RunReport(phase=phase, outcome=outcome, session_id="session-1")


if __name__ == "__main__":
    dying.arm()
    code = main(sys.argv[1:], perform=perform)
    sys.stdout.flush()
    os._exit(code)
