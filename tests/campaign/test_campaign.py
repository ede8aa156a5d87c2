"""A short form of each part of the campaign: the same attempts, few of them."""

from __future__ import annotations

import importlib
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaign import corpus, disks, folders, kills, load, readers
from campaign.mutations import Edit, edited
from campaign.process_tree import Watch, kill_tree
from campaign.run import Outcome, table
from campaign.worker import attempts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# Python from 3.12 on warns where a process with threads is forked, which is what is tried.
pytestmark = [
    pytest.mark.evaluation,
    pytest.mark.linux,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def unlogged() -> Iterator[None]:
    """Records that are passed over are logged with what they say; no surrogate of theirs may reach pytest's report."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


SEEDS = {"folders": range(4), "readers": range(4), "texts": [0], "processes": (1, 2, 3), "growth": (1, 6)}


@pytest.mark.parametrize(("part", "seed"), [(part, seed) for part, seeds in SEEDS.items() for seed in seeds])
def test_an_attempt_of_each_part_is_survived(tmp_path: Path, part: str, seed: int) -> None:
    folder = tmp_path / part
    folder.mkdir()
    assert importlib.import_module(f"campaign.{part}").attempt(seed, folder)


@pytest.mark.parametrize("seed", [0, 2])
def test_a_kill_loses_nothing(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    folder = tmp_path_factory.mktemp("kill")
    (folder / "attempt").mkdir()
    assert kills.attempt(seed, folder / "attempt", ["save", "search"])["kills"] >= 1


def test_a_full_or_read_only_disk_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "attempt").mkdir()
    assert disks.attempt(0, tmp_path / "attempt", ["search"])["runs"] == 1


def test_an_index_that_is_asked_while_it_is_written_to_gives_right_answers(tmp_path: Path) -> None:
    (tmp_path / "attempt").mkdir()
    assert load.attempt(0, tmp_path / "attempt", passages=2000, seconds=4)["questions"] > 20


INSERTED = st.binary(max_size=20) | st.sampled_from([b"\xff", b'"', b"["])
EDITS = st.lists(st.builds(Edit, st.floats(0, 1), st.integers(0, 200), INSERTED), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    readers.write_sound(folder)
    return folder


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(reader=st.sampled_from(readers.READERS), edits=EDITS, which=st.integers(0, 3), data=st.data())
def test_edited_files_of_data_are_read_or_named(
    sound: Path, reader: tuple[tuple[str, ...], readers.Reader], edits: list[Edit], which: int, data: st.DataObject
) -> None:
    names, read = reader
    path = sound / names[which % len(names)]
    content = path.read_bytes()
    start = data.draw(st.sampled_from([path, *corpus.files(names[which % len(names)])]))
    path.write_bytes(edited(start.read_bytes(), edits))
    try:
        assert readers.outcome(read, sound, path) in ("read", "refused")
    finally:
        path.write_bytes(content)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return folders.forms(tmp_path_factory.mktemp("models"))


MODEL_FILES = ["model.safetensors", "tf_model.h5", "tokenizer.json", "config.json", "modules.json", "vocab.txt"]


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(name=st.sampled_from(MODEL_FILES), which=st.integers(0, 9), edits=EDITS, data=st.data())
def test_edited_files_of_models_are_loaded_or_refused(
    models: list[Path], name: str, which: int, edits: list[Edit], data: st.DataObject
) -> None:
    paths = sorted(path for model in models for path in model.rglob(name))
    path = paths[which % len(paths)]
    [model] = [model for model in models if path.is_relative_to(model)]
    content = path.read_bytes()
    start = data.draw(st.sampled_from([path, *corpus.files(name)]))
    path.write_bytes(edited(start.read_bytes(), edits))
    try:
        assert folders.loaded(model, f"{name}: {edits}") in ("loaded", "refused")
    finally:
        path.write_bytes(content)


def test_an_attempt_that_fails_is_reported_with_its_seed_and_its_folder_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "READERS", [(("dpr.json",), lambda folder: [][1])])
    begun, report, *_ = attempts("readers", tmp_path, 7, stop=0)
    assert (begun, report["seed"]) == ({"begin": 7}, 7)
    assert "IndexError: list index out of range" in str(report["failed"])
    assert (tmp_path / "readers-7" / "dpr.json").exists()


def test_a_run_prints_its_seed_and_a_table_and_its_status_says_whether_all_was_survived(tmp_path: Path) -> None:
    script = Path(__file__).with_name("run.py")
    options = ["--only", "readers", "--replay", "3", "--results", str(tmp_path / "results")]
    done = subprocess.run([sys.executable, str(script), *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("seed 3\n| readers |")
    assert "| 1 | 1 | 0 | 50 inputs" in (tmp_path / "results" / "table.md").read_text()


def test_a_process_that_is_idle_hangs_and_one_that_computes_does_not() -> None:
    commands = (["sh", "-c", "sleep 60 & wait"], ["sh", "-c", "while :; do :; done & wait"])
    idle, busy = (subprocess.Popen(command) for command in commands)
    try:
        watches = [Watch(idle.pid, 2), Watch(busy.pid, 2)]
        assert [watch.hangs() for watch in watches] == [False, False]
        time.sleep(2.1)
        assert [watch.hangs() for watch in watches] == [True, False]
    finally:
        for process in (idle, busy):
            kill_tree(process.pid)
            process.wait()


def test_the_table_says_what_failed() -> None:
    outcome = Outcome(attempts=3, failures=[(5, "IndexError")], seconds=90)
    outcome.counts.update({"kills": 1200})
    assert table({"kills": outcome}).splitlines()[-1] == "| kills | 1.5 | 3 | 2 | 1 | 1,200 kills |"
    assert json.loads(json.dumps(outcome.counts)) == {"kills": 1200}
