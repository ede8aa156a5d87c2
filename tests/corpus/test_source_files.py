"""Which files an input stands for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dpr_tiny_retriever.corpus.source_files import Source, find_sources
from dpr_tiny_retriever.data.data_files import DataError

ROW = b'{"_id": "a", "text": "one"}\n'


def write(path: Path, content: bytes = ROW) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def names(*inputs: Path | str) -> list[str]:
    return [source.name for source in find_sources(inputs)]


def test_a_pattern_stands_for_its_files_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for name in ("b/part.jsonl", "a/part.jsonl", "a/deep/part.jsonl", "a/.hidden/part.jsonl", "a/.part.jsonl"):
        write(tmp_path / name)
    expected = [f"{tmp_path}/{name}" for name in ("a/deep/part.jsonl", "a/part.jsonl", "b/part.jsonl")]
    assert names(f"{tmp_path}/**/*.jsonl") == expected
    assert names(f"{tmp_path}/b/part.jsonl", f"{tmp_path}/[ab]/*.jsonl") == [expected[2], expected[1]]
    assert names(f"{tmp_path}/*/.*.jsonl") == [f"{tmp_path}/a/.part.jsonl"]


@pytest.mark.posix
def test_links_neither_loop_nor_repeat_files(tmp_path: Path) -> None:
    path = write(tmp_path / "a" / "one.jsonl")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "z.jsonl").symlink_to(path)
    assert names(f"{tmp_path}/**/*.jsonl") == [str(path)]
    assert names(tmp_path) == [str(path)]


def test_a_folder_is_a_beir_corpus_or_texts_or_files_of_records(tmp_path: Path) -> None:
    beir = write(tmp_path / "beir" / "corpus.jsonl.gz")
    write(tmp_path / "beir" / "queries.jsonl")
    assert names(tmp_path / "beir") == [str(beir)]
    texts = [write(tmp_path / "docs" / name, b"text") for name in ("a.md", "b/c.txt", "d.html")]
    write(tmp_path / "docs" / "package.json")
    assert find_sources([tmp_path / "docs"]) == [Source(path, str(path), "text") for path in texts]
    records = [write(tmp_path / "data" / name) for name in ("x.json", "y/z.jsonl.gz")]
    assert find_sources([tmp_path / "data"]) == [Source(path, str(path), "json") for path in records]
    write(tmp_path / "data" / "README.md")
    with pytest.raises(ValueError, match=r"holds texts and data, such as .*z\.jsonl\.gz; expected one kind"):
        find_sources([tmp_path / "data"])


def test_what_is_missing_or_of_another_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found no inputs"):
        find_sources([])
    with pytest.raises(FileNotFoundError, match=r"none\.jsonl is missing"):
        find_sources([tmp_path / "none.jsonl"])
    with pytest.raises(FileNotFoundError, match="no file matches"):
        find_sources([tmp_path / "*.jsonl"])
    with pytest.raises(ValueError, match="holds no file that is read"):
        find_sources([tmp_path])
    with pytest.raises(ValueError, match=r"a\.csv is of no format that is read; expected \.jsonl"):
        find_sources([write(tmp_path / "a.csv", b"id,text\n")])
    with pytest.raises(DataError, match="is no Parquet file"):
        find_sources([write(tmp_path / "a.parquet")])
    with pytest.raises(ValueError, match="standard input or a pipe among other inputs"):
        find_sources(["-", write(tmp_path / "a.jsonl")])


@pytest.mark.linux
def test_a_file_that_cannot_be_read_is_named_before_anything_is_read() -> None:
    with pytest.raises(DataError, match=r"/proc/self/mem: cannot be read \(Input/output error\)"):
        find_sources(["/proc/self/mem"])


@pytest.mark.posix
def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    [source] = find_sources([tmp_path / "pipe"])
    assert source.is_stream
