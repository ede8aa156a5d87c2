"""Write a question encoder that `dpr-tiny train --query-side-only` has made as a small folder, its matrices in int8.

python recipes/small_question_encoder.py OUTPUT/query_encoder encoders/minilm-questions
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from dpr_tiny_retriever import Encoder
from dpr_tiny_retriever.training.weights import write_small_encoder


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("query_encoder", help="a folder; it stays as it is")
    parser.add_argument("folder", type=Path, help="where to write the small one")
    options = parser.parse_args(arguments)
    write_small_encoder(Encoder.from_pretrained(options.query_encoder, side="query"), options.folder)


if __name__ == "__main__":
    main()
