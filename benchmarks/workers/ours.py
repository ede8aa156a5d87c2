"""This package, as its users call it."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
from workers.inputs import read_texts, seconds, seconds_each

from dpr_tiny_retriever import DualEncoder, __version__


class Worker:
    """One pair at a time."""

    precision = "float32"

    def __init__(self, cores: int) -> None:
        self.cores = cores

    def about(self) -> dict[str, str]:
        names = ("tensorflow", "tokenizers")
        return {"dpr-tiny-retriever": __version__, **{name: version(name) for name in names}}

    def save(self, source: str, saved: str) -> None:
        """Write a pair as a folder for each side, which the peers load."""
        DualEncoder.from_pretrained(source).save_pretrained(saved)

    def load(self, source: str, saved: str, texts: str) -> str:
        """Load and warm up."""
        self.saved = saved
        self.passages, self.questions = read_texts(texts)
        self.pair = DualEncoder.from_pretrained(source, precision=self.precision)
        self.pair.warm_up()
        self.encode()
        self.ask(0, 20)
        return "as installed" if self.precision == "float32" else f"precision={self.precision!r}"

    def encode(self, vectors: str | None = None) -> float:
        """Seconds for all passages; their vectors go into a file if one is named."""
        found = []
        spent = seconds(lambda: found.append(self.pair.encode_passages(self.passages, show_progress=False)))
        if vectors:
            np.save(vectors, found[0])
        return spent

    def encode_as_dpr(self, vectors: str) -> None:
        """Vectors of the same weights in DPR's form, as the worker of farm-haystack has written them."""
        query, passage = (f"{self.saved}/{side}_dpr" for side in ("query_encoder", "passage_encoder"))
        pair = DualEncoder.from_pretrained(query_model=query, passage_model=passage, max_passage_length=156)
        np.save(vectors, pair.encode_passages(self.passages))

    def ask(self, first: int, last: int) -> list[float]:
        """Seconds for each of some questions."""
        return seconds_each(lambda question: self.pair.encode_queries([question]), self.questions[first:last])

    def stages(self) -> dict[str, float]:
        """Seconds of each stage by itself for all passages; in encode() the stages of different blocks overlap."""
        encoder = self.pair.passage_encoder
        tokens = encoder.tokenizer.tokenize(self.passages, encoder.max_length)
        tokenising = seconds(lambda: encoder.tokenizer.tokenize(self.passages, encoder.max_length))
        forward = seconds(lambda: list(encoder._forward([tokens])))
        return {"tokenising": tokenising, "forward pass": forward}

    def lengths(self) -> list[int]:
        """How many tokens each passage has, cut to the model's length."""
        encoder = self.pair.passage_encoder
        return encoder.tokenizer.tokenize(self.passages, encoder.max_length).lengths.tolist()
