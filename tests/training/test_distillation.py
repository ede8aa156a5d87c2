"""A teacher's vectors: computed once and kept, or precomputed elsewhere."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from stored_examples import stored

from dpr_tiny_retriever import DualEncoder, Passage
from dpr_tiny_retriever.data.data_files import DataError
from dpr_tiny_retriever.training import Distillation

pytestmark = pytest.mark.training


def test_a_teachers_vectors_are_computed_once_and_kept(
    small_pair: DualEncoder, teacher: DualEncoder, tmp_path: Path
) -> None:
    found = Distillation(encoder=teacher, cache=tmp_path).teacher(stored(small_pair), 16)
    expected = teacher.encode_passages([Passage("City", "the city of the river"), Passage(None, "not it")])
    np.testing.assert_allclose(found.passages(np.array([2, 1])), expected, atol=1e-3)
    np.testing.assert_allclose(found.queries(np.array([0])), teacher.encode_queries(["who wrote it"]), atol=1e-3)
    assert found.num_passages == 4
    files = {path: os.stat(path).st_mtime_ns for path in tmp_path.rglob("*.npy")}
    assert [np.load(path).dtype for path in files] == [np.float16] * 2  # one file a side
    again = Distillation(encoder=teacher, cache=tmp_path).teacher(stored(small_pair), 16)
    assert {path: os.stat(path).st_mtime_ns for path in tmp_path.rglob("*.npy")} == files
    np.testing.assert_array_equal(again.passages(np.arange(4)), found.passages(np.arange(4)))


def test_given_vectors_are_found_by_their_texts(small_pair: DualEncoder, tmp_path: Path) -> None:
    examples = stored(small_pair)
    rng = np.random.default_rng(0)
    queries, passages = (rng.normal(size=(count, 20)).astype(np.float16) for count in (2, 4))
    np.save(tmp_path / "queries.npy", queries[::-1])
    np.save(tmp_path / "passages.npy", passages[::-1])
    lines = [{"kind": "query", "text": query.text} for query in examples.queries.passages][::-1]
    lines += [{"kind": "passage", "title": p.title, "text": p.text} for p in examples.passages.passages][::-1]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = Distillation(precomputed=tmp_path).teacher(examples, 16)
    np.testing.assert_array_equal(found.passages(np.arange(4)), passages.astype(np.float32))
    np.testing.assert_array_equal(found.queries(np.arange(2)), queries.astype(np.float32))
    assert found.reduced(found.passages(np.arange(4))).shape == (4, 16)
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, lines[:-1])))
    with pytest.raises(DataError, match=r"texts\.jsonl: found no vector for Passage\(title='Title'"):
        Distillation(precomputed=tmp_path).teacher(examples, 16)


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


def test_a_teacher_is_an_encoder_with_a_cache_or_precomputed(teacher: DualEncoder, tmp_path: Path) -> None:
    for arguments, problem in (
        ({}, "or neither; expected one of them"),
        ({"encoder": teacher, "precomputed": tmp_path}, "found both"),
        ({"encoder": teacher}, "found no cache"),
    ):
        with pytest.raises(ValueError, match=problem):
            Distillation(**arguments)  # type: ignore[arg-type]
