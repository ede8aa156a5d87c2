"""The command `dpr-tiny mine`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dpr_tiny_retriever.commands.console import say
from dpr_tiny_retriever.types import BackendName


def mine(
    data: Annotated[list[Path], typer.Argument(help="Questions and passages: DPR JSON, JSON lines or BEIR.")],
    output: Annotated[Path, typer.Option(help="The DPR JSON file to write; .gz is gzip'd.")],
    corpus: Annotated[
        list[Path] | None,
        typer.Option(help="Passages to mine: BEIR corpus.jsonl or psgs.tsv. Without it, all passages of the data."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Mine with this pair ('bundled': the bundled one); without it with BM25.")
    ] = None,
    first_rank: Annotated[int, typer.Option(help="The first rank taken, from 1; positives have none.")] = 1,
    last_rank: Annotated[int, typer.Option(help="The last rank taken.")] = 100,
    count: Annotated[int, typer.Option(help="Hard negatives for a question.")] = 7,
    margin: Annotated[
        float | None, typer.Option(help="Take only what scores at least so much below the positive.")
    ] = None,
    exclude_answers: Annotated[bool, typer.Option(help="Leave out passages that hold an answer.")] = True,
    keep: Annotated[bool, typer.Option(help="Keep the hard negatives that the data has.")] = False,
    split: Annotated[str, typer.Option(help="Which qrels of a BEIR folder.")] = "train",
    backend: Annotated[BackendName, typer.Option(help="What runs the model.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="Threads of the model (as many as there are processors).")] = None,
) -> None:
    """Find hard negatives for questions, and write them as DPR JSON."""
    from dpr_tiny_retriever import DualEncoder
    from dpr_tiny_retriever.data.examples import read_examples, write_examples
    from dpr_tiny_retriever.data.skipped_records import SkippedRecords
    from dpr_tiny_retriever.retrieval.hard_negatives import Mining, mine_bm25, mine_dense, read_corpus

    skipped = SkippedRecords()
    mining = Mining((first_rank, last_rank), count, margin, exclude_answers, keep)
    examples = [example for path in data for example in read_examples(path, split=split, skipped=skipped)]
    passages = (
        read_corpus(corpus, skipped=skipped)
        if corpus
        else [p for example in examples for p in (*example.positives, *example.hard_negatives)]
    )
    if model is None:
        mined = mine_bm25(examples, passages, mining)
    else:
        pair = DualEncoder.from_pretrained(model, backend=backend, threads=threads)
        mined = mine_dense(examples, passages, pair, mining)
    written = write_examples(output, mined)
    say(f"{output}: {written} questions, {skipped.count} records skipped")
