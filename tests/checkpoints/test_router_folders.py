"""Router folders of sentence-transformers: two encoders in one folder, which load as a pair."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from model_folders import write_json
from router_folder import MODULES, write_router

from dpr_tiny_retriever import CheckpointError, DualEncoder


def test_a_router_with_two_encoders_loads_as_a_pair(tmp_path: Path) -> None:
    folder = write_router(tmp_path / "router", "query", "document", after=("Normalize",))
    write_json(folder / "config_sentence_transformers.json", {"prompts": {"query": "who: "}})
    pair = DualEncoder.from_pretrained(folder)
    expected = DualEncoder.from_pretrained(
        query_model=folder / "query_0_Transformer",
        passage_model=folder / "document_0_Transformer",
        pooling="mean",
        normalize=True,
    )
    np.testing.assert_array_equal(pair.encode_queries(["the city"]), expected.encode_queries(["who: the city"]))
    passages = [("tower", "of the river")]
    np.testing.assert_array_equal(pair.encode_passages(passages), expected.encode_passages(passages))
    assert (pair.query_encoder.config.num_hidden_layers, pair.passage_encoder.config.num_hidden_layers) == (1, 2)
    assert (pair.query_encoder.max_length, pair.passage_encoder.max_length) == (20, 21)
    assert (pair.similarity, pair.normalize) == ("cosine", True)
    pair.save_pretrained(tmp_path / "saved")
    again = DualEncoder.from_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(again.encode_queries(["the city"]), pair.encode_queries(["the city"]))
    np.testing.assert_array_equal(again.encode_passages(passages), pair.encode_passages(passages))


@pytest.mark.parametrize(
    ("routes", "parameters", "layers"),
    [
        (("query", "passage"), {}, (1, 2)),
        (("corpus", "query"), {}, (2, 1)),
        (("query", "other"), {"default_route": "other"}, (1, 2)),
        (("only",), {"default_route": "only"}, (1, 1)),
    ],
)
def test_routes_are_found_by_the_names_of_the_side_or_by_default(
    tmp_path: Path, routes: tuple[str, ...], parameters: dict[str, str], layers: tuple[int, int]
) -> None:
    pair = DualEncoder.from_pretrained(write_router(tmp_path / "router", *routes, **parameters))
    assert (pair.query_encoder.config.num_hidden_layers, pair.passage_encoder.config.num_hidden_layers) == layers
    assert (pair.query_encoder.weights is pair.passage_encoder.weights) == (len(routes) == 1)


def test_a_router_without_a_route_for_a_side_names_those_it_has(tmp_path: Path) -> None:
    folder = write_router(tmp_path / "router", "query", "image")
    with pytest.raises(CheckpointError, match=r"found the routes query, image, .* of the side 'passage'; .*'document'"):
        DualEncoder.from_pretrained(folder)


def test_routes_by_modality_are_refused(tmp_path: Path) -> None:
    folder = write_router(tmp_path / "router", "query", "document", route_mappings={"('query', 'text')": "document"})
    with pytest.raises(CheckpointError, match=r"router_config.json: found route_mappings; expected routes by side"):
        DualEncoder.from_pretrained(folder)


def test_a_route_of_modules_that_this_package_does_not_compute_is_refused(tmp_path: Path) -> None:
    folder = write_router(tmp_path / "router", "query", "document")
    router = json.loads((folder / "router_config.json").read_text())
    router["types"]["query_0_Transformer"] = f"{MODULES}.StaticEmbedding"
    write_json(folder / "router_config.json", router)
    with pytest.raises(CheckpointError, match="found the modules StaticEmbedding, Pooling; expected Transformer and"):
        DualEncoder.from_pretrained(folder)


def test_a_route_outside_of_the_folder_is_not_read(tmp_path: Path) -> None:
    folder = write_router(tmp_path / "router", "query", "document")
    shutil.copytree(folder / "query_0_Transformer", tmp_path / "outside")
    router = json.loads((folder / "router_config.json").read_text())
    router["structure"]["query"][0] = "../outside"
    router["types"]["../outside"] = f"{MODULES}.Transformer"
    write_json(folder / "router_config.json", router)
    with pytest.raises(CheckpointError, match=r"router_config.json: found the path '../outside'; expected one inside"):
        DualEncoder.from_pretrained(folder)


@pytest.mark.parametrize("content", ["[]", "{", '{"structure": [1]}', '{"structure": {"query": ["a"]}}'])
def test_a_corrupt_router_is_named(tmp_path: Path, content: str) -> None:
    folder = write_router(tmp_path / "router", "query", "document")
    (folder / "router_config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"router_config.json: "):
        DualEncoder.from_pretrained(folder)


def test_a_pair_is_saved_as_a_router_with_the_prompts_and_lengths_of_its_sides(tmp_path: Path) -> None:
    source = write_router(tmp_path / "source", "query", "document", after=("Normalize",))
    write_json(source / "config_sentence_transformers.json", {"prompts": {"query": "who: "}})
    pair = DualEncoder.from_pretrained(source)
    pair.save_pretrained(tmp_path / "saved", router=True)
    again = DualEncoder.from_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(again.encode_queries(["the city"]), pair.encode_queries(["the city"]))
    passages = [("tower", "of the river")]
    np.testing.assert_array_equal(again.encode_passages(passages), pair.encode_passages(passages))
    assert (again.query_encoder.max_length, again.passage_encoder.max_length) == (20, 21)
    assert (again.similarity, again.normalize, again.query_encoder.tokenizer.prompt) == ("cosine", True, "who: ")


def test_a_folder_holds_a_pair_in_one_form_alone(tmp_path: Path, small_pair: DualEncoder) -> None:
    for first, name in ((True, "router_config.json"), (False, "query_encoder")):
        folder = tmp_path / name
        small_pair.save_pretrained(folder, router=first)
        with pytest.raises(ValueError, match=f"holds {name}, another form of a pair; expected a folder without it"):
            small_pair.save_pretrained(folder, router=not first)
