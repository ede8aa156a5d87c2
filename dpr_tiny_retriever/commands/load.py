"""The command `dpr-tiny load`."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dpr_tiny_retriever.commands.console import note, say
from dpr_tiny_retriever.types import IndexKind

if TYPE_CHECKING:
    from dpr_tiny_retriever.corpus.shard_folder import ShardFolder
    from dpr_tiny_retriever.corpus.stores.loading import VectorStore
    from dpr_tiny_retriever.types import Vectors

_TARGETS = (
    "faiss:FOLDER, index:FILE, qdrant:FOLDER, http://host:6333 (a Qdrant server) or postgresql://user@host/database"
)
_RANKS = 20
#: User and password in an address, which no output shows.
_PASSWORD = re.compile(r"(?<=://)[^/@]*@")


def load(
    folder: Annotated[Path, typer.Argument(help="A folder of shards that `dpr-tiny encode` wrote.")],
    into: Annotated[str, typer.Option(help=f"Where the vectors go: {_TARGETS}.")],
    name: Annotated[str, typer.Option(help="The table of PostgreSQL, or the collection of Qdrant.")] = "passages",
    kind: Annotated[
        IndexKind | None,
        typer.Option(
            help="How the store searches: exact, or approximately by hnsw or (FAISS, in int8) ivf. Without it exact, "
            "and for a Qdrant server hnsw."
        ),
    ] = None,
    dtype: Annotated[
        Literal["float32", "float16"],
        typer.Option(help="What PostgreSQL (float16: halfvec) and a Qdrant server keep of a vector."),
    ] = "float32",
    check: Annotated[
        int,
        typer.Option(min=0, help=f"Compare the {_RANKS} best for so many vectors of the corpus with the exact ones."),
    ] = 0,
    questions: Annotated[
        Path | None, typer.Option(help="Compare them for the questions of this file, one a line, instead.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="What encodes the questions; without it the model that encoded the corpus.")
    ] = None,
) -> None:
    """Load shards of vectors into a store; a load that was ended goes on, a changed corpus replaces what changed."""
    from dpr_tiny_retriever.corpus.shard_folder import ShardFolder
    from dpr_tiny_retriever.corpus.stores.loading import load_shards
    from dpr_tiny_retriever.corpus.stores.ranking import recall, sample_vectors

    shards = ShardFolder(folder)
    queries = _encoded_questions(shards, questions, model) if questions is not None else None
    store = _opened(into, name, kind, dtype)
    try:
        start = time.monotonic()
        done = load_shards(shards, store)
        seconds = time.monotonic() - start
        rate = f", {done.rows / seconds:,.0f} rows a second" if done.rows else ""
        shown = _PASSWORD.sub("", into)
        say(f"{store.count():,} rows in {shown}: {done.shards} shards loaded now{rate}, {done.kept} before")
        if done.removed:
            say(f"{done.removed} shards had changed, and were replaced or removed")
        if not shards.manifest.is_complete:
            note(f"{folder} is not finished; encode the rest, and run the same command again")
        if queries is None and check:
            queries = sample_vectors(shards, check)
        if queries is not None:
            source = "questions" if questions is not None else "vectors of the corpus"
            found = recall(shards, store, queries, _RANKS)
            say(f"recall@{_RANKS} {found:.4f} for {len(queries):,} {source}, beside a comparison with every vector")
    finally:
        store.close()


def _opened(into: str, name: str, kind: IndexKind | None, dtype: Literal["float32", "float16"]) -> VectorStore:
    """The store of an address; raises ValueError for one of no kind known here, or options it does not have."""
    from dpr_tiny_retriever.corpus.stores.faiss_folder import FaissFolder
    from dpr_tiny_retriever.corpus.stores.postgres_table import PostgresTable
    from dpr_tiny_retriever.corpus.stores.qdrant_collection import QdrantCollection
    from dpr_tiny_retriever.corpus.stores.sqlite_index import SqliteIndex

    scheme, _, rest = into.partition(":")
    if not rest or scheme not in ("faiss", "index", "qdrant", "http", "https", "postgresql", "postgres"):
        raise ValueError(f"--into is {into!r}; expected {_TARGETS}")
    if scheme in ("faiss", "index", "qdrant") and dtype != "float32":
        raise ValueError(
            f"--dtype is {dtype}, and {scheme}: keeps float32; leave it out (FAISS has --kind ivf for int8)"
        )
    if scheme == "faiss":
        return FaissFolder(rest, kind=kind or "exact")
    if scheme.startswith("postgres"):
        return PostgresTable(into, name, dtype=dtype, kind=_without_ivf(kind, "PostgreSQL") or "exact")
    if scheme.startswith("http"):
        return QdrantCollection(into, name, dtype=dtype, kind=_without_ivf(kind, "Qdrant") or "hnsw")
    if kind not in (None, "exact"):
        raise ValueError(f"--kind is {kind}, and {scheme}: searches exactly; leave it out")
    return SqliteIndex(rest) if scheme == "index" else QdrantCollection(rest, name, kind="exact")


def _without_ivf(kind: IndexKind | None, store: str) -> Literal["exact", "hnsw"] | None:
    if kind == "ivf":
        raise ValueError(f"--kind is ivf; {store} has exact and hnsw")
    return kind


def _encoded_questions(shards: ShardFolder, path: Path, model: str | None) -> Vectors:
    """The vectors of the questions of a file; raises ValueError where their model is not the corpus's."""
    from dpr_tiny_retriever import DualEncoder
    from dpr_tiny_retriever.corpus.stores.loading import described
    from dpr_tiny_retriever.model_stamp import another_model

    lines = path.read_text(encoding="utf-8").splitlines()
    questions = [line for line in lines if line.strip()]
    if not questions:
        raise ValueError(f"{path} holds no questions; expected one a line")
    job = shards.manifest.job
    name = model or job.model
    pair = DualEncoder.from_pretrained(name, max_passage_length=job.max_length, exact_dot=job.exact_dot)
    if other := another_model(described(job), model=name, fingerprint=pair.passage_encoder.fingerprint()):
        raise ValueError(f"{shards.path} holds {other[0]}; {other[1]}: name the model of the corpus by --model")
    return pair.encode_queries(questions, show_progress=False)
