"""Pass titles to the embeddings around a vector store, which passes them texts only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar


class AnnouncedTitles:
    """The titles of the texts that a vector store is about to embed, and those not yet embedded.

    Titles are found by text, so that a store may embed the texts in any order and batches.
    """

    def __init__(self, titles: Mapping[str, str]) -> None:
        """titles: text -> title, "" if it has none."""
        self._titles = titles
        self._waiting = {text for text, title in titles.items() if title}

    def of(self, texts: Sequence[str]) -> list[str]:
        """Return the title of each text, "" if it has none.

        A single unknown text has no title: stores embed one of their own to learn the dimension. An unknown one among
        several raises ValueError, since the store has changed its texts.
        """
        for text in texts:
            if self._waiting and len(texts) > 1 and text not in self._titles:
                raise ValueError(
                    f"the vector store embeds the text {text[:80]!r}, which is none of those that it was given, so "
                    "that its title is not known; expected a store that embeds texts as they are"
                )
        self._waiting.difference_update(texts)
        return [self._titles.get(text, "") for text in texts]

    def check_all_asked_for(self) -> None:
        """Raise ValueError if the store added a text with a title without embedding it here."""
        if self._waiting:
            text = next(iter(self._waiting))
            raise ValueError(
                f"the vector store did not embed {len(self._waiting)} of {len(self._titles)} texts together with their "
                f"titles, such as {text[:80]!r}; expected one that calls embed_documents of its TinyDPREmbeddings with "
                "the texts as they are, in this thread's context. Of a cache of embeddings, keys must hold the title: "
                "CacheBackedEmbeddings.from_bytes_store(embeddings, cache, key_encoder=embeddings.cache_key)"
            )


_ANNOUNCED: ContextVar[AnnouncedTitles | None] = ContextVar("dpr_tiny_announced_titles", default=None)


def announced_titles() -> AnnouncedTitles | None:
    """Return the titles announced in this context, by a TitledVectorStore that is adding documents."""
    return _ANNOUNCED.get()


@contextmanager
def announce(titles: Mapping[str, str]) -> Iterator[None]:
    """Announce titles to the embeddings within the context; raises ValueError at its end if any was not embedded."""
    announced = AnnouncedTitles(titles)
    before = _ANNOUNCED.set(announced)
    try:
        yield
    finally:
        _ANNOUNCED.reset(before)
    announced.check_all_asked_for()
