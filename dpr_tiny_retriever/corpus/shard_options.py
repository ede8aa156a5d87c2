"""What the shards of a corpus are like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dpr_tiny_retriever.corpus.manifest import ShardFormat, VectorType
from dpr_tiny_retriever.corpus.shards import OWN_COLUMNS


@dataclass(frozen=True)
class ShardOptions:
    """What shards are like. Raises ValueError where a value cannot work."""

    dtype: VectorType = "float32"
    format: ShardFormat = "parquet"
    rows_per_shard: int = 100_000
    share: tuple[int, int] = (1, 1)
    """Of the shards that are made: (2, 8) is the second of eight, and so on; N machines make one folder so."""
    keep: Sequence[str] = ()
    """Further fields of the rows that are carried along as columns."""
    strict: bool = False
    """Whether the first row that cannot be used is an error."""

    def __post_init__(self) -> None:
        part, parts = self.share
        if not 1 <= part <= parts:
            raise ValueError(f"the share is {part}/{parts}; expected I/N with I from 1 to N")
        if self.rows_per_shard < 1:
            raise ValueError(f"rows_per_shard is {self.rows_per_shard}; expected at least 1")
        if own := [name for name in self.keep if name in OWN_COLUMNS or name == "bad"]:
            raise ValueError(f"found the field {own[0]!r} to keep; expected another name: shards have their own column")
