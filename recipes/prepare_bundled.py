"""Turn the pairs that teacher vectors were computed for into training data.

    python recipes/prepare_bundled.py DISTILL_FOLDER train.jsonl.gz

DISTILL_FOLDER holds texts.jsonl.gz (one {"kind": "query" or "passage", "title", "text"} a line), pairs.npy (int32
[n, 3]: set, query row, passage row, rows counted within each kind) and sets.json (the names of the sets). One record a
line is written: question, title, text, set.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("distill", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    queries, passages = [], []
    with gzip.open(options.distill / "texts.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            (queries if record["kind"] == "query" else passages).append(record)
    names = json.loads((options.distill / "sets.json").read_text(encoding="utf-8"))
    with gzip.open(options.output, "wt", encoding="utf-8") as file:
        for number, query, passage in np.load(options.distill / "pairs.npy").tolist():
            record = {"question": queries[query]["text"], **passages[passage], "set": names[number]}
            del record["kind"]
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
