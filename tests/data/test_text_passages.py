"""Texts become titled passages, each on its line, which the model reads whole."""

from __future__ import annotations

import base64
import random

import pytest
from split_texts import passage_encoder, split_text

from dpr_tiny_retriever.data.text_cutting import PASSAGE_WORDS
from dpr_tiny_retriever.data.text_files import read_python_reference
from dpr_tiny_retriever.data.text_passages import TextPassage, split

HANDBOOK = """# Garden handbook

Plants need light.

They need water too.

## Roses

Roses want to be cut in spring.

Apple trees
-----------

Apples keep in a cool cellar.
## Frost
"""


def test_sections_become_passages_under_the_document_s_title_with_their_lines() -> None:
    passages = [
        TextPassage("Garden handbook", "Plants need light.\n\nThey need water too.", 3),
        TextPassage("Garden handbook: Roses", "Roses want to be cut in spring.", 9),
        TextPassage("Garden handbook: Apple trees", "Apples keep in a cool cellar.", 14),
        TextPassage("Garden handbook: Frost", "Frost", 15),
    ]
    for line_end in ("\n", "\r\n", "\r"):
        assert split_text(HANDBOOK.replace("\n", line_end), "garden.md") == passages


def test_lines_are_counted_as_editors_count_them() -> None:
    content = "---\ntitle: Guide\n---\n\n\n  indented\x0cpage\u2028two\nline\n\n" + "word " * 99
    assert [(passage.line, passage.text[:10]) for passage in split_text(content)] == [
        (6, "  indented"),
        (9, "word word "),
    ]
    assert [passage.line for passage in split_text("====\nHead\n====\n", "a.txt")] == [2]


def test_a_text_without_headings_is_titled_by_its_name() -> None:
    assert split_text("One line.\n", "note.txt") == [TextPassage("note", "One line.", 1)]


def test_no_word_is_lost_and_no_passage_is_long() -> None:
    paragraphs = [
        " ".join(f"w{number}x{word}" for word in range(length)) for number, length in enumerate((40, 50, 30, 350, 1))
    ]
    passages = split_text("\n\n".join(paragraphs), "long.txt")
    assert " ".join(passage.text for passage in passages).split() == " ".join(paragraphs).split()
    assert max(len(passage.text.split()) for passage in passages) <= PASSAGE_WORDS
    assert [passage.line for passage in passages] == sorted(passage.line for passage in passages)


def test_a_blank_text_gives_no_passage() -> None:
    assert split_text(" \n\n\t\n", "blank.txt") == []


def test_a_long_paragraph_is_cut_behind_sentences_and_a_long_sentence_behind_lines() -> None:
    sentences = [f"This is sentence {number}, e.g. one of eleven words." for number in range(20)]
    first, *_, last = split_text(" ".join(sentences))
    assert first.text.endswith(" one of eleven words.")
    assert last.text.startswith("This is sentence")
    lines = [f"line {number} holds seven words and more" for number in range(40)]
    passages = split_text("\n".join(lines))
    assert [line for passage in passages for line in passage.text.split("\n")] == lines
    assert [passage.line for passage in passages] == [1, 15, 29]


def bytes_of(count: int) -> bytes:
    return random.Random(0).randbytes(count)


@pytest.mark.parametrize(
    "text",
    [
        "証明書の更新は毎年五月に行います。" * 100,
        "证书每年更新" * 200,
        "あいうえおかきくけこ" * 100,
        "ใบรับรองต้องต่ออายุทุกปี" * 60,
        "인증서는 매년 오월에 갱신합니다. " * 100,
        "प्रमाणपत्र हर साल मई में नवीनीकृत होते हैं। " * 60,
        base64.b64encode(bytes_of(3000)).decode(),
        bytes_of(2000).hex(),
        " ".join(f"https://intranet.example.org/team/{i}/renewal?year=20{i:02d}" for i in range(100)),
        "." * 2000,
        "😀" * 1000,
    ],
)
def test_what_has_few_blanks_is_read_whole_and_to_its_end(text: str) -> None:
    encoder = passage_encoder()
    passages = split_text(text, "note.txt")
    assert "".join("".join(passage.text.split()) for passage in passages) == "".join(text.split())
    tokens = encoder.tokenizer.tokenize([(passage.title, passage.text) for passage in passages], encoder.max_length)
    assert tokens.num_truncated == 0
    if text.isascii():
        assert encoder.tokenizer.tokenizer.token_to_id("[UNK]") not in tokens.ids, "no word is too long to be read"


def test_east_asian_sentences_stay_whole() -> None:
    sentence = "証明書の更新は毎年五月に行います。"
    assert {passage.text for passage in split_text(sentence * 100)} == {sentence * 14, sentence * 2}


def test_the_title_takes_at_most_half_of_what_is_read_and_no_heading_is_lost() -> None:
    content = f"# {'Outer ' * 20}\n## Inner\nbody\n## {'long ' * 30}end\n"
    passages = split_text(content, max_length=32)
    assert [(passage.title[:12], passage.line) for passage in passages[:3]] == [
        ("Outer Outer ", 1),
        ("Outer Outer ", 1),
        ("Inner", 3),
    ]
    words = " ".join(passage.text for passage in passages).split()
    assert (words.count("Outer"), words.count("long"), words.count("end")) == (20, 30, 1)
    encoder = passage_encoder()
    pairs = [(passage.title, passage.text) for passage in passages]
    assert encoder.tokenizer.tokenize(pairs, 32).num_truncated == 0


def test_a_model_that_reads_next_to_nothing_gets_word_after_word() -> None:
    assert [(passage.title, passage.text) for passage in split_text("# A b\nc d", max_length=4)] == [
        ("", "A"),
        ("", "b"),
        ("", "c"),
        ("", "d"),
    ]


def test_a_long_heading_above_many_is_not_repeated() -> None:
    content = f"# {'word ' * 20_000}\n" + "## Part\nbody\n" * 2_000
    passages = split_text(content)
    assert sum(len(passage.title) + len(passage.text) for passage in passages) < 3 * len(content)


def test_the_python_reference_gives_titled_passages() -> None:
    tokenizer = passage_encoder().tokenizer
    passages = [passage for text in read_python_reference() for passage in split(text, room=253, count=tokenizer.count)]
    assert len(passages) > 500
    assert all(passage.title and passage.text for passage in passages)
    assert 'The "with" statement' in {passage.title for passage in passages}
