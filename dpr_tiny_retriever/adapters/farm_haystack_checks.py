"""What users and pipelines hand to the farm-haystack retriever, checked before any model is loaded or run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from dpr_tiny_retriever.adapters.farm_haystack_imports import BaseDocumentStore, Document
from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.model_stamp import check_on_mismatch
from dpr_tiny_retriever.passage import Passage

# Haystack's document stores have several words for each similarity.
_SIMILARITIES: Mapping[Any, str] = {
    **dict.fromkeys(("dot_product", "dot", "dotProduct"), "dot"),
    **dict.fromkeys(("l2", "l2-squared", "euclidean"), "l2"),
    "cosine": "cosine",
}


#: Parameters that only DensePassageRetriever uses: its default, and why they have no effect here.
_WITHOUT_MEANING: Mapping[str, tuple[object, str]] = {
    "use_fast_tokenizers": (True, "slow tokenizers do not exist here, and give the same tokens"),
    "similarity_function": ("dot_product", "encoder.similarity says what the model is compared by"),
    "global_loss_buffer_size": (150000, "it is for training in several processes of torch"),
    "devices": (None, "they are torch's; use_gpu=False stays on the CPU, True takes a GPU that TensorFlow sees"),
}


def check_choices(
    model: object, query_model: object, passage_model: object, title_field: object, mode: object, on_mismatch: object
) -> None:
    """Raise for constructor arguments that do not go together or do not exist here."""
    named = (query_model is not None, passage_model is not None)
    if named != (False, False) and (model is not None or named != (True, True)):
        raise ValueError(
            f"found {model=}, query_embedding_model={query_model!r}, passage_embedding_model={passage_model!r}; "
            "expected model alone (the second argument by position), or the other two by name"
        )
    if not isinstance(title_field, str):
        raise TypeError(f"title_field is {title_field!r}; expected str, or embed_title=False")
    if mode not in ("dense", "blend"):
        raise ValueError(f"mode is {mode!r}; expected 'dense' or 'blend'")
    check_on_mismatch(on_mismatch)


def take_without_meaning(arguments: dict[str, Any]) -> None:
    """Remove the arguments that only DensePassageRetriever uses, with a warning for values other than its defaults."""
    for name, (default, why) in _WITHOUT_MEANING.items():
        if name in arguments and (value := arguments.pop(name)) != default:
            warnings.warn(f"{name} is {value!r}, which changes nothing here: {why}; leave it out", stacklevel=4)


def as_passage(document: Document, position: int, title_field: str | None) -> Passage:
    """A document's text with the title from meta[title_field]; None leaves the title out."""
    if not isinstance(document, Document):
        raise TypeError(f"document {position} is a {type(document).__name__}; expected a Document")
    if document.content_type not in ("text", None):
        raise ValueError(
            f"document {document.id} has content_type {document.content_type!r}; expected 'text': leave "
            "tables, images and audio out of this index, or turn them into text first"
        )
    if not isinstance(document.content, str):
        raise ValueError(
            f"document {document.id} has no text: its content is a {type(document.content).__name__}; "
            "expected str: fill it in, or leave the document out"
        )
    title = None if title_field is None else (document.meta or {}).get(title_field)
    if title is not None and not isinstance(title, str):
        raise TypeError(
            f"meta[{title_field!r}] of document {document.id} is {type(title).__name__} {title!r}; "
            "expected str or None: convert it, name another title_field, or pass embed_title=False"
        )
    return Passage(title, document.content)


def check_document_store(store: BaseDocumentStore, encoder: DualEncoder) -> None:
    """Raise ValueError for a document store whose dimension or similarity does not suit the model."""
    name, width = type(store).__name__, encoder.embedding_dim
    store_width = getattr(store, "embedding_dim", None)
    if store_width not in (None, width):
        raise ValueError(
            f"{name} has embedding_dim {store_width}, but this model's vectors have {width} numbers; "
            f"make a new one with {name}(embedding_dim={width})"
        )
    similarity: Any = getattr(store, "similarity", None)
    if similarity is None:
        return
    known = store_similarity(store)
    if known == encoder.similarity or (known is not None and encoder.ranks_alike):
        return
    expected, otherwise = "cosine", "load the model with normalize=True, which fits every similarity"
    if encoder.similarity == "dot":
        expected = "dot_product"
        otherwise = (
            f"keep the store's similarity with exact_dot=True, which ranks as the dot product does, in a store of "
            f"embedding_dim={width + 1}; or with normalize=True, which ranks by cosine"
        )
    raise ValueError(
        f"{name} has similarity {similarity!r}, which ranks differently from this model; expected "
        f"{expected!r}: make a new one with {name}(embedding_dim={width}, similarity={expected!r}); or {otherwise}"
    )


def store_similarity(store: BaseDocumentStore) -> str | None:
    """Return a store's similarity, "dot", "cosine" or "l2"; None if unknown."""
    return _SIMILARITIES.get(getattr(store, "similarity", None))


def positive(name: str, value: int) -> int:
    """The value, if it is an int of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is {type(value).__name__} {value!r}; expected int")
    if value < 1:
        raise ValueError(f"{name} is {value}; expected 1 or more")
    return value
