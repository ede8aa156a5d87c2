"""The published pair as its repositories hold it, and the environment in which a process sees a hub stand-in."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hub_stand_in import Hub
from model_folders import bert_arrays, bert_record, write_h5, write_model

QUERY = "nlpconnect/dpr-question_encoder_bert_uncased_L-2_H-128_A-2"
PASSAGE = "nlpconnect/dpr-ctx_encoder_bert_uncased_L-2_H-128_A-2"
#: What one side of an nlpconnect pair needs; its repository also has pytorch_model.bin and other forms.
NEEDED = ["config.json", "tf_model.h5", "tokenizer.json", "tokenizer_config.json"]


Resolve = Callable[..., Any]


def write_published(folder: Path, seed: int, **changes: Any) -> Path:
    """A repository as nlpconnect published it: TensorFlow and PyTorch weights, tokenizer files, a card."""
    record = bert_record(**changes)
    write_model(folder, record, bert_arrays(record, seed=seed), weights=write_h5)
    for name in ("pytorch_model.bin", "flax_model.msgpack", "README.md", ".gitattributes", "special_tokens_map.json"):
        (folder / name).write_bytes(b"not to be read")
    return folder


def hub_environment(hub: Hub, home: Path, **more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    return own | {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"} | more
