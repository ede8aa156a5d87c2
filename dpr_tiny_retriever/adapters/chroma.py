"""Chroma: an embedding function with separate encoders for queries and titled documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dpr_tiny_retriever.errors import MissingExtraError, ModelMismatchError

try:
    from chromadb.api.types import Documents, EmbeddingFunction, Embeddings, Space
    from chromadb.utils.embedding_functions import register_embedding_function
except ModuleNotFoundError as error:
    raise MissingExtraError(
        f'{error.name} is not installed, and the Chroma adapter needs it: pip install "dpr-tiny-retriever[chroma]"'
    ) from error

from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.load_options import LoadOptions, complete_options, spell_out_options
from dpr_tiny_retriever.model_stamp import STAMP_KEY, check_stamp

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection
    from typing_extensions import Unpack

    from dpr_tiny_retriever.types import Model


@register_embedding_function
class TinyDPREmbeddingFunction(EmbeddingFunction[Documents]):
    """Embeds the documents of a Chroma collection with the passage encoder, and its queries with the query encoder.

        function = TinyDPREmbeddingFunction()
        collection = function.collection(client, "articles")
        collection.add(ids, function.embed_titled(documents, metadatas), metadatas, documents)
        collection.query(query_texts=["Who wrote Middlemarch?"])

    Chroma hands on texts alone: embed_titled is what embeds titles, and Chroma then embeds nothing itself. A collection
    writes down the function, with its model's name and fingerprint: `client.get_collection(name)` has it again, in any
    process that has imported this module. `collection` also refuses vectors of another model, which get_collection with
    another embedding_function does not. A collection ranks by cosine, or by dot product where the pair's vectors are
    not of unit length; other spaces are refused there (`exact_dot=True` or `normalize=True` makes every space right).

    model, query_model, passage_model, max_query_length, max_passage_length: as in `DualEncoder.from_pretrained`.
    options: fingerprint, exact_dot, backend and the others of `LoadOptions`. A token is not written down.
    """

    encoder: DualEncoder
    """The pair itself, with `embedding_dim`, `similarity` and `stamp`."""

    @spell_out_options
    def __init__(
        self,
        model: Model = None,
        *,
        query_model: Model = None,
        passage_model: Model = None,
        max_query_length: int | None = None,
        max_passage_length: int | None = None,
        **options: Unpack[LoadOptions],
    ) -> None:
        """Load the pair; raises as `DualEncoder.from_pretrained` does."""
        complete_options(options, own=tuple(locals())[1:-1])  # own: all parameters between self and options
        self.encoder = DualEncoder.from_pretrained(
            model,
            query_model=query_model,
            passage_model=passage_model,
            max_query_length=max_query_length,
            max_passage_length=max_passage_length,
            **options,
        )

    def __repr__(self) -> str:
        return f"TinyDPREmbeddingFunction({self.encoder!r})"

    def __call__(self, input: Documents) -> Embeddings:
        """Embed documents without titles: float32 [embedding_dim] each, in their order."""
        return list(self.encoder.encode_passages(input))

    def embed_query(self, input: Documents) -> Embeddings:
        """Embed queries: float32 [embedding_dim] each, in their order."""
        return list(self.encoder.encode_queries(input))

    def embed_titled(
        self, documents: Documents, metadatas: Sequence[Mapping[str, Any] | None], *, title_key: str = "title"
    ) -> Embeddings:
        """Embed documents with the titles in their metadata, for `add`, `update` and `upsert` of a collection.

        Of a document without one, the text alone. Raises ValueError unless each document has its metadata or None.
        """
        titles = [(metadata or {}).get(title_key) for metadata in metadatas]
        if len(titles) != len(documents):
            raise ValueError(f"found {len(documents)} documents and {len(titles)} metadatas; expected one for each")
        return list(self.encoder.encode_passages(list(zip(titles, documents, strict=True))))

    def collection(
        self, client: ClientAPI, name: str, *, metadata: Mapping[str, Any] | None = None, **options: Any
    ) -> Collection:
        """Get or create a collection, with the model stamp in its metadata.

        metadata, options: as for the client's create_collection. Raises ModelMismatchError where another model made the
        vectors, ValueError where the collection would rank otherwise than the pair does.
        """
        stamped = {**(metadata or {}), STAMP_KEY: str(self.encoder.stamp)}
        if name in {found.name for found in client.list_collections()}:
            found = client.get_collection(name, embedding_function=self)
        else:
            found = client.create_collection(name, embedding_function=self, metadata=stamped, **options)
        check_stamp((found.metadata or {}).get(STAMP_KEY), self.encoder.stamp)
        index = found.configuration.get("hnsw") or found.configuration.get("spann") or {}
        space, needed = index.get("space"), self.supported_spaces()
        if space is not None and space not in needed:
            raise ValueError(
                f"the collection {name!r} ranks by {space!r}, this pair by {self.encoder.similarity}; expected the "
                f"space {needed[0]!r}, or a function with exact_dot=True or normalize=True, which suits every space: "
                "make another collection"
            )
        return found

    @staticmethod
    def name() -> str:
        """Return the name under which collections save this function."""
        return "dpr_tiny"

    def default_space(self) -> Space:
        """Return the space of a new collection if none is given."""
        return self.supported_spaces()[0]

    def supported_spaces(self) -> list[Space]:
        """Return the spaces that rank as the pair does."""
        if self.encoder.ranks_alike:
            return ["cosine", "ip", "l2"]
        return ["ip"] if self.encoder.similarity == "dot" else ["cosine"]

    def get_config(self) -> dict[str, Any]:
        """Return what a collection saves: model, options other than the defaults, and the pair's fingerprint."""
        return self.encoder.settings()

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> TinyDPREmbeddingFunction:
        """Build the function that a collection has saved; raises ModelMismatchError if its model has changed."""
        return TinyDPREmbeddingFunction(**config)

    def validate_config_update(self, old_config: dict[str, Any], new_config: dict[str, Any]) -> None:
        """Raise ModelMismatchError if a collection's function is replaced by one of another model."""
        if old_config.get("fingerprint") != new_config.get("fingerprint"):
            raise ModelMismatchError(
                f"the collection's vectors are of {old_config}; found {new_config}, whose vectors cannot be compared "
                "with them: make another collection"
            )
