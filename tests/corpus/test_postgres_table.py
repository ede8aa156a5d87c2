from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import psycopg
import pytest
from stored_shards import DIM, JOB, exact_ids, ids, rows_of, write_folder
from typer.testing import CliRunner

from dpr_tiny_retriever.commands.cli import commands
from dpr_tiny_retriever.corpus.stores.loading import load_shards
from dpr_tiny_retriever.corpus.stores.postgres_table import PostgresTable
from dpr_tiny_retriever.corpus.stores.ranking import recall

pytestmark = pytest.mark.stores

Opened = Callable[..., PostgresTable]
QUERIES = np.random.default_rng(7).normal(size=(20, DIM)).astype(np.float32)


@pytest.fixture
def opened(postgres: str) -> Iterator[Opened]:
    """A function that opens a table by its name, as PostgresTable takes its options."""
    with ExitStack() as stack:
        yield lambda *options, **more: stack.enter_context(closing(PostgresTable(postgres, *options, **more)))


def test_a_table_has_vectors_bit_by_bit_and_the_columns_that_were_carried(
    opened: Opened, postgres: str, tmp_path: Path
) -> None:
    rows = rows_of(ids(0, 30))
    rows.carried["text"][3] = "a NUL \0 here"
    rows.carried["title"][4] = None
    folder = write_folder(tmp_path / "shards", [rows])
    load_shards(folder, opened("columns"))
    with psycopg.connect(postgres) as connection:
        found = connection.execute("SELECT id, vector::text, title, text, year FROM columns ORDER BY _shard, ctid")
        for (id, vector, title, text, year), expected in zip(found, rows.vectors, strict=True):
            assert np.array_equal(np.array(vector.strip("[]").split(","), np.float32), expected)
            assert (title, year) == (None if id == "p4" else f"Title {id}", 1900 + len(id))
            assert text == ("a NUL \ufffd here" if id == "p3" else f"Text of passage {id}.")


def test_halfvec_holds_vectors_of_float16(opened: Opened, postgres: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "shards", [rows_of(ids(0, 200))], replace(JOB, dtype="float16"))
    store = opened("halves", dtype="float16")
    load_shards(folder, store)
    assert recall(folder, store, QUERIES) > 0.99
    with psycopg.connect(postgres) as connection:
        [(kind,)] = connection.execute("SELECT pg_typeof(vector)::text FROM halves LIMIT 1")
        assert kind == "halfvec"
    with pytest.raises(ValueError, match=r"of the type halfvec\(16\); expected vector\(16\).*another --dtype"):
        load_shards(folder, opened("halves"))
    large = write_folder(tmp_path / "large", [replace(rows_of(ids(0, 5)), vectors=np.full((5, DIM), 7e4, np.float32))])
    with pytest.raises(ValueError, match=r"too large for float16; expected at most 65504: load them as float32"):
        load_shards(large, opened("large", dtype="float16"))


def test_hnsw_makes_an_index_that_questions_use(opened: Opened, postgres: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "shards", [rows_of(ids(0, 2000))])
    store = opened("graph", kind="hnsw")
    load_shards(folder, store)
    assert recall(folder, store, QUERIES) > 0.95
    with psycopg.connect(postgres) as connection:
        plan = connection.execute(
            f"EXPLAIN SELECT id FROM graph ORDER BY vector <#> '{[1.0] * DIM}' LIMIT 5"
        ).fetchall()
    assert "graph_vector_hnsw" in str(plan)


def test_a_table_of_another_program_or_of_other_columns_is_refused(
    opened: Opened, postgres: str, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "shards", [rows_of(ids(0, 10))])
    with psycopg.connect(postgres) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector; CREATE TABLE foreigners (id int, vector vector(16))")
    with pytest.raises(ValueError, match=r"the table foreigners exists, and `dpr-tiny load` has not made it"):
        load_shards(folder, opened("foreigners"))
    load_shards(folder, opened("three"))
    other = write_folder(tmp_path / "other", [rows_of(ids(0, 10))], replace(JOB, keep=("text",)))
    with pytest.raises(ValueError, match=r"the columns title, text, year beside ids and vectors; expected text, which"):
        load_shards(other, opened("three"))


def test_an_id_in_two_shards_is_refused_and_the_shards_before_stay(opened: Opened, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "shards", [rows_of(ids(0, 10)), rows_of(["p10", "p3"])])
    store = opened("doubles")
    with pytest.raises(ValueError, match=r"part-00001 has a row that the table doubles holds.*\(p3\).*an id for each"):
        load_shards(folder, store)
    assert store.nearest(QUERIES, 10) == exact_ids(write_folder(tmp_path / "one", [rows_of(ids(0, 10))]), QUERIES, 10)
    nul = write_folder(tmp_path / "nul", [rows_of(["a\0b"])])
    with pytest.raises(ValueError, match=r"holds a NUL, which PostgreSQL cannot; expected an id without it"):
        load_shards(nul, opened("nul"))


def test_two_loads_into_a_table_do_not_run_at_once(opened: Opened, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "shards", [rows_of(ids(0, 10))])
    first = opened("busy")
    first.prepare(folder)  # the load has begun
    with pytest.raises(ValueError, match=r"another load into the table busy is running; expected one at a time"):
        load_shards(folder, opened("busy"))
    first.close()
    assert load_shards(folder, opened("busy")).rows == 10


def test_a_server_that_is_not_there_and_wrong_options_are_errors(postgres: str) -> None:
    with pytest.raises(
        ConnectionError, match=r"PostgreSQL cannot be reached: .*expected an address like postgresql://"
    ):
        PostgresTable("postgresql://nobody:secret@127.0.0.1:1/none")
    with pytest.raises(ValueError, match=r"kind is 'ivf'; PostgreSQL has exact and hnsw"):
        PostgresTable(postgres, kind="ivf")  # type: ignore[arg-type]


def test_the_command_shows_no_password(postgres: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "shards", [rows_of(ids(0, 10))])
    address = postgres.replace("postgres:@", "postgres:secret@")
    options = ["load", str(tmp_path / "shards"), "--into", address, "--name", "quiet", "--check", "5"]
    result = CliRunner().invoke(commands, options, catch_exceptions=False)
    assert "10 rows in postgresql:///postgres?host=" in result.output
    assert "recall@20 1.0000 for 5 vectors" in result.output
    assert "secret" not in result.output
