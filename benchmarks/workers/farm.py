"""farm-haystack's DensePassageRetriever on PyTorch, on the same weights written as a DPR model."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from haystack import Document
from haystack.document_stores import InMemoryDocumentStore
from haystack.nodes import DensePassageRetriever
from safetensors.numpy import load_file, save_file
from workers.inputs import fastest, read_texts, seconds

#: Prefix of the weights' names in transformers' DPR classes, and the class that reads them.
_SIDES = {
    "query_encoder": ("question_encoder.bert_model.", "DPRQuestionEncoder"),
    "passage_encoder": ("ctx_encoder.bert_model.", "DPRContextEncoder"),
}


class Worker:
    """One model at a time, for passages."""

    def __init__(self, cores: int) -> None:
        torch.set_num_threads(cores)

    def about(self) -> dict[str, str]:
        return {"farm-haystack": version("farm-haystack"), "transformers (farm-haystack)": version("transformers")}

    def load(self, source: str, saved: str, texts: str) -> str:
        """Load, choose a batch size on the first passages; returns which it is."""
        passages, _ = read_texts(texts)
        self.documents = [Document(content=text, meta={"name": title}) for title, text in passages]
        query, passage = (str(_as_dpr(Path(saved) / side, side)) for side in _SIDES)
        self.retriever = DensePassageRetriever(
            document_store=InMemoryDocumentStore(embedding_dim=128),
            query_embedding_model=query,
            passage_embedding_model=passage,
            max_seq_len_query=64,
            max_seq_len_passage=156,
            use_gpu=False,
            progress_bar=False,
        )
        sample = self.documents[:512]
        self.batch_size = fastest([16, 32, 64, 128], lambda size: self._encode(sample, size))
        return f"batch size {self.batch_size}; DPR's form of the model: no pooler, one segment"

    def encode(self, vectors: str | None = None) -> float:
        """Return the seconds for all passages; their vectors go into a file if one is named."""
        found = []
        spent = seconds(lambda: found.append(self._encode(self.documents, self.batch_size)))
        if vectors:
            np.save(vectors, found[0])
        return spent

    def _encode(self, documents: list[Document], batch_size: int) -> np.ndarray:
        self.retriever.batch_size = batch_size
        return np.asarray(self.retriever.embed_documents(documents))


def _as_dpr(folder: Path, side: str) -> Path:
    """Write the same BERT for transformers' DPR classes: no pooler, one segment for title and text."""
    prefix, architecture = _SIDES[side]
    target = folder.with_name(f"{side}_dpr")
    target.mkdir(exist_ok=True)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "dpr", "architectures": [architecture], "projection_dim": 0, "text_segment": 0}
    (target / "config.json").write_text(json.dumps(config))
    arrays = {prefix + name: array for name, array in load_file(folder / "model.safetensors").items()}
    without = {name: array for name, array in arrays.items() if ".pooler." not in name}
    save_file(without, target / "model.safetensors", metadata={"format": "pt"})
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (target / name).write_bytes((folder / name).read_bytes())
    return target
