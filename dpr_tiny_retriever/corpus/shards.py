"""The files of shards: rows with their vectors as Parquet, or as an array of numpy with a file of rows beside it."""

from __future__ import annotations

import json
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.atomic_files import replaced_file
from dpr_tiny_retriever.corpus.manifest import ROWS_SUFFIX, CorpusFolderError, ShardFormat, VectorType
from dpr_tiny_retriever.corpus.rows import DIGEST_SIZE
from dpr_tiny_retriever.errors import MissingExtraError
from dpr_tiny_retriever.types import Vectors

#: The columns that every shard has; what is carried along has other names.
ID, VECTOR, DIGEST = "id", "vector", "digest"
OWN_COLUMNS = (ID, VECTOR, DIGEST)
_LARGEST_INT8 = 127
_ROW_GROUP = 10_000
#: Errors of libraries that parse a damaged file: pyarrow has several types, numpy parses array headers as Python.
_DAMAGE = (
    *(OSError, LookupError, TypeError, ValueError, AttributeError, EOFError, RuntimeError, ArithmeticError),
    *(SyntaxError, tokenize.TokenError),
)


@dataclass
class ShardRows:
    """The rows of one shard, bad ones included, as they are stored."""

    ids: list[str] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    """Of 16 bytes each: content_digest's, zeros for a bad row."""
    is_bad: list[bool] = field(default_factory=list)
    vectors: NDArray[Any] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    """[rows, embedding_dim] of the stored type; bad rows hold zeros."""
    carried: dict[str, list[Any]] = field(default_factory=dict)


def stored(vectors: Vectors, dtype: VectorType, scale: float | None) -> tuple[NDArray[Any], int]:
    """Vectors [n, d] in the type they are stored in, and how many numbers of int8 lay beyond the scale."""
    if dtype != "int8":
        return vectors.astype(dtype, copy=False), 0
    assert scale is not None
    levels = np.rint(vectors / np.float32(scale))
    clipped = int(np.count_nonzero(np.abs(levels) > _LARGEST_INT8))
    return np.clip(levels, -_LARGEST_INT8, _LARGEST_INT8).astype(np.int8), clipped


def restored(vectors: NDArray[Any], scale: float | None) -> Vectors:
    """Stored vectors [n, d] as float32."""
    found: Vectors = vectors.astype(np.float32)
    return found if scale is None else found * np.float32(scale)


def int8_scale(sample: Vectors) -> float:
    """The scale by which int8 holds vectors like these, with a tenth of room: what is larger still is clipped."""
    largest = float(np.abs(sample).max(initial=0.0))
    return 1.1 * (largest or 1.0) / _LARGEST_INT8


def write_rows(folder: Path, name: str, rows: ShardRows, format: ShardFormat) -> list[str]:
    """Write a shard's files into a folder, each whole or not at all; the same rows give the same bytes.

    Returns the names of the files, of which read_rows takes the first.
    """
    if format == "parquet":
        parquet, table = _parquet(), _table(rows)
        with replaced_file(folder / f"{name}.parquet") as part:
            parquet.write_table(
                table,
                part,
                compression="zstd",
                use_dictionary=list(rows.carried),  # ids, vectors and digests do not repeat
                row_group_size=_ROW_GROUP,
                write_statistics=False,
            )
        return [f"{name}.parquet"]
    with replaced_file(folder / f"{name}{ROWS_SUFFIX}") as part:
        part.write_bytes(_lines(rows))
    with replaced_file(folder / f"{name}.npy") as part, part.open("wb") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(rows.vectors), allow_pickle=False)
    return [f"{name}.npy", f"{name}{ROWS_SUFFIX}"]


def read_rows(path: Path, *, carried: Sequence[str] | None = None) -> ShardRows:
    """Read a shard's rows; carried names the columns wanted beside the vectors, None is all.

    Raises CorpusFolderError where the file is damaged, MissingExtraError for Parquet without pyarrow.
    """
    try:
        rows = _read_npy(path, carried) if path.suffix == ".npy" else _read_parquet(path, carried)
        _check_rows(rows)
        return rows
    except MissingExtraError:
        raise
    except _DAMAGE as error:
        raise CorpusFolderError(f"{path} is damaged ({error}); delete it, and encode the same again") from None


def _read_parquet(path: Path, carried: Sequence[str] | None) -> ShardRows:
    names = _parquet().read_schema(path).names
    wanted = [name for name in names if name in OWN_COLUMNS or carried is None or name in carried]
    table = _parquet().read_table(path, columns=wanted).combine_chunks()
    column = table.column(VECTOR).combine_chunks()
    width = column.type.list_size
    values = column.values.slice(column.offset * width, len(column) * width)
    vectors = values.fill_null(0).to_numpy(zero_copy_only=False)
    return ShardRows(
        table.column(ID).to_pylist(),
        table.column(DIGEST).to_pylist(),
        column.is_null().to_pylist(),
        vectors.reshape(len(column), width),
        {name: table.column(name).to_pylist() for name in wanted if name not in OWN_COLUMNS},
    )


def _read_npy(path: Path, carried: Sequence[str] | None) -> ShardRows:
    lines = path.with_suffix(ROWS_SUFFIX)
    # Memory-mapped first: loading would allocate whatever size the header claims.
    vectors = np.array(np.load(path, allow_pickle=False, mmap_mode="r"))
    records = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    own = (ID, DIGEST, "bad")
    names = [name for name in (records[0] if records else ()) if name not in own]
    return ShardRows(
        [record[ID] for record in records],
        [bytes.fromhex(record[DIGEST]) for record in records],
        [record["bad"] for record in records],
        vectors,
        {name: [record[name] for record in records] for name in names if carried is None or name in carried},
    )


def _check_rows(rows: ShardRows) -> None:
    """Raise ValueError for invalid rows."""
    count = len(rows.ids)
    if rows.vectors.ndim != 2 or len(rows.vectors) != count:
        raise ValueError(f"{count} rows stand beside vectors of the shape {rows.vectors.shape}")
    if rows.vectors.dtype not in (np.float32, np.float16, np.int8):
        raise ValueError(f"vectors are of {rows.vectors.dtype}")
    if not np.isfinite(rows.vectors).all():
        raise ValueError("some vectors are NaN or infinite")
    if not (all(isinstance(id, str) for id in rows.ids) and all(isinstance(is_bad, bool) for is_bad in rows.is_bad)):
        raise ValueError("some ids are no texts, or it is not said which rows are bad")
    "".join(rows.ids).encode()  # raises UnicodeEncodeError, a ValueError, for surrogates
    if not all(isinstance(digest, bytes) and len(digest) == DIGEST_SIZE for digest in rows.digests):
        raise ValueError(f"some digests are not of {DIGEST_SIZE} bytes")


def _table(rows: ShardRows) -> Any:
    import pyarrow

    width = rows.vectors.shape[1]
    values = pyarrow.array(np.ascontiguousarray(rows.vectors).reshape(-1))
    mask = pyarrow.array(rows.is_bad, pyarrow.bool_())
    columns = {
        ID: pyarrow.array(rows.ids, pyarrow.string()),
        VECTOR: pyarrow.FixedSizeListArray.from_arrays(values, width, mask=mask if any(rows.is_bad) else None),
        DIGEST: pyarrow.array(rows.digests, pyarrow.binary(DIGEST_SIZE)),
    }
    return pyarrow.table(columns | {name: _column(values) for name, values in rows.carried.items()})


def _column(values: list[Any]) -> Any:
    """Values of one plain type as they are, all others as JSON."""
    import pyarrow

    kinds = {type(value) for value in values if value is not None} or {str}
    if len(kinds) == 1 and kinds <= {str, int, float, bool}:
        return pyarrow.array(values, {str: pyarrow.string()}.get(*kinds))
    texts = [value if value is None or isinstance(value, str) else json.dumps(value, default=str) for value in values]
    return pyarrow.array(texts, pyarrow.string())


def _lines(rows: ShardRows) -> bytes:
    """A JSON record a row: id, digest, whether it is bad, what is carried."""
    lines = []
    for number, (id, digest, is_bad) in enumerate(zip(rows.ids, rows.digests, rows.is_bad, strict=True)):
        carried = {name: column[number] for name, column in rows.carried.items()}
        lines.append(json.dumps({ID: id, DIGEST: digest.hex(), "bad": is_bad, **carried}, default=str) + "\n")
    return "".join(lines).encode()


def check_format(format: ShardFormat) -> None:
    """Raise MissingExtraError if shards of this format cannot be written by this installation."""
    if format == "parquet":
        _parquet()


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError(
            "shards in Parquet need pyarrow; run: pip install 'dpr-tiny-retriever[corpus]', or choose format npy"
        ) from error
    return pyarrow.parquet
