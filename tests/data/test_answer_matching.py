"""An answer is found as facebookresearch/DPR finds it."""

from __future__ import annotations

import unicodedata

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from dpr_tiny_retriever.evaluation import has_answer

pytestmark = [pytest.mark.also_lowest, pytest.mark.evaluation]


@pytest.mark.parametrize(
    ("text", "answers", "found"),
    [
        ("It was Anna Karenina, a novel.", ["anna karenina"], True),
        ("It was Anna, not Karenina.", ["Anna Karenina"], False),
        ("Smith-Jones won in 1990.", ["Smith-Jones"], True),
        ("Smith-Jones won in 1990.", ["smith"], True),
        ("blacksmith", ["smith"], False),
        ("It cost $3.50 then", ["3.5"], False),
        ("It cost $3.50 then", ["$3.50"], True),
        ("the cafe\u0301 of Zu\u0308rich", ["caf\u00e9"], True),
        ("STRASSE", ["stra\u00dfe"], False),
        ("東京タワー", ["東京"], False),
        ("東京 タワー", ["東京"], True),
        ("zero\u200bwidth", ["width"], True),
        ("U.S. army", ["U.S."], True),
        ("one\ntwo", ["one two"], True),
        ("nothing", ["else", "nothing"], True),
        ("", ["a"], False),
    ],
)
def test_known_cases(text: str, answers: list[str], found: bool) -> None:
    assert has_answer(text, answers) is found


def brute_force(text: str, answer: str) -> bool:
    """The published procedure, token by token."""
    pattern = regex.compile(
        r"([\p{L}\p{N}\p{M}]+)|([^\p{Z}\p{C}])", flags=regex.IGNORECASE + regex.UNICODE + regex.MULTILINE
    )
    words = [match.group().lower() for match in pattern.finditer(unicodedata.normalize("NFD", text))]
    sought = [match.group().lower() for match in pattern.finditer(unicodedata.normalize("NFD", answer))]
    return any(sought == words[i : i + len(sought)] for i in range(len(words) - len(sought) + 1))


# A small alphabet, so that answers are often found.
texts = st.text(alphabet="aAbé\u0301.-' \n\u200b1東", max_size=30)


@given(text=texts, answer=texts.filter(lambda answer: any(c.isalnum() or c in ".-'" for c in answer)))
def test_the_same_as_comparing_token_by_token(text: str, answer: str) -> None:
    assert has_answer(text, [answer]) == brute_force(text, answer)


@given(text=texts, answer=texts)
def test_a_text_that_is_framed_by_words_is_found_in_the_frame(text: str, answer: str) -> None:
    assert has_answer(f"{text} {answer} {text}", [answer])
