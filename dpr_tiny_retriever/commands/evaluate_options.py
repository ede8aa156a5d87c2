"""The options of `dpr-tiny evaluate`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from dpr_tiny_retriever import types


class Baseline(str, Enum):
    """What models are compared with."""

    BM25 = "bm25"
    FUSION = "fusion"
    BLEND = "blend"
    NONE = "none"


# The data

Data: TypeAlias = Annotated[
    Path, typer.Option(help="A DPR JSON file, a BEIR folder, or a file of passages (with --questions); plain or .gz.")
]
Protocol: TypeAlias = Annotated[
    types.DatasetProtocol | None,
    typer.Option(help="How to read and judge the data; without it, by its form."),
]
Questions: TypeAlias = Annotated[
    Path | None, typer.Option(help="Questions and their answers, for the protocol answers.")
]
Distractors: TypeAlias = Annotated[
    list[Path] | None, typer.Option(help="A file of passages to add to the corpus. May be repeated.")
]
Split: TypeAlias = Annotated[str, typer.Option(help="Which qrels of a BEIR folder.")]
HardNegatives: TypeAlias = Annotated[int, typer.Option(help="Hard negatives of each question, for dpr-dev.")]
LimitPassages: TypeAlias = Annotated[
    int | None, typer.Option(help="Read only this many passages, for beir and answers.")
]
IgnoreIdenticalIds: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--ignore-identical-ids",
        help="Leave a passage with a query's own id out of its results (Quora, ArguAna), for beir.",
    ),
]

# What is compared

Models: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        help="A preset, folder or hub id; QUERY_MODEL,PASSAGE_MODEL for two; LABEL=MODEL names it in the table. "
        "Without it the bundled pair, unless the only baseline is bm25. May be repeated."
    ),
]
Baselines: TypeAlias = Annotated[
    list[Baseline] | None,
    typer.Option(
        help="bm25; blend: BM25, and each model blended with it as `dpr-tiny search` ranks; fusion: the same by "
        "reciprocal rank; none. May be repeated; without it, blend.",
        case_sensitive=False,
    ),
]
Similarity: TypeAlias = Annotated[
    types.Metric | None,
    typer.Option(
        help="How a model's own ranking compares vectors; without it by l2 for dpr-dev, otherwise as the model was "
        "trained. A blend always compares them so."
    ),
]
Index: TypeAlias = Annotated[
    types.IndexKind, typer.Option(help="How neighbours are searched; hnsw and ivf report their recall against exact.")
]
Ks: TypeAlias = Annotated[list[int] | None, typer.Option(help="A k of hit@k and recall@k. May be repeated.")]

# How models encode

Cache: TypeAlias = Annotated[
    Path | None, typer.Option(help="Folder of cached embeddings; without it, the user's cache.")
]
NoCache: TypeAlias = Annotated[bool, typer.Option("--no-cache", help="Neither read nor keep embeddings.")]
BatchSize: TypeAlias = Annotated[int | None, typer.Option(help="At most this many texts in one batch of the encoder.")]
MaxQueryLength: TypeAlias = Annotated[
    int | None, typer.Option(help="Maximum tokens of a query; without it, the model's.")
]
MaxPassageLength: TypeAlias = Annotated[
    int | None, typer.Option(help="Maximum tokens of a passage; without it, the model's.")
]
Precision: TypeAlias = Annotated[
    types.Precision, typer.Option(help="bfloat16 is faster on processors that have it; the report shows what it costs.")
]

# What is written

Output: TypeAlias = Annotated[
    Path | None, typer.Option(help="A folder for results.json, results.md, hits.png and hits.svg.")
]
RunFiles: TypeAlias = Annotated[
    bool, typer.Option("--run-files", help="Also write TREC run files into the output folder.")
]
Card: TypeAlias = Annotated[
    Path | None, typer.Option(help="Write the model's figures into this README (or a folder's) as model-index.")
]
Failures: TypeAlias = Annotated[
    int, typer.Option(min=0, help="Show this many of the worst queries, with what was found instead.")
]
