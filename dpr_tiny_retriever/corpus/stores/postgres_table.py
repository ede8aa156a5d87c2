"""A table of PostgreSQL with pgvector."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from dpr_tiny_retriever.corpus.manifest import Job, ShardRecord
from dpr_tiny_retriever.corpus.shard_folder import Shard, ShardFolder
from dpr_tiny_retriever.corpus.stores.loading import described, refuse_another_model, usable_rows
from dpr_tiny_retriever.errors import MissingExtraError
from dpr_tiny_retriever.types import Vectors

TableKind = Literal["exact", "hnsw"]
VectorType = Literal["float32", "float16"]

#: The columns that every table has; those that were carried along stand beside them by their own names.
ID, VECTOR, SHARD = "id", "vector", "_shard"
#: pgvector's type, and the numpy type of its bytes, in the order of the network.
_TYPES = {"float32": ("vector", ">f4"), "float16": ("halfvec", ">f2")}
_OPERATORS = {"dot": ("<#>", "ip"), "cosine": ("<=>", "cosine")}
#: The first version of pgvector with halfvec.
_HALFVEC_VERSION = (0, 7)
#: How many rows pgvector looks at in a graph for a question that `nearest` answers.
_SEARCHED = 128


class PostgresTable:
    """A table `id text primary key, vector vector(dim), ...` and, beside it, one of the shards that are in it.

    dtype "float32" stores vectors as `vector`, "float16" as `halfvec`. kind "exact" makes no index, so that questions
    are compared with every row; "hnsw" makes one when all rows are there. Columns that were carried along are `text`
    where the first shard holds texts, else `jsonb`. A shard is one COPY in one transaction.
    """

    def __init__(
        self, address: str, table: str = "passages", *, dtype: VectorType = "float32", kind: TableKind = "exact"
    ) -> None:
        """Connect to an address as libpq takes it, "postgresql://user@host/database"; PGPASSWORD holds the password.

        table may name a schema: "search.passages". Raises ValueError for wrong options, OSError where the server cannot
        be reached, MissingExtraError without psycopg.
        """
        if kind not in get_args(TableKind):
            raise ValueError(f"kind is {kind!r}; PostgreSQL has {' and '.join(get_args(TableKind))}")
        if dtype not in _TYPES:
            raise ValueError(f"dtype is {dtype!r}; PostgreSQL has {' and '.join(_TYPES)}")
        self._psycopg = _imported_psycopg()
        self._sql = self._psycopg.sql
        self._name, self._kind = table, kind
        self._lock = f"dpr-tiny load {table}"
        self._type, self._numpy_type = _TYPES[dtype]
        *schema, plain = table.split(".")
        self._table = self._sql.Identifier(*schema, plain)
        self._shards = self._sql.Identifier(*schema, f"{plain}_shards")
        self._index = self._sql.Identifier(f"{plain}_vector_hnsw")
        self._column_types: dict[str, str] = {}
        self._operator, self._operators = _OPERATORS["dot"]
        try:
            self._connection = self._psycopg.connect(address, autocommit=True)
        except self._psycopg.Error as error:
            raise ConnectionError(
                f"PostgreSQL cannot be reached: {' '.join(str(error).split())}; expected an address like "
                "postgresql://user@host/database, and the password in PGPASSWORD"
            ) from None

    def prepare(self, folder: ShardFolder) -> None:
        """Make the table, or raise ValueError where there is one that holds other vectors."""
        job = folder.manifest.job
        self._operator, self._operators = _OPERATORS[job.similarity]
        if not self._row("SELECT pg_try_advisory_lock(hashtext({name}))", name=self._lock)[0]:
            raise ValueError(f"another load into the table {self._name} is running; expected one at a time")
        with self._connection.transaction():
            self._refuse_old_pgvector()
            if self._row("SELECT to_regclass({name})", name=self._table.as_string(self._connection))[0] is None:
                self._create(folder)
            else:
                self._check_table(job)

    def loaded(self) -> Mapping[int, str]:
        """The numbers and digests of the shards in the table."""
        return dict(self._connection.execute(self._composed("SELECT number, digest FROM {shards}")).fetchall())

    def remove(self, numbers: Collection[int]) -> None:
        """Delete the rows of some shards, in one transaction."""
        with self._connection.transaction():
            self._connection.execute(self._composed("DELETE FROM {table} WHERE _shard = ANY(%s)"), [list(numbers)])
            self._connection.execute(self._composed("DELETE FROM {shards} WHERE number = ANY(%s)"), [list(numbers)])

    def write(self, record: ShardRecord, shard: Shard) -> None:
        """Copy a shard's rows in one transaction; raises ValueError where the table has one of its ids already."""
        _refuse_nul(shard.ids)
        carried = [self._column_values(name, shard.columns[name]) for name in self._column_types]
        names = [ID, VECTOR, SHARD, *self._column_types]
        columns = self._sql.SQL(", ").join(map(self._sql.Identifier, names))
        copy_in = self._composed("COPY {table} ({columns}) FROM STDIN WITH (FORMAT BINARY)", columns=columns)
        try:
            with self._connection.transaction(), self._connection.cursor() as cursor:
                self._connection.execute(
                    self._composed("INSERT INTO {shards} VALUES (%s, %s, %s)"),
                    [record.number, record.digest, shard.num_rows],
                )
                with cursor.copy(copy_in) as copy:
                    # A vector's bytes are its own binary form, which bytea passes on as they are.
                    copy.set_types(["text", "bytea", "int4", *self._column_types.values()])
                    for id, vector, *others in zip(shard.ids, self._vector_bytes(shard.vectors), *carried, strict=True):
                        copy.write_row([id, vector, record.number, *others])
        except self._psycopg.errors.UniqueViolation as error:
            raise ValueError(
                f"{shard.name} has a row that the table {self._name} holds already ({error.diag.message_detail}); "
                "expected an id for each: correct the corpus, and encode it again"
            ) from None
        except self._psycopg.Error as error:
            raise OSError(f"{shard.name} cannot be copied into the table {self._name}: {str(error).strip()}") from None

    def finish(self) -> None:
        """Gather statistics and, for hnsw, make the index unless there is one."""
        if self._kind == "hnsw":
            self._connection.execute(
                self._composed(
                    "CREATE INDEX IF NOT EXISTS {index} ON {table} USING hnsw (vector {operators})",
                    operators=self._sql.SQL(f"{self._type}_{self._operators}_ops"),
                )
            )
        self._connection.execute(self._composed("ANALYZE {table}"))
        self._row("SELECT pg_advisory_unlock(hashtext({name}))", name=self._lock)

    def count(self) -> int:
        """How many rows there are."""
        return int(self._row("SELECT COUNT(*) FROM {table}")[0])

    def nearest(self, queries: Vectors, k: int) -> list[list[str]]:
        """The ids of the k rows nearest to each of queries [q, dim], best first."""
        query = self._composed(
            "SELECT id FROM {table} ORDER BY vector {operator} %s::{type} LIMIT %s",
            operator=self._sql.SQL(self._operator),
            type=self._sql.SQL(self._type),
        )
        found = []
        with self._connection.transaction():
            if self._kind == "hnsw":
                self._connection.execute(f"SET LOCAL hnsw.ef_search = {max(k, _SEARCHED)}")
            for vector in queries:
                rows = self._connection.execute(query, [str(vector.tolist()), k])
                found.append([id for (id,) in rows])
        return found

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _create(self, folder: ShardFolder) -> None:
        job = folder.manifest.job
        self._column_types = self._chosen_types(folder)
        if taken := self._column_types.keys() & {ID, VECTOR, SHARD}:
            raise ValueError(f"a column is called {min(taken)!r}, as one of the table's own; encode it by another name")
        columns = [self._sql.SQL(f"id text PRIMARY KEY, vector {self._type}({job.embedding_dim}) NOT NULL")]
        columns += [self._sql.SQL("_shard integer NOT NULL")]
        columns += [
            self._sql.Identifier(name) + self._sql.SQL(f" {column_type}")
            for name, column_type in self._column_types.items()
        ]
        self._connection.execute(
            self._composed("CREATE TABLE {table} ({columns})", columns=self._sql.SQL(", ").join(columns))
        )
        # The vectors of a row stay in its page, without an attempt to compress them.
        self._connection.execute(self._composed("ALTER TABLE {table} ALTER COLUMN vector SET STORAGE PLAIN"))
        self._connection.execute(
            self._composed("CREATE TABLE {shards} (number integer PRIMARY KEY, digest text NOT NULL, rows bigint)")
        )
        about = json.dumps({"dpr-tiny": described(job)})
        self._connection.execute(self._composed("COMMENT ON TABLE {table} IS {about}", about=self._sql.Literal(about)))

    def _check_table(self, job: Job) -> None:
        """Raise ValueError unless the table is of this width and this model."""
        oid = self._table.as_string(self._connection)
        found = self._connection.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            [oid],
        )
        types: dict[str, str] = dict(found.fetchall())
        expected = f"{self._type}({job.embedding_dim})"
        if VECTOR in types and types[VECTOR] != expected:
            raise ValueError(
                f"the table {self._name} has a column vector of the type {types[VECTOR]}; expected {expected}, which "
                "these vectors need: choose another table or another --dtype"
            )
        comment = self._row("SELECT obj_description({name}::regclass)", name=oid)[0]
        refuse_another_model(f"the table {self._name}", _described_in(comment), job)
        self._column_types = {name: types[name] for name in types if name not in (ID, VECTOR, SHARD)}
        if self._column_types.keys() != set(job.keep):
            raise ValueError(
                f"the table {self._name} has the columns {', '.join(self._column_types) or '(none)'} beside ids and "
                f"vectors; expected {', '.join(job.keep) or '(none)'}, which the shards carry: choose another table"
            )

    def _chosen_types(self, folder: ShardFolder) -> dict[str, str]:
        """text for a carried column whose values are all texts in the first shard, else jsonb."""
        job = folder.manifest.job
        first = next((record for record in folder.manifest.shards if usable_rows(record)), None)
        columns = folder.read(first).columns if first is not None and job.keep else {}
        types = {}
        for name in job.keep:
            values = [value for value in columns.get(name, ()) if value is not None]
            types[name] = "text" if values and all(isinstance(value, str) for value in values) else "jsonb"
        return types

    def _refuse_old_pgvector(self) -> None:
        query = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
        if self._connection.execute(query).fetchone() is None:
            try:
                self._connection.execute("CREATE EXTENSION vector")
            except self._psycopg.Error as error:
                raise ValueError(
                    f"the database has no pgvector, and it cannot be added ({str(error).splitlines()[0]}); expected "
                    "it: install pgvector on the server, and let an administrator run CREATE EXTENSION vector"
                ) from None
        version = str(self._row(query)[0])
        if self._type == "halfvec" and tuple(map(int, version.split(".")[:2])) < _HALFVEC_VERSION:
            raise ValueError(f"pgvector is {version}; expected 0.7 or later for halfvec: update it, or use float32")

    def _column_values(self, name: str, found: Sequence[Any]) -> list[Any]:
        values = [_without_nul(value) for value in found]
        if self._column_types[name] == "text":
            return [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
        return [None if value is None else self._psycopg.types.json.Jsonb(value) for value in values]

    def _vector_bytes(self, vectors: Vectors) -> list[bytes]:
        """Vectors in pgvector's binary form: the width and a zero of 16 bits each, then the floats."""
        with np.errstate(over="ignore"):
            floats = vectors.astype(self._numpy_type)
        if not np.isfinite(floats).all():
            raise ValueError("some vectors are too large for float16; expected at most 65504: load them as float32")
        head = np.array([vectors.shape[1], 0], ">u2").tobytes()
        return [head + row.tobytes() for row in floats]

    def _row(self, query: str, **literals: str) -> Any:
        values = {name: self._sql.Literal(value) for name, value in literals.items()}
        return self._connection.execute(self._composed(query, **values)).fetchone()

    def _composed(self, query: str, **parts: Any) -> Any:
        return self._sql.SQL(query).format(table=self._table, shards=self._shards, index=self._index, **parts)


def _described_in(comment: str | None) -> dict[str, Any] | None:
    try:
        found = json.loads(comment or "null")
    except ValueError:
        return None
    return found.get("dpr-tiny") if isinstance(found, dict) else None


def _refuse_nul(ids: Sequence[str]) -> None:
    for id in ids:
        if "\0" in id:
            raise ValueError(f"the id {id!r} holds a NUL, which PostgreSQL cannot; expected an id without it")


def _without_nul(value: Any) -> Any:
    """A value with U+FFFD in the place of NUL, which PostgreSQL holds in no text and no JSON."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [_without_nul(one) for one in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(one) for key, one in value.items()}
    return value


def _imported_psycopg() -> Any:
    try:
        import psycopg
        import psycopg.sql
        import psycopg.types.json
    except ImportError:
        raise MissingExtraError(
            'PostgreSQL needs psycopg, which is not installed; run: pip install "dpr-tiny-retriever[postgres]"'
        ) from None
    return psycopg
