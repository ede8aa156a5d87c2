"""The models that a run starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.training import NewModel, add_layers, load_start, new_pair
from dpr_tiny_retriever.training.initialisation import is_tied
from dpr_tiny_retriever.types import BackendName

pytestmark = pytest.mark.training

TEXTS = ["who wrote the river", ("title", "a tower")]


@pytest.mark.parametrize("words", ["table", "random"])
def test_new_words_are_random_or_projected_from_a_larger_model(
    teacher: DualEncoder, teacher_directory: Path, words: Literal["table", "random"]
) -> None:
    new = NewModel(tokenizer_from=str(teacher_directory), layers=1, width=16, heads=2, word_embeddings=words)
    embeddings = new_pair(new).query_encoder.weights.embeddings.word
    assert embeddings.shape == (len(teacher.query_encoder.weights.embeddings.word), 16)
    np.testing.assert_allclose(embeddings.std(axis=1), 0.1, atol=0.1 if words == "random" else 1e-4)


def test_words_cannot_be_wider_than_those_that_they_are_made_from(teacher_directory: Path) -> None:
    with pytest.raises(ValueError, match="word embeddings of 32 numbers cannot make some of 64"):
        new_pair(NewModel(tokenizer_from=str(teacher_directory), width=64))


def test_a_new_model_has_the_bundled_vocabulary_where_none_is_named() -> None:
    bundled = DualEncoder.from_pretrained()
    pair = new_pair(NewModel(tokenizer_from=None, layers=1, width=8, heads=2))
    assert pair.query_encoder.config.vocab_size == bundled.query_encoder.config.vocab_size


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="width 10 is no multiple of heads 4"):
        NewModel(tokenizer_from=None, width=10, heads=4)


@pytest.mark.parametrize("backend", ["numpy", "native", "tensorflow"])
def test_a_bag_of_words_has_no_layers_and_is_loaded_as_it_was_saved(
    teacher_directory: Path, tmp_path: Path, backend: BackendName
) -> None:
    bag = new_pair(NewModel(tokenizer_from=str(teacher_directory), layers=0, width=16, heads=1))
    bag.save_pretrained(tmp_path)
    loaded = DualEncoder.from_pretrained(tmp_path, backend=backend)
    np.testing.assert_allclose(loaded.encode_passages(TEXTS), bag.encode_passages(TEXTS), atol=1e-6)


def test_layers_put_on_top_begin_by_changing_nothing(teacher_directory: Path) -> None:
    new = NewModel(tokenizer_from=str(teacher_directory), layers=1, width=16, heads=2, word_embeddings="random")
    bag = new_pair(new).query_encoder
    grown = add_layers(bag, 2)
    assert grown.config.num_hidden_layers == 2
    texts = ["who wrote the river", ("title", "a tower")]
    np.testing.assert_allclose(grown.encode(texts), bag.encode(texts), atol=1e-5)
    with pytest.raises(ValueError, match="layers is 1, and the model has 2"):
        add_layers(grown, 1)


@pytest.mark.parametrize("layers", [None, 3])
def test_a_start_is_tied_or_untied_on_demand(small_directory: Path, tmp_path: Path, layers: int | None) -> None:
    pair = load_start(small_directory, layers=layers)
    assert not is_tied(pair)
    assert pair.query_encoder.config.num_hidden_layers == (layers or 1)
    tied = load_start(small_directory, layers=layers, tied=True)
    assert is_tied(tied)
    np.testing.assert_array_equal(tied.encode_passages(["a tower"]), pair.query_encoder.encode(["a tower"]))
    both = DualEncoder.from_pretrained(small_directory / "query_encoder")
    both.save_pretrained(tmp_path)
    apart = load_start(tmp_path, tied=False)
    assert not is_tied(apart)
    np.testing.assert_array_equal(apart.encode_passages(["a tower"]), both.encode_passages(["a tower"]))
