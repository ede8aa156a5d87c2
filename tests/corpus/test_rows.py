"""Rows of a corpus and their digests."""

from __future__ import annotations

import hashlib

from dpr_tiny_retriever.corpus.rows import content_digest


def test_a_digest_is_of_the_title_and_the_text() -> None:
    assert content_digest("Zoë", "a") == hashlib.blake2b("4:Zoëa".encode(), digest_size=16).digest()
    assert content_digest("", "") == hashlib.blake2b(b"0:", digest_size=16).digest()


def test_what_stands_in_the_title_is_not_taken_for_text() -> None:
    digests = {content_digest("a", "b"), content_digest("ab", ""), content_digest("", "ab"), content_digest("", "2:ab")}
    assert len(digests) == 4
