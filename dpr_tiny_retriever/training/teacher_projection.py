"""The teacher's vectors in the student's width: a projection that keeps their ranking, in the student's directions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from dpr_tiny_retriever.atomic_files import replaced_file
from dpr_tiny_retriever.data.passage_store import PassageStore
from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.training.batches import BatchMaker
from dpr_tiny_retriever.training.distillation import Teacher
from dpr_tiny_retriever.training.losses import TEMPERATURES, kl_divergence
from dpr_tiny_retriever.training.settings import Batches, Schedule, Settings
from dpr_tiny_retriever.training.token_store import ExampleStore
from dpr_tiny_retriever.types import Vectors

_BATCHES = Batches(size=512, hard_negatives=0, topics=32, topic_pool=64)
_LEARNING_RATE = 1e-3
_ALIGNED_BY = 4096  # texts of each side


def projection(teacher: Teacher, examples: ExampleStore, *, student: DualEncoder, steps: int, kept: Path) -> Vectors:
    """The projection [t, d] of a run: learned for so many steps, and turned towards what the student begins as.

    It is kept in a file, which a resumed run with the same data and the same student reads.
    """
    sides = student.query_encoder.fingerprint(), student.passage_encoder.fingerprint()
    digests = [examples.digest(), teacher.digest(), str(steps), *sides]
    if kept.exists():
        with np.load(kept, allow_pickle=False) as former:
            if former["digests"].tolist() == digests:
                return np.array(former["projection"])
    made = teacher.components
    assert made is not None
    if steps:
        made = ranking_projection(teacher, examples, steps=steps)
    made = aligned(made, teacher, examples, student)
    with replaced_file(kept) as part, part.open("wb") as file:
        np.savez(file, projection=made, digests=digests)
    return made


def ranking_projection(teacher: Teacher, examples: ExampleStore, *, steps: int) -> Vectors:
    """A projection [t, d] that ranks as the teacher does, learned from the principal components on.

    It minimizes the divergence from the teacher's scores among near neighbours, in both directions. At an equal width
    it keeps more of the order of the nearest passages than the principal components, which keep large differences.
    """
    maker = BatchMaker(examples, Settings(schedule=Schedule(steps=steps), batches=_BATCHES), teacher)
    temperature = TEMPERATURES[teacher.similarity]
    projection = tf.Variable(teacher.components)
    optimizer: Any = keras.optimizers.Adam(keras.optimizers.schedules.PolynomialDecay(_LEARNING_RATE, steps, 0.0))
    optimizer.build([projection])

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(queries: Any, passages: Any) -> None:
        wanted = tf.matmul(queries, passages, transpose_b=True) / temperature  # [b, b]
        with tf.GradientTape() as tape:
            narrow = [tf.matmul(x, projection) for x in (queries, passages)]  # 2 x [b, d]
            if teacher.similarity == "cosine":
                narrow = [tf.math.l2_normalize(x, -1, 1e-24) for x in narrow]
            scores = tf.matmul(*narrow, transpose_b=True) / temperature  # [b, b]
            everything = tf.ones_like(scores, tf.bool)
            objective = kl_divergence(wanted, scores, everything) + kl_divergence(
                tf.transpose(wanted), tf.transpose(scores), everything
            )
        optimizer.apply(tape.gradient(objective, [projection]), [projection])

    for number in range(steps):
        rows, passage_rows = maker.rows(number)
        step(teacher.queries(examples.query_rows[rows]), teacher.passages(passage_rows[:, 0]))
    learned: Vectors = projection.numpy()
    return learned


def aligned(projection: Vectors, teacher: Teacher, examples: ExampleStore, student: DualEncoder) -> Vectors:
    """The projection [t, d] turned towards the vectors that the student makes already: what ranks alike is nearest.

    The orthogonal Procrustes problem (Schönemann 1966). A student that was trained on other data, whose principal
    components are others, otherwise has to turn first.
    """
    sides = (
        (student.query_encoder, examples.queries.passages, teacher.queries),
        (student.passage_encoder, examples.passages.passages, teacher.passages),
    )
    products = np.zeros((projection.shape[1], projection.shape[1]))
    for encoder, texts, teacher_vectors in sides:
        rows = _sample(texts)
        wanted = teacher_vectors(rows) @ projection  # [n, d]
        wanted /= np.maximum(np.linalg.norm(wanted, axis=1, keepdims=True), 1e-12)
        present = encoder.encode(list(texts.passages(rows)), show_progress=False)  # [n, d]
        products += wanted.T @ (present / np.maximum(np.linalg.norm(present, axis=1, keepdims=True), 1e-12))
    left, _, right = np.linalg.svd(products)
    return np.ascontiguousarray(projection @ (left @ right), np.float32)


def _sample(texts: PassageStore) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(0).permutation(len(texts))[:_ALIGNED_BY])
