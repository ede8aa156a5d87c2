"""Validate a manifest, which is untrusted input and names files to read and replace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, get_args

from dpr_tiny_retriever.types import Similarity

#: A validity check for each field.
Checks: TypeAlias = Mapping[str, Callable[[Any], bool]]

#: The maximum number of shards in a valid manifest, so that a list of missing shards fits into memory.
_MOST_SHARDS = 10**7
#: The maximum valid quantization scale. Real scales are far smaller; int8 values times it stay finite in float32.
_LARGEST_SCALE = 1e15


def checked(record: object, checks: Checks) -> dict[str, Any]:
    """Return the record after validating its fields; raises TypeError that names the first invalid field."""
    if not isinstance(record, dict):
        raise TypeError(f"found {str(record)[:80]!r}; expected an object")
    for name, is_possible in checks.items():
        if name in record and not is_possible(record[name]):
            raise TypeError(f"{name} is {str(record[name])[:80]!r}")
    return record


def check_number_of_shards(num_rows: object, rows_per_shard: int) -> None:
    """Raise TypeError unless num_rows is None or a count that gives a valid number of shards."""
    if num_rows is not None and not (_is_count(num_rows) and int(num_rows) // rows_per_shard < _MOST_SHARDS):  # type: ignore[call-overload]
        raise TypeError(f"num_rows is {str(num_rows)[:80]!r}")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _is_positive(value: Any) -> bool:
    return _is_count(value) and value > 0


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_scale(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and 0 < value <= _LARGEST_SCALE)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _are_fields(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_text_or_none, value.values()))


JOB: Checks = {
    "fingerprint": _is_text,
    "model": _is_text,
    "max_length": _is_positive,
    "prompt": _is_text,
    "embedding_dim": _is_positive,
    "similarity": get_args(Similarity).__contains__,
    "dtype": ("float32", "float16", "int8").__contains__,
    "format": ("parquet", "npy").__contains__,
    "rows_per_shard": _is_positive,
    "fields": _are_fields,
    "keep": _are_texts,
    "exact_dot": lambda value: isinstance(value, bool),
    "scale": _is_scale,
}
INPUT: Checks = {
    "path": _is_text,
    "size": lambda value: value is None or _is_count(value),
    "digest": _is_text_or_none,
}
SHARD: Checks = {
    "number": _is_count,
    "files": _are_texts,
    "first_row": _is_count,
    "rows": _is_count,
    "bytes": _is_count,
    "digest": _is_text,
    "content": _is_text,
    "clipped": _is_count,
}
BAD_ROW: Checks = {"id": _is_text, "place": _is_text, "reason": _is_text}
