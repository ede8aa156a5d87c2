"""A peer's process: reads one call a line as JSON from stdin, executes it, answers with one line on stdout.

    python worker.py MODULE CORES OPTIONS

MODULE is one of the modules in workers/. Its class Worker is made with CORES and the JSON object OPTIONS, and has a
method for each call. Between two calls the process waits for input and leaves the processor to the other peers. What
libraries print goes to stderr.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def main() -> None:
    module, cores, options = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    sys.path.append(str(REPOSITORY))
    worker = None
    for line in sys.stdin:
        call = json.loads(line)
        try:
            # Inside try: importing a framework can fail too.
            worker = worker or importlib.import_module(f"workers.{module}").Worker(cores, **options)
            answer = {"answer": getattr(worker, call["method"])(**call["arguments"])}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
