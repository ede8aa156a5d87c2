"""LangChain embeddings over a pair of small encoders, for langchain-core 0.2 to 1.x.

Queries and documents have an encoder each. LangChain passes plain texts, so a title travels inside the text,
before a separator of your choice: `join_titles` puts it there, `split_titles` takes it out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dpr_tiny_retriever.errors import MissingExtraError

try:
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
except ModuleNotFoundError as error:
    raise MissingExtraError(
        f"{error.name} is not installed, and the LangChain adapter needs it: "
        'pip install "dpr-tiny-retriever[langchain]"'
    ) from error

from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.load_options import LoadOptions, complete_options, spell_out_options
from dpr_tiny_retriever.passage import as_passages

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from dpr_tiny_retriever.types import Model

__all__ = ["TinyDPREmbeddings", "join_titles", "split_titles"]


class TinyDPREmbeddings(Embeddings):
    """Embeds documents with the passage encoder and queries with the query encoder.

    The constructor loads the model, so that a wrong name or folder is an error before anything is indexed.
    Vectors of a pair whose `encoder.similarity` is "dot" belong in a store that compares by dot product
    (Qdrant's `Distance.DOT`, FAISS' `MAX_INNER_PRODUCT`); with `normalize=True` cosine ranks as the dot
    product does.

    Pickling and copying keep the settings and load the model again; a token is never written out.

    model, query_model, passage_model, max_query_length, max_passage_length: as in `DualEncoder.from_pretrained`.
    title_separator: what precedes its first occurrence in a text is the title; None: no titles.
    batch_size, show_progress: as in `DualEncoder.encode_passages`.
    options: revision, backend, threads and the others of `LoadOptions`.
    """

    encoder: DualEncoder
    """The pair itself, with `embedding_dim` and `similarity`."""

    @spell_out_options
    def __init__(
        self,
        model: Model = None,
        *,
        query_model: Model = None,
        passage_model: Model = None,
        title_separator: str | None = None,
        max_query_length: int | None = None,
        max_passage_length: int | None = None,
        batch_size: int | None = None,
        show_progress: bool | None = None,
        **options: Unpack[LoadOptions],
    ) -> None:
        complete_options(options, own=tuple(locals())[1:-1])  # own: all parameters between self and options
        if title_separator is not None:
            _check_separator(title_separator)
        self.title_separator = title_separator
        self.batch_size = batch_size
        self.show_progress = show_progress
        self.encoder = DualEncoder.from_pretrained(
            model,
            query_model=query_model,
            passage_model=passage_model,
            max_query_length=max_query_length,
            max_passage_length=max_passage_length,
            **options,
        )

    def __repr__(self) -> str:
        return f"TinyDPREmbeddings({self.encoder!r})"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return one vector of `encoder.embedding_dim` floats per text, in the order of the texts.

        Raises TypeError that names the position of a text that is not a str.
        """
        vectors = self.encoder.encode_passages(
            texts if self.title_separator is None else _with_titles(texts, self.title_separator),
            batch_size=self.batch_size,
            show_progress=self.show_progress,
        )
        rows: list[list[float]] = vectors.tolist()
        return rows

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a question, `encoder.embedding_dim` floats.

        Raises TypeError unless the question is a str.
        """
        row: list[float] = self.encoder.encode_queries([text])[0].tolist()
        return row


def join_titles(documents: Iterable[Document], *, title_separator: str, title_key: str = "title") -> list[Document]:
    """Return copies of documents whose text is their title, the separator and their text.

    The title is `metadata[title_key]`, and stays there. A document without one (no such key, None or "")
    keeps its text; if that text contains the separator, another separator is put in front, which marks an empty
    title. So `split_titles` restores every document, and `TinyDPREmbeddings` with the same separator embeds
    exactly its title and text. Split long documents into chunks first: then each chunk carries the title.

    Raises ValueError if a title contains the separator or runs into it, TypeError if a title is not a str.
    """
    _check_separator(title_separator)
    joined = []
    for position, document in enumerate(documents):
        title, text = _title(document, position, title_key), document.page_content
        if (title + title_separator).index(title_separator) != len(title):
            raise ValueError(
                f"the title of document {position}, {title!r}, contains or runs into the separator "
                f"{title_separator!r} and could not be split off again; choose a separator that no title has"
            )
        if title or title_separator in text:
            text = title + title_separator + text
        joined.append(Document(page_content=text, metadata=dict(document.metadata), id=document.id))
    return joined


def split_titles(documents: Iterable[Document], *, title_separator: str, title_key: str = "title") -> list[Document]:
    """Return copies of documents with the title taken off their text and stored as `metadata[title_key]`.

    Undoes `join_titles`, for the documents that a retriever returns. A text without the separator stays as it is.

    Raises ValueError if the metadata holds another title: then the text was not written by `join_titles`.
    """
    _check_separator(title_separator)
    split = []
    for position, document in enumerate(documents):
        stored_title, metadata = _title(document, position, title_key), dict(document.metadata)
        title, text = _partition(document.page_content, title_separator)
        if text != document.page_content:
            if stored_title and stored_title != title:
                raise ValueError(
                    f"document {position} has the title {stored_title!r} in its metadata and {title!r} in its text; "
                    "expected what join_titles wrote: split it once, with the same separator"
                )
            if title:
                metadata[title_key] = title
        split.append(Document(page_content=text, metadata=metadata, id=document.id))
    return split


def _with_titles(texts: Iterable[str], separator: str) -> list[tuple[str, str]]:
    """Split titles off texts; the core refuses anything but a text, with its position."""
    return [(title, text) if title else _partition(text, separator) for title, text in as_passages(texts)]


def _partition(text: str, separator: str) -> tuple[str, str]:
    """Return the title, "" if there is none, and the text after it."""
    title, separated, rest = text.partition(separator)
    return (title, rest) if separated else ("", text)


def _title(document: Document, position: int, key: str) -> str:
    if not isinstance(document, Document):
        raise TypeError(f"document {position} is {type(document).__name__}; expected a LangChain Document")
    title = document.metadata.get(key)
    if title is not None and not isinstance(title, str):
        raise TypeError(
            f"metadata[{key!r}] of document {position} is {type(title).__name__} {title!r}; "
            "expected str or None: convert it, or name another key as title_key"
        )
    return title or ""


def _check_separator(separator: object) -> None:
    if not isinstance(separator, str):
        raise TypeError(f"title_separator is {separator!r}; expected str, for example ' | '")
    if not separator:
        raise ValueError("title_separator is empty; expected text that ends a title, for example ' | '")
