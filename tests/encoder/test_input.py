"""Every kind of text that can be given, and what becomes of it."""

from __future__ import annotations

import copy
import pickle
import re
from collections import UserDict
from collections.abc import Callable, Iterator
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from dpr_tiny_retriever import DualEncoder, Encoder, Passage


def test_a_passage_is_a_frozen_value() -> None:
    passage = Passage("title", "text")
    assert passage == Passage(title="title", text="text") == copy.deepcopy(passage)
    assert pickle.loads(pickle.dumps(passage)) == passage
    assert len({passage, Passage("title", "text"), Passage(None, "text")}) == 2
    with pytest.raises(AttributeError):
        passage.text = "other"  # type: ignore[misc]


def test_passages_may_be_mixed_of_all_forms(pair: DualEncoder) -> None:
    forms = pair.encode_passages([Passage("river", "the city"), ("river", "the city"), "the city"])
    assert np.array_equal(forms[0], forms[1])
    assert not np.allclose(forms[0], forms[2], atol=1e-3)


@pytest.mark.parametrize(
    "untitled", [Passage(None, "the city"), Passage("", "the city"), (None, "the city"), ("  ", "the city")]
)
def test_no_title_an_empty_one_and_a_blank_one_are_the_same(
    pair: DualEncoder, untitled: Passage | tuple[None, str]
) -> None:
    plain, empty = pair.encode_passages(["the city", untitled])
    assert np.array_equal(plain, empty)


def test_a_title_is_not_just_text_in_front(pair: DualEncoder) -> None:
    titled, joined = pair.encode_passages([("river", "the city"), "river the city"])
    assert not np.allclose(titled, joined, atol=1e-3)


@pytest.mark.parametrize("many", [iter, tuple, set, np.array])
def test_any_iterable_of_texts_will_do(pair: DualEncoder, many: Callable[[list[str]], Any]) -> None:
    assert np.array_equal(pair.encode_passages(many(["the city"])), pair.encode_passages(["the city"]))
    assert np.array_equal(pair.encode_queries(many(["the city"])), pair.encode_queries(["the city"]))


def test_nothing_gives_an_empty_table(pair: DualEncoder, encoder: Encoder) -> None:
    for empty in (pair.encode_queries([]), pair.encode_passages(iter([])), encoder.encode(())):
        assert empty.shape == (0, 128)
        assert empty.dtype == np.float32


@pytest.mark.parametrize("blank", ["", " ", "\n\t ", "\0", "\u200b", "\u00a0", "\ufeff", "\x7f"])
def test_a_text_without_words_is_encoded_as_no_words(pair: DualEncoder, blank: str) -> None:
    none, vector = pair.encode_queries(["", blank])
    assert np.array_equal(none, vector)
    assert np.isfinite(vector).all()


def test_nul_bytes_and_control_characters_count_for_nothing(pair: DualEncoder) -> None:
    plain, dirty = pair.encode_queries(["the river", "the\x00 ri\x07ver\ufffd"])
    assert np.array_equal(plain, dirty)


NOT_A_LIST = [None, 3, "one text", b"bytes", Passage("title", "text"), {"title": "a"}]


@pytest.mark.parametrize("values", NOT_A_LIST)
def test_what_is_no_list_of_texts_is_refused(pair: DualEncoder, encoder: Encoder, values: Any) -> None:
    for encode in (pair.encode_queries, pair.encode_passages, encoder.encode):
        with pytest.raises(TypeError, match=r"^(queries|passages) is .*; expected a list"):
            encode(values)


class Table:
    """A table as pandas has them: iterating gives its columns, as it does their values for one of them."""

    def __init__(self, columns: dict[str, list[str]], ndim: int) -> None:
        self.columns, self.ndim = columns, ndim

    def keys(self) -> list[str]:
        return list(self.columns)

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns if self.ndim == 2 else next(iter(self.columns.values())))


@pytest.mark.parametrize("kind", [dict, UserDict, MappingProxyType, partial(Table, ndim=2)])
def test_mappings_and_tables_are_refused_for_their_keys(pair: DualEncoder, kind: Any) -> None:
    values = kind({f"key {number}": ["a"] for number in range(100)})
    for encode in (pair.encode_queries, pair.encode_passages):
        with pytest.raises(
            TypeError, match=r"^(queries|passages) is a .*; expected a list, such as list\(zip"
        ) as caught:
            encode(values)
        assert len(str(caught.value)) < 250
    column = Table({"text": ["the river", "the city"]}, ndim=1)
    assert np.array_equal(pair.encode_queries(column), pair.encode_queries(["the river", "the city"]))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, "None"),
        (3, "int 3"),
        (2.5, "float 2.5"),
        (b"bytes", "bytes b'bytes'"),
        (["nested"], "a list of 1"),
        (("title", "text"), "a tuple of 2"),
        ({"text": "a"}, "a dict with the keys text"),
        ({}, "a dict with the keys (none)"),
        (Passage("title", "text"), "Passage Passage(title='title', text='text')"),
    ],
)
def test_a_query_that_is_no_text_is_refused_by_its_position(pair: DualEncoder, value: Any, found: str) -> None:
    with pytest.raises(TypeError, match=rf"^query 1 is {re.escape(found)}; expected str$"):
        pair.encode_queries(["the river", value])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "passage 1 is None; expected Passage(title, text), a (title, text) tuple or str"),
        (3, "passage 1 is int 3; expected Passage(title, text), a (title, text) tuple or str"),
        (b"bytes", "passage 1 is bytes b'bytes'; expected Passage(title, text), a (title, text) tuple or str"),
        (["title", "text"], "passage 1 is a list of 2; expected Passage(title, text), a (title, text) tuple or str"),
        (("one",), "passage 1 is a tuple of 1; expected Passage(title, text), a (title, text) tuple or str"),
        (("a", "b", "c"), "passage 1 is a tuple of 3; expected Passage(title, text), a (title, text) tuple or str"),
        (("title", None), "the text of passage 1 is None; expected str"),
        ((3, "text"), "the title of passage 1 is int 3; expected str or None"),
        (Passage("title", b"text"), "the text of passage 1 is bytes b'text'; expected str"),  # type: ignore[arg-type]
    ],
)
def test_a_passage_of_another_kind_is_refused_by_its_position(pair: DualEncoder, value: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        pair.encode_passages(["the river", value])


def test_a_dictionary_is_refused_with_the_way_to_write_it(pair: DualEncoder) -> None:
    with pytest.raises(TypeError, match=r"passage 0 is a dict with the keys id, text; .*Passage\(record\['title'\]"):
        pair.encode_passages([{"id": 1, "text": "a"}])  # type: ignore[list-item]


def test_what_is_shown_of_a_wrong_value_is_short(pair: DualEncoder) -> None:
    with pytest.raises(TypeError) as caught:
        pair.encode_queries([b"x" * 10_000])  # type: ignore[list-item]
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize(
    ("passage", "where"),
    [
        ("ab\ud83d", "the text of passage 0 holds the lone surrogate U+D83D at character 2"),
        (("t\udc00", "text"), "the title of passage 0 holds the lone surrogate U+DC00 at character 1"),
    ],
)
def test_half_a_character_is_refused(pair: DualEncoder, passage: str | tuple[str, str], where: str) -> None:
    with pytest.raises(ValueError, match=re.escape(where)):
        pair.encode_passages([passage])


def test_half_a_character_in_a_query_is_refused(pair: DualEncoder) -> None:
    with pytest.raises(ValueError, match=r"query 1 holds the lone surrogate U\+D800 at character 0"):
        pair.encode_queries(["the river", "\ud800"])


@pytest.mark.parametrize("wrong", [0, -1])
def test_a_batch_holds_at_least_one_text(pair: DualEncoder, wrong: int) -> None:
    with pytest.raises(ValueError, match=f"batch_size is {wrong}; expected at least 1"):
        pair.encode_queries(["the river"], batch_size=wrong)


@pytest.mark.parametrize("wrong", ["8", 2.0, True])
def test_a_batch_size_is_a_whole_number(pair: DualEncoder, wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"batch_size is {wrong!r}; expected a whole number"):
        pair.encode_passages([], batch_size=wrong)


@pytest.mark.parametrize(
    "text", ["word " * 2_000_000, "x" * 10_000_000, "日" * 3_333_334, "\n" * 10_000_000, "." * 10_000_000]
)
def test_ten_megabytes_in_one_text_are_cut_and_counted(encoder: Encoder, text: str) -> None:
    before = encoder.num_truncated
    vectors = encoder.encode([text, (text, text)])
    assert np.isfinite(vectors).all()
    assert encoder.num_truncated == before + 2
