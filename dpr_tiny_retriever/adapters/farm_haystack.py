"""A retriever for farm-haystack 1.26 over a pair of small encoders; it takes DensePassageRetriever's place.

Haystack reads the annotations of a node's constructor to load a pipeline from YAML, and understands neither
postponed annotations nor `X | None`: hence the older spelling.
"""
# ruff: noqa: UP006, UP007, UP035, UP045

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from dpr_tiny_retriever.adapters.farm_haystack_imports import BaseDocumentStore, DenseRetriever, Document, FilterType

# Imported first, because its error names the extra to install if farm-haystack is missing.
# isort: split
from dpr_tiny_retriever.adapters.farm_haystack_blend import StoreBlend
from dpr_tiny_retriever.adapters.farm_haystack_checks import (
    as_passage,
    check_choices,
    check_document_store,
    positive,
    take_without_meaning,
)
from dpr_tiny_retriever.adapters.farm_haystack_models import TrainedPair
from dpr_tiny_retriever.adapters.farm_haystack_scores import query_options, score_documents
from dpr_tiny_retriever.adapters.farm_haystack_stamps import check_stamps, stamp
from dpr_tiny_retriever.checkpoints.bundled_pairs import released_name
from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.load_options import DEFAULTS
from dpr_tiny_retriever.types import Vectors

__all__ = ["TinyDPRRetriever"]

_CPU = "/CPU:0"


class TinyDPRRetriever(TrainedPair, DenseRetriever):  # type: ignore[misc]
    """Finds the documents whose vectors are nearest to a query's, as DensePassageRetriever does.

    Parameters that both have mean the same; of those that mean nothing here, another value than the default warns.

    document_store: where to search, unless a call names another. Its embedding_dim must be the model's, 128
        for a tiny pair; its similarity must rank as the model does: vectors of unit length, and those with exact_dot,
        fit every similarity, others only their own.
    model: a preset ("nlpconnect-L2"), a pair's directory, or one model for both sides; None is the bundled
        pair, which a saved pipeline names with its release.
    query_embedding_model, passage_embedding_model: a directory or hub id for each side, instead of model.
    top_k: documents per query.
    title_field: the meta field that holds a document's title; a missing field, None or "" means no title.
    embed_title: False leaves titles out.
    max_seq_len_query, max_seq_len_passage: tokens per text, special tokens included; None is what the model
        states.
    use_gpu: False stays on the CPU; True takes a GPU where TensorFlow sees one.
    batch_size: most texts at once; None: as many as their lengths suggest.
    progress_bar: True shows one for long work, False none.
    scale_score: True gives scores from 0 to 1: (cosine + 1) / 2 for pairs of unit length or cosine, the logistic
        function of a hundredth of the dot product for others. False gives the cosine or dot product itself, whatever
        the store computes, and the sum of a blend.
    mode: "dense" ranks by vectors, as DensePassageRetriever does; "blend" by vectors and BM25 together, which ranks
        better. BM25 then counts, in memory, the words of all documents of the store, and follows what is written,
        deleted and updated; filters hold in every store.
    use_fast_tokenizers, similarity_function, global_loss_buffer_size, devices: nothing here.
    model_version, use_auth_token: revision and token of LoadOptions. A saved pipeline holds a token given as
        text; the environment variable HF_TOKEN works without.
    local_files_only, fingerprint, pooling, normalize, exact_dot, backend, threads, precision: as in LoadOptions.
    stamp_documents: whether embed_documents writes what made the vectors into meta["dpr_tiny_model"], also in
        document_store where that keeps documents in SQL, as FAISSDocumentStore does.
    on_mismatch: "error" or "warn" where a document is found that another model was stamped on.

    Raises ValueError for a document store that does not fit.
    """

    encoder: DualEncoder
    """The pair itself, with `embedding_dim` and `similarity`."""

    def __init__(
        self,
        document_store: Optional[BaseDocumentStore] = None,
        model: Optional[Union[str, Path]] = None,
        query_embedding_model: Optional[Union[str, Path]] = None,
        passage_embedding_model: Optional[Union[str, Path]] = None,
        top_k: int = 10,
        title_field: str = "name",
        embed_title: bool = True,
        model_version: Optional[str] = DEFAULTS["revision"],
        max_seq_len_query: Optional[int] = None,
        max_seq_len_passage: Optional[int] = None,
        use_gpu: bool = True,
        use_fast_tokenizers: bool = True,
        batch_size: Optional[int] = None,
        progress_bar: bool = True,
        use_auth_token: Optional[Union[str, bool]] = DEFAULTS["token"],
        scale_score: bool = True,
        local_files_only: bool = DEFAULTS["local_files_only"],
        pooling: Optional[str] = DEFAULTS["pooling"],
        normalize: Optional[bool] = DEFAULTS["normalize"],
        precision: str = DEFAULTS["precision"],
        backend: str = DEFAULTS["backend"],
        threads: Optional[int] = DEFAULTS["threads"],
        mode: str = "dense",
        exact_dot: bool = DEFAULTS["exact_dot"],
        fingerprint: Optional[str] = DEFAULTS["fingerprint"],
        stamp_documents: bool = True,
        on_mismatch: str = "error",
        similarity_function: str = "dot_product",
        global_loss_buffer_size: int = 150000,
        devices: Optional[List[Any]] = None,
    ) -> None:
        super().__init__()
        check_choices(model, query_embedding_model, passage_embedding_model, title_field, mode, on_mismatch)
        take_without_meaning(self._component_config["params"])
        self.document_store = document_store
        self.top_k = positive("top_k", top_k)
        self.title_field = title_field
        self.embed_title = embed_title
        self.batch_size = None if batch_size is None else positive("batch_size", batch_size)
        self.progress_bar = progress_bar
        self.scale_score = scale_score
        self.use_gpu = use_gpu
        self.mode = mode
        self.stamp_documents = stamp_documents
        self.on_mismatch = on_mismatch
        self._blend = StoreBlend()
        self._run_options = {"backend": backend, "threads": threads, "precision": precision, "exact_dot": exact_dot}
        self._run_options["device"] = None if use_gpu else _CPU
        options = {
            **{"max_query_length": max_seq_len_query, "max_passage_length": max_seq_len_passage},
            **{"revision": model_version, "token": use_auth_token, "local_files_only": local_files_only},
            **{"fingerprint": fingerprint, "pooling": pooling, "normalize": normalize, **self._run_options},
        }
        sides = query_embedding_model, passage_embedding_model
        self.encoder = DualEncoder.from_pretrained(model, query_model=sides[0], passage_model=sides[1], **options)
        if document_store is not None:
            check_document_store(document_store, self.encoder)
        self.name_models(released_name(model), *sides)

    def __repr__(self) -> str:
        return f"TinyDPRRetriever({self.encoder!r}, mode={self.mode!r})"

    def retrieve(
        self,
        query: str,
        filters: Optional[FilterType] = None,
        top_k: Optional[int] = None,
        index: Optional[str] = None,
        headers: Optional[Dict[str, str]] = None,
        scale_score: Optional[bool] = None,
        document_store: Optional[BaseDocumentStore] = None,
    ) -> List[Document]:
        """Return the top_k documents for a query, nearest first, each with its score.

        None is the constructor's value, or the document store's own index. The document store handles filters and
        headers: FAISSDocumentStore ignores filters with a warning, unless they are for a blend, and refuses headers.
        """
        store, options, scale = self._search_options(document_store, top_k, index, scale_score)
        vectors = self.embed_queries([query])
        if self.mode == "blend":
            found = self._blended(store, [query], vectors, filters, headers, scale, options)
        else:
            options.update(query_options(store, scale), headers=headers)
            found = [store.query_by_embedding(vectors[0].copy(), filters=filters, **options)]
        return self._checked(found, vectors, store, scale)[0]

    def retrieve_batch(
        self,
        queries: List[str],
        filters: Optional[Union[FilterType, List[Optional[FilterType]]]] = None,
        top_k: Optional[int] = None,
        index: Optional[str] = None,
        headers: Optional[Dict[str, str]] = None,
        batch_size: Optional[int] = None,
        scale_score: Optional[bool] = None,
        document_store: Optional[BaseDocumentStore] = None,
    ) -> List[List[Document]]:
        """Return for each query what retrieve() returns; filters is one for all, or a list of one per query."""
        store, options, scale = self._search_options(document_store, top_k, index, scale_score)
        vectors = self.embed_queries(queries, batch_size)
        if self.mode == "blend":
            found = self._blended(store, queries, vectors, filters, headers, scale, options)
        else:
            options.update(query_options(store, scale), headers=headers)
            found = store.query_by_embedding_batch(list(vectors.copy()), filters=filters, **options)
        return self._checked(found, vectors, store, scale)

    def embed_queries(self, queries: List[str], batch_size: Optional[int] = None) -> Vectors:
        """Encode queries to float32 [n, embedding_dim]; raises TypeError naming the first one that is not a str."""
        batch_size = self.batch_size if batch_size is None else positive("batch_size", batch_size)
        return self.encoder.encode_queries(queries, batch_size=batch_size, show_progress=self._show_progress)

    def embed_documents(self, documents: List[Document]) -> Vectors:
        """Encode documents, title and text, to float32 [n, embedding_dim].

        With stamp_documents their meta then says by which model. Raises, before anything is encoded, ValueError for a
        document without text and TypeError for a title that is not a str; each names the document.
        """
        if not isinstance(documents, Iterable):
            raise TypeError(f"documents is a {type(documents).__name__}; expected a list of Documents")
        title_field = self.title_field if self.embed_title else None
        passages = [as_passage(document, position, title_field) for position, document in enumerate(documents)]
        self._blend.mark_changed()  # a store that updates its vectors may hold other texts than before
        vectors = self.encoder.encode_passages(passages, batch_size=self.batch_size, show_progress=self._show_progress)
        if self.stamp_documents:
            stamp(documents, str(self.encoder.stamp), self.document_store)
        return vectors

    @property
    def _show_progress(self) -> Optional[bool]:
        return None if self.progress_bar else False

    def _blended(
        self,
        store: BaseDocumentStore,
        queries: List[str],
        vectors: Vectors,
        filters: Any,
        headers: Optional[Dict[str, str]],
        scale: bool,
        options: Dict[str, Any],
    ) -> List[List[Document]]:
        title_field = self.title_field if self.embed_title else None
        options = {**options, "encoder": self.encoder, "title_field": title_field, "scale_score": scale}
        return self._blend.search(store, queries, list(vectors), filters, headers, **options)

    def _checked(
        self, found: Sequence[List[Document]], vectors: Vectors, store: BaseDocumentStore, scale: bool
    ) -> List[List[Document]]:
        """Check the stamps of retrieved documents and set their scores."""
        for documents, vector in zip(found, vectors, strict=True):
            check_stamps(documents, self.encoder.stamp, self.on_mismatch)
            if self.mode == "dense":
                score_documents(documents, vector, store, self.encoder, scale=scale)
        return list(found)

    def _search_options(
        self,
        document_store: Optional[BaseDocumentStore],
        top_k: Optional[int],
        index: Optional[str],
        scale_score: Optional[bool],
    ) -> Tuple[BaseDocumentStore, Dict[str, Any], bool]:
        """Return document store, query options and scale_score: the call's values, else the constructor's."""
        store = self.document_store if document_store is None else document_store
        if store is None:
            raise ValueError("there is no document store to search; pass document_store= here or to the constructor")
        check_document_store(store, self.encoder)
        options = {
            "top_k": self.top_k if top_k is None else positive("top_k", top_k),
            "index": store.index if index is None else index,
        }
        return store, options, self.scale_score if scale_score is None else scale_score
