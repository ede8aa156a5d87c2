"""The haystack-ai component that turns titled documents into vectors."""

import asyncio
from dataclasses import KW_ONLY, dataclass, replace

from haystack import Document, component

from dpr_tiny_retriever import Passage
from haystack_integrations.components.embedders.dpr_tiny.embedder import TinyDPREmbedder


@component
@dataclass(eq=False, repr=False)
class TinyDPRDocumentEmbedder(TinyDPREmbedder):
    """Embeds documents with the passage encoder of a pair, for a document store.

    Title and text reach the model as a sentence pair, as in training. The parameters are those of
    TinyDPREmbedder, and

    title_meta_field: the meta field that holds a document's title; None embeds no title. If the field is missing,
        None or "", only the text is embedded.
    meta_fields_to_embed: further meta fields, put before the content in this order; a missing field or None is
        skipped. The title's field need not be listed, and is not embedded twice.
    embedding_separator: the text between those fields and the content.
    batch_size: most documents at once; None: as many as their lengths suggest.
    """

    side = "passage"

    title_meta_field: str | None = "title"
    _: KW_ONLY
    meta_fields_to_embed: list[str] | None = None
    embedding_separator: str = "\n"
    batch_size: int | None = None

    def __post_init__(self) -> None:
        TinyDPREmbedder.__post_init__(self)  # not super(): @component replaces this class by a new one
        if isinstance(self.meta_fields_to_embed, str):
            raise TypeError(
                f"meta_fields_to_embed is the str {self.meta_fields_to_embed!r}; expected a list of names: "
                f"[{self.meta_fields_to_embed!r}]"
            )

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """Embed documents: {"documents": copies in the same order, each with its embedding}.

        The originals are not changed. Raises, before anything is encoded, TypeError for anything but a list of
        documents or for a title that is not a str, and ValueError for a document without text.
        """
        if not isinstance(documents, list):
            raise _wrong_input(f"documents is a {type(documents).__name__}")
        for position, document in enumerate(documents):
            if not isinstance(document, Document):
                raise _wrong_input(f"item {position} is a {type(document).__name__}")
        vectors = self._load().encode(
            [self._passage(document) for document in documents],
            batch_size=self.batch_size,
            show_progress=self.progress_bar,
        )
        embedded = zip(documents, vectors.tolist(), strict=True)
        return {"documents": [replace(document, embedding=embedding) for document, embedding in embedded]}

    @component.output_types(documents=list[Document])
    async def run_async(self, documents: list[Document]) -> dict[str, list[Document]]:
        """As run(), in a thread, so that the event loop is not blocked."""
        return await asyncio.to_thread(self.run, documents)

    def _passage(self, document: Document) -> Passage:
        title = document.meta.get(self.title_meta_field) if self.title_meta_field is not None else None
        if title is not None and not isinstance(title, str):
            raise TypeError(
                f"meta[{self.title_meta_field!r}] of document {document.id} is a {type(title).__name__}; "
                "expected a str or None: convert it, or name another title_meta_field (None embeds no title)"
            )
        names = [name for name in self.meta_fields_to_embed or () if name != self.title_meta_field]
        parts = [str(document.meta[name]) for name in names if document.meta.get(name) is not None]
        if document.content is not None:
            parts.append(document.content)
        if not parts:
            raise ValueError(
                f"document {document.id} has no text: its content is None; expected a str: leave out images "
                "and tables, or turn them into text first"
            )
        return Passage(title, self.prefix + self.embedding_separator.join(parts) + self.suffix)


# @component sets a repr of its own, which tells neither model nor backend.
TinyDPRDocumentEmbedder.__repr__ = TinyDPREmbedder.__repr__  # type: ignore[method-assign]


def _wrong_input(problem: str) -> TypeError:
    return TypeError(
        f"TinyDPRDocumentEmbedder embeds a list of haystack Documents, but {problem}; "
        "for a single str use TinyDPRTextEmbedder"
    )
