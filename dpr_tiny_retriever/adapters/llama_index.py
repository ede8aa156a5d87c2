"""LlamaIndex: an embedding model with separate encoders for queries and titled nodes."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dpr_tiny_retriever.errors import MissingExtraError

try:
    from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding
    from llama_index.core.bridge.pydantic import ConfigDict, PrivateAttr
except ModuleNotFoundError as error:
    raise MissingExtraError(
        f"{error.name} is not installed, and the LlamaIndex adapter needs it: "
        'pip install "dpr-tiny-retriever[llama-index]"'
    ) from error

from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.load_options import LoadOptions, complete_options, spell_out_options

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from dpr_tiny_retriever.types import Model


class TinyDPREmbedding(BaseEmbedding):
    """Embeds nodes with the passage encoder and questions with the query encoder.

        embed_model = TinyDPREmbedding()
        index = VectorStoreIndex.from_documents(documents, embed_model=embed_model)
        index.as_retriever().retrieve("Who wrote Middlemarch?")

    A node's title is `metadata[title_key]`. LlamaIndex puts metadata before the text that is embedded, one line a key:
    there the title's line becomes the title, and leaves the text. What else stands in the metadata stays in the text,
    as LlamaIndex has it; `excluded_embed_metadata_keys` of a node takes it out. Chunks have their document's title.

    The constructor loads the model. Where it warns that vectors are compared by dot product, stores that compare by
    cosine or L2, as LlamaIndex' own does, would rank otherwise. to_dict and to_json write the model's name and
    fingerprint, never a token; from_dict raises ModelMismatchError where the name has come to mean another model.

    model, query_model, passage_model, max_query_length, max_passage_length: as in `DualEncoder.from_pretrained`.
    title_key: the metadata key of titles; None: no titles.
    embed_batch_size, num_workers: as in BaseEmbedding, whose callback_manager and rate_limiter are taken, too.
    options: backend, exact_dot and the others of `LoadOptions`.
    """

    model_config = ConfigDict(extra="allow")  # LoadOptions other than the defaults

    model: str | None = None
    query_model: str | None = None
    passage_model: str | None = None
    title_key: str | None = "title"
    max_query_length: int | None = None
    max_passage_length: int | None = None
    embed_batch_size: int = 256

    _encoder: DualEncoder = PrivateAttr()

    @spell_out_options
    def __init__(
        self,
        model: Model = None,
        *,
        query_model: Model = None,
        passage_model: Model = None,
        title_key: str | None = "title",
        max_query_length: int | None = None,
        max_passage_length: int | None = None,
        embed_batch_size: int = 256,
        num_workers: int | None = None,
        **options: Unpack[LoadOptions],
    ) -> None:
        """Load the pair; raises as `DualEncoder.from_pretrained` does."""
        own = {name: value for name, value in options.items() if name in BaseEmbedding.model_fields}
        options_given: dict[str, Any] = {name: value for name, value in options.items() if name not in own}
        complete_options(options_given, own=tuple(type(self).model_fields))
        if own.get("embeddings_cache") is not None:
            raise ValueError(
                "embeddings_cache is given, which has one vector for a text, whether it is a question or a document; "
                "expected None: IngestionPipeline(cache=...) keeps the vectors of documents alone"
            )
        encoder = DualEncoder.from_pretrained(
            model,
            query_model=query_model,
            passage_model=passage_model,
            max_query_length=max_query_length,
            max_passage_length=max_passage_length,
            **options_given,
        )
        own = {
            "model_name": encoder.stamp.model,
            "embed_batch_size": embed_batch_size,
            "num_workers": num_workers,
        } | own
        super().__init__(**own, title_key=title_key, **encoder.settings())
        self._encoder = encoder
        if encoder.similarity == "dot" and not encoder.ranks_alike:
            warnings.warn(
                f"{encoder.stamp.model} is compared by dot product, and LlamaIndex' own SimpleVectorStore compares by "
                "cosine: expected a store that compares by dot product, or exact_dot=True, which ranks alike in every "
                "store",
                stacklevel=2,
            )

    def __repr__(self) -> str:
        return f"TinyDPREmbedding({self._encoder!r}, title_key={self.title_key!r})"

    def __reduce__(self) -> tuple[Callable[..., TinyDPREmbedding], tuple[dict[str, Any]]]:
        return type(self).from_dict, (self.to_dict(),)

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which LlamaIndex serializes this class."""
        return "TinyDPREmbedding"

    @property
    def encoder(self) -> DualEncoder:
        """The pair itself, with `embedding_dim`, `similarity` and `stamp`."""
        return self._encoder

    def _get_query_embedding(self, query: str) -> Embedding:
        vector: Embedding = self._encoder.encode_queries([query])[0].tolist()
        return vector

    async def _aget_query_embedding(self, query: str) -> Embedding:
        return await asyncio.to_thread(self._get_query_embedding, query)

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return await asyncio.to_thread(self._get_text_embedding, text)

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        passages = [title_and_text(text, self.title_key) for text in texts]
        vectors: list[Embedding] = self._encoder.encode_passages(passages).tolist()
        return vectors

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)


def title_and_text(text: str, title_key: str | None) -> tuple[str, str]:
    """Split the string that LlamaIndex passes for a node into title ("" for none) and text.

    The string is the node's metadata, one "key: value" a line, an empty line, and the node's text.
    """
    metadata, separator, content = text.partition("\n\n")
    lines = metadata.split("\n")
    for number, line in enumerate(lines if separator and title_key is not None else []):
        key, colon, value = line.partition(":")
        if not colon or value[:1].strip():
            break
        if key == title_key:
            others = "\n".join(lines[:number] + lines[number + 1 :])
            title = value.strip()
            # LlamaIndex writes None as "None".
            return "" if title == "None" else title, f"{others}{separator}{content}" if others else content
    return "", text
