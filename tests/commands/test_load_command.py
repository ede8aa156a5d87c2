"""`dpr-tiny load` and the index of `dpr-tiny search`, in the base installation."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from stored_shards import DIM, JOB, ids, rows_of, write_folder
from typer.testing import CliRunner

from dpr_tiny_retriever import DualEncoder, IndexedPassage, MissingExtraError, PassageIndex
from dpr_tiny_retriever.commands.cli import commands
from dpr_tiny_retriever.corpus import Sources, encode_corpus
from dpr_tiny_retriever.corpus.shard_options import ShardOptions


def load(*arguments: str) -> tuple[str, str]:
    result = CliRunner().invoke(commands, ["load", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout, result.stderr


def test_an_encoded_corpus_becomes_an_index_that_answers_as_one_that_encoded_it(
    pair: DualEncoder, pair_directory: Path, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus.tsv"
    passages = [(f"p{number}", f"Text number {number} of roses", f"Title {number % 3}") for number in range(30)]
    corpus.write_text("id\ttext\ttitle\n" + "".join("\t".join(row) + "\n" for row in passages), encoding="utf-8")
    options = ShardOptions(format="npy", rows_per_shard=10, keep=("title", "text"))
    sources = Sources([corpus], keep=options.keep)
    encode_corpus(sources, tmp_path / "shards", pair.passage_encoder, options, model=str(pair_directory))

    questions = tmp_path / "questions.txt"
    questions.write_text("Where are roses?\nText number 7\n", encoding="utf-8")
    index = tmp_path / "passages.sqlite"
    output, _ = load(str(tmp_path / "shards"), "--into", f"index:{index}", "--questions", str(questions))
    assert f"30 rows in index:{index}: 3 shards loaded now, " in output
    assert "recall@20 1.0000 for 2 questions" in output
    assert load(str(tmp_path / "shards"), "--into", f"index:{index}")[0].endswith(": 0 shards loaded now, 3 before\n")

    own = PassageIndex(tmp_path / "own.sqlite", pair)
    own.add([IndexedPassage(id, title, text) for id, text, title in passages])
    with PassageIndex.open(index, pair) as loaded, own:
        for question in ("Where are roses?", "Text number 7"):
            found, expected = loaded.search(question), own.search(question)
            assert [hit.passage.id for hit in found] == [hit.passage.id for hit in expected]
            assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=1e-5)


def test_a_folder_that_is_not_finished_is_loaded_as_far_as_it_is(tmp_path: Path) -> None:
    write_folder(tmp_path / "shards", [rows_of(ids(0, 10)), rows_of(ids(10, 20))], replace(JOB, rows_per_shard=10))
    (tmp_path / "shards" / "part-00001.json").unlink()
    output, errors = load(str(tmp_path / "shards"), "--into", f"index:{tmp_path / 'x.sqlite'}", "--check", "5")
    assert "10 rows in index:" in output
    assert "recall@20 1.0000 for 5 vectors of the corpus" in output
    assert "is not finished; encode the rest, and run the same command again" in errors


def test_shards_without_texts_make_no_index(tmp_path: Path) -> None:
    write_folder(tmp_path / "shards", [rows_of(ids(0, 10))], replace(JOB, keep=("year",)))
    with pytest.raises(ValueError, match=r"carries year; expected the texts.*with --keep title --keep text"):
        load(str(tmp_path / "shards"), "--into", f"index:{tmp_path / 'x.sqlite'}")
    assert not (tmp_path / "x.sqlite").exists()


def test_an_index_of_passages_that_are_not_of_shards_is_refused(pair: DualEncoder, tmp_path: Path) -> None:
    with PassageIndex(tmp_path / "x.sqlite", pair) as index:
        index.add([IndexedPassage("p1", "", "A passage")])
    job = replace(JOB, fingerprint=pair.passage_encoder.fingerprint(), embedding_dim=pair.embedding_dim)
    write_folder(tmp_path / "shards", [rows_of(["p2"], dim=pair.embedding_dim)], job)
    with pytest.raises(ValueError, match=r"an index of 1 passages that are not of shards; expected one that"):
        load(str(tmp_path / "shards"), "--into", f"index:{tmp_path / 'x.sqlite'}")


def test_questions_of_another_model_are_refused(pair_directory: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "shards", [rows_of(ids(0, DIM))])
    (tmp_path / "questions.txt").write_text("Where are roses?\n", encoding="utf-8")
    options = ["--questions", str(tmp_path / "questions.txt"), "--model", str(pair_directory)]
    with pytest.raises(
        ValueError,
        match=r"holds vectors of the model 'a-model' \(01234567\); expected those of .*: name the model of",
    ):
        load(str(tmp_path / "shards"), "--into", f"index:{tmp_path / 'x.sqlite'}", *options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--into", "folder/x"], r"--into is 'folder/x'; expected faiss:FOLDER, index:FILE"),
        (["--into", "index:x", "--kind", "hnsw"], r"--kind is hnsw, and index: searches exactly; leave it out"),
        (["--into", "faiss:x", "--dtype", "float16"], r"--dtype is float16, and faiss: keeps float32; leave it out"),
        (["--into", "postgresql://x/y", "--kind", "ivf"], r"--kind is ivf; PostgreSQL has exact and hnsw"),
    ],
)
def test_options_that_a_store_does_not_have_are_errors(tmp_path: Path, options: list[str], message: str) -> None:
    write_folder(tmp_path / "shards", [rows_of(ids(0, 3))])
    with pytest.raises(ValueError, match=message):
        load(str(tmp_path / "shards"), *options)


@pytest.mark.parametrize(
    ("library", "target", "extra"),
    [
        ("faiss", "faiss:x", "faiss"),
        ("psycopg", "postgresql://x/y", "postgres"),
        ("qdrant_client", "qdrant:x", "qdrant"),
    ],
)
def test_a_store_whose_library_is_missing_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, target: str, extra: str
) -> None:
    write_folder(tmp_path / "shards", [rows_of(ids(0, 3))])
    monkeypatch.setitem(sys.modules, library, None)  # as if it were not installed
    with pytest.raises(MissingExtraError, match=rf'pip install "dpr-tiny-retriever\[{extra}\]"'):
        load(str(tmp_path / "shards"), "--into", target)
