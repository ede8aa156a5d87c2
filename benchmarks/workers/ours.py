"""This package, as its users call it: the current version, one of its backends, or another installed version."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from workers.inputs import read_texts, seconds, seconds_each

from dpr_tiny_retriever import DualEncoder, __version__


class Worker:
    """One pair at a time."""

    def __init__(self, cores: int, **options: str) -> None:
        """options are those of from_pretrained."""
        self.options: dict[str, Any] = options

    def about(self) -> dict[str, str]:
        return {"dpr-tiny-retriever": __version__, **_versions("tensorflow", "tokenizers")}

    def save(self, source: str, saved: str) -> None:
        """Write a pair as a folder for each side, which the peers load."""
        DualEncoder.from_pretrained(source).save_pretrained(saved)

    def load(self, source: str, saved: str, texts: str) -> str:
        """Load and warm up; returns what runs the model."""
        self.saved = saved
        self.passages, self.questions = read_texts(texts)
        self.pair = DualEncoder.from_pretrained(source, **self.options)
        self.pair.warm_up()
        self.encode()
        self.ask(0, 20)
        # A version of before may not say.
        backend = getattr(self.pair.passage_encoder, "backend", "as installed")
        return ", ".join([backend, *(f"{name}={value!r}" for name, value in self.options.items())])

    def encode(self, vectors: str | None = None) -> float:
        """Return the seconds for all passages; their vectors go into a file if one is named."""
        found = []
        spent = seconds(lambda: found.append(self.pair.encode_passages(self.passages, show_progress=False)))
        if vectors:
            np.save(vectors, found[0])
        return spent

    def encode_as_dpr(self, vectors: str) -> None:
        """Write the vectors of the same weights in DPR's form, as the worker of farm-haystack saved them."""
        query, passage = (f"{self.saved}/{side}_dpr" for side in ("query_encoder", "passage_encoder"))
        pair = DualEncoder.from_pretrained(query_model=query, passage_model=passage, max_passage_length=156)
        np.save(vectors, pair.encode_passages(self.passages))

    def ask(self, first: int, last: int) -> list[float]:
        """Return the seconds of each of these questions."""
        return seconds_each(lambda question: self.pair.encode_queries([question]), self.questions[first:last])

    def add(self, path: str) -> float:
        """Return the seconds for all passages, encoded and written into a new index."""
        from dpr_tiny_retriever.retrieval.passage_index import PassageIndex

        Path(path).unlink(missing_ok=True)
        records = self._records(len(self.passages))
        with PassageIndex.create(path, self.pair) as index:
            return seconds(lambda: index.add(records, show_progress=False))

    def fill(self, path: str, count: int) -> dict[str, float]:
        """Write an index of this many passages; returns its bytes, and seconds and memory of a first answer."""
        from dpr_tiny_retriever.retrieval.passage_index import PassageIndex

        Path(path).unlink(missing_ok=True)
        with PassageIndex.create(path, self.pair) as index:
            index.add(self._records(count), show_progress=False)
        before = _memory()
        first_answer = seconds(lambda: self._open_and_ask(path))
        return {
            "bytes": os.path.getsize(path),
            "first answer": first_answer,
            "memory before": before,
            "memory after": _memory(),
        }

    def search(self, mode: str, first: int, last: int) -> list[float]:
        """Return the seconds of each of these questions to the index that was filled."""
        return seconds_each(lambda question: self.index.search(question, 10, mode=mode), self.questions[first:last])

    def _open_and_ask(self, path: str) -> None:
        from dpr_tiny_retriever.retrieval.passage_index import PassageIndex

        self.index = PassageIndex.open(path, self.pair)
        self.index.search(self.questions[0])

    def _records(self, count: int) -> list[Any]:
        """Passages as an index takes them: the same ones again and again, where there are fewer."""
        from dpr_tiny_retriever.retrieval.index_file import IndexedPassage

        return [IndexedPassage(str(n), *self.passages[n % len(self.passages)]) for n in range(count)]

    def lengths(self) -> list[int]:
        """Return the number of tokens of each passage, truncated to the model's length."""
        encoder = self.pair.passage_encoder
        return encoder.tokenizer.tokenize(self.passages, encoder.max_length).lengths.tolist()


def _memory() -> int:
    """Return the bytes of memory that the process holds, where Linux tells it."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _versions(*names: str) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
