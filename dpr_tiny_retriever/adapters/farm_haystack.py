"""A retriever for farm-haystack 1.26 over a pair of small encoders; it takes DensePassageRetriever's place.

Haystack reads the annotations of a node's constructor to load a pipeline from YAML, and understands neither
postponed annotations nor `X | None`: hence the older spelling.
"""
# ruff: noqa: UP006, UP007, UP035, UP045

from collections.abc import Iterable
from contextlib import nullcontext, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Dict, List, Optional, Union, cast

from dpr_tiny_retriever.errors import MissingExtraError

try:
    from haystack.document_stores.base import BaseDocumentStore  # type: ignore[import-not-found]
    from haystack.nodes.retriever.dense import DenseRetriever  # type: ignore[import-not-found]
    from haystack.schema import Document, FilterType  # type: ignore[import-not-found]
except ImportError as error:
    found = "found none:"
    with suppress(PackageNotFoundError):
        found = f"found haystack-ai {version('haystack-ai')}, which excludes it: uninstall that, then"
    if found == "found none:" and (error.name or "").split(".")[0] != "haystack":
        raise  # it is there, and what it needs is not
    raise MissingExtraError(
        f'TinyDPRRetriever needs farm-haystack 1.26; {found} pip install "dpr-tiny-retriever[farm-haystack]"'
    ) from error

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.atomic_files import replaced_folder
from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.passage import Passage
from dpr_tiny_retriever.types import Pooling, Precision

__all__ = ["TinyDPRRetriever"]

_CPU = "/CPU:0"

# What the document stores rank by, in their various words.
_RANKINGS = {
    **dict.fromkeys(("dot_product", "dot", "dotProduct"), "dot"),
    **dict.fromkeys(("l2", "l2-squared", "euclidean"), "l2"),
    "cosine": "cosine",
}


class TinyDPRRetriever(DenseRetriever):  # type: ignore[misc]
    """Finds the documents whose vectors are nearest to a query's, as DensePassageRetriever does.

    Parameters that both have mean the same. Those of torch (devices) and of training alone
    (similarity_function, global_loss_buffer_size) do not exist here.

    document_store: where to search, unless a call names another. Its embedding_dim must be the model's, 128
        for a tiny pair; its similarity must rank as the model does: vectors of unit length fit any, others
        only their own.
    model: a preset ("nlpconnect-L2"), a pair's directory, or one model for both sides; None is the bundled
        pair.
    query_embedding_model, passage_embedding_model: a directory or hub id for each side, instead of model.
    top_k: documents per query.
    title_field: the meta field that holds a document's title; missing, None or "" is no title.
    embed_title: False leaves titles out.
    model_version: branch, tag or commit on the hub.
    max_seq_len_query, max_seq_len_passage: tokens per text, special tokens included; None is what the model
        states.
    use_gpu: False stays on the CPU; True takes a GPU where TensorFlow sees one.
    use_fast_tokenizers: True, there are no others; False is refused.
    batch_size: most texts at once; None: as many as their lengths suggest.
    progress_bar: True shows one for long work, False none.
    use_auth_token: the hub's token, or True for the stored login. A saved pipeline holds a token given as
        text; the environment variable HF_TOKEN works without.
    scale_score: scores from 0 to 1 instead of the raw similarity.
    local_files_only, pooling, normalize, precision: as in `DualEncoder.from_pretrained`.

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
        model_version: Optional[str] = None,
        max_seq_len_query: Optional[int] = None,
        max_seq_len_passage: Optional[int] = None,
        use_gpu: bool = True,
        use_fast_tokenizers: bool = True,
        batch_size: Optional[int] = None,
        progress_bar: bool = True,
        use_auth_token: Optional[Union[str, bool]] = None,
        scale_score: bool = True,
        local_files_only: bool = False,
        pooling: Optional[str] = None,
        normalize: Optional[bool] = None,
        precision: str = "float32",
    ) -> None:
        super().__init__()
        # Haystack has noted the arguments, and will write them to YAML, which has no word for a Path.
        noted = self._component_config["params"]
        noted.update({name: str(value) for name, value in noted.items() if isinstance(value, Path)})

        sides = (query_embedding_model is not None, passage_embedding_model is not None)
        if sides != (False, False) and (model is not None or sides != (True, True)):
            raise ValueError(
                f"found {model=}, {query_embedding_model=}, {passage_embedding_model=}; expected model alone "
                "(the second argument by position), or the other two by name"
            )
        if not use_fast_tokenizers:
            raise ValueError("found use_fast_tokenizers=False, but only fast tokenizers exist here; leave it out")
        if not isinstance(title_field, str):
            raise TypeError(f"title_field is {title_field!r}; expected str, or embed_title=False")
        self.document_store = document_store
        self.top_k = _positive("top_k", top_k)
        self.title_field = title_field
        self.embed_title = embed_title
        self.batch_size = None if batch_size is None else _positive("batch_size", batch_size)
        self.progress_bar = progress_bar
        self.scale_score = scale_score
        self.use_gpu = use_gpu
        self.encoder = DualEncoder.from_pretrained(
            model,
            query_model=query_embedding_model,
            passage_model=passage_embedding_model,
            revision=model_version,
            token=use_auth_token,
            local_files_only=local_files_only,
            max_query_length=max_seq_len_query,
            max_passage_length=max_seq_len_passage,
            pooling=cast(Optional[Pooling], pooling),
            normalize=normalize,
            device=None if use_gpu else _CPU,
            precision=cast(Precision, precision),
        )
        if document_store is not None:
            self._check(document_store)

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

        None stands for what the constructor was given, or the document store's own index. filters and headers
        go to the document store as they are: FAISSDocumentStore ignores the one with a warning, and refuses
        the other.
        """
        store = self._store(document_store)
        documents: List[Document] = store.query_by_embedding(
            self.embed_queries([query])[0],
            filters=filters,
            top_k=self.top_k if top_k is None else _positive("top_k", top_k),
            index=store.index if index is None else index,
            headers=headers,
            scale_score=self.scale_score if scale_score is None else scale_score,
        )
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
        """Return for each query what retrieve() gives; filters is one for all, or a list of one per query."""
        store = self._store(document_store)
        documents: List[List[Document]] = store.query_by_embedding_batch(
            list(self.embed_queries(queries, batch_size)),
            filters=filters,
            top_k=self.top_k if top_k is None else _positive("top_k", top_k),
            index=store.index if index is None else index,
            headers=headers,
            scale_score=self.scale_score if scale_score is None else scale_score,
        )
        return documents

    def embed_queries(self, queries: List[str], batch_size: Optional[int] = None) -> NDArray[np.float32]:
        """Encode queries to float32 [n, embedding_dim]; raises TypeError that names one that is not a str."""
        batch_size = self.batch_size if batch_size is None else _positive("batch_size", batch_size)
        return self.encoder.encode_queries(
            queries, batch_size=batch_size, show_progress=None if self.progress_bar else False
        )

    def embed_documents(self, documents: List[Document]) -> NDArray[np.float32]:
        """Encode documents, title and text, to float32 [n, embedding_dim].

        Raises ValueError for a document that is no text or has none, TypeError for a title that is not a str;
        each names the document, and nothing is encoded then.
        """
        if not isinstance(documents, Iterable):
            raise TypeError(f"documents is a {type(documents).__name__}; expected a list of Documents")
        passages = [self._passage(document, position) for position, document in enumerate(documents)]
        return self.encoder.encode_passages(
            passages, batch_size=self.batch_size, show_progress=None if self.progress_bar else False
        )

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

        The parameters are DensePassageRetriever's. Of max_processes and checkpoints_to_keep one is enough here;
        grad_acc_steps times batch_size questions make one batch, encoded batch_size at a time; of early_stopping
        the patience counts, in evaluations by DPR's average rank. Documents that are indexed already keep their
        former vectors: call update_embeddings. Raises ValueError for a value that cannot be had here. Needs the
        extra `train`.
        """
        import tensorflow as tf

        from dpr_tiny_retriever.adapters.farm_haystack_training import train_as_haystack

        with nullcontext() if self.use_gpu else tf.device(_CPU):
            run = train_as_haystack(
                self.encoder,
                data_dir=data_dir,
                train_filename=train_filename,
                dev_filename=dev_filename,
                test_filename=test_filename,
                max_samples=max_samples,
                max_processes=max_processes,
                multiprocessing_strategy=multiprocessing_strategy,
                dev_split=dev_split,
                batch_size=batch_size,
                embed_title=embed_title,
                num_hard_negatives=num_hard_negatives,
                num_positives=num_positives,
                n_epochs=n_epochs,
                evaluate_every=evaluate_every,
                n_gpu=n_gpu if self.use_gpu else 0,
                learning_rate=learning_rate,
                epsilon=epsilon,
                weight_decay=weight_decay,
                num_warmup_steps=num_warmup_steps,
                grad_acc_steps=grad_acc_steps,
                use_amp=use_amp,
                optimizer_name=optimizer_name,
                optimizer_correct_bias=optimizer_correct_bias,
                save_dir=save_dir,
                checkpoint_root_dir=Path(checkpoint_root_dir),
                checkpoint_every=checkpoint_every,
                checkpoints_to_keep=checkpoints_to_keep,
                early_stopping=early_stopping,
            )
        self.encoder = run.encoder
        self.save(save_dir, query_encoder_save_dir, passage_encoder_save_dir)
        # A pipeline that is saved from now on names what was trained.
        self._component_config["params"] = {
            **{name: value for name, value in self._component_config["params"].items() if name != "model"},
            "query_embedding_model": str(Path(save_dir) / query_encoder_save_dir),
            "passage_embedding_model": str(Path(save_dir) / passage_encoder_save_dir),
        }

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

    def _passage(self, document: Document, position: int) -> Passage:
        if not isinstance(document, Document):
            raise TypeError(f"document {position} is a {type(document).__name__}; expected a Document")
        if document.content_type not in ("text", None):
            raise ValueError(
                f"document {document.id} has content_type {document.content_type!r}; expected 'text': leave "
                "tables, images and sound out of this index, or turn them into text first"
            )
        if not isinstance(document.content, str):
            raise ValueError(
                f"document {document.id} has no text: its content is a {type(document.content).__name__}; "
                "expected str: fill it in, or leave the document out"
            )
        title = (document.meta or {}).get(self.title_field) if self.embed_title else None
        if title is not None and not isinstance(title, str):
            raise TypeError(
                f"meta[{self.title_field!r}] of document {document.id} is {type(title).__name__} {title!r}; "
                "expected str or None: convert it, name another title_field, or pass embed_title=False"
            )
        return Passage(title, document.content)

    def _store(self, document_store: Optional[BaseDocumentStore]) -> BaseDocumentStore:
        store = self.document_store if document_store is None else document_store
        if store is None:
            raise ValueError("there is no document store to search; pass document_store= here or when making it")
        self._check(store)
        return store

    def _check(self, store: BaseDocumentStore) -> None:
        """Refuse a document store of another dimension, or one that ranks otherwise than the model."""
        name, width = type(store).__name__, self.encoder.embedding_dim
        found = getattr(store, "embedding_dim", None)
        if found not in (None, width):
            raise ValueError(
                f"{name} has embedding_dim {found}, but this model's vectors have {width} numbers; "
                f"make a new one with {name}(embedding_dim={width})"
            )
        similarity: Any = getattr(store, "similarity", None)
        ranking = _RANKINGS.get(similarity)
        if similarity is None or ranking == self.encoder.similarity or (ranking and self.encoder.normalize):
            return
        expected = "dot_product" if self.encoder.similarity == "dot" else self.encoder.similarity
        raise ValueError(
            f"{name} has similarity {similarity!r}, which ranks otherwise than this model; expected "
            f"{expected!r}: make a new one with {name}(embedding_dim={width}, similarity={expected!r})"
        )


def _positive(name: str, value: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is {type(value).__name__} {value!r}; expected int")
    if value < 1:
        raise ValueError(f"{name} is {value}; expected 1 or more")
    return value
