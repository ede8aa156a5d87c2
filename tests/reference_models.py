"""transformers' own TensorFlow classes, filled with given weights, and saved and run as their users do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from model_folders import Arrays, bert_arrays, bert_record, write_tokenizer
from numpy.typing import NDArray
from transformers import (
    BertConfig,
    BertTokenizerFast,
    DPRConfig,
    TFBertModel,
    TFDPRContextEncoder,
    TFDPRQuestionEncoder,
)

Vectors = NDArray[np.float32]

DPR_CLASSES = {"query": TFDPRQuestionEncoder, "passage": TFDPRContextEncoder}


def build(model: Any, arrays: Arrays) -> Any:
    """Give every variable of a model the array that PyTorch's name of it means."""
    model(tf.constant([[2, 3]]))
    for variable in model.weights:
        found = re.search(r"/((?:embeddings|encoder/layer|pooler|encode_proj)[/_].*):0$", variable.name)
        if found is None:  # a head of pre-training
            continue
        *path, last = found[1].replace("layer_._", "layer/").split("/")
        name = ".".join([*path, {"bias": "bias", "beta": "bias"}.get(last, "weight")])
        variable.assign(arrays[name].T if last == "kernel" else arrays[name])
    return model


def bert(record: dict[str, Any], arrays: Arrays, kind: Any = TFBertModel) -> Any:
    return build(kind(BertConfig(**record)), arrays)


def dpr(record: dict[str, Any], arrays: Arrays, side: str) -> Any:
    model = DPR_CLASSES[side](DPRConfig(**record))
    if record["projection_dim"]:
        # transformers builds this layer without saying for which shape, which Keras 2 refuses.
        projection = getattr(model, f"{'question' if side == 'query' else 'ctx'}_encoder").encode_proj
        build_for = projection.build
        projection.build = lambda _: build_for([None, None, record["hidden_size"]])
    return build(model, arrays)


def random_bert(*, layers: int, seed: int, kind: Any = TFBertModel) -> Any:
    """A BERT 128 wide, its weights large enough that an error anywhere shows."""
    record = bert_record(layers=layers)
    return bert(record, bert_arrays(record, seed=seed), kind)


def random_dpr(side: str, *, projection: int, seed: int) -> Any:
    record = bert_record(projection_dim=projection)
    arrays = bert_arrays(record, seed=seed, pooler=False)
    rng = np.random.default_rng(seed)
    arrays["encode_proj.weight"] = rng.normal(0, 0.08, (projection, 128)).astype(np.float32)
    arrays["encode_proj.bias"] = rng.normal(0, 0.15, projection).astype(np.float32)
    return dpr(record, arrays, side)


def save(model: Any, folder: Path, **how: Any) -> Path:
    model.save_pretrained(folder, **how)
    write_tokenizer(folder)
    return folder


def vector(
    model: Any, folder: Path, title: str, text: str, max_length: int, *, text_segment: int = 1, pooling: str = "pooler"
) -> Vectors:
    """The vector of one text as transformers computes it: tokenised, cut and run by its own classes."""
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    parts = ([title], [text]) if title.strip() else ([text],)
    inputs = tokenizer(*parts, truncation="longest_first", max_length=max_length, return_tensors="tf")
    inputs["token_type_ids"] *= text_segment
    output = model(inputs)
    if pooling == "pooler":
        return output.pooler_output.numpy()[0]
    hidden = output.last_hidden_state.numpy()[0]
    return hidden[0] if pooling == "cls" else hidden.mean(axis=0)
