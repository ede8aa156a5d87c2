"""Small models in the published formats, written by hand so that no test depends on the code that reads them."""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

Arrays = dict[str, NDArray[np.float32]]

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = "the of and to in is a who what where when how wrote river city tower first query passage title text".split()
CHARACTERS = [*string.ascii_lowercase, *string.digits, *string.punctuation, *"äéñß中文日"]
VOCABULARY = [
    *SPECIAL,
    *WORDS,
    *dict.fromkeys([*CHARACTERS, *(f"##{c}" for c in string.ascii_lowercase + string.digits)]),
]
# One-letter words stand in both lists; every token must have one id.
VOCABULARY = list(dict.fromkeys(VOCABULARY))


def bert_record(*, layers: int = 2, width: int = 128, heads: int = 2, **changes: Any) -> dict[str, Any]:
    """A config.json in the words of transformers 4.15, which wrote the published pairs."""
    return {
        "architectures": ["BertModel"],
        "hidden_act": "gelu",
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "model_type": "bert",
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "position_embedding_type": "absolute",
        "type_vocab_size": 2,
        "vocab_size": len(VOCABULARY),
    } | changes


def bert_arrays(record: Mapping[str, Any], *, seed: int = 0, pooler: bool = True, scale: float = 0.15) -> Arrays:
    """Random weights under PyTorch's names, large enough that every part of the model shows in the vectors."""
    rng = np.random.default_rng(seed)
    width, wide = record["hidden_size"], record["intermediate_size"]

    def table(*shape: int) -> NDArray[np.float32]:
        return rng.normal(0, scale, shape).astype(np.float32)

    arrays: Arrays = {}

    def dense(name: str, out_features: int, in_features: int) -> None:
        arrays[f"{name}.weight"] = table(out_features, in_features)
        arrays[f"{name}.bias"] = table(out_features)

    def norm(name: str) -> None:
        arrays[f"{name}.weight"] = 1 + table(width)
        arrays[f"{name}.bias"] = table(width)

    arrays["embeddings.word_embeddings.weight"] = table(record["vocab_size"], width)
    arrays["embeddings.position_embeddings.weight"] = table(record["max_position_embeddings"], width)
    arrays["embeddings.token_type_embeddings.weight"] = table(record["type_vocab_size"], width)
    norm("embeddings.LayerNorm")
    for index in range(record["num_hidden_layers"]):
        root = f"encoder.layer.{index}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            dense(f"{root}.attention.{part}", width, width)
        norm(f"{root}.attention.output.LayerNorm")
        dense(f"{root}.intermediate.dense", wide, width)
        dense(f"{root}.output.dense", width, wide)
        norm(f"{root}.output.LayerNorm")
    if pooler:
        dense("pooler.dense", width, width)
    return arrays


def write_tokenizer(directory: Path, vocabulary: list[str] = VOCABULARY) -> None:
    """Write vocab.txt, tokenizer.json and tokenizer_config.json as an uncased BERT has them."""
    tokenizer = Tokenizer(WordPiece({word: index for index, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary.index("[CLS]")), ("[SEP]", vocabulary.index("[SEP]"))],
    )
    tokenizer.save(str(directory / "tokenizer.json"))
    (directory / "vocab.txt").write_text("".join(f"{word}\n" for word in vocabulary), encoding="utf-8")
    write_json(directory / "tokenizer_config.json", {"do_lower_case": True, "tokenizer_class": "BertTokenizer"})


def write_model(
    directory: Path,
    record: Mapping[str, Any] | None = None,
    arrays: Arrays | None = None,
    *,
    seed: int = 0,
    weights: Callable[[Path, Arrays], None] | None = None,
) -> Path:
    """Write one model folder; `weights` writes its arrays (default: model.safetensors of a plain BertModel)."""
    directory.mkdir(parents=True, exist_ok=True)
    record = record or bert_record()
    write_json(directory / "config.json", record)
    write_tokenizer(directory)
    (weights or write_safetensors)(directory, arrays or bert_arrays(record, seed=seed))
    return directory


def write_pair(directory: Path, *, seed: int = 0, **changes: Any) -> Path:
    """Write query_encoder/ and passage_encoder/ with different weights; changes go into config.json."""
    for offset, side in enumerate(("query_encoder", "passage_encoder")):
        record = bert_record(**changes)
        write_model(directory / side, record, bert_arrays(record, seed=2 * seed + offset))
    return directory


def write_safetensors(directory: Path, arrays: Arrays, prefix: str = "") -> None:
    save_file({prefix + name: array for name, array in arrays.items()}, str(directory / "model.safetensors"))


def write_shards(folder: Path, arrays: Arrays) -> None:
    """As transformers saves a model that is larger than max_shard_size."""
    names = sorted(arrays)
    files = {name: f"model-0000{1 + index % 3}-of-00003.safetensors" for index, name in enumerate(names)}
    for file in set(files.values()):
        save_file({name: arrays[name] for name in names if files[name] == file}, str(folder / file))
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": 1}, "weight_map": files})


def write_h5(directory: Path, arrays: Arrays, prefix: str = "bert/tf_bert_model_1/bert/") -> None:
    """Write tf_model.h5 as TensorFlow classes did: paths for names, kernels [in, out], norms of gamma and beta."""
    with h5py.File(directory / "tf_model.h5", "w") as file:
        for name, array in arrays.items():
            path = name.replace("encoder.layer.", "encoder.layer_._").replace(".", "/").replace("layer_/_", "layer_._")
            kind = path.rsplit("/", 1)[1]
            if "LayerNorm" in path:
                tail = {"weight": "gamma", "bias": "beta"}[kind]
            elif "position_embeddings" in path or "token_type_embeddings" in path:
                tail = "embeddings"
            elif "word_embeddings" in path or kind == "bias":
                tail = kind
            else:
                tail, array = "kernel", array.T
            file[f"{prefix}{path.rsplit('/', 1)[0]}/{tail}:0"] = array


def write_json(path: Path, record: object) -> None:
    path.write_text(json.dumps(record, indent=2), encoding="utf-8")
