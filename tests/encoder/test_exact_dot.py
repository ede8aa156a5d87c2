"""exact_dot: stores that compare by cosine or L2 rank as the dot product does."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import pytest
from model_folders import bert_arrays, bert_record, write_model, write_pair

from dpr_tiny_retriever import DualEncoder, Encoder, PassageIndex, dot_from_cosine, dot_from_squared_l2
from dpr_tiny_retriever.encoder import load_encoders
from dpr_tiny_retriever.exact_dot import exact_dot_bound, refuse_rounded
from dpr_tiny_retriever.load_options import complete_options
from dpr_tiny_retriever.retrieval.index_file import IndexedPassage
from dpr_tiny_retriever.types import Vectors

PASSAGES, BEST = 20_000, 100
QUESTIONS = [f"How does Python treat {topic.lower()}?" for topic in sorted(topics)[::4]]


@cache
def passages() -> list[str]:
    """The topics of Python's help in pieces of one to twelve words, from the first word on, the second, and so on."""

    def pieces() -> Iterator[str]:
        sizes = cycle(range(1, 13))
        for start in range(40):
            for topic in sorted(topics):
                words, position = topics[topic].split(), start
                while position < len(words):
                    size = next(sizes)
                    yield " ".join(words[position : position + size])
                    position += size

    return list(islice(dict.fromkeys(pieces()), PASSAGES))


@pytest.fixture(scope="module", params=["pooler", "cls"])
def pairs(request: pytest.FixtureRequest, pair_directory: Path) -> tuple[DualEncoder, DualEncoder]:
    """A dot-product pair without and with exact_dot, once with a pooler and once with [CLS] pooling."""
    plain = DualEncoder.from_pretrained(pair_directory, pooling=request.param)
    return plain, DualEncoder.from_pretrained(pair_directory, pooling=request.param, exact_dot=True)


def best(scores: Vectors) -> Any:
    """Indices of the best passages, int [q, BEST], by scores [q, n]; ties in index order."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :BEST]


def test_cosine_and_l2_have_the_100_best_of_the_dot_product(pairs: tuple[DualEncoder, DualEncoder]) -> None:
    _, exact = pairs
    found = exact.encode_passages(passages(), show_progress=False)
    assert found.shape == (PASSAGES, 129)
    asked = exact.encode_queries(QUESTIONS)
    expected = asked[:, :128].astype(np.float64) @ found[:, :128].T.astype(np.float64)
    want = best(expected)  # type: ignore[arg-type]
    bound, norms = exact.exact_dot_bound, np.linalg.norm(asked, axis=1)
    assert bound is not None
    by_dot = asked @ found.T
    cosines = by_dot / norms[:, None] / np.linalg.norm(found, axis=1)
    # |q|^2 + |x|^2 - 2 dot, as libraries compute it in float32
    squares = np.square(asked).sum(1)[:, None] + np.square(found).sum(1) - 2 * by_dot
    for scores, tolerance in ((by_dot, 1e-5), (cosines, 1e-5), (-squares, 1e-4)):
        # Dot products that are equal in float32 may come in either order.
        gained = np.take_along_axis(expected, best(scores), 1)
        np.testing.assert_allclose(gained, np.take_along_axis(expected, want, 1), atol=tolerance)
    for row, norm in enumerate(norms.tolist()):
        np.testing.assert_allclose(dot_from_cosine(cosines[row], norm, bound), expected[row], atol=2e-4)
        np.testing.assert_allclose(dot_from_squared_l2(squares[row], norm, bound), expected[row], atol=2e-4)
    # Without exact_dot both rankings differ.
    lengths = np.linalg.norm(found[:, :128], axis=1)
    for scores in (by_dot / lengths, by_dot - lengths**2 / 2):
        assert (best(scores) == want).mean() < 0.5


def test_one_number_is_added_and_the_others_stay(pairs: tuple[DualEncoder, DualEncoder]) -> None:
    plain, exact = pairs
    texts = ["the city", ("the tower", "of the river"), ""] * 1500
    found, same = exact.encode_passages(texts, show_progress=False), plain.encode_passages(texts, show_progress=False)
    np.testing.assert_array_equal(found[:, :-1], same)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), exact.exact_dot_bound, rtol=1e-6)
    np.testing.assert_array_equal(np.concatenate(list(exact.stream_passages(texts))), found)
    asked = exact.encode_queries(["who wrote the first text"])
    np.testing.assert_array_equal(asked, np.append(plain.encode_queries(["who wrote the first text"]), [[0]], axis=1))
    assert (exact.embedding_dim, exact.similarity, plain.exact_dot_bound) == (129, "dot", None)
    assert exact.encode_passages([]).shape == (0, 129)
    assert "embedding_dim=129, exact_dot=True" in repr(exact)
    again = pickle.loads(pickle.dumps(exact))
    np.testing.assert_array_equal(again.encode_passages(["the city"]), found[:1])
    shorter = exact.passage_encoder.with_max_length(16)
    assert (shorter.embedding_dim, shorter.side, shorter.exact_dot) == (129, "passage", True)


def test_it_is_a_part_of_the_fingerprint_and_not_of_what_is_saved(
    pairs: tuple[DualEncoder, DualEncoder], tmp_path: Path
) -> None:
    plain, exact = pairs
    assert exact.passage_encoder.fingerprint() != plain.passage_encoder.fingerprint()
    assert exact.fingerprint() != plain.fingerprint()
    exact.save_pretrained(tmp_path)
    again = DualEncoder.from_pretrained(tmp_path)
    np.testing.assert_array_equal(again.encode_passages(["the city"]), plain.encode_passages(["the city"]))
    assert again.fingerprint() == plain.fingerprint()


@pytest.mark.parametrize("pooling", ["pooler", "cls", "mean"])
@pytest.mark.parametrize("changes", [{}, {"layers": 0}, {"model_type": "dpr", "projection_dim": 24}])
def test_no_vector_is_longer_than_the_bound(tmp_path: Path, pooling: Any, changes: dict[str, Any]) -> None:
    record = bert_record(layers=2, width=32) | {"num_hidden_layers": changes.get("layers", 2)} | changes
    record.pop("layers", None)
    arrays = bert_arrays(record, scale=1.0)
    if "projection_dim" in changes:
        if pooling == "pooler":
            return  # a dpr model has no pooler
        arrays = {f"ctx_encoder.bert_model.{name}": array for name, array in arrays.items() if "pooler" not in name}
        rng = np.random.default_rng(0)
        arrays["ctx_encoder.encode_proj.weight"] = rng.normal(0, 1, (24, 32)).astype(np.float32)
        arrays["ctx_encoder.encode_proj.bias"] = rng.normal(0, 1, 24).astype(np.float32)
    model = write_model(tmp_path, record, arrays)
    encoder = Encoder.from_pretrained(model, side="passage", pooling=pooling, exact_dot=True)
    bound = exact_dot_bound(encoder.config, encoder.weights)
    lengths = np.linalg.norm(encoder.encode(passages()[:500])[:, :-1], axis=1)
    assert lengths.max() <= bound * (1 + 1e-6)
    assert lengths.max() > bound / 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"normalize": True}, "exact_dot is True, but this model's vectors have unit length, which rank alike by dot"),
        ({"exact_dot": "yes"}, "exact_dot is 'yes'; expected True or False"),
    ],
)
def test_where_it_adds_nothing_it_is_refused(small_directory: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DualEncoder.from_pretrained(small_directory, **{"exact_dot": True, **options})


def test_it_needs_dot_products_and_a_side(small_pair: DualEncoder, small_directory: Path) -> None:
    side = small_pair.passage_encoder
    parts = side.config, side.weights, side.tokenizer
    with pytest.raises(ValueError, match="compared by cosine, not by dot product; leave exact_dot out: normalize=True"):
        Encoder(*parts, max_length=16, similarity="cosine", side="passage", exact_dot=True)
    with pytest.raises(ValueError, match="exact_dot is True without a side; expected side='query' or 'passage'"):
        Encoder(*parts, max_length=16, exact_dot=True)
    sides = load_encoders(
        dict.fromkeys(("query", "passage"), small_directory),  # type: ignore[arg-type]
        {"query": None, "passage": None},
        complete_options({"exact_dot": True}),
    )
    with pytest.raises(ValueError, match="found the sides 'passage' and 'query', whose vectors with exact_dot cannot"):
        DualEncoder(sides["passage"], sides["query"])
    with pytest.raises(ValueError, match="the query model has vectors of dimension 16, the passage model 17"):
        DualEncoder(small_pair.query_encoder, sides["passage"])
    with pytest.raises(ValueError, match="vectors of int8, which would not rank exactly; expected float32"):
        refuse_rounded(True, "int8")


def test_an_index_ranks_as_without_it(tmp_path: Path) -> None:
    folder = write_pair(tmp_path / "pair", layers=1, width=16)
    held = [IndexedPassage(str(number), "", text) for number, text in enumerate(passages()[:300])]
    found = []
    for exact in (False, True):
        encoder = DualEncoder.from_pretrained(folder, exact_dot=exact)
        with PassageIndex(tmp_path / f"{exact}.sqlite", encoder) as index:
            index.add(held)
            assert repr(index) == f"PassageIndex('{tmp_path / f'{exact}.sqlite'}', {encoder!r})"
            found.append([(hit.passage.id, round(hit.score, 4)) for hit in index.search(QUESTIONS[0], mode="dense")])
    assert found[0] == found[1]
    with pytest.raises(ValueError, match="holds vectors of the model"):
        PassageIndex(tmp_path / "True.sqlite", DualEncoder.from_pretrained(folder))
