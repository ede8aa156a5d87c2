"""Makes the attempts of one part, one after the other, and reports each as a line of JSON on standard output.

Started by run.py, which notices where an attempt ends this process or does not end.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

#: The most memory that an attempt may take, beyond what libraries map without using it.
MAX_MEMORY = 8 << 30


def attempts(part: str, root: Path, first: int, *, stop: float) -> Iterator[dict[str, object]]:
    """Make attempts with the seeds from first on until the moment stop; the folder of one that fails is kept."""
    attempt = importlib.import_module(f"campaign.{part}").attempt
    seed = first
    while time.time() < stop or seed == first:
        folder = root / f"{part}-{seed}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        yield {"begin": seed}
        try:
            counts = attempt(seed, folder)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            yield {"seed": seed, "failed": "".join(traceback.format_exception(error))[-4000:]}
        else:
            yield {"seed": seed, "counts": counts}
            shutil.rmtree(folder, ignore_errors=True)
        seed += 1


def main() -> None:
    part, root, first, stop = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # What an attempt prints is not a report.
    reports = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in attempts(part, root, first, stop=stop):
        print(json.dumps(line), file=reports, flush=True)


if __name__ == "__main__":
    main()
