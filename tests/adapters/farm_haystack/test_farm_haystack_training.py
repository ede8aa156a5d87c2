"""Training with DensePassageRetriever's parameters."""

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from haystack.nodes import DensePassageRetriever
from haystack.utils.early_stopping import EarlyStopping

from dpr_tiny_retriever.adapters.farm_haystack import TinyDPRRetriever

pytestmark = [pytest.mark.farm_haystack, pytest.mark.training]

WORDS = "river city tower first query passage".split()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six questions as DPR JSON, to train, to evaluate and to test on."""
    folder = tmp_path_factory.mktemp("dpr")
    records = [
        {
            "question": f"who wrote the {word}",
            "answers": [word],
            "positive_ctxs": [{"title": word, "text": f"the {word} of title"}],
            "negative_ctxs": [],
            "hard_negative_ctxs": [{"title": word, "text": "not it"}],
        }
        for word in WORDS
    ]
    for name in ("train.json", "dev.json", "test.json"):
        (folder / name).write_text(json.dumps(records))
    return folder


def test_the_parameters_are_those_of_dense_passage_retriever() -> None:
    expected = inspect.signature(DensePassageRetriever.train).parameters
    ours = inspect.signature(TinyDPRRetriever.train).parameters
    assert list(ours) == list(expected)
    for name in ours.keys() - {"checkpoint_root_dir"}:
        assert ours[name].default == expected[name].default
    assert Path(ours["checkpoint_root_dir"].default) == expected["checkpoint_root_dir"].default


def test_training_changes_the_vectors_and_is_saved(data_dir: Path, pair_directory: Path, tmp_path: Path) -> None:
    options = {"progress_bar": False, "backend": "numpy", "max_seq_len_query": 20, "exact_dot": True}
    retriever = TinyDPRRetriever(model=pair_directory, **options)
    stamp = retriever.encoder.stamp
    before = retriever.embed_queries(["who wrote the river"])
    retriever.train(
        str(data_dir),
        "train.json",
        dev_filename="dev.json",
        test_filename="test.json",
        batch_size=2,
        grad_acc_steps=2,
        n_epochs=2,
        learning_rate=1e-3,
        num_warmup_steps=0,
        evaluate_every=1,
        early_stopping=EarlyStopping(patience=5),
        save_dir=str(tmp_path / "saved"),
        query_encoder_save_dir="q",
        passage_encoder_save_dir="p",
        checkpoint_root_dir=tmp_path / "checkpoints",
        checkpoint_every=1,
    )
    after = retriever.embed_queries(["who wrote the river"])
    assert np.abs(after - before).max() > 1e-4
    assert (retriever.encoder.backend, retriever.encoder.query_encoder.max_length) == ("numpy", 20)
    assert retriever.encoder.embedding_dim == 129
    assert retriever.encoder.stamp.fingerprint != stamp.fingerprint
    options = {"query_encoder_dir": "q", "passage_encoder_dir": "p", "backend": "numpy", "exact_dot": True}
    loaded = TinyDPRRetriever.load(tmp_path / "saved", **options)
    np.testing.assert_allclose(loaded.embed_queries(["who wrote the river"]), after, atol=1e-6)
    assert list((tmp_path / "checkpoints").iterdir())
    parameters = retriever.get_params()
    assert parameters["query_embedding_model"] == str(tmp_path / "saved" / "q")
    assert parameters["passage_embedding_model"] == str(tmp_path / "saved" / "p")
    assert "model" not in parameters
    assert parameters["fingerprint"] == loaded.encoder.fingerprint(model_only=True)


WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = None  # importing it fails
from dpr_tiny_retriever.adapters.farm_haystack import TinyDPRRetriever

TinyDPRRetriever(model=sys.argv[1]).train("no such folder", "no such file")
"""


def test_training_without_tensorflow_names_the_extra(pair_directory: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, str(pair_directory)]
    last_line = subprocess.run(command, capture_output=True, text=True, check=False).stderr.splitlines()[-1]
    assert last_line == (
        "dpr_tiny_retriever.errors.MissingExtraError: training needs tensorflow, which is not installed; "
        'run: pip install "dpr-tiny-retriever[train]"'
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"num_positives": 2},
        {"optimizer_name": "Adam"},
        {"optimizer_correct_bias": False},
        {"multiprocessing_strategy": "fork"},
        {"max_processes": 0},
        {"grad_acc_steps": 0},
    ],
)
def test_unsupported_values_are_refused(data_dir: Path, pair_directory: Path, changes: dict[str, Any]) -> None:
    retriever = TinyDPRRetriever(model=pair_directory, progress_bar=False)
    with pytest.raises(ValueError, match=next(iter(changes))):
        retriever.train(str(data_dir), "train.json", **changes)


def test_training_again_just_trains(data_dir: Path, pair_directory: Path, tmp_path: Path) -> None:
    """As DensePassageRetriever does: into the same folder, and with other data and another folder."""
    (tmp_path / "other.json").write_text(json.dumps(json.loads((data_dir / "train.json").read_text())[:4]))
    retriever = TinyDPRRetriever(model=pair_directory, progress_bar=False)
    for folder, name, save_dir in (
        (data_dir, "train.json", "one"),
        (data_dir, "train.json", "one"),
        (tmp_path, "other.json", "two"),
    ):
        before = retriever.embed_queries(["who wrote the river"])
        retriever.train(
            str(folder),
            name,
            n_epochs=1,
            learning_rate=1e-2,
            num_warmup_steps=0,
            save_dir=str(tmp_path / save_dir),
            checkpoint_root_dir=tmp_path / "checkpoints",
            checkpoint_every=1,
        )
        assert np.abs(retriever.embed_queries(["who wrote the river"]) - before).max() > 1e-4
