"""A controller that prepares and starts one job; killed on the way as `DIE_AT` says. Arguments: state folder, job."""

import asyncio
import sys
from pathlib import Path

from tests.contracts.runtime_contract import plan
from tests.fakes import dying
from tests.integration.runtime.conftest import ARGV, ENVIRONMENT

from coderun.runtime.process import ProcessRuntime


async def control(state: Path, job: str) -> None:
    runtime = ProcessRuntime(state, argv=ARGV, environment=ENVIRONMENT)
    await runtime.prepare(plan(job))
    await runtime.start(plan(job))
    await runtime.close()


if __name__ == "__main__":
    dying.arm()
    asyncio.run(control(Path(sys.argv[1]), sys.argv[2]))
