"""Ray's actors make what is asked of them, whoever dies; Ray Data gives the encoder's vectors."""

import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_tasks import DiesOnce, Make
from passage_tables import NUM_ROWS, assert_encoded, write_table
from shard_folders import contents, encode, ids, record, records, vectors, write
from typer.testing import CliRunner

from dpr_tiny_retriever import DualEncoder, Encoder
from dpr_tiny_retriever.commands.cli import commands
from dpr_tiny_retriever.corpus.batch_encoder import engine_threads
from dpr_tiny_retriever.corpus.manifest import ShardRecord
from dpr_tiny_retriever.corpus.ray_engine import run_on_ray
from dpr_tiny_retriever.corpus.shard_maker import ShardMaker, ShardTask

pytestmark = [
    pytest.mark.ray,
    # Ray's own, of modules that it imports and of what it leaves to the garbage collector
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

RAY_EXAMPLE = Path(__file__).parents[2] / "examples" / "ray_data_vectors.py"


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Four CPUs of this machine, shared by all tests."""
    with pytest.MonkeyPatch.context() as patch:
        # Workers import from where their driver was started: in the checkout that would be a package without its
        # native backend.
        patch.chdir(tmp_path_factory.mktemp("driver"))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray is imported
        patch.setenv("RAY_DATA_USE_DATASOURCE_V2", "0")  # the newer reader starts a dozen processes for any table
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # where workers find engine_tasks.py
        import ray

        # Ray Data starts a process or two beside the actors, which need none of the CPUs that these are given.
        ray.init("local", num_cpus=4, include_dashboard=False, object_store_memory=100 * 2**20, logging_level="error")
        patch.setenv("RAY_ADDRESS", ray.get_runtime_context().gcs_address)  # for drivers of their own
        yield
        ray.shutdown()


def test_a_task_whose_actor_is_killed_is_done_by_another(tmp_path: Path) -> None:
    tasks = ["a", "die", "b", "c"]
    made = list(run_on_ray(tasks, Make(tmp_path / "died"), workers=2))
    assert sorted(one.task for one in made) == sorted(tasks)
    assert (tmp_path / "died").exists()


def test_threads_are_the_cpus_of_an_actor_and_errors_are_those_of_the_task(tmp_path: Path) -> None:
    run = run_on_ray(["a", "full disk"], Make(tmp_path / "died"), workers=1, threads=2)
    assert next(run).threads == 2
    with pytest.raises(OSError, match="No space left on device"):
        next(run)
    assert engine_threads() is None


def test_tasks_are_read_no_further_than_actors_are_free(tmp_path: Path) -> None:
    read: list[str] = []

    def tasks() -> Iterator[str]:
        for name in "abcdef":
            read.append(name)
            yield name

    run = run_on_ray(tasks(), Make(tmp_path / "died"), workers=2)
    assert next(run).task in ("a", "b")
    assert read == ["a", "b", "c"]
    assert len(list(run)) == 5


def test_more_workers_than_the_cluster_has_cpus_for_are_refused(tmp_path: Path) -> None:
    message = "has 4 CPUs, enough for 1 workers of 3 CPUs; expected enough for 2: give fewer workers or threads, or add"
    with pytest.raises(ValueError, match=message):
        next(run_on_ray(["a"], Make(tmp_path), workers=2, threads=3))


def test_shards_have_the_bytes_of_a_local_run_though_a_worker_is_killed(tmp_path: Path, encoder: Encoder) -> None:
    found: list[object] = [*records(18), {"id": "bad", "text": 7}, "not an object"]
    path = write(tmp_path / "corpus.jsonl", found)
    options = {"format": "parquet", "dtype": "int8", "keep": ("text",)}
    encode(path, tmp_path / "local", encoder, **options)

    def spread(tasks: Iterator[ShardTask], make: ShardMaker) -> Iterator[ShardRecord]:
        return run_on_ray(tasks, DiesOnce(make, tmp_path / "died"), workers=2)

    done = encode(path, tmp_path / "ray", encoder, spread=spread, **options)
    assert (tmp_path / "died").exists()
    assert (done.encoded, [row.id for row in done.manifest.bad]) == (18, ["bad", f"{path}:20"])
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")

    write(path, [record(0, "another text"), *found[1:]])
    assert encode(path, tmp_path / "ray", encoder, spread=spread, **options).encoded == 1
    assert encode(path, tmp_path / "local", encoder, **options).encoded == 1
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")


def test_a_killed_driver_loses_the_shards_in_work_alone(tmp_path: Path, encoder: Encoder, pair_directory: Path) -> None:
    path = write(tmp_path / "corpus.jsonl", records(2000))
    encode(path, tmp_path / "local", encoder, rows_per_shard=20)
    output = tmp_path / "ray"
    command = ["encode", path, "--output", output, "--model", pair_directory, "--format", "npy", "--rows-per-shard", 20]
    arguments = [str(each) for each in (*command, "--engine", "ray", "--workers", 2)]
    driver = subprocess.Popen([sys.executable, "-m", "dpr_tiny_retriever", *arguments], cwd=tmp_path)
    while len(list(output.glob("part-*.json"))) < 3 and driver.poll() is None:
        time.sleep(0.01)
    driver.kill()
    assert driver.wait() == -signal.SIGKILL
    made = {part: part.stat().st_mtime_ns for part in output.glob("part-*.json")}
    assert 3 <= len(made) < 100
    result = CliRunner().invoke(commands, arguments)
    assert result.exit_code == 0, result.output
    assert {part: part.stat().st_mtime_ns for part in made} == made
    assert vectors(output).tobytes() == vectors(tmp_path / "local").tobytes()
    assert ids(output) == ids(tmp_path / "local")


def test_ray_data_gives_the_encoders_vectors_and_a_bad_row_costs_itself(
    pair: DualEncoder, pair_directory: Path, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    encode_table = runpy.run_path(str(RAY_EXAMPLE))["encode"]
    encode_table(str(write_table(tmp_path / "passages.parquet")), str(tmp_path / "vectors"), str(pair_directory), 2)
    assert_encoded(pq.read_table(tmp_path / "vectors").to_pylist(), pair)
    written = pq.read_table(tmp_path / "vectors.written")  # what the next run leaves out
    assert written.num_rows == NUM_ROWS
