"""A Router folder of sentence-transformers, written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from model_folders import bert_arrays, bert_record, write_json, write_model

MODULES = "sentence_transformers.models"


def write_router(folder: Path, *routes: str, after: tuple[str, ...] = (), **parameters: Any) -> Path:
    """A Router with a Transformer and a mean Pooling of its own for each route."""
    folder.mkdir()
    kinds = ["Router", *after]
    paths = ["", *(f"{index}_{kind}" for index, kind in enumerate(after, 1))]
    write_json(
        folder / "modules.json",
        [
            {"idx": index, "name": str(index), "path": path, "type": f"{MODULES}.{kind}"}
            for index, (kind, path) in enumerate(zip(kinds, paths, strict=True))
        ],
    )
    types, structure = {}, {}
    for seed, route in enumerate(routes):
        structure[route] = [f"{route}_0_Transformer", f"{route}_1_Pooling"]
        types |= {name: f"{MODULES}.{name.rsplit('_', 1)[1]}" for name in structure[route]}
        record = bert_record(layers=seed + 1, width=16)
        write_model(folder / structure[route][0], record, bert_arrays(record, seed=seed))
        write_json(folder / structure[route][0] / "sentence_bert_config.json", {"max_seq_length": 20 + seed})
        (folder / structure[route][1]).mkdir()
        write_json(folder / structure[route][1] / "config.json", {"pooling_mode": "mean"})
    write_json(folder / "router_config.json", {"types": types, "structure": structure, "parameters": parameters})
    return folder
