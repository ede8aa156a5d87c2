"""A retriever for farm-haystack 1.26 over a pair of small encoders; it takes DensePassageRetriever's place.

Haystack reads the annotations of a node's constructor to load a pipeline from YAML, and understands neither
postponed annotations nor `X | None`: hence the older spelling.
"""
# ruff: noqa: UP006, UP007, UP035, UP045

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union, cast

from dpr_tiny_retriever.adapters.farm_haystack_imports import BaseDocumentStore, DenseRetriever, Document, FilterType

# The line above says what to install where farm-haystack is missing.
# isort: split
from dpr_tiny_retriever.adapters.farm_haystack_blend import StoreBlend
from dpr_tiny_retriever.adapters.farm_haystack_checks import as_passage, check_choices, check_document_store, positive
from dpr_tiny_retriever.atomic_files import replaced_folder
from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.errors import MissingExtraError
from dpr_tiny_retriever.load_options import DEFAULTS
from dpr_tiny_retriever.retrieval.nearest_neighbours import scores_are_cosines
from dpr_tiny_retriever.types import Pooling, Vectors

__all__ = ["TinyDPRRetriever"]

_CPU = "/CPU:0"


class TinyDPRRetriever(DenseRetriever):  # type: ignore[misc]
    """Finds the documents whose vectors are nearest to a query's, as DensePassageRetriever does.

    Parameters that both have mean the same. Those of torch (devices) and of training alone
    (similarity_function, global_loss_buffer_size) do not exist here.

    document_store: where to search, unless a call names another. Its embedding_dim must be the model's, 128
        for a tiny pair; its similarity must rank as the model does: vectors of unit length fit every similarity,
        others only their own.
    model: a preset ("nlpconnect-L2"), a pair's directory, or one model for both sides; None is the bundled
        pair.
    query_embedding_model, passage_embedding_model: a directory or hub id for each side, instead of model.
    top_k: documents per query.
    title_field: the meta field that holds a document's title; a missing field, None or "" means no title.
    embed_title: False leaves titles out.
    max_seq_len_query, max_seq_len_passage: tokens per text, special tokens included; None is what the model
        states.
    use_gpu: False stays on the CPU; True takes a GPU where TensorFlow sees one.
    use_fast_tokenizers: only True; slow tokenizers do not exist here.
    batch_size: most texts at once; None: as many as their lengths suggest.
    progress_bar: True shows one for long work, False none.
    scale_score: scores from 0 to 1 instead of the raw similarity, or of the blend's sum.
    mode: "dense" ranks by vectors, as DensePassageRetriever does; "blend" by vectors and BM25 together, which ranks
        better. BM25 then counts, in memory, the words of all documents of the store, and follows what is written,
        deleted and updated; filters hold in every store.
    model_version, use_auth_token: revision and token of LoadOptions. A saved pipeline holds a token given as
        text; the environment variable HF_TOKEN works without.
    local_files_only, pooling, normalize, backend, threads, precision: as in LoadOptions.

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
    ) -> None:
        super().__init__()
        check_choices(model, query_embedding_model, passage_embedding_model, use_fast_tokenizers, title_field, mode)
        self.document_store = document_store
        self.top_k = positive("top_k", top_k)
        self.title_field = title_field
        self.embed_title = embed_title
        self.batch_size = None if batch_size is None else positive("batch_size", batch_size)
        self.progress_bar = progress_bar
        self.scale_score = scale_score
        self.use_gpu = use_gpu
        self.mode = mode
        self._blend = StoreBlend()
        self._run_options: Dict[str, Any] = {"backend": backend, "threads": threads, "precision": precision}
        self._run_options["device"] = None if use_gpu else _CPU
        self.encoder = DualEncoder.from_pretrained(
            model,
            query_model=query_embedding_model,
            passage_model=passage_embedding_model,
            max_query_length=max_seq_len_query,
            max_passage_length=max_seq_len_passage,
            revision=model_version,
            token=use_auth_token,
            local_files_only=local_files_only,
            pooling=cast(Optional[Pooling], pooling),
            normalize=normalize,
            **self._run_options,
        )
        if document_store is not None:
            check_document_store(document_store, self.encoder)
        # Haystack writes the arguments to YAML, which has no word for a Path.
        arguments = self._component_config["params"]
        arguments.update({name: str(value) for name, value in arguments.items() if isinstance(value, Path)})

    def __repr__(self) -> str:
        return f"TinyDPRRetriever({self.encoder!r})"

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
        store, options = self._search_options(document_store, top_k, index, scale_score)
        vector = self.embed_queries([query])[0]
        if self.mode == "blend":
            return self._blend.search(store, [query], [vector], filters, headers, **self._blend_options, **options)[0]
        documents: List[Document] = store.query_by_embedding(vector, filters=filters, headers=headers, **options)
        return documents

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
        store, options = self._search_options(document_store, top_k, index, scale_score)
        vectors = list(self.embed_queries(queries, batch_size))
        if self.mode == "blend":
            return self._blend.search(store, queries, vectors, filters, headers, **self._blend_options, **options)
        documents: List[List[Document]] = store.query_by_embedding_batch(
            vectors, filters=filters, headers=headers, **options
        )
        return documents

    def embed_queries(self, queries: List[str], batch_size: Optional[int] = None) -> Vectors:
        """Encode queries to float32 [n, embedding_dim]; raises TypeError naming the first one that is not a str."""
        batch_size = self.batch_size if batch_size is None else positive("batch_size", batch_size)
        return self.encoder.encode_queries(queries, batch_size=batch_size, show_progress=self._show_progress)

    def embed_documents(self, documents: List[Document]) -> Vectors:
        """Encode documents, title and text, to float32 [n, embedding_dim].

        Raises, before anything is encoded, ValueError for a document without text and TypeError for a title that is
        not a str; each names the document.
        """
        if not isinstance(documents, Iterable):
            raise TypeError(f"documents is a {type(documents).__name__}; expected a list of Documents")
        title_field = self.title_field if self.embed_title else None
        passages = [as_passage(document, position, title_field) for position, document in enumerate(documents)]
        self._blend.mark_changed()  # a store that updates its vectors may hold other texts than before
        return self.encoder.encode_passages(passages, batch_size=self.batch_size, show_progress=self._show_progress)

    def train(
        self,
        data_dir: str,
        train_filename: str,
        dev_filename: Optional[str] = None,
        test_filename: Optional[str] = None,
        max_samples: Optional[int] = None,
        max_processes: int = 128,
        multiprocessing_strategy: Optional[str] = None,
        dev_split: float = 0,
        batch_size: int = 2,
        embed_title: bool = True,
        num_hard_negatives: int = 1,
        num_positives: int = 1,
        n_epochs: int = 3,
        evaluate_every: int = 1000,
        n_gpu: int = 1,
        learning_rate: float = 1e-5,
        epsilon: float = 1e-08,
        weight_decay: float = 0.0,
        num_warmup_steps: int = 100,
        grad_acc_steps: int = 1,
        use_amp: bool = False,
        optimizer_name: str = "AdamW",
        optimizer_correct_bias: bool = True,
        save_dir: str = "../saved_models/dpr",
        query_encoder_save_dir: str = "query_encoder",
        passage_encoder_save_dir: str = "passage_encoder",
        checkpoint_root_dir: Union[str, Path] = "model_checkpoints",
        checkpoint_every: Optional[int] = None,
        checkpoints_to_keep: int = 3,
        early_stopping: Optional[Any] = None,
    ) -> None:
        """Train both sides further on DPR JSON, write them into save_dir, and use them from then on.

        The parameters are DensePassageRetriever's. One reading process and one checkpoint are enough here whatever
        max_processes and checkpoints_to_keep say; grad_acc_steps times batch_size questions make one batch, encoded
        batch_size at a time; early_stopping gives the patience, in evaluations by DPR's average rank. Documents that
        are already indexed keep their former vectors: call update_embeddings. Raises ValueError for a value that is
        not supported here. Needs the extra `train`.
        """
        parameters = {name: value for name, value in locals().items() if name != "self"}
        del parameters["query_encoder_save_dir"], parameters["passage_encoder_save_dir"]
        try:
            from dpr_tiny_retriever.adapters.farm_haystack_training import train_as_haystack
        except ModuleNotFoundError as error:
            missing = (error.name or "").split(".")[0]
            raise MissingExtraError(
                f'training needs {missing}, which is not installed; run: pip install "dpr-tiny-retriever[train]"'
            ) from error
        self.encoder = train_as_haystack(self.encoder, use_gpu=self.use_gpu, **parameters)
        self.save(save_dir, query_encoder_save_dir, passage_encoder_save_dir)
        query, passage = (str(Path(save_dir) / name) for name in (query_encoder_save_dir, passage_encoder_save_dir))
        # With the backend and device of before; a pipeline that is saved from now on names the trained models.
        self.encoder = DualEncoder.from_pretrained(query_model=query, passage_model=passage, **self._run_options)
        arguments = self._component_config["params"]
        arguments.pop("model", None)
        arguments.update(query_embedding_model=query, passage_embedding_model=passage)

    def save(
        self,
        save_dir: Union[str, Path],
        query_encoder_dir: str = "query_encoder",
        passage_encoder_dir: str = "passage_encoder",
    ) -> None:
        """Write both sides into a folder, or neither; other libraries load them too."""
        with replaced_folder(Path(save_dir)) as folder:
            self.encoder.query_encoder.save_pretrained(folder / query_encoder_dir)
            self.encoder.passage_encoder.save_pretrained(folder / passage_encoder_dir)

    @classmethod
    def load(
        cls,
        load_dir: Union[str, Path],
        document_store: Optional[BaseDocumentStore] = None,
        query_encoder_dir: str = "query_encoder",
        passage_encoder_dir: str = "passage_encoder",
        **parameters: Any,
    ) -> "TinyDPRRetriever":
        """Load what save() wrote; the other parameters are the constructor's."""
        return cls(
            document_store,
            query_embedding_model=Path(load_dir) / query_encoder_dir,
            passage_embedding_model=Path(load_dir) / passage_encoder_dir,
            **parameters,
        )

    @property
    def _show_progress(self) -> Optional[bool]:
        return None if self.progress_bar else False

    @property
    def _blend_options(self) -> Dict[str, Any]:
        cosine = scores_are_cosines(self.encoder.similarity, normalize=self.encoder.normalize)
        return {"cosine": cosine, "title_field": self.title_field if self.embed_title else None}

    def _search_options(
        self,
        document_store: Optional[BaseDocumentStore],
        top_k: Optional[int],
        index: Optional[str],
        scale_score: Optional[bool],
    ) -> Tuple[BaseDocumentStore, Dict[str, Any]]:
        """The document store to search, and what a query of it takes: a call's values before the constructor's."""
        store = self.document_store if document_store is None else document_store
        if store is None:
            raise ValueError("there is no document store to search; pass document_store= here or to the constructor")
        check_document_store(store, self.encoder)
        return store, {
            "top_k": self.top_k if top_k is None else positive("top_k", top_k),
            "index": store.index if index is None else index,
            "scale_score": self.scale_score if scale_score is None else scale_score,
        }
