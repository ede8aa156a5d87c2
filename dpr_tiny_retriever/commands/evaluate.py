"""The command `dpr-tiny evaluate`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpr_tiny_retriever.cache_folders import user_cache

if TYPE_CHECKING:
    from dpr_tiny_retriever import DualEncoder
    from dpr_tiny_retriever.evaluation import Evaluation

_BUNDLED = "bundled"


def evaluate(
    data: Annotated[
        Path,
        typer.Option(help="A DPR JSON file, a BEIR folder, or a file of passages (with --questions); plain or .gz."),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A preset, folder or hub id; QUERY_MODEL,PASSAGE_MODEL for two; 'bundled', also where none "
            "is named, unless bm25 alone is asked for; LABEL=MODEL names it in the table. May be repeated.",
        ),
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            help="bm25; fusion: BM25, and each model fused with it by reciprocal rank; blend: the same by scores. "
            "May be repeated."
        ),
    ] = None,
    dense_weight: Annotated[float, typer.Option(min=0, max=1, help="The model's share of a blend.")] = 0.4,
    protocol: Annotated[
        str | None, typer.Option(help="dpr-dev, beir or answers; without it, what the data looks like.")
    ] = None,
    questions: Annotated[
        Path | None, typer.Option(help="Questions and their answers, for the protocol answers.")
    ] = None,
    distractors: Annotated[
        list[Path] | None,
        typer.Option(help="A file of further passages to append to the corpus. May be repeated."),
    ] = None,
    split: Annotated[str, typer.Option(help="Which qrels of a BEIR folder.")] = "test",
    hard_negatives: Annotated[int, typer.Option(help="Hard negatives of each question, for dpr-dev.")] = 30,
    limit_passages: Annotated[
        int | None, typer.Option(help="Read only the first so many passages, for beir and answers.")
    ] = None,
    similarity: Annotated[
        str | None,
        typer.Option(help="dot, l2 or cosine; without it l2 for dpr-dev, otherwise what the model states."),
    ] = None,
    k: Annotated[list[int] | None, typer.Option(help="A k of hit@k and recall@k. May be repeated.")] = None,
    index: Annotated[str, typer.Option(help="exact; or hnsw or ivf, with what they lose against exact.")] = "exact",
    output: Annotated[
        Path | None, typer.Option(help="A folder for results.json, results.md, hits.png and hits.svg.")
    ] = None,
    run_files: Annotated[bool, typer.Option("--run-files", help="Also write TREC run files into the folder.")] = False,
    card: Annotated[
        Path | None,
        typer.Option(help="Write the model's figures into this README (or a folder's) as model-index."),
    ] = None,
    failures: Annotated[int, typer.Option(help="Show so many of the worst queries, with what was found instead.")] = 0,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of cached embeddings; without it, the user's cache.")
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Keep no embeddings, and read none.")] = False,
    batch_size: Annotated[int | None, typer.Option(help="Most texts in one batch of the encoder.")] = None,
    max_query_length: Annotated[int | None, typer.Option(help="Tokens of a query, where not the model's.")] = None,
    max_passage_length: Annotated[int | None, typer.Option(help="Tokens of a passage, where not the model's.")] = None,
    precision: Annotated[
        str, typer.Option(help="float32; or bfloat16, faster on processors that have it, to see what it loses.")
    ] = "float32",
) -> None:
    """Evaluate retrieval on labelled data: measures, baselines, reports."""
    from rich.console import Console

    from dpr_tiny_retriever.evaluation import BM25, Dense, EmbeddingCache, Retriever, load_dataset, print_report
    from dpr_tiny_retriever.evaluation import evaluate as run

    baselines = [name.lower() for name in baseline or []]
    _check_choices(baselines, similarity, index, run_files, output)
    labelled = dict(_label(name) for name in model or ([] if baselines == ["bm25"] else [_BUNDLED]))
    if len(labelled) < len(model or []):
        raise ValueError(f"found two models under one name in {model}; expected LABEL=MODEL to tell them apart")
    if card is not None and len(labelled) != 1:
        raise ValueError(f"found {len(labelled)} models with --card; expected one, whose card it is")
    dataset = load_dataset(
        data,
        protocol=protocol,  # type: ignore[arg-type]  # checked there
        questions=questions,
        split=split,
        hard_negatives=hard_negatives,
        limit_passages=limit_passages,
        distractors=distractors or [],
    )
    store = EmbeddingCache(None if no_cache else cache or user_cache("embeddings"))
    systems: list[Retriever] = [BM25()] if baselines else []
    systems += [
        Dense(
            label,
            _load(name, max_query_length=max_query_length, max_passage_length=max_passage_length, precision=precision),
            metric=similarity or ("l2" if dataset.protocol == "dpr-dev" else None),  # type: ignore[arg-type]
            index=index,  # type: ignore[arg-type]
            cache=store,
            batch_size=batch_size,
            show_progress=True,
        )
        for label, name in labelled.items()
    ]
    evaluation = run(
        dataset,
        systems,
        ks=k or None,
        fusion="fusion" in baselines,
        blend_weight=dense_weight if "blend" in baselines else None,
    )
    print_report(evaluation, Console(), failures=failures)
    _write(evaluation, output, card, run_files=run_files, failures=failures, model=next(iter(labelled), ""))


def _check_choices(
    baselines: list[str],
    similarity: str | None,
    index: str,
    run_files: bool,
    output: Path | None,
) -> None:
    for option, found, expected in (
        ("--similarity", similarity, (None, "dot", "l2", "cosine")),
        ("--index", index, ("exact", "hnsw", "ivf")),
        *(("--baseline", name, ("bm25", "fusion", "blend")) for name in baselines),
    ):
        if found not in expected:
            raise ValueError(f"{option} is {found!r}; expected {' or '.join(filter(None, expected))}")
    if run_files and output is None:
        raise ValueError("found --run-files without --output; expected a folder to write them into")


def _label(argument: str) -> tuple[str, str]:
    label, equals, name = argument.partition("=")
    return (label, name) if equals else (argument, argument)


def _load(name: str, **how: Any) -> DualEncoder:
    from dpr_tiny_retriever import DualEncoder

    sides = name.split(",")
    if len(sides) == 2:
        return DualEncoder.from_pretrained(query_model=sides[0], passage_model=sides[1], **how)
    return DualEncoder.from_pretrained(None if name == _BUNDLED else name, **how)


def _write(
    evaluation: Evaluation,
    output: Path | None,
    card: Path | None,
    *,
    run_files: bool,
    failures: int,
    model: str,
) -> None:
    from dpr_tiny_retriever.evaluation import write_card, write_plot, write_results, write_run_files

    written: list[Path] = []
    if output is not None:
        command = shlex.join(["dpr-tiny", *sys.argv[1:]])
        written += write_results(evaluation, output, command=command, failures=failures)
        written += write_plot(evaluation, output)
        if run_files:
            written += write_run_files(evaluation, output / "runs")
    if card is not None:
        result = next(result for result in evaluation.results if result.name == model)
        written.append(write_card(evaluation, result, card))
    if written:
        typer.echo(f"Written: {', '.join(map(str, written))}", err=True)
