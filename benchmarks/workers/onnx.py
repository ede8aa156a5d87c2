"""onnxruntime: the model exported from PyTorch and optimised with fused kernels, fed as we feed ours.

It uses this package's tokenizer and order of batches: longest first, up to the number of padded tokens that is fastest
here.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import torch
from onnxruntime.transformers import optimizer
from safetensors.torch import load_file
from workers.inputs import fastest, read_texts, seconds, seconds_each
from workers.plain_bert import Bert

from dpr_tiny_retriever.checkpoints.tokenizer_files import load_tokenizer
from dpr_tiny_retriever.text.pair_tokenizer import Tokens

_INPUTS = ["input_ids", "attention_mask", "token_type_ids"]


class Worker:
    """One model at a time; passages and questions have a session each."""

    def __init__(self, cores: int) -> None:
        torch.set_num_threads(cores)
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = cores
        self.options.inter_op_num_threads = 1

    def about(self) -> dict[str, str]:
        return {"onnxruntime": onnxruntime.__version__}

    def load(self, source: str, saved: str, texts: str) -> str:
        """Export, optimise, choose a token budget on the first passages; returns what was fused and chosen."""
        self.passages, self.questions = read_texts(texts)
        self.tokenizer = load_tokenizer(Path(saved) / "passage_encoder")
        self.tokenizer.warm_up()
        self.passage_session, fused = self._session(Path(saved) / "passage_encoder")
        self.query_session, _ = self._session(Path(saved) / "query_encoder")
        sample = self.passages[:1024]
        self.budget = fastest([2048, 4096, 8192, 16384], lambda budget: self._encode(sample, budget))
        self.ask(0, 20)
        return f"{self.budget} tokens a batch; fused: {fused}"

    def encode(self, vectors: str | None = None) -> float:
        """Return the seconds for all passages; their vectors go into a file if one is named."""
        found = []
        spent = seconds(lambda: found.append(self._encode(self.passages, self.budget)))
        if vectors:
            np.save(vectors, found[0])
        return spent

    def ask(self, first: int, last: int) -> list[float]:
        """Return the seconds of each of these questions."""

        def answer(question: str) -> None:
            tokens = self.tokenizer.tokenize([("", question)], 64)
            _run(self.query_session, tokens.ids[None], tokens.lengths, tokens.segment_starts)

        return seconds_each(answer, self.questions[first:last])

    def _encode(self, pairs: list[tuple[str, str]], budget: int) -> np.ndarray:
        tokens = self.tokenizer.tokenize(pairs, 156)
        vectors = np.empty((len(pairs), 128), np.float32)
        for rows, ids in _batches(tokens, budget):
            vectors[rows] = _run(self.passage_session, ids, tokens.lengths[rows], tokens.segment_starts[rows])
        return vectors

    def _session(self, folder: Path) -> tuple[onnxruntime.InferenceSession, str]:
        config = SimpleNamespace(**json.loads((folder / "config.json").read_text()))
        pooling = "pooler" if "pooler.dense.weight" in (arrays := load_file(folder / "model.safetensors")) else "mean"
        model = Bert(config, pooling).eval()
        model.load_state_dict({name: array.float() for name, array in arrays.items()})
        path, example = folder / "model.onnx", torch.ones(2, 7, dtype=torch.long)
        torch.onnx.export(
            model,
            (example, example, example),
            str(path),
            input_names=_INPUTS,
            output_names=["vectors"],
            dynamic_axes={name: {0: "texts", 1: "tokens"} for name in _INPUTS} | {"vectors": {0: "texts"}},
            opset_version=17,
            dynamo=False,
        )
        optimised = optimizer.optimize_model(
            str(path), model_type="bert", num_heads=config.num_attention_heads, hidden_size=config.hidden_size
        )
        optimised.save_model_to_file(str(path))
        fused = {name: count for name, count in optimised.get_fused_operator_statistics().items() if count}
        session = onnxruntime.InferenceSession(str(path), self.options, providers=["CPUExecutionProvider"])
        return session, ", ".join(f"{count} {name}" for name, count in fused.items())


def _batches(tokens: Tokens, budget: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the rows of each batch and their ids [texts, tokens], padded with zeros."""
    order = np.argsort(-tokens.lengths, kind="stable")
    starts = np.cumsum(tokens.lengths, dtype=np.int64) - tokens.lengths
    found, begin = [], 0
    while begin < len(order):
        longest = int(tokens.lengths[order[begin]])
        rows = order[begin : begin + max(1, budget // longest)]
        columns = np.arange(longest)
        within = columns < tokens.lengths[rows][:, None]
        found.append((rows, np.where(within, tokens.ids[np.where(within, starts[rows][:, None] + columns, 0)], 0)))
        begin += len(rows)
    return found


def _run(
    session: onnxruntime.InferenceSession, ids: np.ndarray, lengths: np.ndarray, segment_starts: np.ndarray
) -> np.ndarray:
    columns = np.arange(ids.shape[1])
    inside = columns < lengths[:, None]
    arrays = (ids, inside, inside & (columns >= segment_starts[:, None]))
    return session.run(None, {name: array.astype(np.int64) for name, array in zip(_INPUTS, arrays, strict=True)})[0]
