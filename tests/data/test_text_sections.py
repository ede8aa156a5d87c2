"""What Markdown and plain text become: headings, fences, front matter; no word is lost."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from split_texts import split_text


def passages(content: str, name: str = "note.md") -> list[tuple[str, str]]:
    return [(passage.title, passage.text) for passage in split_text(content, name)]


def test_a_title_is_the_path_of_headings() -> None:
    text = "intro\n# Product\na\n## Windows\n### Install\nb\n### Remove\nc\n## Linux\nd\n# Other\ne\n"
    assert passages(text) == [
        ("note", "intro"),
        ("Product", "a"),
        ("Product: Windows: Install", "b"),
        ("Product: Windows: Remove", "c"),
        ("Product: Linux", "d"),
        ("Other", "e"),
    ]


def test_a_heading_without_a_body_makes_a_passage_of_its_own() -> None:
    assert passages("# The wifi password is blue-heron-42\n") == [
        ("The wifi password is blue-heron-42", "The wifi password is blue-heron-42")
    ]
    assert passages("# Todo\n\n## Call the plumber\n\n## Pay the rent\n") == [
        ("Todo: Call the plumber", "Call the plumber"),
        ("Todo: Pay the rent", "Pay the rent"),
    ]


@pytest.mark.parametrize(
    "fenced",
    [
        "```bash\n# stop the database\nsystemctl stop db\n```",
        "~~~\n# a comment\n~~~",
        "````\n```\n# inside\n```\n````",
        '```python\ndef area(r):\n    """\n    Area.\n    """\n```',
        "```\nTitle\n-----\n```",
        "``` \nnever closed\n# to the end",
        "   ```\n# indented by three\n   ```",
        "<!--\n# a comment\n-->",
        "<PRE>\n# a comment\n</pre>",
        "- ```bash\n  # in a list item\n  ```",
        "1. - ~~~\n  # in a list of a list\n     ~~~",
    ],
)
def test_within_a_fence_nothing_is_a_heading(fenced: str) -> None:
    assert passages(f"# Backup\n\nRun this:\n{fenced}\n") == [("Backup", f"Run this:\n{fenced}")]


def test_a_fence_ends_where_it_is_closed_by_as_many_of_the_same() -> None:
    assert passages("# A\n```\n~~~\n``\n````\n# B\nb\n") == [("A", "```\n~~~\n``\n````"), ("B", "b")]
    assert passages("# A\n```\n    ```\n# a\n```\n# B\nb\n") == [("A", "```\n    ```\n# a\n```"), ("B", "b")]
    assert passages("# A\n``` not `a` fence\n# B\nb\n") == [("A", "``` not `a` fence"), ("B", "b")]


def test_html_on_one_line_hides_no_heading() -> None:
    assert passages("\ufeff# A\n<!-- x -->\n# B\n<pre>b</pre>\n<preface>\n# C\nc\n") == [
        ("A", "<!-- x -->"),
        ("B", "<pre>b</pre>\n<preface>"),
        ("C", "c"),
    ]


def test_underlines_are_headings_where_they_stand_below_a_line_of_its_own() -> None:
    assert passages("Product\n=======\na\n\nInstall\n---\nb\n") == [("Product", "a"), ("Product: Install", "b")]
    for text in ("- buy milk\n---\nother", "1. one\n---\nother", "> quoted\n---\nother", "a\nparagraph\n---\nother"):
        assert passages(f"# Notes\n\n{text}\n") == [("Notes", text)]
    assert passages("# Notes\n\nA def line\n~~~~~~~~~~\n# code\n") == [("Notes", "A def line\n~~~~~~~~~~\n# code")]


def test_plain_text_knows_the_underlines_and_overlines_of_restructuredtext() -> None:
    text = "=====\nGuide\n=====\n\na\n\nPart\n****\n\nb\n\nDetail\n~~~~~~\n\nc\n\nNext part\n*********\n\nd\n"
    assert passages(text, "guide.txt") == [
        ("Guide", "a"),
        ("Guide: Part", "b"),
        ("Guide: Part: Detail", "c"),
        ("Guide: Next part", "d"),
    ]
    fence = "Run this:\n~~~\ncp -r a b\n~~~"
    assert passages(fence, "guide.txt") == [("note", fence)], "an underline is as long as its title"


def test_restructuredtext_has_all_its_underlines_and_no_other_headings() -> None:
    text = (
        ".. _top:\n=====\nGuide\n=====\n\n.. code-block:: sh\n\n   # a comment\n   ls\n\n"
        "1. Part\n.......\n\n# text\n\n```\n\nio\n::\n\n- item\n------\n"
    )
    assert passages(text, "guide.rst") == [
        ("note", ".. _top:"),
        ("Guide", ".. code-block:: sh\n\n   # a comment\n   ls"),
        ("Guide: 1. Part", "# text\n\n```"),
        ("Guide: 1. Part: io", "- item\n------"),
    ]
    assert passages("---\nGuide\n---\n\na\n", "guide.rst") == [("note", "---\nGuide\n---\n\na")], "too short"


def test_hash_headings_follow_commonmark() -> None:
    assert passages("  ## Learn C#\na\n## Closed ##\nb\n#hashtag\n    # code\n") == [
        ("Learn C#", "a"),
        ("Closed", "b\n#hashtag\n    # code"),
    ]


def test_front_matter_states_the_title() -> None:
    text = "---\ntitle: 'Renewing certificates'\ntags: [ops]\n---\nRun the script in May.\n# Where\nHere.\n"
    assert passages(text) == [
        ("Renewing certificates", "Run the script in May."),
        ("Renewing certificates: Where", "Here."),
    ]
    assert passages("---\ntags: [ops]\n---\nbody\n") == [("note", "body")]
    assert passages("---\ntitle: Once\n---\n# Once\nbody\n") == [("Once", "body")], "the title is not said twice"
    assert passages("---\nno end of it\n") == [("note", "---\nno end of it")]
    assert passages("---\ntitle:\n  - a list\n---\nbody\n") == [("note", "body")]
    text = "---\nA rule stands above and below.\n---\nbody"
    assert passages(text) == [("note", text)], "no front matter"
    folded = ">-\n  Now:\n  'then'", "|\n\n  Now: 'then'"
    for stated in ("\"Now: 'then'\"  # a comment", "Now: 'then' # a comment", *folded):
        assert passages(f"---\n# c\nx:\n- y\nTitle: {stated}\nz: {{\n}}\n---\nbody") == [("Now: 'then'", "body")]


LINES = st.sampled_from(
    [
        *(
            "",
            "words here",
            "more of them",
            "# Head",
            "## Deeper",
            "#",
            "# C#",
            "===",
            "---",
            "***",
            "~~~",
            "```",
            "````",
        ),
        *(
            "``` info",
            "- item",
            "1. item",
            "> quote",
            "    code",
            "title: stated",
            "...",
            '"quoted"',
            "\x0cpage",
            "#tag",
        ),
    ]
)


@given(lines=st.lists(LINES, max_size=30), name=st.sampled_from(["a.md", "a.txt"]))
def test_no_word_is_lost(lines: list[str], name: str) -> None:
    numbered = [f"{line} w{number}" if re.search(r"\w", line) else line for number, line in enumerate(["x", *lines])]
    found = " ".join(f"{title} {text}" for title, text in passages("\n".join(numbered), name))
    wanted = {word for line in numbered for word in re.findall(r"\w+", line)}
    assert wanted <= set(re.findall(r"\w+", found))


@pytest.mark.parametrize(
    "line",
    ["# " * 100_000 + "x", "#" * 200_000, " " * 200_000 + "x", "`" * 200_000, "=" * 200_000 + "x", "- " * 100_000],
)
def test_long_lines_cost_no_more_than_their_length(line: str) -> None:
    split_text(f"{line}\n" * 5, "t.md")  # a quadratic pattern would take minutes
