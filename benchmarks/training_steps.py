"""Time of a training step by precision, compiled or not: `python benchmarks/training_steps.py --layers 12`.

A step gives the gradients of matching 128 questions of 6 to 16 and 128 passages of 56 to 72 tokens with given vectors.
The kinds of steps take turns; each figure is a median.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.model.batching import TokenBatch
from dpr_tiny_retriever.training import load_start
from dpr_tiny_retriever.training.trainable_encoder import TrainableEncoder
from dpr_tiny_retriever.types import Tensor

TEXTS, LENGTHS = 128, {"questions": (6, 16), "passages": (56, 72)}
PARTS = 4


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Print and return the median milliseconds of a training step for each precision, compiled or not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--steps", type=int, default=9, help="steps of each kind")
    options = parser.parse_args(arguments)
    pair = load_start(None, layers=options.layers)
    kinds = {
        f"{precision}{', compiled' if compiled else ''}": step_of(pair, precision, compiled=compiled)
        for precision, compiled in itertools.product(("float32", "bfloat16"), (False, True))
    }
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for number in range(options.steps + 2):
        for name, step in kinds.items():
            start = time.perf_counter()
            step()
            if number >= 2:  # the first are traced and compiled
                times[name].append(1000 * (time.perf_counter() - start))
    medians = {name: float(np.median(each)) for name, each in times.items()}
    for name, milliseconds in medians.items():
        print(f"{name:20} {milliseconds:7.0f} ms   {medians['float32'] / milliseconds:.2f} times as fast as float32")
    return medians


def step_of(pair: DualEncoder, precision: str, *, compiled: bool) -> Callable[[], object]:
    """Return a function that computes the gradients of one step."""
    start = pair.passage_encoder
    encoder = TrainableEncoder(
        start.config, start.weights, compute_dtype=precision, compiled=compiled, name=f"{precision}_{compiled}"
    )
    rng = np.random.default_rng(0)
    batches = [texts(rng, *lengths, words=start.config.vocab_size) for lengths in LENGTHS.values()]
    target = tf.constant(rng.standard_normal((TEXTS, pair.embedding_dim)), tf.float32)

    def step() -> list[Tensor]:
        variables = [variable.value for variable in encoder.trainable_weights]
        with tf.GradientTape() as tape:
            vectors = [encoder.forward_sorted(batch, PARTS, None) for batch in batches]
            loss = tf.add_n([tf.reduce_sum((target - each) ** 2) for each in vectors])
        return [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, variables)]

    graph = tf.function(step, autograph=False)
    return lambda: [gradient.numpy() for gradient in graph()]


def texts(rng: np.random.Generator, shortest: int, longest: int, *, words: int) -> TokenBatch:
    """Return a batch of TEXTS sequences of random token ids and lengths."""
    ids = tf.constant(rng.integers(1000, words, (TEXTS, longest)), tf.int32)
    lengths = tf.constant(rng.integers(shortest, longest + 1, TEXTS), tf.int32)
    return TokenBatch(ids, lengths, lengths)


if __name__ == "__main__":
    main()
