"""Token ids by the tokenizers library, and by the tokenizer under test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from dpr_tiny_retriever.text.pair_tokenizer import PairTokenizer


def reference(folder: Path, title: str, text: str, max_length: int) -> tuple[list[int], list[int]]:
    """Ids and segment ids by the tokenizers library, truncated longest first."""
    theirs = Tokenizer.from_file(str(folder / "tokenizer.json"))
    theirs.enable_truncation(max_length, strategy="longest_first")
    encoding = theirs.encode(title, text) if title.strip() else theirs.encode(text)
    return encoding.ids, encoding.type_ids


def ours(tokenizer: PairTokenizer, title: str, text: str, max_length: int) -> tuple[list[int], list[int]]:
    tokens = tokenizer.tokenize([(title, text)], max_length)
    assert tokens.ids.dtype == tokens.lengths.dtype == tokens.segment_starts.dtype == np.int32
    return tokens.ids.tolist(), (np.arange(len(tokens.ids)) >= tokens.segment_starts[0]).astype(int).tolist()
