"""`python -m coderun.agent`: how a runtime starts the supervisor of a run, without loading the command line."""

import os
import sys

from coderun.agent.main import main

if __name__ == "__main__":
    exit_code = main(sys.argv[1:])
    # The report is written: a thread that still hangs somewhere must not keep the locks of this run.
    os._exit(exit_code)
