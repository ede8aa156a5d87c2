"""A peer's process: reads one call a line as JSON from stdin, does it alone, answers with one line on stdout.

    python worker.py MODULE CORES

MODULE is one of the modules in workers/, whose class Worker has a method for each call. Between two calls the process
waits for its input and leaves the processor to the others. What libraries print goes to stderr.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def main() -> None:
    module, cores = sys.argv[1], int(sys.argv[2])
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    sys.path.append(str(REPOSITORY))
    worker = None
    for line in sys.stdin:
        call = json.loads(line)
        try:
            # Importing a framework can fail too, and the answer says so.
            worker = worker or importlib.import_module(f"workers.{module}").Worker(cores)
            answer = {"answer": getattr(worker, call["method"])(**call["arguments"])}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
