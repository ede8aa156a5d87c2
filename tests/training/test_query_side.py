"""A query encoder is taught another model's space by questions alone."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from training_data import WORDS
from training_runs import Recorder, assert_same_weights, quiet

from dpr_tiny_retriever import DualEncoder, Encoder
from dpr_tiny_retriever.data.passage_store import PassageStore
from dpr_tiny_retriever.training import (
    Optimizer,
    QuerySideRun,
    QuerySideSettings,
    QuestionBatches,
    QuestionLosses,
    Schedule,
    train_query_side,
)
from dpr_tiny_retriever.training.query_side_batches import QuestionBatchMaker
from dpr_tiny_retriever.training.query_side_model import score_match
from dpr_tiny_retriever.training.query_side_start import projected_start
from dpr_tiny_retriever.training.token_store import TokenStore

pytestmark = pytest.mark.training

_draw = np.random.default_rng(0)
TEXTS = [f"{' '.join(_draw.choice(WORDS, 1 + number % 4))} {number}?" for number in range(72)]
SETTINGS = QuerySideSettings(
    schedule=Schedule(epochs=3),
    optimizer=Optimizer(learning_rate=3e-4),
    batches=QuestionBatches(size=16, max_query_length=16),
)


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("questions") / "questions.txt"
    path.write_text("\n".join(["", *TEXTS, TEXTS[0]]))
    return path


@pytest.fixture(scope="module")
def start(small_directory: Path) -> Encoder:
    return Encoder.from_pretrained(small_directory, side="query")


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, questions: Path, teacher: DualEncoder, start: Encoder
) -> tuple[QuerySideRun, Path]:
    output = tmp_path_factory.mktemp("finished") / "pair"
    options = quiet(license="mit", started_from="a small one")
    return train_query_side(
        [questions], output, passage_model=teacher, start=start, settings=SETTINGS, options=options
    ), output


def test_training_brings_questions_nearer_to_the_passage_models(
    questions: Path, teacher: DualEncoder, start: Encoder, tmp_path: Path
) -> None:
    settings = QuerySideSettings(
        schedule=Schedule(steps=40),
        optimizer=Optimizer(learning_rate=1e-4),
        batches=QuestionBatches(size=72, max_query_length=16, without_question_mark=0),
        held_out=0,
    )
    run = train_query_side(
        [questions], tmp_path, passage_model=teacher, start=start, settings=settings, options=quiet()
    )
    for name in ("loss", "embedding_match", "score_match"):  # of all questions, once an epoch
        assert run.history[name][-1] < 0.97 * run.history[name][0]
    assert np.isnan(run.agreement)
    own, others = run.encoder.encode_queries(TEXTS), teacher.encode_queries(TEXTS)
    np.testing.assert_allclose(1 - np.mean(np.sum(own * others, axis=1)), run.history["embedding_match"][-1], atol=1e-4)


def test_a_run_says_what_it_was_made_of(finished: tuple[QuerySideRun, Path]) -> None:
    run, _ = finished
    assert (run.questions, run.held_out, run.steps, run.skipped.count) == (72, 7, 12, 0)  # 65 // 16 steps an epoch
    assert 0.9 < run.agreement < 1
    assert 0.9 < run.agreement_at_start < 1
    assert len(run.history["embedding_match"]) == len(run.history["score_match"]) == 3


def test_the_pair_has_the_passage_models_own_passage_side(
    finished: tuple[QuerySideRun, Path], teacher: DualEncoder
) -> None:
    run, output = finished
    pair = DualEncoder.from_pretrained(output)
    np.testing.assert_array_equal(pair.encode_passages([("a", "city")]), teacher.encode_passages([("a", "city")]))
    np.testing.assert_array_equal(pair.encode_queries(TEXTS), run.encoder.encode_queries(TEXTS))
    assert (pair.embedding_dim, pair.similarity, pair.normalize) == (32, "cosine", True)
    assert (pair.query_encoder.config.hidden_size, pair.query_encoder.max_length) == (16, 16)
    named = DualEncoder.from_pretrained(query_model=output / "query_encoder", passage_model=output / "passage_encoder")
    np.testing.assert_array_equal(named.encode_queries(TEXTS), pair.encode_queries(TEXTS))
    card = (output / "README.md").read_text()
    for part in (
        "license: mit",
        "Started from: a small one. 12 steps",
        "72 different questions of questions.txt, of which 7 were held out",
        "| query | 1 | 16 | 2 | 16 |",
        f"held out: {run.agreement:.4f} (at the start, with a fitted projection, {run.agreement_at_start:.4f})",
        "| losses.score_match | `0.1` |",
    ):
        assert part in card


def test_a_killed_run_goes_on_to_the_same_weights(
    finished: tuple[QuerySideRun, Path], questions: Path, teacher: DualEncoder, start: Encoder, tmp_path: Path
) -> None:
    class Kill(Recorder):
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            super().on_train_batch_end(batch, logs)
            if len(self.losses) == 6:
                raise KeyboardInterrupt

    def train(recorder: Recorder, settings: QuerySideSettings = SETTINGS) -> QuerySideRun:
        options = quiet(callbacks=[recorder], checkpoint_every=5)
        return train_query_side(
            [questions], tmp_path, passage_model=teacher, start=start, settings=settings, options=options
        )

    with pytest.raises(KeyboardInterrupt):
        train(Kill())
    with pytest.raises(ValueError, match="holds an unfinished run with other data or settings"):
        train(Recorder(), msgspec.structs.replace(SETTINGS, seed=1))
    recorder = Recorder()
    run = train(recorder)
    assert len(recorder.losses) == 7  # from the state after step 5 on
    assert_same_weights(run.encoder, finished[0].encoder)


def test_precomputed_vectors_give_the_same_run_and_those_of_another_model_are_refused(
    finished: tuple[QuerySideRun, Path], questions: Path, teacher: DualEncoder, start: Encoder, tmp_path: Path
) -> None:
    vectors = teacher.encode_queries(TEXTS).astype(np.float16)
    (tmp_path / "texts.jsonl").write_text("\n".join(json.dumps({"kind": "query", "text": text}) for text in TEXTS))

    def train(given: np.ndarray) -> QuerySideRun:
        np.save(tmp_path / "queries.npy", given)
        return train_query_side(
            [questions],
            tmp_path / "pair",
            passage_model=teacher,
            start=start,
            settings=SETTINGS,
            vectors=tmp_path,
            options=quiet(),
        )

    assert_same_weights(train(vectors).encoder, finished[0].encoder)
    with pytest.raises(ValueError, match=r"expected vectors that this model gives the questions"):
        train(vectors[::-1])
    with pytest.raises(ValueError, match=r"shape \(72, 16\); expected 32 numbers each"):
        train(vectors[:, :16])


def test_the_projection_is_the_least_squares_fit(start: Encoder, tmp_path: Path) -> None:
    """Vectors that are a linear function of the start's are fitted but for the penalty, a projection before or not."""
    store = PassageStore()
    for text in TEXTS:
        store.add_once(None, text)
    rng = np.random.default_rng(0)
    matrix, offset = rng.normal(size=(16, 24)), rng.normal(size=24)
    wanted = (start.encode(TEXTS) @ matrix + offset).astype(np.float32)
    encoder = start
    for _ in range(2):
        encoder = projected_start(encoder, store, wanted, max_length=32, normalize=False, similarity="dot")
        found = encoder.encode(TEXTS)
        assert np.linalg.norm(found - wanted) < 0.03 * np.linalg.norm(wanted - wanted.mean(axis=0))
        assert (encoder.config.projection_dim, encoder.config.hidden_size) == (24, 16)
        assert np.abs(encoder.weights.projection.kernel).max() < 100


def test_question_marks_are_left_out_of_the_share_that_is_set(start: Encoder) -> None:
    store = TokenStore(start.tokenizer, 16)
    for text in (*TEXTS[:30], "who wrote it", "?"):
        store.passages.add_once(None, text)
    vectors = np.ones((32, 4), np.float16)
    mark = start.tokenizer.tokenizer.token_to_id("?")

    def shown(share: float, step: int) -> list[list[int]]:
        batches = QuestionBatches(size=32, max_query_length=16, without_question_mark=share)
        settings = QuerySideSettings(batches=batches, held_out=0)
        batch = QuestionBatchMaker(store, vectors, settings, start.tokenizer).batch(step)["queries"]
        return sorted(ids[:length].tolist() for ids, length in zip(batch.ids, batch.lengths, strict=True))

    whole = sorted(store.tokens(row).tolist() for row in range(32))
    assert shown(0.0, 3) == whole
    almost_all = shown(0.999999, 3)
    assert sum(mark in ids for ids in almost_all) == 1  # a question of nothing else keeps it
    assert {ids[-1] for ids in map(tuple, almost_all)} == {start.tokenizer.sep_id}
    counts = [sum(mark in ids for ids in shown(0.5, step)) for step in range(8)]
    assert 8 < np.mean(counts) < 23
    assert len(set(counts)) > 1


def test_score_match_is_the_divergence_over_the_other_questions() -> None:
    rng = np.random.default_rng(1)
    vectors, targets = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.normal(size=(2, 5, 3)))
    expected = []
    for row in range(5):
        others = np.arange(5) != row
        teacher, student = (x[row] @ targets[others].T / 0.1 for x in (targets, vectors))
        p, q = (np.exp(x) / np.exp(x).sum() for x in (teacher, student))
        expected.append(np.sum(p * np.log(p / q)))
    np.testing.assert_allclose(score_match(vectors, targets, 0.1), np.mean(expected), rtol=1e-6)
    np.testing.assert_allclose(score_match(targets, targets, 0.1), 0, atol=1e-9)


def test_too_few_questions_and_losses_without_weight_are_refused(
    teacher: DualEncoder, start: Encoder, tmp_path: Path
) -> None:
    path = tmp_path / "one.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.write('{"question": "who"}\n{"text": "no question"}\n')
    with pytest.raises(ValueError, match=r"found 1 different questions in .*one.jsonl.gz; expected thousands"):
        train_query_side([path], tmp_path / "pair", passage_model=teacher, start=start)
    with pytest.raises(ValueError, match="are 0; expected one of them to have weight"):
        QuerySideSettings(losses=QuestionLosses(embedding_match=0, score_match=0))
