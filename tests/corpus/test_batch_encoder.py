"""The callable for engines gives the encoder's own vectors, and a bad row costs itself."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpr_tiny_retriever import DualEncoder, ModelNotFoundError
from dpr_tiny_retriever.corpus.batch_encoder import BatchEncoder

TITLES = ["Rivers", "", "Towers"]
TEXTS = ["the river of the city", "who wrote the first passage", "a tower in the city"]


def batch(**changes: Any) -> dict[str, Any]:
    columns = {"id": ["a", "b", "c"], "title": TITLES, "text": TEXTS, "year": [1, 2, 3]}
    return {name: np.array(values, object) for name, values in {**columns, **changes}.items() if values is not None}


def test_vectors_are_the_encoders_and_all_other_columns_are_kept(pair: DualEncoder, pair_directory: Path) -> None:
    found = BatchEncoder(pair_directory)(batch())
    assert list(found) == ["id", "title", "text", "year", "vector", "reason"]
    assert found["year"].tolist() == [1, 2, 3]
    assert found["reason"].tolist() == ["", "", ""]
    expected = pair.encode_passages(list(zip(TITLES, TEXTS, strict=True)))
    np.testing.assert_array_equal(found["vector"], expected)
    assert found["vector"].dtype == np.float32


def test_columns_may_be_lists_and_have_other_names_or_be_left_out(pair: DualEncoder, pair_directory: Path) -> None:
    encode = BatchEncoder(pair_directory, id_column=None, title_column=None, text_column="body", dtype="float16")
    found = encode({"body": TEXTS})
    np.testing.assert_array_equal(found["vector"], pair.encode_passages(TEXTS).astype(np.float16))
    assert encode({"body": []})["vector"].shape == (0, pair.embedding_dim)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"text": ["", None, ""]}, "the text is null; expected str"),
        ({"text": ["", float("nan"), ""]}, "the text is null; expected str"),
        ({"text": ["", 7, ""]}, "the text is int; expected str"),
        ({"title": ["", b"x", ""]}, "the title is bytes; expected str"),
        ({"id": ["a", None, "c"]}, "the id is null; expected one by which the vector is found again"),
        ({"text": ["", "a\ud800", ""]}, "the text holds the lone surrogate U+D800 at character 1"),
    ],
)
def test_a_bad_row_costs_itself(
    changes: dict[str, list[Any]], reason: str, pair: DualEncoder, pair_directory: Path
) -> None:
    found = BatchEncoder(pair_directory)(batch(**changes))
    assert found["reason"][1].startswith(reason)
    assert found["reason"][[0, 2]].tolist() == ["", ""]
    assert np.isnan(found["vector"][1]).all()
    texts, titles = changes.get("text", TEXTS), changes.get("title", TITLES)
    expected = pair.encode_passages([(titles[0], texts[0]), (titles[2], texts[2])])
    np.testing.assert_array_equal(found["vector"][[0, 2]], expected)


def test_a_title_of_null_is_none(pair: DualEncoder, pair_directory: Path) -> None:
    found = BatchEncoder(pair_directory)(batch(title=[None, float("nan"), "Towers"]))
    expected = pair.encode_passages([TEXTS[0], TEXTS[1], ("Towers", TEXTS[2])])
    np.testing.assert_array_equal(found["vector"], expected)


@pytest.mark.parametrize(
    ("columns", "kind", "message"),
    [
        (batch(text=None), ValueError, "columns id, title, year; expected 'text' too: name its own by text_column=$"),
        (batch(title=None), ValueError, "expected 'title' too: name its own by title_column=, or title_column=None"),
        (batch(vector=[1, 2, 3]), ValueError, "has a column 'vector' already.*rename or drop"),
        (batch(title=["x"]), ValueError, "3 texts, 1 titles and 3 ids; expected as many of each"),
        ({**batch(), "text": np.arange(3)}, TypeError, "'text' holds int64; expected str: .* by text_column="),
        ({**batch(), "text": [1, 2, None]}, TypeError, "'text' holds int; expected str"),
        ({**batch(), "title": np.zeros((3, 2))}, TypeError, "'title' has 2 dimensions; .*title_column="),
    ],
)
def test_columns_that_cannot_be_encoded_are_refused_before_the_model_is_looked_for(
    columns: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        BatchEncoder("no/such-model", local_files_only=True)(columns)


def test_a_model_is_looked_for_when_the_first_batch_comes() -> None:
    encode = BatchEncoder("no/such-model", local_files_only=True)
    with pytest.raises(ModelNotFoundError):
        encode(batch())


@pytest.mark.parametrize(
    ("parameters", "kind", "message"),
    [
        ({"dtype": "int8"}, ValueError, "dtype is 'int8'; expected 'float32' or 'float16'"),
        ({"text_column": None}, TypeError, "text_column is None; expected the name of a column"),
        ({"threads": 0}, ValueError, "threads is 0"),
        ({"batch": 3}, TypeError, "no option batch; expected model, id_column"),
    ],
)
def test_wrong_parameters_are_refused_where_they_are_written(
    parameters: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        BatchEncoder(**parameters)


def test_a_pickle_is_small_holds_no_token_and_loads_once_in_a_process(pair_directory: Path) -> None:
    encode = BatchEncoder(pair_directory, token="hf_secret")
    encode(batch())
    pickled = pickle.dumps(encode)
    assert len(pickled) < 1000
    assert b"hf_secret" not in pickled
    again = pickle.loads(pickled)
    assert again.encoder is encode.encoder


def test_threads_are_those_that_an_engine_gives(pair_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    one = BatchEncoder(pair_directory)
    assert one.encoder is BatchEncoder(pair_directory, threads=1).encoder
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert one.encoder is BatchEncoder(pair_directory, threads=2).encoder
    assert BatchEncoder(pair_directory, threads=3).encoder is not one.encoder
