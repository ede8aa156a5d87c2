"""sentence-transformers on PyTorch, as its users encode, with the batch size that is fastest here."""

from __future__ import annotations

import numpy as np
import sentence_transformers
import torch
from sentence_transformers import SentenceTransformer
from workers.inputs import fastest, read_texts, seconds, seconds_each


class Worker:
    """One model at a time; passages and questions have a model each."""

    def __init__(self, cores: int) -> None:
        torch.set_num_threads(cores)

    def about(self) -> dict[str, str]:
        return {"sentence-transformers": sentence_transformers.__version__, "torch": torch.__version__}

    def load(self, source: str, saved: str, texts: str) -> str:
        """Load, choose a batch size on the first passages; returns which it is."""
        self.passages, self.questions = read_texts(texts)
        self.passage_model = SentenceTransformer(f"{saved}/passage_encoder", device="cpu")
        self.query_model = SentenceTransformer(f"{saved}/query_encoder", device="cpu")
        sample = self.passages[:512]
        self.batch_size = fastest([16, 32, 64, 128], lambda size: self._encode(sample, size))
        self.query_model.encode(self.questions[:20], batch_size=1)
        return f"batch size {self.batch_size}"

    def encode(self, vectors: str | None = None) -> float:
        """Return the seconds for all passages; their vectors go into a file if one is named."""
        found = []
        spent = seconds(lambda: found.append(self._encode(self.passages, self.batch_size)))
        if vectors:
            np.save(vectors, found[0])
        return spent

    def ask(self, first: int, last: int) -> list[float]:
        """Return the seconds of each of these questions."""
        return seconds_each(
            lambda question: self.query_model.encode([question], show_progress_bar=False), self.questions[first:last]
        )

    def _encode(self, pairs: list[tuple[str, str]], batch_size: int) -> np.ndarray:
        return self.passage_model.encode(pairs, batch_size=batch_size, show_progress_bar=False)
