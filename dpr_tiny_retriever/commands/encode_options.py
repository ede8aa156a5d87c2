"""The options of the command `dpr-tiny encode`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

Inputs: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUT...",
        help="JSON lines, TSV (psgs_w100.tsv), Parquet, BEIR folders, folders of texts; .gz, .zst, patterns, or -.",
    ),
]
Output: TypeAlias = Annotated[Path | None, typer.Option(help="The folder of shards; a killed run goes on in it.")]
Check: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Read a folder of shards, say what it lacks, and exit.")
]
Id: TypeAlias = Annotated[str | None, typer.Option("--id", help="The field of ids (_id, id or docid).")]
Title: TypeAlias = Annotated[str | None, typer.Option(help="The field of titles (title).")]
Text: TypeAlias = Annotated[str | None, typer.Option(help="The field of texts (text).")]
Keep: TypeAlias = Annotated[
    list[str] | None, typer.Option(help="A field to carry along as a column, such as text. Repeatable.")
]
Dtype: TypeAlias = Annotated[Literal["float32", "float16", "int8"], typer.Option(help="The type of the vectors.")]
Format: TypeAlias = Annotated[
    Literal["parquet", "npy"], typer.Option("--format", help="The format of the shards; parquet needs [corpus].")
]
RowsPerShard: TypeAlias = Annotated[
    int, typer.Option(min=1, help="Rows of a shard: what a run that is killed makes again.")
]
Share: TypeAlias = Annotated[
    str, typer.Option(metavar="I/N", help="Make one of N parts of the shards: N machines, one folder.")
]
Strict: TypeAlias = Annotated[bool, typer.Option("--strict", help="Stop at the first row that cannot be used.")]
MaxPassageLength: TypeAlias = Annotated[int | None, typer.Option(help="Tokens of a passage (what the model says).")]
ExactDot: TypeAlias = Annotated[
    bool, typer.Option("--exact-dot", help="One more number a vector: cosine and L2 then rank as the dot product does.")
]
BatchSize: TypeAlias = Annotated[int | None, typer.Option(help="The most texts of a batch (as many as are fast).")]
EngineName: TypeAlias = Annotated[
    Literal["local", "ray"], typer.Option(help="Where shards are made: here, or by the workers of a Ray cluster.")
]
Workers: TypeAlias = Annotated[
    int | None, typer.Option(min=1, help="Ray's workers, of --threads CPUs each (1); all that there are CPUs for.")
]
