"""Rows of tab-separated files: quoted or not, of any size, and never lost within a quoted field."""

from __future__ import annotations

from pathlib import Path

import pytest
from retrieval_data import write_text

from dpr_tiny_retriever.data.data_files import DataError, MisreadDataError
from dpr_tiny_retriever.data.tab_separated import read_rows


def rows(path: Path, text: str, errors: list[DataError] | None = None) -> list[tuple[int, list[str]]]:
    write_text(path, text)
    return [(place.line, row) for place, row in read_rows(path, 3, None if errors is None else errors.append)]


def test_rows_keep_their_lines_over_quoted_line_breaks(tmp_path: Path) -> None:
    text = 'a\t"two\nlines"\tb\r\n\nc\t"a ""quoted"" word"\t"d\te"\nf\t\t\ng\th "i"\tj"'
    assert rows(tmp_path / "rows.tsv", text) == [
        (1, ["a", "two\nlines", "b"]),
        (4, ["c", 'a "quoted" word', "d\te"]),
        (5, ["f", "", ""]),
        (6, ["g", 'h "i"', 'j"']),
    ]


def test_a_quoted_field_may_hold_tabs_and_line_breaks(tmp_path: Path) -> None:
    text = '1\t"a\tb\nc ""d""\n\ne"\tT\n2\tx\t"two\nlines"\n'
    assert rows(tmp_path / "rows.tsv", text) == [(1, ["1", 'a\tb\nc "d"\n\ne', "T"]), (5, ["2", "x", "two\nlines"])]


def test_fields_have_any_size(tmp_path: Path) -> None:
    long = "word " * 200_000
    assert rows(tmp_path / "rows.tsv", f'1\t{long}\tT\n2\t"{long}"\tT\n') == [
        (1, ["1", long, "T"]),
        (2, ["2", long, "T"]),
    ]


@pytest.mark.parametrize(
    "text",
    [
        '1\t"Help, she said.\tOne\n2\tother\tTwo\n3\tStop" he said\tThree\n',
        '1\t"Help, she said.\tOne\n2\tother\tTwo\n3\tStop"\tThree\n',
        '1\t"Help, she said.\tOne\n3\tStop"\tThree\n',
        '1\t"Help, she said.\tOne\n3\tStop" he said\tThree\n',
        '1\ttext\t"Title\n2\tother\tTwo\n3\tx\tThree"\n',
        '1\t"Help, she said.\tOne\n2\tother\tTwo\n',
        '1\t"Help, she said.\tOne\nmore\n',
    ],
)
def test_rows_within_a_quoted_field_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(MisreadDataError, match=r"rows\.tsv:2: found a quoted field that goes on over following rows"):
        rows(tmp_path / "rows.tsv", "0\tgood\tZero\n" + text, errors=[])


def test_a_row_with_wrong_quotation_marks_is_skipped_or_refused(tmp_path: Path) -> None:
    text = '1\t"Help," she said.\tOne\n2\tother\tTwo\n3\t"last\tThree'
    errors: list[DataError] = []
    assert rows(tmp_path / "rows.tsv", text, errors) == [(2, ["2", "other", "Two"])]
    assert "rows.tsv:1: found text behind a quoted field" in str(errors[0])
    assert "rows.tsv:3: found a quoted field that never ends" in str(errors[1])
    with pytest.raises(DataError, match=r"rows\.tsv:1: found text behind"):
        rows(tmp_path / "rows.tsv", text)


def test_long_files_with_open_quotation_marks_cost_little(tmp_path: Path) -> None:
    path = write_text(tmp_path / "rows.tsv", '1\t"open\n' + 'line ""\n' * 300)
    with pytest.raises(MisreadDataError):
        list(read_rows(path, 3))
