"""A stand-in for Claude Code in the scenarios of the pages: the example agent of docs/agents.md, with the CLI's last words.

That example lies beside this program as `agent.py`; while a file `hold` lies there too, the quality agent waits.
"""

import json
import os
import pathlib
import runpy
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
HOLD_SECONDS = 300.0


def say(**event: object) -> None:
    print(json.dumps(event), flush=True)


def main() -> None:
    if "--version" in sys.argv:
        print("2.1.330 (Claude Code)")
        return
    session = "11111111-1111-4111-8111-111111111111"
    say(type="system", subtype="init", session_id=session, model="stand-in", mcp_servers=[])
    end = time.monotonic() + HOLD_SECONDS
    while os.environ["CODERUN_ROLE"] == "quality" and (HERE / "hold").exists() and time.monotonic() < end:
        time.sleep(0.05)
    try:
        runpy.run_path(str(HERE / "agent.py"), run_name="__main__")
    except SystemExit as ended:
        if ended.code:
            raise
    done = {"subtype": "success", "is_error": False, "result": "done", "num_turns": 1, "session_id": session}
    say(type="result", total_cost_usd=0.01, usage={}, permission_denials=[], **done)


if __name__ == "__main__":
    main()
