"""Records are streamed, and every error names the file and the line."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrieval_data import write_text

from dpr_tiny_retriever.data.data_files import DataError
from dpr_tiny_retriever.data.records import read_records

RECORDS = [{"question": "who?", "n": 1}, {"question": 'a "quoted" ä', "n": [1.5, None]}, {"question": "三", "n": {}}]


@pytest.mark.parametrize("indent", [None, 4])
@pytest.mark.parametrize("zipped", [False, True])
def test_an_array_and_lines_hold_the_same_records(tmp_path: Path, indent: int | None, zipped: bool) -> None:
    array = write_text(tmp_path / "a.json", json.dumps(RECORDS, indent=indent), zipped=zipped)
    lines = write_text(tmp_path / "a.jsonl", "\n\n".join(map(json.dumps, RECORDS)), zipped=zipped)
    assert [record for _, record in read_records(array)] == RECORDS
    assert [record for _, record in read_records(lines)] == RECORDS
    assert [place.line for place, _ in read_records(lines)] == [1, 3, 5]
    assert [place.line for place, _ in read_records(array)] == ([1, 1, 1] if indent is None else [2, 6, 13])


def test_a_byte_order_mark_is_no_part_of_the_data(tmp_path: Path) -> None:
    for text in ('[{"a": 1}]', '{"a": 1}'):
        path = tmp_path / "marked.json"
        path.write_bytes(text.encode("utf-8-sig"))
        assert [record for _, record in read_records(path)] == [{"a": 1}]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(
    records=st.lists(st.dictionaries(st.text(), json_values, max_size=3), max_size=6),
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
    chunk=st.integers(1, 40),
)
def test_records_do_not_depend_on_how_much_is_read_at_once(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[dict[str, object]],
    indent: int | None,
    ascii_only: bool,
    chunk: int,
) -> None:
    path = tmp_path_factory.getbasetemp() / "chunked.json"
    path.write_bytes(json.dumps(records, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dpr_tiny_retriever.data.records._CHUNK", chunk)
        assert [record for _, record in read_records(path)] == records


def test_a_large_array_on_one_line_is_read_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    record = json.dumps({"text": "x" * 2000, "contexts": [{"text": "some words " * 50}] * 20})
    with path.open("w") as file:
        file.write("[" + record)
        for _ in range(3000):
            file.write(", " + record)
        file.write("]")
    assert path.stat().st_size > 35_000_000
    tracemalloc.start()
    count = sum(1 for _ in read_records(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 3001
    assert peak < 10_000_000


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ('[\n{"a": 1},\n{"a": ]}\n]', 3, "expecting value"),
        ('[\n{"a": 1}\n{"a": 2}\n]', 3, "found '{'; expected ']'"),
        ('[\n{"a": 1},\n]', 3, "expecting value"),
        ('[\n{"a": 1},\n{"a": "cut', 3, "unterminated string"),
        ('[\n{"a": 1}\n', 3, "found the end of the file"),
        ('[\n{"a": 1}\n]\n{"b": 2}', 4, "behind the end of the array"),
        ('[\n{"a": 1},\n7\n]', 3, "found 7; expected a JSON object"),
        ('{"a": 1}\n{"a" 2}\n', 2, "broken JSON"),
        ('{"a": 1}\n\n"text"\n', 3, 'found "text"; expected a JSON object'),
    ],
)
def test_broken_json_is_reported_with_its_line(tmp_path: Path, text: str, line: int, problem: str) -> None:
    path = write_text(tmp_path / "broken.json", text)
    with pytest.raises(DataError) as error:
        list(read_records(path))
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert problem in str(error.value)


def test_broken_json_is_found_at_once_in_a_long_file(tmp_path: Path) -> None:
    text = '[\n{"a": 1},\n{"a": oops},\n' + '{"a": 1},\n' * 300_000
    path = write_text(tmp_path / "long.json", text)
    tracemalloc.start()
    with pytest.raises(DataError, match=r"long\.json:3: broken JSON"):
        list(read_records(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6_000_000 < 2 * path.stat().st_size


def test_bytes_that_are_not_utf8_are_reported_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.jsonl"
    path.write_bytes(b'{"a": "one"}\n{"a": "caf\xe9"}\n')
    with pytest.raises(DataError, match=r"latin\.jsonl:2: byte 0xe9 is not UTF-8"):
        list(read_records(path))
    path.write_bytes(b'[{"a": "one"},\n\n{"a": "caf\xe9"}]')
    with pytest.raises(DataError, match=r"latin\.jsonl:3: byte 0xe9 is not UTF-8"):
        list(read_records(path))


@pytest.mark.parametrize("name", ["cut.json", "cut.jsonl"])
def test_a_damaged_gzip_file_is_reported(tmp_path: Path, name: str) -> None:
    records = [json.dumps({"a": "b" * n}) for n in range(2000)]
    text = "[" + ",".join(records) + "]" if name == "cut.json" else "\n".join(records)
    path = tmp_path / f"{name}.gz"
    path.write_bytes(gzip.compress(text.encode())[:-2000])
    with pytest.raises(DataError, match=r"cut\.jsonl?\.gz:\d+: the gzip'd file is damaged"):
        list(read_records(path))


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is missing; expected a data file"):
        list(read_records(tmp_path / "none.json"))
    with pytest.raises(IsADirectoryError, match="is a folder; expected a file"):
        list(read_records(tmp_path))


def test_what_cannot_be_read_can_be_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    nested = "[" * 100_000
    path.write_bytes(b'{"a": 1}\n{"a": "caf\xe9"}\n{"a": \n7\n' + nested.encode() + b'\n{"a": 2}')
    errors: list[DataError] = []
    assert [record for _, record in read_records(path, errors.append)] == [{"a": 1}, {"a": 2}]
    assert [str(error).partition(" ")[0] for error in errors] == [f"{path}:{line}:" for line in (2, 3, 4, 5)]
