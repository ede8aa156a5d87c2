"""`dpr-tiny evaluate` does what its options say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from retrieval_data import dpr_records, json_lines, write_library, write_text
from typer.testing import CliRunner, Result

from dpr_tiny_retriever import DualEncoder, MissingExtraError
from dpr_tiny_retriever import evaluation as evaluation_package
from dpr_tiny_retriever.commands.cli import commands
from dpr_tiny_retriever.evaluation import Dense, evaluate, load_dataset

pytestmark = [pytest.mark.also_lowest, pytest.mark.evaluation]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(commands, ["evaluate", *map(str, arguments)])


def succeed(*arguments: object) -> Result:
    result = run(*arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def error_of(*arguments: object) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, (ValueError, OSError)), result.output
    return str(result.exception)


def test_models_and_baselines_are_reported_in_all_files(
    tmp_path: Path, minilm_directory: Path, pair_directory: Path
) -> None:
    data, out = write_library(tmp_path / "library", zipped=True), tmp_path / "out"
    readme = write_text(tmp_path / "README.md", "# A model\n")
    shown = succeed(
        *("--data", data, "--model", f"MiniLM={minilm_directory}", "--model", f"random={pair_directory}"),
        *("--baseline", "bm25", "--baseline", "fusion", "--baseline", "Blend"),
        *("--failures", 1, "--output", out, "--run-files"),
    )
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == [
        "hits.png",
        "hits.svg",
        "results.json",
        "results.md",
        "runs/BM25.trec",
        "runs/MiniLM-+-BM25-blended.trec",
        "runs/MiniLM-+-BM25-by-rank.trec",
        "runs/MiniLM.trec",
        "runs/qrels.trec",
        "runs/random-+-BM25-blended.trec",
        "runs/random-+-BM25-by-rank.trec",
        "runs/random.trec",
    ]
    record = json.loads((out / "results.json").read_text())
    names = [result["name"] for result in record["results"]]
    fused = [f"{name} + BM25{how}" for name in ("MiniLM", "random") for how in (", by rank", ", blended")]
    assert names == ["BM25", "MiniLM", "random", *fused]
    assert record["results"][1]["measures"]["hit@5"] == 1
    assert "Worst queries of random" in shown.stdout
    assert "so no figures for k = 20, 50, 100, 1000" in shown.stdout

    succeed("--data", data, "--model", f"MiniLM={minilm_directory}", "--card", readme, "--k", 1, "--k", 5)
    results = ModelCard.load(readme).data.eval_results
    assert results is not None
    assert {one.metric_type for one in results} == {
        "hit@1",
        "hit@5",
        "recall@1",
        "recall@5",
        "mrr@10",
        "ndcg@10",
        "map",
    }


#: The model without anything to compare it with.
ALONE = ("--baseline", "none")


def measures(folder: Path) -> dict[str, float]:
    (system,) = json.loads((folder / "results.json").read_text())["results"]
    found: dict[str, float] = system["measures"]
    return found


@pytest.mark.parametrize("similarity", [None, "l2", "dot", "cosine"])
def test_dpr_dev_is_compared_by_l2_unless_told_otherwise(tmp_path: Path, pair_directory: Path, similarity: Any) -> None:
    path = write_text(tmp_path / "dev.json", json.dumps(dpr_records(12, hard_negatives=4)))
    options = ["--similarity", similarity] if similarity else []
    succeed(
        "--data", path, "--model", pair_directory, "--hard-negatives", 4, "--output", tmp_path / "out", *options, *ALONE
    )
    dense = Dense("pair", DualEncoder.from_pretrained(pair_directory), metric=similarity or "l2")
    expected = evaluate(load_dataset(path, hard_negatives=4), [dense]).results[0].measures
    assert measures(tmp_path / "out") == pytest.approx(expected)


def test_beir_is_compared_by_the_similarity_of_the_model(tmp_path: Path, pair_directory: Path) -> None:
    data = write_library(tmp_path / "library")
    more = write_text(tmp_path / "more.jsonl", json_lines([{"_id": "x", "text": "more"}]))
    succeed(
        *("--data", data, "--model", f"both={pair_directory},{pair_directory}", "--limit-passages", 8),
        *("--distractors", more, "--max-passage-length", 16, "--output", tmp_path / "out", *ALONE),
    )
    encoder = DualEncoder.from_pretrained(pair_directory, max_passage_length=16)
    dataset = load_dataset(data, limit_passages=8, distractors=[more])
    expected = evaluate(dataset, [Dense("pair", encoder, metric="dot")]).results[0].measures
    assert measures(tmp_path / "out") == pytest.approx(expected)


def test_bm25_alone_needs_no_model(tmp_path: Path) -> None:
    passages = write_text(tmp_path / "psgs.tsv", "id\ttext\ttitle\n1\tthe red boat\tOne\n2\tthe blue house\tTwo\n")
    questions = write_text(tmp_path / "qa.csv", "what is red\t['boat']\nwhat is blue\t['sky']\n")
    succeed("--data", passages, "--questions", questions, "--baseline", "bm25", "--output", tmp_path / "out")
    assert measures(tmp_path / "out") == {"hit@1": 0.5, "mrr@10": 0.5}


def test_a_second_run_reads_cached_embeddings(tmp_path: Path, pair_directory: Path) -> None:
    data, cache = write_library(tmp_path / "library"), tmp_path / "vectors"
    succeed("--data", data, "--model", pair_directory, "--no-cache")
    assert not (tmp_path / "cache").exists()
    succeed("--data", data, "--model", pair_directory)
    assert list((tmp_path / "cache" / "dpr-tiny-retriever" / "embeddings").rglob("*.npy"))
    succeed("--data", data, "--model", pair_directory, "--cache", cache)
    kept = {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")}
    assert len(kept) == 2
    succeed("--data", data, "--model", pair_directory, "--cache", cache)
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")} == kept


@pytest.mark.posix
def test_without_a_cache_folder_nothing_is_kept(
    tmp_path: Path, pair_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.getuid", lambda: 54321)  # a user whom the system does not know, as in many containers
    data = write_library(tmp_path / "library")
    shown = succeed("--data", data, "--model", pair_directory, "--output", tmp_path / "out", *ALONE)
    assert "Embeddings are not cached: found neither a home folder nor a cache folder" in shown.stderr
    assert measures(tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--run-files"], "found --run-files without --output"),
        (["--baseline", "none", "--baseline", "bm25"], "found --baseline none beside others"),
        (["--model", "a", "--model", "a"], "found two models under one name"),
        (["--model", "a", "--model", "b", "--card", "x.md"], "found 2 models with --card"),
        (["--model", "no/such/folder"], "there is no folder no/such/folder"),
        (["--backend", "numpy", "--precision", "bfloat16"], "precision is 'bfloat16', which backend 'numpy' cannot do"),
        (["--baseline", "bm25", "--k", "99"], "found 12 passages for k = 99"),
        (["--split", "train"], "train.tsv is missing"),
    ],
)
def test_wrong_options_say_what_is_expected(tmp_path: Path, options: list[str], problem: str) -> None:
    assert problem in error_of("--data", write_library(tmp_path), *options)


@pytest.mark.parametrize(
    ("option", "value", "choices"),
    [
        ("--baseline", "tfidf", "'bm25', 'fusion', 'blend', 'none'"),
        ("--similarity", "manhattan", "'l2', 'dot', 'cosine'"),
        ("--index", "flat", "'exact', 'hnsw', 'ivf'"),
        ("--protocol", "trec", "'dpr-dev', 'beir', 'answers'"),
        ("--precision", "int8", "'float32', 'bfloat16'"),
        ("--backend", "torch", "'auto', 'native', 'tensorflow', 'numpy'"),
        ("--threads", "0", "'--threads'"),
    ],
)
def test_a_value_that_is_no_choice_is_a_usage_error_with_the_choices(
    tmp_path: Path, option: str, value: str, choices: str
) -> None:
    result = run("--data", tmp_path, option, value)
    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in result.output
    assert choices in result.output


def test_wrong_data_is_reported_with_file_and_line(tmp_path: Path) -> None:
    data = write_library(tmp_path)
    text = (data / "corpus.jsonl").read_text().splitlines(keepends=True)
    write_text(data / "corpus.jsonl", "".join([*text[:4], "{broken\n", *text[4:]]))
    result = run("--data", data, "--baseline", "bm25", "--ignore-identical-ids")
    assert f"Note: 1 record left out: first {data / 'corpus.jsonl'}:5: broken JSON" in result.output
    assert "Note: 0 queries have the id of a passage" in result.output
    write_text(data / "qrels" / "test.tsv", "q0\td0\t1\nq0\td0\t0\n")
    assert f"{data / 'qrels/test.tsv'}:2: passage 'd0' is judged 0" in error_of("--data", data, "--baseline", "bm25")


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "bm25s", None)
    monkeypatch.delitem(sys.modules, "dpr_tiny_retriever.retrieval.retrievers")
    result = run("--data", tmp_path, "--baseline", "bm25")
    assert isinstance(result.exception, MissingExtraError)
    assert str(result.exception) == (
        'evaluation needs bm25s, which is not installed; run: pip install "dpr-tiny-retriever[eval]"'
    )


def test_the_command_line_starts_without_what_evaluation_needs() -> None:
    code = """
import sys
import dpr_tiny_retriever.commands.evaluate
print({"tensorflow", "bm25s", "matplotlib", "ir_measures", "faiss", "rich"} & sys.modules.keys())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'recall'"):
        _ = evaluation_package.recall
    assert {"evaluate", "load_dataset", "BM25"} <= set(dir(evaluation_package))
    assert set(evaluation_package.__all__) <= set(dir(evaluation_package))
