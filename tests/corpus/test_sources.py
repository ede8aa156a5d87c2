"""Files of a corpus and the rows that are read from them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import sys
import tracemalloc
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dpr_tiny_retriever.corpus.row_maker import Fields
from dpr_tiny_retriever.corpus.rows import BadRow, CorpusRow
from dpr_tiny_retriever.corpus.sources import SourceFile, Sources
from dpr_tiny_retriever.data.data_files import DataError
from dpr_tiny_retriever.data.text_passages import TextPassage, split

THREE = [{"_id": "a", "title": "A", "text": "one"}, {"_id": "b", "text": "two"}, {"_id": 3, "title": None, "text": "x"}]
ROWS = [CorpusRow("a", "A", "one", {}), CorpusRow("b", "", "two", {}), CorpusRow("3", "", "x", {})]


def lines(records: Iterable[object]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def rows(*inputs: Path | str, **options: Any) -> list[CorpusRow | BadRow]:
    return list(Sources(inputs, **options).rows())


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "a.jsonl.gz", "named.wrongly"])
def test_json_lines_are_read_by_name_or_content(tmp_path: Path, name: str) -> None:
    content = lines(THREE)
    assert rows(write(tmp_path / name, gzip.compress(content) if name.endswith("gz") else content)) == ROWS


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + lines(THREE),
        lines(THREE).replace(b"\n", b"\r\n"),
        lines(THREE).replace(b"\n", b"\n\n \n"),
        lines(THREE).rstrip(),
        json.dumps(THREE).encode(),
        json.dumps(THREE, indent=1).encode(),
    ],
)
def test_byte_order_marks_line_ends_and_empty_lines_make_no_difference(tmp_path: Path, content: bytes) -> None:
    assert rows(write(tmp_path / "a.jsonl", content)) == ROWS


def test_a_bad_row_costs_itself(tmp_path: Path) -> None:
    bad = [
        (b'{"_id": "no text"}', "no text", "found no text; expected a text"),
        (b'{"_id": "null", "text": null}', "null", "text is null; expected a text"),
        (b'{"_id": "seven", "text": 7}', "seven", "text is 7; expected a text"),
        (b'{"_id": "empty", "text": " ", "title": ""}', "empty", "text is empty; expected a text"),
        (b'{"_id": "title", "text": "x", "title": ["x"]}', "title", 'title is ["x"]; expected a text or null'),
        (b'{"_id": true, "text": "x"}', "", "_id is true; expected a text or a whole number"),
        (b'{"_id": 17.0, "text": "x"}', "", "_id is 17.0; expected a text or a whole number"),
        (b'{"_id": null, "text": "x"}', "", "_id is null; expected a text or a whole number"),
        (b'{"_id": "", "text": "x"}', "", "_id is empty; expected an id"),
        (b'{"text": "x"}', "", "found no _id; expected an id in each row of this file"),
        (b'{"_id": "half", "text": "\\ud83d"}', "half", "text holds the lone surrogate U+D83D at character 0"),
        (b'{"_id": "latin", "text": "caf\xe9"}', "", "byte 0xe9 is not UTF-8; expected UTF-8 text"),
        (b'{"_id": "cut", "text": "x', "", "broken JSON"),
        (b"[1]", "", "found [1]; expected a JSON object"),
        (b"\0\0\0", "", "broken JSON"),
        (b"[" * 100_000, "", "broken JSON"),
    ]
    path = write(
        tmp_path / "a.jsonl", lines(THREE[:1]) + b"\n".join(line for line, _, _ in bad) + b"\n" + lines(THREE[1:])
    )
    found = rows(path)
    assert [found[0], *found[-2:]] == ROWS
    for number, (row, (_, id, reason)) in enumerate(zip(found[1:-2], bad, strict=True), start=2):
        assert isinstance(row, BadRow)
        assert (row.id, row.place) == (id or f"{path}:{number}", f"{path}:{number}")
        assert row.reason.startswith(reason)


def test_nul_characters_and_a_title_without_a_text_are_kept_and_the_last_of_two_keys_counts(tmp_path: Path) -> None:
    content = b'{"_id": "a", "text": "o\\u0000ne"}\n{"_id": "b", "title": "B", "text": ""}\n'
    content += b'{"_id": "c", "text": "1", "text": "2"}'
    assert [(row.id, *row[1:3]) for row in rows(write(tmp_path / "a.jsonl", content))] == [
        ("a", "", "o\0ne"),
        ("b", "B", ""),
        ("c", "", "2"),
    ]


def test_a_longer_line_than_is_read_is_a_bad_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpr_tiny_retriever.data.records.LONGEST_LINE", 100)
    exact = {"_id": "b", "text": "x" * (100 - len('{"_id": "b", "text": ""}'))}
    long = {"_id": "long", "text": "x" * 1000}
    found = rows(write(tmp_path / "a.jsonl", lines([THREE[0], long, exact, long])))
    assert [row.id for row in found] == ["a", f"{tmp_path}/a.jsonl:2", "b", f"{tmp_path}/a.jsonl:4"]
    assert isinstance(found[1], BadRow)
    assert found[1].reason.startswith("a line of more than ")


def test_a_longer_object_of_an_array_than_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpr_tiny_retriever.data.records.LONGEST_LINE", 1000)
    monkeypatch.setattr("dpr_tiny_retriever.data.records._CHUNK", 100)
    path = write(tmp_path / "a.json", json.dumps([THREE[0], {"_id": "long", "text": "x" * 2000}]).encode())
    reading = Sources([path]).rows()
    assert next(reading) == ROWS[0]
    with pytest.raises(DataError, match=r"a\.json:1: an object of more than"):
        next(reading)


def test_a_small_gzip_file_that_unpacks_to_much_takes_little_memory(tmp_path: Path) -> None:
    zeros = gzip.compress(bytes(1 << 20)) * 100
    content = gzip.compress(lines(THREE[:1])) + zeros + gzip.compress(b"\n" + lines(THREE[1:]))
    path = write(tmp_path / "a.jsonl.gz", content)
    tracemalloc.start()
    found = rows(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row.id for row in found] == ["a", f"{path}:2", "b", "3"]
    assert peak < 40_000_000


def test_passages_of_texts_have_their_places_as_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = write(tmp_path / "docs" / "guide.md", b"# Guide\n\nFirst words.\n\n## Install\n\nRun it.\n")
    latin = write(tmp_path / "docs" / "latin.txt", b"caf\xe9")
    counted = partial(split, room=100, count=lambda texts: [len(text.split()) for text in texts])
    found = rows(tmp_path / "docs", split=counted, keep=["source", "line"])
    assert found == [
        CorpusRow(f"{guide}:3", "Guide", "First words.", {"source": str(guide), "line": 3}),
        CorpusRow(f"{guide}:7", "Guide: Install", "Run it.", {"source": str(guide), "line": 7}),
        BadRow(f"{latin}:1", f"{latin}:1", "not UTF-8 (byte 3); convert it"),
    ]
    monkeypatch.setattr("dpr_tiny_retriever.corpus.source_records.LONGEST_TEXT", 10)
    assert [row.id for row in rows(tmp_path / "docs", split=counted)] == [f"{guide}:1", f"{latin}:1"]
    with pytest.raises(ValueError, match="found text files, and nothing that splits them"):
        Sources([guide])


def test_ids_are_places_where_a_file_has_none(tmp_path: Path) -> None:
    one = write(tmp_path / "x" / "a.jsonl", b'\n{"text": "one"}\n{"text": "two"}')
    other = write(tmp_path / "y" / "a.jsonl", b'[{"text": "one"}, {"text": 2},\n{"text": "two"}]')
    sources = Sources([one, other])
    assert [row.id for row in sources.rows()] == [
        f"{one}:2",
        f"{one}:3",
        f"{other}:1",
        f"{other}:1#2",
        f"{other}:2",
    ]
    assert sources.notes() == [f"{path} has no ids among its fields text: places are taken" for path in (one, other)]


def test_fields_have_the_names_that_are_given_and_others_are_carried_along(tmp_path: Path) -> None:
    records = [{"key": 1, "head": "H", "body": "one", "url": "u", "tags": ["x"]}, {"key": 2, "body": "two"}]
    path = write(tmp_path / "a.jsonl", lines(records))
    assert rows(path, fields=Fields("key", "head", "body"), keep=["url", "tags"]) == [
        CorpusRow("1", "H", "one", {"url": "u", "tags": ["x"]}),
        CorpusRow("2", "", "two", {"url": None, "tags": None}),
    ]


@pytest.mark.parametrize(
    ("fields", "keep", "expected"),
    [
        (Fields(), (), "expected text; where the text goes by another name, give that name"),
        (Fields(id="key", text="body"), (), "expected key$"),
        (Fields(text="body"), ("url",), "expected url$"),
    ],
)
def test_fields_that_are_not_there_are_refused_at_once(
    tmp_path: Path, fields: Fields, keep: tuple[str, ...], expected: str
) -> None:
    path = write(tmp_path / "a.jsonl", lines([{"body": "one"}] * 3))
    with pytest.raises(DataError, match=rf"a\.jsonl: found the fields body; {expected}"):
        Sources([path], fields, keep)


def test_a_field_may_come_late_and_a_file_of_bad_rows_alone_is_refused(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl", b"oops\n" * 9 + lines([{"_id": "a", "text": "x"}, {"_id": "b", "text": "y", "u": 1}])
    )
    assert [row.id for row in rows(path, keep=["u"])][-2:] == ["a", "b"]
    with pytest.raises(DataError, match=r"none of the first 100 rows can be read: broken JSON"):
        Sources([write(tmp_path / "bad.jsonl", b"oops\n" * 200)])


def test_tab_separated_passages_with_and_without_names_of_columns(tmp_path: Path) -> None:
    dpr = write(tmp_path / "psgs.tsv.gz", gzip.compress(b'id\ttext\ttitle\n1\t"a ""b"""\tA\n2\tc\n3\td\tD\n'))
    assert rows(dpr) == [
        CorpusRow("1", "A", 'a "b"', {}),
        BadRow(f"{dpr}:3", f"{dpr}:3", "found 2 fields; expected 3: id, text, title, with tabs between"),
        CorpusRow("3", "D", "d", {}),
    ]
    assert rows(write(tmp_path / "bare.tsv", b"1\ttext\ttitle\n")) == [CorpusRow("1", "title", "text", {})]
    assert rows(write(tmp_path / "marco.tsv", b"7\tone\r\n8\ttwo")) == [
        CorpusRow("7", "", "one", {}),
        CorpusRow("8", "", "two", {}),
    ]
    own = write(tmp_path / "own.tsv", b"url\tBody\tlang\tTitle\nu\tone\ten\tA\n")
    [row] = rows(own, fields=Fields(id="url", text="Body"), keep=["lang"])
    assert row == CorpusRow("u", "A", "one", {"lang": "en"})
    with pytest.raises(DataError, match="found 4 columns, and no names for them in the first line"):
        Sources([write(tmp_path / "four.tsv", b"1\ta\tb\tc\n")])


def test_rows_are_the_same_whatever_is_skipped(tmp_path: Path) -> None:
    inputs = [
        write(tmp_path / "a.jsonl", lines(THREE) + b"\nbroken\n"),
        write(tmp_path / "b.json", b'[{"text": "one"}, {"text": "two"},\n{"text": "x"}]'),
        write(tmp_path / "c.jsonl", b""),
        write(tmp_path / "d.tsv", b'1\t"two\nlines"\tA\n2\tx\tB\n'),
        write(tmp_path / "e.md", b"# Title\n\nfirst\n\nsecond\n"),
        write(tmp_path / "f.jsonl.gz", gzip.compress(lines(THREE))),
    ]
    sources = Sources(inputs, split=lambda text: [TextPassage(text.title, part, 1) for part in text.content.split()])
    whole = list(sources.rows())
    assert len(whole) == 4 + 3 + 2 + 4 + 3
    for skip in range(len(whole) + 2):
        assert list(sources.rows(skip)) == whole[skip:]


def test_a_cut_gzip_file_gives_its_rows_up_to_the_damage(tmp_path: Path) -> None:
    records = [{"_id": n, "text": hashlib.sha256(b"%d" % n).hexdigest()} for n in range(4000)]
    path = write(tmp_path / "a.jsonl.gz", gzip.compress(lines(records))[:-1000])
    found = []
    with pytest.raises(DataError, match=r"a\.jsonl\.gz:\d+: the gzip'd file is damaged") as error:
        found.extend(Sources([path]).rows())
    damaged_line = int(str(error.value).split(":")[1])
    assert [row.id for row in found] == [str(n) for n in range(damaged_line)]
    assert damaged_line > 3900


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", lines(THREE))
    reading = Sources([path]).rows()
    assert next(reading) == ROWS[0]
    with path.open("ab") as file:
        file.write(lines(THREE))
    with pytest.raises(DataError, match="changed while it was read"):
        list(reading)


def test_standard_input_is_read_once_whatever_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for content in (lines(THREE), gzip.compress(json.dumps(THREE).encode()), b"id\ttext\na\tone\n"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        sources = Sources(["-"])
        assert sources.files() == [SourceFile("-", None, None)]
        expected = [CorpusRow("a", "", "one", {})] if content.startswith(b"id") else ROWS
        assert list(sources.rows(1)) == expected[1:]
        with pytest.raises(ValueError, match="has been read already"):
            list(sources.rows())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines([{"body": "x"}]))))
    with pytest.raises(DataError, match="found the fields body; expected text"):
        list(Sources(["-"]).rows())


def test_files_have_their_sizes_and_digests(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", lines(THREE))
    digest = hashlib.sha256(lines(THREE)).hexdigest()
    assert Sources([path]).files() == [SourceFile(str(path), len(lines(THREE)), digest)]
