"""The command `dpr-tiny evaluate`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dpr_tiny_retriever.cache_folders import user_cache
from dpr_tiny_retriever.commands import evaluate_options as options
from dpr_tiny_retriever.commands.console import note
from dpr_tiny_retriever.commands.evaluate_options import Baseline
from dpr_tiny_retriever.commands.options import Backend, Threads
from dpr_tiny_retriever.load_options import LoadOptions

if TYPE_CHECKING:
    from dpr_tiny_retriever import DualEncoder
    from dpr_tiny_retriever.evaluation import EmbeddingCache, Evaluation

_BUNDLED = "bundled"


def evaluate(
    data: options.Data,
    model: options.Models = None,
    baseline: options.Baselines = None,
    protocol: options.Protocol = None,
    questions: options.Questions = None,
    distractors: options.Distractors = None,
    split: options.Split = "test",
    hard_negatives: options.HardNegatives = 30,
    limit_passages: options.LimitPassages = None,
    ignore_identical_ids: options.IgnoreIdenticalIds = False,
    similarity: options.Similarity = None,
    k: options.Ks = None,
    index: options.Index = "exact",
    output: options.Output = None,
    run_files: options.RunFiles = False,
    card: options.Card = None,
    failures: options.Failures = 0,
    cache: options.Cache = None,
    no_cache: options.NoCache = False,
    batch_size: options.BatchSize = None,
    max_query_length: options.MaxQueryLength = None,
    max_passage_length: options.MaxPassageLength = None,
    precision: options.Precision = "float32",
    backend: Backend = "auto",
    threads: Threads = None,
) -> None:
    """Evaluate retrieval on labelled data: measures, baselines, reports."""
    from rich.console import Console

    from dpr_tiny_retriever.evaluation import BM25, Dense, Retriever, load_dataset, print_report
    from dpr_tiny_retriever.evaluation import evaluate as run

    baselines = _baselines(baseline)
    models = _labelled(model or ([] if baselines == {Baseline.BM25} else [_BUNDLED]))
    _check_output(output, card, run_files=run_files, models=len(models))
    load_options = LoadOptions(precision=precision, backend=backend, threads=threads)
    lengths = max_query_length, max_passage_length
    encoders = {label: _load(name, lengths, load_options) for label, name in models.items()}
    dataset = load_dataset(
        data,
        protocol=protocol,
        questions=questions,
        split=split,
        hard_negatives=hard_negatives,
        limit_passages=limit_passages,
        distractors=distractors or [],
    )
    metric = similarity or ("l2" if dataset.protocol == "dpr-dev" else None)
    embeddings = _embedding_cache(cache, no_cache=no_cache)
    retrievers: list[Retriever] = [BM25()] if baselines else []
    for label, encoder in encoders.items():
        retrievers.append(Dense(label, encoder, metric=metric, index=index, cache=embeddings, batch_size=batch_size))
    fusion, blend = Baseline.FUSION in baselines, Baseline.BLEND in baselines
    evaluation = run(dataset, retrievers, ks=k, fusion=fusion, blend=blend, ignore_identical_ids=ignore_identical_ids)
    print_report(evaluation, Console(), failures=failures)
    _write(evaluation, output, card, run_files=run_files, failures=failures, model=next(iter(models), ""))


def _baselines(given: Sequence[Baseline] | None) -> set[Baseline]:
    """What models are compared with: without an option BM25 and the blend, with none nothing."""
    if given is None:
        return {Baseline.BM25, Baseline.BLEND}
    if Baseline.NONE in given and set(given) != {Baseline.NONE}:
        raise ValueError("found --baseline none beside others; expected it alone")
    return set(given) - {Baseline.NONE}


def _labelled(arguments: Sequence[str]) -> dict[str, str]:
    """Return label -> model of arguments of the form MODEL or LABEL=MODEL."""
    models = {}
    for argument in arguments:
        label, _, name = argument.partition("=")
        models[label] = name or label
    if len(models) < len(arguments):
        raise ValueError(f"found two models under one name in {arguments}; expected LABEL=MODEL to tell them apart")
    return models


def _check_output(output: Path | None, card: Path | None, *, run_files: bool, models: int) -> None:
    if run_files and output is None:
        raise ValueError("found --run-files without --output; expected a folder to write them into")
    if card is not None and models != 1:
        raise ValueError(f"found {models} models with --card; expected one, whose card it is")


def _load(name: str, lengths: tuple[int | None, int | None], options: LoadOptions) -> DualEncoder:
    from dpr_tiny_retriever import DualEncoder

    first, comma, second = name.partition(",")
    return DualEncoder.from_pretrained(
        None if comma else name,
        query_model=first if comma else None,
        passage_model=second if comma else None,
        max_query_length=lengths[0],
        max_passage_length=lengths[1],
        **options,
    )


def _embedding_cache(folder: Path | None, *, no_cache: bool) -> EmbeddingCache:
    from dpr_tiny_retriever.evaluation import EmbeddingCache

    if no_cache:
        return EmbeddingCache(None)
    try:
        return EmbeddingCache(folder or user_cache("embeddings"))
    except FileNotFoundError as error:  # the user has no cache folder
        note(f"Embeddings are not cached: {error}")
        return EmbeddingCache(None)


def _write(
    evaluation: Evaluation, output: Path | None, card: Path | None, *, run_files: bool, failures: int, model: str
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
        [result] = [result for result in evaluation.results if result.name == model]
        written.append(write_card(evaluation, result, card))
    if written:
        note(f"Written: {', '.join(map(str, written))}")
