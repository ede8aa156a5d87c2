"""The code of the published models' cards: transformers' TensorFlow classes, texts padded to the maximum length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
import transformers
from safetensors.numpy import load_file
from transformers import AutoConfig, AutoTokenizer, TFAutoModel
from workers.inputs import read_texts, seconds


class Worker:
    """One model at a time, for passages."""

    def __init__(self, cores: int) -> None:
        tf.config.threading.set_intra_op_parallelism_threads(cores)

    def about(self) -> dict[str, str]:
        return {"transformers (card)": transformers.__version__, "tensorflow (card)": tf.__version__}

    def load(self, source: str, saved: str, texts: str) -> str:
        """Load, and predict one batch, which traces the graph."""
        self.passages, _ = read_texts(texts)
        folder = Path(saved) / "passage_encoder"
        arrays = load_file(folder / "model.safetensors")
        self.pooled = "pooler.dense.weight" in arrays
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = _filled(TFAutoModel.from_config(AutoConfig.from_pretrained(folder)), arrays)
        self._encode(self.passages[:512])
        return "batch size 512, padded to 156" + ("" if self.pooled else ", mean and unit length by numpy")

    def encode(self, vectors: str | None = None) -> float:
        """Return the seconds for all passages; their vectors go into a file if one is named."""
        found = []
        spent = seconds(lambda: found.append(self._encode(self.passages)))
        if vectors:
            np.save(vectors, found[0])
        return spent

    def _encode(self, pairs: list[tuple[str, str]]) -> np.ndarray:
        titles, texts = map(list, zip(*pairs, strict=True))
        inputs = self.tokenizer(
            titles, texts, padding="max_length", truncation=True, max_length=156, return_tensors="np"
        )
        output = self.model.predict(dict(inputs), batch_size=512, verbose=0)
        if self.pooled:
            return output.pooler_output
        mask = inputs["attention_mask"][:, :, None].astype(np.float32)
        mean = (output.last_hidden_state * mask).sum(1) / mask.sum(1)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def _filled(model: tf.keras.Model, arrays: dict[str, np.ndarray]) -> tf.keras.Model:
    """Assign every variable its array of a PyTorch checkpoint."""
    model(tf.constant([[2, 3]]))
    for variable in model.weights:
        path = variable.name.split("/bert/", 1)[1].removesuffix(":0").replace("layer_._", "layer/")
        *path, last = path.split("/")
        name = ".".join([*path, {"bias": "bias", "beta": "bias"}.get(last, "weight")])
        if name in arrays:
            variable.assign(arrays[name].T if last == "kernel" else arrays[name])
    return model
