"""Splitting texts for the bundled model, as the command line does."""

from __future__ import annotations

from functools import cache

from dpr_tiny_retriever import DualEncoder, Encoder
from dpr_tiny_retriever.data.text_files import Text
from dpr_tiny_retriever.data.text_passages import TextPassage, split


@cache
def passage_encoder() -> Encoder:
    """The bundled passage encoder, on the backend that loads fastest."""
    return DualEncoder.from_pretrained(backend="numpy").passage_encoder


def split_text(content: str, name: str = "note.md", *, max_length: int | None = None) -> list[TextPassage]:
    """The passages of a text for the bundled model, or for one that reads max_length tokens."""
    encoder = passage_encoder()
    room = encoder.tokenizer.room(max_length or encoder.max_length)
    return list(split(Text("note", content, name), room=room, count=encoder.tokenizer.count))
