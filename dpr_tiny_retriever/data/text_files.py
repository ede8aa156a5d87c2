"""Texts with headings -> titled passages of about a hundred words, as dense passage retrieval is trained on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dpr_tiny_retriever.passage import Passage

#: Words in a passage (Karpukhin et al. 2020, section 4.1, cut Wikipedia into passages of 100).
PASSAGE_WORDS = 100

_SUFFIXES = (".md", ".txt")
_MARKDOWN_HEADING = re.compile(r"#{1,6}\s+(?P<title>.*?)[\s#]*")
_UNDERLINE = re.compile(r"([=\-*~^\"])\1{2,}")


@dataclass(frozen=True)
class Text:
    """One text, its title, and where it comes from."""

    title: str
    content: str
    source: str


def read_folder(folder: Path) -> list[Text]:
    """Read every .txt and .md file of a folder and of the folders in it, in the order of their paths.

    Raises FileNotFoundError or NotADirectoryError for a wrong folder, ValueError where it holds no such file or one
    that is not UTF-8.
    """
    if not folder.exists():
        raise FileNotFoundError(f"there is no folder {folder}; expected one that holds .txt or .md files")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; expected the folder that holds it")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
    if not paths:
        raise ValueError(f"{folder} holds no {' or '.join(_SUFFIXES)} file; expected at least one, at any depth")
    return [Text(path.stem, _read(path), str(path.relative_to(folder))) for path in paths]


def read_python_reference() -> list[Text]:
    """The topics of the Python language reference that every Python carries for its help()."""
    from pydoc_data.topics import topics

    return [Text(name, content, f"help({name!r})") for name, content in sorted(topics.items())]


def split(text: Text) -> Iterator[Passage]:
    """Split a text at its headings, and each section at its paragraphs into passages of up to about 100 words.

    Headings are Markdown's (#) or underlined lines. A passage's title is the text's first heading, or its own title
    where it has none, followed by the section's heading.
    """
    name: str | None = None
    for heading, paragraphs in _sections(text.content):
        if heading is None and not paragraphs:
            continue
        name = name or heading or text.title
        title = name if heading in (None, name) else f"{name}: {heading}"
        yield from (Passage(title, part) for part in _packed(paragraphs))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 (byte {error.start}); expected UTF-8: convert it, or move it away"
        ) from error


def _sections(content: str) -> Iterator[tuple[str | None, list[str]]]:
    """Yield each heading, None before the first, with the paragraphs below it."""
    heading: str | None = None
    lines: list[str] = []
    rows = content.splitlines()
    row = 0
    while row < len(rows):
        below = rows[row + 1].strip() if row + 1 < len(rows) else ""
        markdown = _MARKDOWN_HEADING.fullmatch(rows[row])
        underlined = rows[row].strip() and not rows[row].startswith(" ") and _UNDERLINE.fullmatch(below)
        if markdown or underlined:
            yield heading, _paragraphs(lines)
            heading, lines = (markdown["title"] if markdown else rows[row].strip()), []
            row += 1 if markdown else 2
        else:
            lines.append(rows[row])
            row += 1
    yield heading, _paragraphs(lines)


def _paragraphs(lines: list[str]) -> list[str]:
    return [paragraph.strip("\n") for paragraph in re.split(r"\n\s*\n", "\n".join(lines)) if paragraph.strip()]


def _packed(paragraphs: list[str]) -> Iterator[str]:
    """Join short paragraphs and cut long ones, so that each part has at most about PASSAGE_WORDS words."""
    held: list[str] = []
    count = 0
    for paragraph in paragraphs:
        words = len(paragraph.split())
        if held and count + words > PASSAGE_WORDS:
            yield "\n\n".join(held)
            held, count = [], 0
        if words > PASSAGE_WORDS:
            *whole, paragraph = _cut(paragraph)
            yield from whole
            words = len(paragraph.split())
        held.append(paragraph)
        count += words
    if held:
        yield "\n\n".join(held)


def _cut(paragraph: str) -> list[str]:
    words = paragraph.split()
    return [" ".join(words[start : start + PASSAGE_WORDS]) for start in range(0, len(words), PASSAGE_WORDS)]
