"""What pages of HTML become: titles, headings, paragraphs, tables; no text is lost in broken markup."""

from __future__ import annotations

import pytest
from split_texts import split_text

PAGE = """<!DOCTYPE html>
<html><head><title>Hand&shy;book &amp; more</title><style>p {color: red}</style>
<script>var a = "<h1>no</h1>";</script></head>
<body><nav><ul><li>Home</ul></nav>
<p>An introduction with <b>bo</b>ld &lt;tags&gt; and a
second line.</p><p>Next paragraph.
<h1 id=install>Install</h1>
<ul><li>first
<li>second</ul>
<h2 class="x">Windows
 10</h2>
<pre>
$ run
    indented   code
</pre>
<table><tr><th>Name</th><th>Age</th></tr>
<tr>
<td>Ann</td>
<td>7</td></tr></table>
<!-- a comment <h1>x</h1> -->
<h2>Empty</h2>
<h1>Handbook & more</h1>
last <br>words 3 < 4 & 5 > 2 <a title="a > b" href='x'>link</a>
</body></html>"""


def passages(content: str) -> list[tuple[str, str]]:
    return [(passage.title, passage.text) for passage in split_text(content, "note.html")]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_page_becomes_passages_below_its_title_and_headings(line_end: str) -> None:
    found = split_text(PAGE.replace("\n", line_end), "page.HTM")
    assert [(passage.title, passage.text, passage.line) for passage in found] == [
        (
            "Handbook & more",
            "An introduction with bold <tags> and a\nsecond line.\n\nNext paragraph.",
            5,
        ),
        ("Handbook & more: Install", "first\nsecond", 8),
        ("Handbook & more: Install: Windows 10", "$ run\n    indented   code\n\nName | Age\nAnn | 7", 13),
        ("Handbook & more: Install: Empty", "Empty", 21),
        ("Handbook & more", "last\nwords 3 < 4 & 5 > 2 link", 23),
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("<p>a <b c='d>e</p>", [("note", "a e")]),
        ("a <b <i>c</i>", [("note", "a c")]),
        ("a <!-- b > c", [("note", "a <!-- b > c")]),
        ("a <script> b", [("note", "a b")]),
        ("<script src='x'/>a<script>b</script>c", [("note", "ac")]),
        ("a <b", [("note", "a <b")]),
        ("<![CDATA[a > b]]>", [("note", "a > b]]>")]),
        ("<?php a ?>b<!ELEMENT c>", [("note", "b")]),
        ("<h1>Head<p>body", [("Head", "body")]),
        ("<h1><div>Head</div></h1>body", [("Head", "body")]),
        ("<h1>Head", [("Head", "Head")]),
        ("<h1></h1>a<h2>b<h3>c</h3>d", [("note", "a"), ("b: c", "d")]),
        ("&#99999999999999999999;&#x41;&nbsp;&notin;", [("note", "&#99999999999999999999;A ∉")]),
        ("<SCRIPT>a</SCRIPT >b<Nav>c</nAV>d", [("note", "bd")]),
        ("<table><tr><td><p>a</p><p>b</p></td><td>c</td></table>d", [("note", "a\n\nb\n\nc\n\nd")]),
    ],
)
def test_broken_and_rare_markup_loses_no_text(content: str, expected: list[tuple[str, str]]) -> None:
    assert passages(content) == expected


@pytest.mark.parametrize(
    "unit",
    [
        *("<", "&", "</", "<a", "<a ", "<!--", "<!", "<?", "<![CDATA[", "<a b='", "<a b='>\"", "<script>", "<nav>"),
        *("<title>", "<h1>", "<p>", "<td>x", "<b>x", "&#", "&#1", "<a b='>' c=\">"),
    ],
)
def test_broken_markup_costs_no_more_than_its_length(unit: str) -> None:
    split_text(unit * (200_000 // len(unit)), "note.html")  # a quadratic search would take minutes
