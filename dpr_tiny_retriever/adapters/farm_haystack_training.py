"""DensePassageRetriever.train of farm-haystack 1.26, its parameters translated into this trainer's settings."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from dpr_tiny_retriever.data.examples import read_examples
from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.training.dev_evaluation import DevScore, dev_score
from dpr_tiny_retriever.training.devices import mirrored_over_gpus, placed
from dpr_tiny_retriever.training.options import RunOptions
from dpr_tiny_retriever.training.settings import Batches, Evaluation, Optimizer, Schedule, Settings
from dpr_tiny_retriever.training.token_store import ExampleStore
from dpr_tiny_retriever.training.trainer import train
from dpr_tiny_retriever.training.training_data import TrainingData

if TYPE_CHECKING:
    from typing_extensions import Unpack

logger = logging.getLogger(__name__)


class TrainParameters(TypedDict):
    """The parameters of DensePassageRetriever.train that decide the training."""

    data_dir: str
    train_filename: str
    dev_filename: str | None
    test_filename: str | None
    max_samples: int | None
    max_processes: int
    multiprocessing_strategy: str | None
    dev_split: float
    batch_size: int
    embed_title: bool
    num_hard_negatives: int
    num_positives: int
    n_epochs: int
    evaluate_every: int
    n_gpu: int
    learning_rate: float
    epsilon: float
    weight_decay: float
    num_warmup_steps: int
    grad_acc_steps: int
    use_amp: bool
    optimizer_name: str
    optimizer_correct_bias: bool
    save_dir: str
    checkpoint_root_dir: str | Path
    checkpoint_every: int | None
    checkpoints_to_keep: int
    early_stopping: Any


def train_as_haystack(encoder: DualEncoder, *, use_gpu: bool, **given: Unpack[TrainParameters]) -> DualEncoder:
    """Train a pair further, write it into save_dir and return it; raises ValueError for values not supported here.

    use_gpu is the retriever's.
    """
    _refuse_unsupported(given)
    folder, titles = Path(given["data_dir"]), given["embed_title"]
    dev, test = given["dev_filename"], given["test_filename"]
    data = TrainingData(
        [folder / given["train_filename"]],
        dev=[folder / dev] if dev else (),
        dev_share=given["dev_split"] if dev is None else 0.0,
        titles=titles,
        max_examples=given["max_samples"],
    )
    options = RunOptions(
        strategy=mirrored_over_gpus(given["n_gpu"] if use_gpu else 0),
        checkpoints=Path(given["checkpoint_root_dir"]) if given["checkpoint_every"] is not None else None,
        checkpoint_every=given["checkpoint_every"],
    )
    with placed(use_gpu):
        run = train(data, Path(given["save_dir"]), start=encoder, settings=_settings(encoder, given), options=options)
        if test is not None:
            score = average_rank(run.encoder, folder / test, titles=titles)
            logger.info("test: average rank %.2f, %s", score.average_rank, score.hits)
    return run.encoder


def _settings(encoder: DualEncoder, given: TrainParameters) -> Settings:
    """The parameters in this trainer's words."""
    parts, patience = given["grad_acc_steps"], None
    if given["early_stopping"] is not None:
        patience = max(given["early_stopping"].patience, 1)
    return Settings(
        schedule=Schedule(epochs=given["n_epochs"], warmup_steps=given["num_warmup_steps"]),
        optimizer=Optimizer(
            learning_rate=given["learning_rate"], epsilon=given["epsilon"], weight_decay=given["weight_decay"]
        ),
        batches=Batches(
            # What others accumulate in parts is one batch here: all its passages are negatives of all its questions.
            size=given["batch_size"] * parts,
            chunk_size=given["batch_size"] if parts > 1 else None,
            hard_negatives=given["num_hard_negatives"],
            max_query_length=encoder.query_encoder.max_length,
            max_passage_length=encoder.passage_encoder.max_length,
        ),
        evaluation=Evaluation(every=given["evaluate_every"], patience=patience),
        precision="float16" if given["use_amp"] else "float32",
    )


def _refuse_unsupported(given: TrainParameters) -> None:
    for name, only, why in (
        ("num_positives", 1, "one positive is trained on for each question"),
        ("optimizer_name", "AdamW", "there is no other optimizer"),
        ("optimizer_correct_bias", True, "AdamW corrects its bias"),
        ("multiprocessing_strategy", None, "the data is read by one process"),
    ):
        if given[name] != only:  # type: ignore[literal-required]
            raise ValueError(f"{name} is {given[name]!r}; expected {only!r}: {why}")  # type: ignore[literal-required]
    for name in ("max_processes", "grad_acc_steps", "checkpoints_to_keep"):
        if given[name] < 1:  # type: ignore[literal-required]
            raise ValueError(f"{name} is {given[name]}; expected 1 or more")  # type: ignore[literal-required]


def average_rank(encoder: DualEncoder, data: Path, *, titles: bool = True) -> DevScore:
    """How well a pair finds the positives of examples among all their passages, as the trainer measures it."""
    query_encoder, passage_encoder = encoder.query_encoder, encoder.passage_encoder
    examples = ExampleStore(query_encoder.tokenizer, query_encoder.max_length, passage_encoder.max_length)
    for example in read_examples(data):
        examples.add(example if titles else example.without_titles())
    queries = encoder.encode_queries([query.text for query in examples.queries.passages])[examples.query_rows]
    passages = encoder.encode_passages(examples.passages.passages)
    return dev_score(examples, queries, passages, step=0, cosine=encoder.similarity == "cosine")
