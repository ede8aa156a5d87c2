"""Teachers: computed once, or given; and the models that a run starts from."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

from dpr_tiny_retriever import DualEncoder, Passage
from dpr_tiny_retriever.evaluation import DataError
from dpr_tiny_retriever.model.batching import LENGTH_STEP
from dpr_tiny_retriever.training import (
    Distillation,
    Example,
    NewModel,
    Settings,
    grow,
    new_pair,
    train,
)
from dpr_tiny_retriever.training.in_batch_bm25 import Lexical
from dpr_tiny_retriever.training.token_store import ExampleStore, TextStore, without_some

pytestmark = pytest.mark.training

EXAMPLES = [
    Example("who wrote it", (Passage("Title", "a tower"),), (Passage(None, "not it"),)),
    Example("what city", (Passage("City", "the city of the river"),)),
    Example("who wrote it", (Passage(None, "a river"),)),
]


def stored(pair: DualEncoder) -> ExampleStore:
    tokenizer = pair.query_encoder.tokenizer
    examples = ExampleStore(TextStore(tokenizer, 16), TextStore(tokenizer, 16))
    for example in EXAMPLES:
        examples.add(example)
    return examples


def test_equal_texts_are_stored_once(small_pair: DualEncoder) -> None:
    examples = stored(small_pair)
    assert (len(examples), len(examples.queries), len(examples.passages)) == (3, 2, 4)
    assert list(examples.passages) == [
        Passage("Title", "a tower"),
        Passage(None, "not it"),
        Passage("City", "the city of the river"),
        Passage(None, "a river"),
    ]
    assert examples.known_positives(0) == [0, 3]  # of both examples with this question


def test_stored_tokens_are_those_of_encoding(small_pair: DualEncoder) -> None:
    examples = stored(small_pair)
    rows = np.array([2, -1, 0])
    padded = examples.passages.padded(rows)
    expected = small_pair.passage_encoder.tokenizer.tokenize(
        [("City", "the city of the river"), ("Title", "a tower")], 16
    )
    assert padded.lengths.tolist() == [expected.lengths[0], 1, expected.lengths[1]]
    found = [padded.token_ids[row, : padded.lengths[row]].tolist() for row in (0, 2)]
    assert [*found[0], *found[1]] == expected.ids.tolist()
    assert padded.segment_starts[[0, 2]].tolist() == expected.segment_starts.tolist()
    assert examples.passages.padded(rows, 4).token_ids.shape == (3, 4)
    assert padded.token_ids.shape[1] % LENGTH_STEP == 0


def test_a_teachers_vectors_are_computed_once_and_kept(
    small_pair: DualEncoder, teacher: DualEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dpr_tiny_retriever.training.distillation.SHARD", 2)
    found = Distillation(encoder=teacher, cache=tmp_path).teacher(stored(small_pair), 16)
    expected = teacher.encode_passages([Passage("City", "the city of the river"), Passage(None, "not it")])
    np.testing.assert_allclose(found.passages(np.array([2, 1])), expected, atol=1e-3)
    np.testing.assert_allclose(found.queries(np.array([0])), teacher.encode_queries(["who wrote it"]), atol=1e-3)
    files = {path: os.stat(path).st_mtime_ns for path in tmp_path.rglob("*.npy")}
    assert len(files) == 2  # one a side, the shards being joined
    Distillation(encoder=teacher, cache=tmp_path).teacher(stored(small_pair), 16)
    assert {path: os.stat(path).st_mtime_ns for path in tmp_path.rglob("*.npy")} == files


def test_a_stopped_computation_goes_on_from_its_shards(
    small_pair: DualEncoder, teacher: DualEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dpr_tiny_retriever.training.distillation.SHARD", 1)
    encoded: list[int] = []
    encode = teacher.passage_encoder.encode

    def stopping(passages: object, **options: object) -> object:
        encoded.append(1)
        if len(encoded) == 3:
            raise KeyboardInterrupt
        return encode(passages, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(teacher.passage_encoder, "encode", stopping)
    with pytest.raises(KeyboardInterrupt):
        Distillation(encoder=teacher, cache=tmp_path).teacher(stored(small_pair), 16)
    found = Distillation(encoder=teacher, cache=tmp_path).teacher(stored(small_pair), 16)
    assert len(encoded) == 5  # two of the four before the stop, the third twice
    expected = teacher.encode_passages(stored(small_pair).passages)
    np.testing.assert_allclose(found.passages(np.arange(4)), expected, atol=1e-3)


def test_given_vectors_are_found_by_their_texts(small_pair: DualEncoder, tmp_path: Path) -> None:
    examples = stored(small_pair)
    rng = np.random.default_rng(0)
    queries, passages = (rng.normal(size=(count, 20)).astype(np.float16) for count in (2, 4))
    np.save(tmp_path / "queries.npy", queries[::-1])
    np.save(tmp_path / "passages.npy", passages[::-1])
    lines = [{"kind": "query", "text": query.text} for query in examples.queries][::-1]
    lines += [{"kind": "passage", "title": p.title, "text": p.text} for p in examples.passages][::-1]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = Distillation(given=tmp_path).teacher(examples, 16)
    np.testing.assert_array_equal(found.passages(np.arange(4)), passages.astype(np.float32))
    np.testing.assert_array_equal(found.queries(np.arange(2)), queries.astype(np.float32))
    assert found.reduced(found.passages(np.arange(4))).shape == (4, 16)
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, lines[:-1])))
    with pytest.raises(DataError, match=r"texts\.jsonl: no vector is given for Passage\(title='Title'"):
        Distillation(given=tmp_path).teacher(examples, 16)


def test_reduced_vectors_keep_the_most_of_their_products(
    small_pair: DualEncoder, teacher: DualEncoder, tmp_path: Path
) -> None:
    found = Distillation(encoder=teacher, cache=tmp_path).teacher(stored(small_pair), 31)
    vectors = found.passages(np.arange(4))
    np.testing.assert_allclose(found.reduced(vectors) @ found.reduced(vectors).T, vectors @ vectors.T, atol=1e-3)


def test_a_teacher_narrower_than_the_student_is_refused(
    small_pair: DualEncoder, teacher: DualEncoder, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="32 numbers, the student's 64"):
        Distillation(encoder=teacher, cache=tmp_path).teacher(stored(small_pair), 64)


def test_lexical_scores_are_bm25(small_pair: DualEncoder) -> None:
    examples = stored(small_pair)
    scores = Lexical(examples.queries, examples.passages).scores(np.array([0, 1]), np.array([2, 0, 1]))
    assert scores.shape == (2, 3)
    assert scores[1].argmax() == 0  # "city" stands in that passage alone
    tokens = examples.passages.tokens(2)
    (piece,) = set(examples.queries.tokens(1)) & set(tokens) - {tokens[0], tokens[-1]}
    assert np.count_nonzero(tokens == piece) == 2
    count, length = 4, np.mean([len(examples.passages.tokens(row)) for row in range(4)])
    idf = np.log1p((count - 1 + 0.5) / 1.5)
    held = np.count_nonzero(tokens == piece)
    weight = idf * held * 1.9 / (held + 0.9 * (0.6 + 0.4 * len(tokens) / length))
    assert scores[1, 0] == pytest.approx(weight, abs=1e-5)


def test_new_words_are_projected_from_a_larger_model(teacher: DualEncoder, small_pair: DualEncoder) -> None:
    source = teacher.passage_encoder
    wide = np.asarray(source.weights.embeddings.word)
    for words in ("table", "vectors", "random"):
        new = NewModel(None, layers=1, width=16, heads=2, words=words)  # type: ignore[arg-type]
        pair = new_pair(dataclasses.replace(new, tokenizer_from=source_directory(teacher)))
        found = pair.query_encoder.weights.embeddings.word
        assert found.shape == (len(wide), 16)
        np.testing.assert_allclose(found.std(axis=1), 0.1, atol=0.1 if words == "random" else 1e-4)


def source_directory(pair: DualEncoder) -> str:
    assert pair._origin is not None
    return str(pair._origin["model"])


def test_layers_put_on_top_begin_by_changing_nothing(teacher: DualEncoder) -> None:
    new = NewModel(source_directory(teacher), layers=1, width=16, heads=2, words="random")
    bag = new_pair(new).query_encoder
    grown = grow(bag, 2)
    assert grown.config.num_hidden_layers == 2
    texts = ["who wrote the river", ("title", "a tower")]
    np.testing.assert_allclose(grown.encode(texts), bag.encode(texts), atol=1e-5)
    with pytest.raises(ValueError, match="2 layers"):
        grow(grown, 1)


def test_a_bag_of_words_is_trained_before_its_layers(data: Path, teacher: DualEncoder, tmp_path: Path) -> None:
    settings = Settings(
        steps=3,
        batch_size=6,
        hard_negatives=0,
        max_query_length=16,
        max_passage_length=32,
        short_passages=8,
        words_only=True,
        match_weight=1,
        kl_weight=1,
        lexical_weight=0.3,
        queue=7,
        topics=2,
        word_dropout=0.2,
        projection_steps=2,
        learning_rate=0.01,
    )
    distillation = Distillation(encoder=teacher, cache=tmp_path / "teacher")
    new = NewModel(source_directory(teacher), layers=1, width=16, heads=2, words="vectors")
    bag = train([data], tmp_path / "bag", start=new, settings=settings, distillation=distillation, show_progress=False)
    (layer,) = bag.encoder.query_encoder.weights.layers
    assert not layer.output.kernel.any()
    assert layer.output_norm.offset.any()
    run = train(
        [data],
        tmp_path / "pair",
        start=tmp_path / "bag",
        tied=True,
        settings=dataclasses.replace(settings, words_only=False),
        distillation=distillation,
        show_progress=False,
    )
    assert run.encoder.query_encoder.weights.layers[0].output.kernel.any()
    assert {"contrastive", "match", "kl", "loss", "accuracy"} <= run.history.keys()
    with pytest.raises(ValueError, match="has trained layers"):
        train([data], tmp_path / "no", start=run.encoder, settings=settings, distillation=distillation)


def test_words_left_out_leave_the_special_tokens(small_pair: DualEncoder) -> None:
    examples = stored(small_pair)
    whole = examples.passages.padded(np.array([0, 1, 2, 3]))
    rng = np.random.default_rng(0)
    assert all(np.array_equal(a, b) for a, b in zip(without_some(whole, 0.0, rng), whole, strict=True))
    left_out = 0
    for _ in range(20):
        found = without_some(whole, 0.5, rng)
        for row in range(4):
            before = whole.token_ids[row, : whole.lengths[row]].tolist()
            after = found.token_ids[row, : found.lengths[row]].tolist()
            left_out += len(before) - len(after)
            assert [after[0], after[-1]] == [before[0], before[-1]]
            rest = iter(before)
            assert all(token in rest for token in after)  # in their order
            start = whole.segment_starts[row]
            if start < whole.lengths[row]:  # the text still begins behind the title's [SEP]
                assert found.token_ids[row, found.segment_starts[row] - 1] == before[start - 1]
            else:
                assert found.segment_starts[row] >= found.lengths[row]
    words = sum(len(set(examples.passages.tokens(row).tolist())) for row in range(4)) * 20
    assert 0.2 * words < left_out < 0.6 * words
