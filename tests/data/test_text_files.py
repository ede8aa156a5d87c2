"""Splitting of texts into titled passages."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpr_tiny_retriever import Passage
from dpr_tiny_retriever.data.text_files import PASSAGE_WORDS, Text, read_folder, read_python_reference, split

HANDBOOK = """# Garden handbook

Plants need light.

They need water too.

## Roses

Roses want to be cut in spring.

Apple trees
-----------

Apples keep in a cool cellar.
"""


def test_sections_become_passages_under_the_document_s_title() -> None:
    assert list(split(Text("garden", HANDBOOK, "garden.md"))) == [
        Passage("Garden handbook", "Plants need light.\n\nThey need water too."),
        Passage("Garden handbook: Roses", "Roses want to be cut in spring."),
        Passage("Garden handbook: Apple trees", "Apples keep in a cool cellar."),
    ]


def test_a_text_without_headings_is_titled_by_its_name() -> None:
    assert list(split(Text("notes", "One line.\n", "notes.txt"))) == [Passage("notes", "One line.")]


def test_no_word_is_lost_and_no_passage_is_long() -> None:
    paragraphs = [
        " ".join(f"w{number}x{word}" for word in range(length)) for number, length in enumerate((40, 50, 30, 350, 1))
    ]
    passages = list(split(Text("long", "\n\n".join(paragraphs), "long.txt")))
    assert " ".join(passage.text for passage in passages).split() == " ".join(paragraphs).split()
    assert max(len(passage.text.split()) for passage in passages) <= PASSAGE_WORDS


def test_a_blank_text_gives_no_passage() -> None:
    assert list(split(Text("blank", " \n\n\t\n", "blank.txt"))) == []


def test_a_folder_is_read_at_any_depth_in_the_order_of_paths(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "deep.MD").write_text("deep", encoding="utf-8")
    (tmp_path / "a.txt").write_text("ä", encoding="utf-8")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    assert read_folder(tmp_path) == [Text("a", "ä", "a.txt"), Text("deep", "deep", str(Path("b/deep.MD")))]


def test_a_wrong_folder_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*expected one that holds"):
        read_folder(tmp_path / "missing")
    with pytest.raises(ValueError, match=r"holds no \.md or \.txt file"):
        read_folder(tmp_path)
    file = tmp_path / "latin.txt"
    file.write_bytes("caf\xe9".encode("latin-1"))
    with pytest.raises(NotADirectoryError, match="is a file; expected the folder"):
        read_folder(file)
    with pytest.raises(ValueError, match=r"latin\.txt is not UTF-8 \(byte 3\)"):
        read_folder(tmp_path)


def test_the_python_reference_gives_titled_passages() -> None:
    passages = [passage for text in read_python_reference() for passage in split(text)]
    assert len(passages) > 500
    assert all(passage.title and passage.text for passage in passages)
    assert 'The "with" statement' in {passage.title for passage in passages}
