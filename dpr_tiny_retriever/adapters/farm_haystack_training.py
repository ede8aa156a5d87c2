"""DensePassageRetriever.train of farm-haystack 1.26, its parameters in this trainer's words."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from dpr_tiny_retriever.data.examples import read_examples
from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.training.callbacks import DevScore, dev_score
from dpr_tiny_retriever.training.settings import Settings
from dpr_tiny_retriever.training.token_store import ExampleStore, TextStore
from dpr_tiny_retriever.training.trainer import train

logger = logging.getLogger(__name__)


def train_as_haystack(
    encoder: DualEncoder,
    *,
    use_gpu: bool,
    data_dir: str,
    train_filename: str,
    dev_filename: str | None,
    test_filename: str | None,
    max_samples: int | None,
    max_processes: int,
    multiprocessing_strategy: str | None,
    dev_split: float,
    batch_size: int,
    embed_title: bool,
    num_hard_negatives: int,
    num_positives: int,
    n_epochs: int,
    evaluate_every: int,
    n_gpu: int,
    learning_rate: float,
    epsilon: float,
    weight_decay: float,
    num_warmup_steps: int,
    grad_acc_steps: int,
    use_amp: bool,
    optimizer_name: str,
    optimizer_correct_bias: bool,
    save_dir: str,
    checkpoint_root_dir: str | Path,
    checkpoint_every: int | None,
    checkpoints_to_keep: int,
    early_stopping: Any,
) -> DualEncoder:
    """Train a pair further, write it into save_dir and return it; raises ValueError for values not supported here.

    use_gpu is the retriever's; all other parameters are DensePassageRetriever.train's.
    """
    _only("num_positives", num_positives, 1, "one positive is trained on for each question")
    _only("optimizer_name", optimizer_name, "AdamW", "there is no other optimiser")
    _only("optimizer_correct_bias", optimizer_correct_bias, True, "AdamW corrects its bias")
    _only("multiprocessing_strategy", multiprocessing_strategy, None, "the data is read by one process")
    for name, value in (
        ("max_processes", max_processes),
        ("grad_acc_steps", grad_acc_steps),
        ("checkpoints_to_keep", checkpoints_to_keep),
    ):
        if value < 1:
            raise ValueError(f"{name} is {value}; expected 1 or more")
    folder = Path(data_dir)
    settings = Settings(
        epochs=n_epochs,
        # What others accumulate in parts is one batch here: all its passages are negatives of each other's questions.
        batch_size=batch_size * grad_acc_steps,
        chunk_size=batch_size if grad_acc_steps > 1 else None,
        hard_negatives=num_hard_negatives,
        max_query_length=encoder.query_encoder.max_length,
        max_passage_length=encoder.passage_encoder.max_length,
        learning_rate=learning_rate,
        epsilon=epsilon,
        weight_decay=weight_decay,
        warmup_steps=num_warmup_steps,
        precision="float16" if use_amp else "float32",
        evaluate_every=evaluate_every,
        patience=max(early_stopping.patience, 1) if early_stopping is not None else None,
    )
    gpus = tf.config.list_logical_devices("GPU")[: n_gpu if use_gpu else 0]
    with nullcontext() if use_gpu else tf.device("/CPU:0"):
        run = train(
            [folder / train_filename],
            Path(save_dir),
            start=encoder,
            settings=settings,
            dev=[folder / dev_filename] if dev_filename else (),
            dev_share=dev_split if dev_filename is None else 0.0,
            titles=embed_title,
            strategy=tf.distribute.MirroredStrategy([gpu.name for gpu in gpus]) if len(gpus) > 1 else None,
            max_examples=max_samples,
            checkpoints=Path(checkpoint_root_dir) if checkpoint_every is not None else None,
            checkpoint_every=checkpoint_every,
        )
        if test_filename is not None:
            score = average_rank(run.encoder, folder / test_filename, titles=embed_title)
            logger.info("test: average rank %.2f, %s", score.average_rank, score.hits)
    return run.encoder


def average_rank(encoder: DualEncoder, data: Path, *, titles: bool = True) -> DevScore:
    """How well a pair finds the positives of examples among all their passages, as the trainer measures it."""
    tokenizer = encoder.query_encoder.tokenizer
    lengths = encoder.query_encoder.max_length, encoder.passage_encoder.max_length
    examples = ExampleStore(TextStore(tokenizer, lengths[0]), TextStore(tokenizer, lengths[1]))
    for example in read_examples(data):
        examples.add(example if titles else example.without_titles())
    queries = encoder.encode_queries([query.text for query in examples.queries])[examples.query_rows]
    passages = encoder.encode_passages(examples.passages)
    return dev_score(examples, np.asarray(queries), np.asarray(passages), step=0, cosine=encoder.similarity == "cosine")


def _only(name: str, found: object, expected: object, why: str) -> None:
    if found != expected:
        raise ValueError(f"{name} is {found!r}; expected {expected!r}: {why}")
