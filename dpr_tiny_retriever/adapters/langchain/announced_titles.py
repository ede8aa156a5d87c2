"""How titles reach the embeddings past a vector store that hands them plain texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar


class AnnouncedTitles:
    """The title of each text that a vector store is about to embed, and which of them have not been asked for yet.

    A text has one title here, so that neither batches nor the order in which a store embeds its texts matter.
    """

    def __init__(self, titles: Mapping[str, str]) -> None:
        """titles: text -> title, "" where it has none."""
        self._titles = titles
        self._waiting = {text for text, title in titles.items() if title}

    def of(self, texts: Sequence[str]) -> list[str]:
        """The title of each text, "" where it has none.

        A text that was not announced is taken without title where it stands alone: stores embed one text of their own
        to learn the vectors' length. Among others it raises ValueError: the store has changed the texts.
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
        """Raise ValueError where a text with a title was never embedded here, though the store says it has added it."""
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
    """What has been announced in this context: by the one TitledVectorStore that is adding documents in it."""
    return _ANNOUNCED.get()


@contextmanager
def announce(titles: Mapping[str, str]) -> Iterator[None]:
    """Announce the titles of the texts that a store embeds meanwhile; raise ValueError if it embeds them otherwise."""
    announced = AnnouncedTitles(titles)
    before = _ANNOUNCED.set(announced)
    try:
        yield
    finally:
        _ANNOUNCED.reset(before)
    announced.check_all_asked_for()
