"""Any number of texts -> blocks that are tokenized, and encoded, together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

#: Texts in one block, fewer where they have this many characters in all: a few blocks are what encoding holds in
#: memory beside its input and output.
BLOCK, BLOCK_CHARS = 4096, 1 << 22


def text_blocks(pairs: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Yield pairs of title and text in blocks of at most BLOCK; one of BLOCK_CHARS characters or more is full, too."""
    block: list[tuple[str, str]] = []
    chars = 0
    for title, text in pairs:
        block.append((title, text))
        chars += len(title) + len(text)
        if len(block) == BLOCK or chars >= BLOCK_CHARS:
            yield block
            block, chars = [], 0
    if block:
        yield block
