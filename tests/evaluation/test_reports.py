"""Reports of an evaluation: tables, JSON, a plot, a card's metadata, failures."""

from __future__ import annotations

import contextlib
import io
import json
import resource
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard
from retrieval_data import LIBRARY, write_library, write_text
from rich.console import Console

from dpr_tiny_retriever.evaluation import (
    BM25,
    Dataset,
    Evaluation,
    Hits,
    PassageStore,
    Result,
    as_json,
    as_markdown,
    evaluate,
    load_dataset,
    measure,
    print_report,
    worst_queries,
    write_card,
    write_plot,
    write_results,
    write_run_files,
)
from dpr_tiny_retriever.evaluation.measures import first_ranks

pytestmark = [pytest.mark.also_lowest, pytest.mark.evaluation]


@pytest.fixture
def evaluation(tmp_path: Path) -> Evaluation:
    """Four questions with one relevant passage each, which the worse retriever ranks 1, 3, 2 and not at all."""
    corpus = PassageStore()
    corpus.begin_part(tmp_path / "corpus.jsonl")
    for number, (title, text, _) in enumerate(LIBRARY):
        corpus.add(f"d{number}", title, text, number + 1)
    queries = [LIBRARY[n][2][0] for n in range(4)]
    relevant = [{n: 1} for n in range(4)]
    dataset = Dataset("library", "beir", corpus, [f"q{n}" for n in range(4)], queries, relevant)
    rows = {"good": [[0, 1, 2], [1, 2, 3], [2, 1, 0], [3, 4, 5]], "bad": [[0, 1, 2], [5, 6, 1], [7, 2, 1], [8, 9, 10]]}
    results = []
    for name, found in rows.items():
        hits = Hits(np.array(found, np.int32), np.array([[3, 2, 2]] * 4, np.float32))
        figures = measure(hits, relevant, (1, 5, 10))
        results.append(Result(name, "dense", figures, first_ranks(hits, relevant), hits, {"search": 0.5}, ["noted"]))
    return Evaluation(dataset, (1, 5, 10), results, ["one question left out"])


def printed(evaluation: Evaluation, failures: int = 0, width: int = 200) -> str:
    stream = io.StringIO()
    print_report(evaluation, Console(file=stream, width=width), failures=failures)
    return stream.getvalue()


def test_the_terminal_shows_measures_in_percent(evaluation: Evaluation) -> None:
    text = printed(evaluation)
    lines = {line.split("│")[1].strip(): line.split("│")[2:-1] for line in text.splitlines() if "│" in line}
    assert text.splitlines()[0].strip() == "library: 4 queries, 12 passages, beir"
    assert [cell.strip() for cell in lines["hit@1"]] == ["100.00", "25.00"]
    assert [cell.strip() for cell in lines["hit@5"]] == ["100.00", "75.00"]
    assert [cell.strip() for cell in lines["mrr@10"]] == ["100.00", "45.83"]
    assert "recall@1" not in lines, "with one relevant passage each, recall@k equals hit@k"
    assert "good: noted" in text
    assert "Note: one question left out" in text


def test_recall_is_shown_where_it_differs_from_hit(evaluation: Evaluation) -> None:
    assert evaluation.dataset.relevant is not None
    evaluation.dataset.relevant[0][1] = 1
    assert "recall@5" in printed(evaluation)


def test_failures_are_listed_worst_first_with_what_was_found_instead(evaluation: Evaluation) -> None:
    good, bad = evaluation.results
    assert worst_queries(evaluation, good, 5) == []
    failures = worst_queries(evaluation, bad, 2)
    assert [(failure.query_id, failure.rank) for failure in failures] == [("q3", None), ("q1", 3)]
    assert failures[0].query == "How many strings does a violin have?"
    assert failures[0].expected.startswith("Violin: A violin has four strings")
    assert [text.split(":")[0] for text in failures[0].found] == ["Chess", "Volcano", "Compass"]
    assert [text.split(":")[0] for text in failures[1].found] == ["Printing press", "Tide"]
    text = printed(evaluation, failures=2)
    assert "q3  How many strings does a violin have?  (not among the first 3)" in text
    assert "q1  Why does sourdough bread taste sour?  (rank 3)" in text
    assert "1. found  Printing press: The printing press" in text


def test_control_characters_and_markup_of_files_are_shown_as_they_are_written(evaluation: Evaluation) -> None:
    evaluation.dataset.queries[3] = "violin\x1b[2J [red]strings[/red]"
    evaluation.results[1] = replace(evaluation.results[1], name="runs/[last]")
    text = printed(evaluation, failures=1)
    assert r"q3  violin\x1b[2J [red]strings[/red]" in text
    assert "\x1b[2J" not in text
    assert "runs/[last]" in text.splitlines()[2]


def test_failures_of_the_protocol_answers_name_the_answers(tmp_path: Path) -> None:
    folder = write_library(tmp_path)
    write_text(folder / "answers.json", json.dumps({"q0": ["lighthouse"], "q4": ["a hundred", "seven"]}))
    evaluation = evaluate(load_dataset(folder, protocol="answers"), [BM25()])
    (failure,) = worst_queries(evaluation, evaluation.results[0], 5)
    assert (failure.query_id, failure.rank, failure.expected) == ("q4", None, "a hundred or seven")
    assert failure.found[0].startswith("Violin")


def test_markdown_has_the_form_of_the_published_cards(evaluation: Evaluation) -> None:
    assert as_markdown(evaluation).splitlines() == [
        "| model | data | queries | passages | R@1 | R@5 | R@10 | MRR@10 | nDCG@10 | MAP |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| good | library | 4 | 12 | 100.00 | 100.00 | 100.00 | 100.00 | 100.00 | 100.00 |",
        "| bad | library | 4 | 12 | 25.00 | 75.00 | 75.00 | 45.83 | 53.27 | 45.83 |",
    ]


def test_results_are_written_as_json_and_markdown(evaluation: Evaluation, tmp_path: Path) -> None:
    paths = write_results(evaluation, tmp_path / "new" / "folder", command="dpr-tiny evaluate --data x", failures=1)
    record = json.loads(paths[0].read_text())
    assert record["command"] == "dpr-tiny evaluate --data x"
    assert (record["dataset"], record["queries"], record["passages"]) == ("library", 4, 12)
    assert record["results"][1]["measures"]["hit@5"] == 0.75
    assert record["results"][1]["failures"][0]["rank"] is None
    assert {name: value for name, value in record.items() if name != "command"} == as_json(evaluation, failures=1)
    text = paths[1].read_text()
    assert text.startswith(as_markdown(evaluation))
    assert "- one question left out\n" in text
    assert text.endswith("```\ndpr-tiny evaluate --data x\n```\n")


def test_the_plot_is_written_as_png_and_svg(evaluation: Evaluation, tmp_path: Path) -> None:
    png, svg = write_plot(evaluation, tmp_path / "new")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "<svg" in svg.read_text()
    first = svg.read_bytes()
    write_plot(evaluation, tmp_path / "new")
    assert svg.read_bytes() == first


def test_the_card_carries_a_model_index_that_the_hub_reads(evaluation: Evaluation, tmp_path: Path) -> None:
    readme = write_text(
        tmp_path / "my-model" / "README.md",
        "---\nlicense: apache-2.0\ntags:\n- dpr\n---\n\n# My model\n\nText stays.\n",
    )
    assert write_card(evaluation, evaluation.results[1], readme.parent) == readme
    card = ModelCard.load(readme)
    assert "Text stays." in card.text
    assert (card.data.license, card.data.tags, card.data.model_name) == ("apache-2.0", ["dpr"], "my-model")
    assert card.data.eval_results is not None
    values = {one.metric_type: one.metric_value for one in card.data.eval_results}
    assert values["hit@5"] == 0.75
    assert values == pytest.approx(evaluation.results[1].measures, abs=1e-6)
    assert {one.dataset_args["passages"] for one in card.data.eval_results} == {12}


def test_new_figures_replace_those_of_the_same_data_only(evaluation: Evaluation, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    write_card(evaluation, evaluation.results[1], path)
    other = Evaluation(
        Dataset("other", "beir", evaluation.dataset.corpus, ["q"], ["q"], [{0: 1}]), (1,), evaluation.results, []
    )
    write_card(other, evaluation.results[1], path)
    write_card(evaluation, evaluation.results[0], path)
    results = ModelCard.load(path).data.eval_results
    assert results is not None
    hits = {one.dataset_type: one.metric_value for one in results if one.metric_type == "hit@5"}
    assert hits == {"library": 1.0, "other": 0.75}


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Writing more than this many bytes to a file fails, as on a full disk."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_leaves_the_former_files_as_they_were(evaluation: Evaluation, tmp_path: Path) -> None:
    path = write_text(tmp_path / "README.md", "# My model\n" + "Written by hand.\n" * 500)
    write_card(evaluation, evaluation.results[1], path)
    write_results(evaluation, tmp_path, command="x" * 5000)
    write_run_files(evaluation, tmp_path)
    write_plot(evaluation, tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    other = evaluation.results[::-1]
    changed = Evaluation(evaluation.dataset, evaluation.ks, other, ["note"])
    with files_of_at_most(100):
        for write in (
            lambda: write_card(changed, other[1], path),
            lambda: write_results(changed, tmp_path, command="y" * 5000),
            lambda: write_run_files(changed, tmp_path),
            lambda: write_plot(changed, tmp_path),
        ):
            with pytest.raises(OSError, match="File too large"):
                write()
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_linked_card_stays_a_link_and_keeps_its_permissions(evaluation: Evaluation, tmp_path: Path) -> None:
    readme = write_text(tmp_path / "model" / "README.md", "# My model\n")
    readme.chmod(0o640)
    link = tmp_path / "card.md"
    link.symlink_to(readme)
    assert write_card(evaluation, evaluation.results[1], link) == readme
    assert link.is_symlink()
    assert "model-index" in readme.read_text()
    assert readme.stat().st_mode & 0o777 == 0o640


def test_run_files_refuse_ids_with_spaces(evaluation: Evaluation, tmp_path: Path) -> None:
    evaluation.dataset.query_ids[0] = "q 0"
    with pytest.raises(ValueError, match="the id 'q 0' is empty or holds a space"):
        write_run_files(evaluation, tmp_path)
