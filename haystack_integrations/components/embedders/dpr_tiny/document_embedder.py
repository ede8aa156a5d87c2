"""The haystack-ai component that turns titled documents into vectors."""

import asyncio
from dataclasses import KW_ONLY, dataclass, replace

from haystack import Document, component

from dpr_tiny_retriever import STAMP_KEY, Passage
from haystack_integrations.components.embedders.dpr_tiny.connected_stores import components_behind, setting
from haystack_integrations.components.embedders.dpr_tiny.embedder import TinyDPREmbedder, complete
from haystack_integrations.components.embedders.dpr_tiny.titles import warn_of_unused_titles


@complete
@component
@dataclass(eq=False, repr=False)
class TinyDPRDocumentEmbedder(TinyDPREmbedder):
    """Embeds documents with the passage encoder of a pair, for a document store.

    Title and text reach the model as a sentence pair, as in training. In a pipeline the first run compares the model
    with the document stores behind it: the width of vectors, and whether they rank as the model does; see on_mismatch.

    title_meta_field: the meta field that holds a document's title; None embeds no title. If the field is missing,
        None or "", only the text is embedded. Where titles seem to lie in another field, a warning says so once.
    meta_fields_to_embed: further meta fields, put before the content in this order; a missing field or None is
        skipped. The title's field need not be listed, and is not embedded twice.
    embedding_separator: the text between those fields and the content.
    batch_size: most documents at once; None: as many as their lengths suggest.
    stamp_documents: whether meta["dpr_tiny_model"] says which model made the embedding, for queries to compare with
        theirs.

    Further parameters, as of TinyDPREmbedder:

    """

    side = "passage"

    title_meta_field: str | None = "title"
    _: KW_ONLY
    meta_fields_to_embed: list[str] | None = None
    embedding_separator: str = "\n"
    batch_size: int | None = None
    stamp_documents: bool = True

    def __post_init__(self) -> None:
        TinyDPREmbedder.__post_init__(self)  # not super(): @component replaces this class by a new one
        if isinstance(self.meta_fields_to_embed, str):
            raise TypeError(
                f"meta_fields_to_embed is the str {self.meta_fields_to_embed!r}; expected a list of names: "
                f"[{self.meta_fields_to_embed!r}]"
            )
        self._warned_of_titles = False

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """Embed documents: {"documents": copies in the same order, each with its embedding}.

        With stamp_documents each copy's meta has the stamp of the model; the originals are not changed. Raises, before
        anything is encoded, TypeError for anything but a list of documents or for a title that is not a str, and
        ValueError for a document without text.
        """
        passages = self.passages(documents)
        if not self._warned_of_titles:
            used = [self.title_meta_field, *(self.meta_fields_to_embed or ())]
            self._warned_of_titles = warn_of_unused_titles(documents, self.title_meta_field, used)
        self._check_connected()
        vectors = self._load().encode(passages, batch_size=self.batch_size, show_progress=self.progress_bar).tolist()
        stamp = {STAMP_KEY: str(self.stamp)} if self.stamp_documents else {}
        embedded = []
        for document, embedding in zip(documents, vectors, strict=True):
            meta = {name: value for name, value in document.meta.items() if name != STAMP_KEY}
            embedded.append(replace(document, embedding=embedding, meta={**meta, **stamp}))
        return {"documents": embedded}

    @component.output_types(documents=list[Document])
    async def run_async(self, documents: list[Document]) -> dict[str, list[Document]]:
        """Call run() in a worker thread, so that the event loop is not blocked."""
        return await asyncio.to_thread(self.run, documents)

    def passages(self, documents: list[Document]) -> list[Passage]:
        """Return the title and text that are encoded for each document; raises the same errors as run()."""
        if not isinstance(documents, list):
            raise _wrong_input(f"documents is a {type(documents).__name__}")
        for position, document in enumerate(documents):
            if not isinstance(document, Document):
                raise _wrong_input(f"item {position} is a {type(document).__name__}")
        return [self._passage(document) for document in documents]

    def _check_connected(self) -> None:
        """Check the document stores that the pipeline writes to, each once."""
        for part in components_behind(self, everywhere=True):
            store = setting(part, "document_store")
            if store is not None and id(part) not in self._checked:
                self.check_store(store)
                self._checked.add(id(part))

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


def _wrong_input(problem: str) -> TypeError:
    return TypeError(
        f"TinyDPRDocumentEmbedder embeds a list of haystack Documents, but {problem}; "
        "for a single str use TinyDPRTextEmbedder"
    )
