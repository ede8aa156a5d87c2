"""The teacher's vectors in the student's width: what ranks alike, and in the student's own directions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dpr_tiny_retriever import DualEncoder, Passage
from dpr_tiny_retriever.training import Example, teacher_projection
from dpr_tiny_retriever.training.distillation import Teacher
from dpr_tiny_retriever.training.token_store import ExampleStore

pytestmark = pytest.mark.training

COUNT, WIDE, NARROW = 200, 14, 8
TEMPERATURE = 0.05


def stored(pair: DualEncoder) -> ExampleStore:
    examples = ExampleStore(pair.query_encoder.tokenizer, 16, 16)
    for number in range(COUNT):
        passage = Passage(None, " ".join("river" if number >> bit & 1 else "tower" for bit in range(8)))
        examples.add(Example("who " + passage.text, (passage,)))
    return examples


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def clustered_teacher() -> Teacher:
    """A teacher whose largest components tell groups apart, and smaller ones the texts of a group."""
    rng = np.random.default_rng(0)
    passages = np.zeros((COUNT, WIDE))
    passages[:, :NARROW] = rng.normal(size=(10, NARROW))[np.arange(COUNT) % 10]
    passages[:, NARROW:] = 0.4 * rng.normal(size=(COUNT, WIDE - NARROW))
    queries = passages + 0.1 * rng.normal(size=(COUNT, WIDE))
    return Teacher(unit(queries), unit(passages), NARROW, "cosine")


def divergence(teacher: Teacher, projection: NDArray[np.floating]) -> float:
    """Mean divergence of the projected scores from the teacher's over all passages."""
    rows = np.arange(COUNT)
    queries, passages = teacher.queries(rows), teacher.passages(rows)

    def logs(queries: NDArray[np.floating], passages: NDArray[np.floating]) -> NDArray[np.floating]:
        scores = queries @ passages.T / TEMPERATURE
        return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))

    wanted, found = logs(queries, passages), logs(unit(queries @ projection), unit(passages @ projection))
    return float((np.exp(wanted) * (wanted - found)).sum(axis=1).mean())


def test_a_learned_projection_ranks_more_like_the_teacher(small_pair: DualEncoder) -> None:
    teacher = clustered_teacher()
    assert teacher.components is not None
    learned = teacher_projection.ranking_projection(teacher, stored(small_pair), steps=200)
    assert learned.shape == (WIDE, NARROW)
    assert divergence(teacher, learned) < 0.8 * divergence(teacher, teacher.components)


def test_a_projection_is_turned_towards_a_trained_student(small_pair: DualEncoder) -> None:
    examples = stored(small_pair)
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.normal(size=(20, 20)))[0][:16]  # [16, 20]: orthonormal rows
    queries = small_pair.query_encoder.encode(list(examples.queries.passages))
    passages = small_pair.passage_encoder.encode(list(examples.passages.passages))
    teacher = Teacher(queries @ turn, passages @ turn, 16, "dot")
    assert teacher.components is not None
    turned = teacher_projection.aligned(teacher.components, teacher, examples, small_pair)
    np.testing.assert_allclose(teacher.passages(np.arange(COUNT)) @ turned, passages, atol=1e-3)
    np.testing.assert_allclose(turned.T @ turned, np.eye(16), atol=1e-3)


def test_a_resumed_run_reads_its_projection(
    small_pair: DualEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples, kept = stored(small_pair), tmp_path / "run" / "projection.npz"
    rng = np.random.default_rng(2)
    teacher = Teacher(unit(rng.normal(size=(COUNT, 20))), unit(rng.normal(size=(COUNT, 20))), 16, "cosine")

    def made(steps: int) -> NDArray[np.float32]:
        return teacher_projection.projection(teacher, examples, student=small_pair, steps=steps, kept=kept)

    first = made(2)
    monkeypatch.setattr(teacher_projection, "ranking_projection", lambda *_, **__: pytest.fail("it was learned again"))
    np.testing.assert_array_equal(made(2), first)
    assert teacher.components is not None
    assert not np.array_equal(made(0), first)  # other steps: made anew
