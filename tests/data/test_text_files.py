"""Text files are found and read; what cannot be read is named."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from dpr_tiny_retriever.data.text_files import (
    Text,
    Unreadable,
    counted_suffixes,
    find_text_files,
    read_text_files,
)


def read_folder(folder: Path) -> list[Text | Unreadable]:
    found = find_text_files(folder)
    return [*read_text_files(found.files), *found.unreadable]


def test_a_folder_is_read_at_any_depth_in_the_order_of_paths(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "deep.MD").write_text("deep", encoding="utf-8")
    (tmp_path / "a.txt").write_text("ä", encoding="utf-8")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    assert read_folder(tmp_path) == [Text("a", "ä", "a.txt"), Text("deep", "deep", str(Path("b/deep.MD")))]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Certificates\n\nRenew them in May.", encoding="utf-8-sig")
    assert read_folder(tmp_path) == [Text("a", "# Certificates\n\nRenew them in May.", "a.md")]


def test_a_wrong_folder_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*expected one that holds"):
        find_text_files(tmp_path / "missing")
    with pytest.raises(ValueError, match=r"holds no \.txt, \.md, \.rst or \.html file; expected"):
        find_text_files(tmp_path)
    (tmp_path / "a.pdf").touch()
    with pytest.raises(ValueError, match=r"\.html file but 1 \.pdf; expected"):
        find_text_files(tmp_path)
    file = tmp_path / "a.txt"
    file.write_text("a")
    with pytest.raises(NotADirectoryError, match="is a file; expected the folder"):
        find_text_files(file)


@pytest.mark.posix
def test_what_cannot_be_read_is_named_beside_the_others(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("caf\xe9".encode("latin-1"))
    (tmp_path / "good.txt").write_text("good")
    (tmp_path / "nul.txt").write_bytes("no mark".encode("utf-16-le"))
    (tmp_path / "link.md").symlink_to("nowhere")
    (tmp_path / "folder.md").mkdir()
    assert read_folder(tmp_path) == [
        Text("good", "good", "good.txt"),
        Unreadable("latin.txt", "not UTF-8 (byte 3); convert it"),
        Unreadable("nul.txt", "no text, or in UTF-16 (NUL at character 1); convert it to UTF-8"),
        Unreadable("link.md", "No such file or directory"),
    ]


def test_a_name_that_is_not_utf_8_is_written_with_escapes(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("Opens at nine.")
    assert read_folder(tmp_path) == [Text(r"caf\xe9", "Opens at nine.", r"caf\xe9.txt")]


def test_hidden_folders_and_those_that_programs_make_are_left_out(tmp_path: Path) -> None:
    for name in ("docs", ".git", "node_modules", "__pycache__", "environment"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text("a")
    (tmp_path / "environment" / "pyvenv.cfg").write_text("")
    (tmp_path / "docs" / ".hidden.md").write_text("a file, not a folder")
    sources = [file.source for file in find_text_files(tmp_path).files]
    assert sources == [str(Path("docs/.hidden.md")), str(Path("docs/a.txt"))]
    assert len(find_text_files(tmp_path, all_folders=True).files) == 6


def test_a_stamp_changes_with_the_file(tmp_path: Path) -> None:
    def stamp(content: str, seconds: float) -> str:
        (tmp_path / "a.txt").write_text(content)
        os.utime(tmp_path / "a.txt", (seconds, seconds))
        [file] = find_text_files(tmp_path).files
        return file.stamp

    stamps = [stamp("a", 1e9), stamp("b", 1e9 + 1), stamp("bc", 1e9 + 1)]
    assert len(set(stamps)) == 3
    assert stamp("a", 1e9) == stamps[0]
    assert stamp("a", time.time()) == "", "a change from now on might leave the same size and time"


def test_documents_of_other_kinds_are_counted(tmp_path: Path) -> None:
    for name in ("a.txt", "b.docx", "c.pdf", "d.PDF", "e.png", "f.py", "g"):
        (tmp_path / name).write_text("a")
    found = find_text_files(tmp_path)
    assert [file.source for file in found.files] == ["a.txt"]
    assert found.left_out == {".pdf": 2, ".docx": 1}
    assert counted_suffixes(found.left_out) == "2 .pdf, 1 .docx"


@pytest.mark.parametrize("meta", ["<meta charset=ISO-8859-1>", "<META content='text/html; charset=latin1'>"])
def test_a_page_is_read_in_the_encoding_that_it_states(tmp_path: Path, meta: str) -> None:
    page = tmp_path / "a.html"
    page.write_bytes(f"{meta}<p>caf\xe9".encode("latin-1"))
    assert read_folder(tmp_path) == [Text("a", f"{meta}<p>caf\xe9", "a.html")]
    page.write_bytes(b"<meta charset=none-such><p>caf\xe9")
    assert read_folder(tmp_path) == [Unreadable("a.html", "not UTF-8 (byte 30); convert it")]
