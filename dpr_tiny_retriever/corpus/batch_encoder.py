"""Batches of columns -> the same with vectors: what Ray Data, Spark and datasets call in their own processes."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.checkpoints.hub import absolute_model
from dpr_tiny_retriever.encoder import Encoder
from dpr_tiny_retriever.exact_dot import refuse_rounded
from dpr_tiny_retriever.load_options import LoadOptions, complete_options, spell_out_options, without
from dpr_tiny_retriever.passage import refuse_surrogates
from dpr_tiny_retriever.types import Model

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: A column of n values: an array, or a list as datasets.map gives it.
Column: TypeAlias = "NDArray[Any] | Sequence[Any]"
VectorType: TypeAlias = Literal["float32", "float16"]

#: The columns that are added; a batch that has one of them is refused.
VECTOR, REASON = "vector", "reason"


class BatchEncoder:
    """Encode passages that come as a batch of columns: `dataset.map_batches(BatchEncoder, ...)` and the like.

    Pickles as its parameters. A process loads the model when it encodes its first batch, once for all BatchEncoders of
    the same parameters. Thread-safe.
    """

    @spell_out_options
    def __init__(
        self,
        model: Model = None,
        *,
        id_column: str | None = "id",
        title_column: str | None = "title",
        text_column: str = "text",
        dtype: VectorType = "float32",
        max_length: int | None = None,
        **options: Unpack[LoadOptions],
    ) -> None:
        """Name the columns, and the passage side of a model as Encoder.from_pretrained does.

        title_column and id_column may be None for passages that have none. dtype is the vectors'. threads None is what
        the engine gives its worker: the CPUs of a Ray actor, then OMP_NUM_THREADS, which Spark sets, then all that the
        process may use. A hub token is not pickled: give HF_TOKEN to the workers. Raises TypeError or ValueError for
        wrong parameters; the model is looked for only by the first batch.
        """
        complete = complete_options(
            options, own=("model", "id_column", "title_column", "text_column", "dtype", "max_length")
        )
        for name, column in (("id_column", id_column), ("title_column", title_column), ("text_column", text_column)):
            if not isinstance(column, str) and (column is not None or name == "text_column"):
                raise TypeError(f"{name} is {column!r}; expected the name of a column")
        if dtype not in ("float32", "float16"):
            raise ValueError(f"dtype is {dtype!r}; expected 'float32' or 'float16'")
        refuse_rounded(complete["exact_dot"], dtype)
        self.id_column = id_column
        self.title_column = title_column
        self.text_column = text_column
        self.dtype = np.dtype(dtype)
        self._load_options = (
            ("model", absolute_model(model)),
            ("max_length", max_length),
            *without(complete, "token").items(),
        )

    @property
    def encoder(self) -> Encoder:
        """What encodes in this process; it is loaded when first asked for, and raises as from_pretrained does."""
        options = dict(self._load_options)
        options["threads"] = options["threads"] or engine_threads()
        with _LOADING:  # the cache alone would let two threads load at once
            return _loaded(tuple(options.items()))

    def __call__(self, batch: Mapping[str, Column]) -> dict[str, Column]:
        """Return the batch with two more columns: "vector", dtype [n, embedding_dim], and "reason", str [n].

        A row that cannot be encoded costs itself: its vector is NaN and its reason says why; that of all others is "".
        A title that is null is none. Raises ValueError for a column that is missing, not as long as the others, or
        would be overwritten, TypeError for one that holds no texts, all of them before the model is loaded.
        """
        texts, titles, ids = self._columns(batch)
        pairs: list[tuple[str, str]] = []
        reasons = []
        for id, title, text in zip(ids, titles, texts, strict=True):
            reason = _reason_against(id, title, text)
            reasons.append(reason)
            if not reason:
                pairs.append(("" if _is_null(title) else title, text))
        encoder = self.encoder
        found = encoder.encode_pairs(pairs, show_progress=False)
        vectors = found
        if len(pairs) < len(reasons):
            vectors = np.full((len(reasons), encoder.embedding_dim), np.nan, np.float32)
            vectors[[not reason for reason in reasons]] = found
        added = {VECTOR: vectors.astype(self.dtype, copy=False), REASON: np.array(reasons, object)}
        return {**batch, **added}

    def __repr__(self) -> str:
        columns = f"id_column={self.id_column!r}, title_column={self.title_column!r}, text_column={self.text_column!r}"
        return f"BatchEncoder({dict(self._load_options)['model']!r}, {columns}, dtype={self.dtype.name!r})"

    def _columns(self, batch: Mapping[str, Column]) -> tuple[Column, Column, Column]:
        """The checked columns of texts, titles and ids; None in the place of columns that there are not."""
        wanted = {"id_column": self.id_column, "title_column": self.title_column, "text_column": self.text_column}
        for parameter, name in wanted.items():
            if name is not None and name not in batch:
                without = "" if parameter == "text_column" else f", or {parameter}=None where passages have none"
                raise ValueError(
                    f"a batch has the columns {', '.join(map(str, batch)) or '(none)'}; expected {name!r} too: "
                    f"name its own by {parameter}={without}"
                )
        if already := [name for name in (VECTOR, REASON) if name in batch]:
            raise ValueError(
                f"a batch has a column {already[0]!r} already, which this one would replace; rename or drop that column"
            )
        texts = batch[self.text_column]
        _refuse_other_types(texts, "text_column", self.text_column)
        if self.title_column is not None:
            _refuse_other_types(batch[self.title_column], "title_column", self.title_column)
        missing = [None] * len(texts)
        titles = missing if self.title_column is None else batch[self.title_column]
        ids = [""] * len(texts) if self.id_column is None else batch[self.id_column]
        if not len(texts) == len(titles) == len(ids):
            raise ValueError(
                f"a batch has {len(texts)} texts, {len(titles)} titles and {len(ids)} ids; expected as many of each"
            )
        return texts, titles, ids


def engine_threads() -> int | None:
    """The CPUs that an engine gave to this process: of a Ray actor or task, or OMP_NUM_THREADS; None where none did."""
    ray = sys.modules.get("ray")  # a worker of Ray's has imported it
    if ray is not None and ray.is_initialized():
        context = ray.get_runtime_context()
        if context.worker.mode == ray.WORKER_MODE:  # not in the driver
            return max(1, int(context.get_assigned_resources().get("CPU", 1)))
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) > 0 else None


_LOADING = threading.Lock()


@cache
def _loaded(options: tuple[tuple[str, Any], ...]) -> Encoder:
    load: Callable[..., Encoder] = Encoder.from_pretrained
    return load(side="passage", **dict(options))


def _refuse_other_types(column: Column, parameter: str, name: str) -> None:
    """Raise TypeError for a column whose type has no texts; columns of any objects are judged row by row."""
    if isinstance(column, np.ndarray):
        if column.ndim != 1:
            raise TypeError(
                f"the column {name!r} has {column.ndim} dimensions; expected texts: name their column by {parameter}="
            )
        found = "" if column.dtype.kind in "OUT" else str(column.dtype)
        if not len(column) or (column.dtype.kind == "f" and np.isnan(column).all()):
            found = ""  # nothing but nulls
    else:  # a column of one type, as a list
        kinds = {type(value).__name__ for value in column if not isinstance(value, str) and not _is_null(value)}
        found = "" if any(isinstance(value, str) for value in column) else " and ".join(sorted(kinds))
    if found:
        raise TypeError(f"the column {name!r} holds {found}; expected str: name the column of texts by {parameter}=")


def _reason_against(id: object, title: object, text: object) -> str:
    """Why a row cannot be encoded; "" for one that can."""
    if _is_null(id):
        return "the id is null; expected one by which the vector is found again"
    for what, value, may_be_null in (("text", text, False), ("title", title, True)):
        if _is_null(value):
            if not may_be_null:
                return f"the {what} is null; expected str"
        elif not isinstance(value, str):
            return f"the {what} is {type(value).__name__}; expected str"
        else:
            try:
                refuse_surrogates(value, f"the {what}")
            except ValueError as error:
                return str(error)
    return ""


def _is_null(value: object) -> bool:
    """Whether this is None or what pandas has in its place: NaN, or NA, which compares with nothing."""
    return value is None or (isinstance(value, float) and value != value) or type(value).__name__ == "NAType"
