"""Encode a stream of passages in a fresh process, and print what it cost as JSON.

    python stream.py MODEL TEXTS PASSAGES

The stream repeats the passages of the file; it is a generator, so that the passages take no memory.
"""

from __future__ import annotations

import itertools
import json
import resource
import sys
import time

from workers.inputs import read_texts

from dpr_tiny_retriever import DualEncoder


def main() -> None:
    model, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    passages, _ = read_texts(path)
    pair = DualEncoder.from_pretrained(model)
    pair.warm_up()
    lengths = pair.passage_encoder.tokenizer.tokenize(passages, pair.passage_encoder.max_length).lengths
    rounds, rest = divmod(count, len(passages))
    before = peak_bytes()
    begin = time.perf_counter()
    encoded = sum(len(block) for block in pair.stream_passages(itertools.islice(itertools.cycle(passages), count)))
    seconds = time.perf_counter() - begin
    assert encoded == count
    record = {
        "passages": count,
        "tokens": int(rounds * lengths.sum() + lengths[:rest].sum()),
        "seconds": seconds,
        "bytes before": before,
        "peak bytes": peak_bytes(),
    }
    print(json.dumps(record))


def peak_bytes() -> int:
    """Return the peak memory of this process; Linux reports KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
