"""What is saved here works elsewhere, and what others save works here: transformers 5 and sentence-transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_folders import bert_arrays, bert_record, write_model, write_tokenizer
from sentence_transformers import SentenceTransformer
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertForPreTraining,
    BertModel,
    DPRConfig,
    DPRContextEncoder,
    DPRQuestionEncoder,
)

from dpr_tiny_retriever import CheckpointError, DualEncoder, Encoder

pytestmark = pytest.mark.interop

TITLED = [
    ("the tower", "a tower of the city in the river"),
    ("Ärger in Besançon", "Übergröße, naïveté; 日本語 и кириллица 🗼 e\u0301"),
    ("the city " * 100, "both are longer than what is kept " * 100),
    ("river", "the text is longer than what is kept " * 100),
]
PLAIN = [
    "who wrote the first text",
    "What is the highest mountain on Earth, and who climbed it first?",
    "Übergröße, naïveté; 日本語 и кириллица 🗼 e\u0301",
    "a text that is longer than what is kept " * 100,
    "[SEP] [CLS] [MASK] written out",
    "",
]


Agree = Callable[[np.ndarray, np.ndarray], None]


@pytest.fixture
def agree(request: pytest.FixtureRequest, figures: dict[str, float]) -> Agree:
    """Assert that two tables of vectors are equal, and note by how much they are not."""

    def compare(found: np.ndarray, expected: np.ndarray) -> None:
        assert found.shape == expected.shape
        assert expected.std() > 1e-2
        difference = float(np.abs(found - expected).max())
        figures[request.node.name] = max(difference, figures.get(request.node.name, 0))
        assert difference <= 1e-5

    return compare


def by_transformers(folder: Path, texts: list[Any], max_length: int, pooling: str, model: Any = None) -> np.ndarray:
    """Vectors as a user of transformers computes them from a folder, one text at a time."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = (model or AutoModel.from_pretrained(folder)).eval()
    vectors = []
    for text in texts:
        parts = ([text],) if isinstance(text, str) else ([text[0]], [text[1]])
        inputs = tokenizer(*parts, truncation="longest_first", max_length=max_length, return_tensors="pt")
        with torch.no_grad():
            output = model(**inputs)
        if pooling == "pooler":
            vectors.append(output.pooler_output[0])
        else:
            hidden = output.last_hidden_state[0]
            vectors.append(hidden[0] if pooling == "cls" else hidden.mean(dim=0))
    return torch.stack(vectors).numpy()


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def minilm(minilm_directory: Path) -> SentenceTransformer:
    return SentenceTransformer(str(minilm_directory), device="cpu")


def test_minilm_equals_sentence_transformers(minilm_directory: Path, minilm: SentenceTransformer, agree: Agree) -> None:
    pair = DualEncoder.from_pretrained(minilm_directory)
    expected = minilm.encode(PLAIN)
    agree(pair.encode_queries(PLAIN), expected)
    agree(pair.encode_passages(PLAIN), expected)
    assert pair.passage_encoder.max_length == minilm.max_seq_length == 256
    assert pair.similarity == minilm.similarity_fn_name == "cosine"
    agree(pair.encode_passages(TITLED), unit(by_transformers(minilm_directory, TITLED, 256, "mean")))


def test_minilm_saved_here_is_minilm_elsewhere(
    minilm_directory: Path, minilm: SentenceTransformer, tmp_path: Path, agree: Agree
) -> None:
    Encoder.from_pretrained(minilm_directory, side="passage").save_pretrained(tmp_path)
    agree(SentenceTransformer(str(tmp_path), device="cpu").encode(PLAIN), minilm.encode(PLAIN))
    agree(unit(by_transformers(tmp_path, PLAIN, 256, "mean")), minilm.encode(PLAIN))
    agree(Encoder.from_pretrained(tmp_path, side="query").encode(PLAIN), minilm.encode(PLAIN))


def test_minilm_saved_elsewhere_is_minilm_here(minilm: SentenceTransformer, tmp_path: Path, agree: Agree) -> None:
    """In the form of today's sentence-transformers, which is not that of the package's folder."""
    minilm.save_pretrained(str(tmp_path))
    pair = DualEncoder.from_pretrained(tmp_path)
    assert (pair.passage_encoder.max_length, pair.similarity, pair.normalize) == (256, "cosine", True)
    agree(pair.encode_passages(PLAIN), minilm.encode(PLAIN))


@pytest.mark.parametrize("pooling", ["pooler", "cls", "mean"])
@pytest.mark.parametrize("normalize", [False, True])
def test_a_pair_saved_here_gives_equal_vectors_elsewhere(
    pair_directory: Path, tmp_path: Path, pooling: Any, normalize: bool, agree: Agree
) -> None:
    pair = DualEncoder.from_pretrained(pair_directory, pooling=pooling, normalize=normalize)
    pair.save_pretrained(tmp_path)
    for encoder, folder in ((pair.query_encoder, "query_encoder"), (pair.passage_encoder, "passage_encoder")):
        found = by_transformers(tmp_path / folder, [*PLAIN, *TITLED], encoder.max_length, pooling)
        agree(unit(found) if normalize else found, encoder.encode([*PLAIN, *TITLED]))
        sentences = SentenceTransformer(str(tmp_path / folder), device="cpu")
        assert sentences.max_seq_length == encoder.max_length
        assert sentences.similarity_fn_name == encoder.similarity
        agree(sentences.encode(PLAIN), encoder.encode(PLAIN))
        agree(sentences.encode(TITLED), encoder.encode(TITLED))


@pytest.mark.parametrize("text_segment", [0, 1])
def test_the_segment_id_of_a_text_after_a_title_is_the_same_elsewhere(
    tmp_path: Path, text_segment: int, agree: Agree
) -> None:
    record = bert_record(text_segment=text_segment)
    encoder = Encoder.from_pretrained(write_model(tmp_path / "model", record), side="passage")
    encoder.save_pretrained(tmp_path / "saved")
    agree(by_transformers(tmp_path / "saved", TITLED, encoder.max_length, "pooler"), encoder.encode(TITLED))
    agree(SentenceTransformer(str(tmp_path / "saved"), device="cpu").encode(TITLED), encoder.encode(TITLED))


@pytest.mark.parametrize("normalize", [False, True])
def test_a_projection_saved_here_is_one_elsewhere(tmp_path: Path, normalize: bool, agree: Agree) -> None:
    record = bert_record() | {"model_type": "dpr", "projection_dim": 24}
    rng = np.random.default_rng(0)
    arrays = bert_arrays(record, pooler=False) | {
        "encode_proj.weight": rng.normal(0, 0.1, (24, 128)).astype(np.float32),
        "encode_proj.bias": rng.normal(0, 0.1, 24).astype(np.float32),
    }
    folder = write_model(tmp_path / "dpr", record, arrays)
    encoder = Encoder.from_pretrained(folder, side="passage", normalize=normalize)
    encoder.save_pretrained(tmp_path / "saved")
    agree(SentenceTransformer(str(tmp_path / "saved"), device="cpu").encode(PLAIN), encoder.encode(PLAIN))


def test_nothing_saved_here_is_missing_or_left_over_elsewhere(pair_directory: Path, tmp_path: Path) -> None:
    DualEncoder.from_pretrained(pair_directory).save_pretrained(tmp_path)
    _, report = AutoModel.from_pretrained(tmp_path / "query_encoder", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]


def random(model: torch.nn.Module, seed: int = 0) -> Any:
    """Weights large enough that an error anywhere shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(float(name.endswith("LayerNorm.weight")), 0.1, generator=generator)
    return model.eval()


def saved(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def test_a_model_of_transformers_is_read(tmp_path: Path, agree: Agree) -> None:
    model = random(BertModel(BertConfig(**bert_record())))
    folder = saved(model, tmp_path)
    expected = by_transformers(folder, [*PLAIN, *TITLED], 156, "pooler", model)
    agree(Encoder.from_pretrained(folder, side="passage").encode([*PLAIN, *TITLED]), expected)


def test_a_model_with_heads_of_pretraining_is_read_without_them(tmp_path: Path, agree: Agree) -> None:
    model = random(BertForPreTraining(BertConfig(**bert_record())))
    folder = saved(model, tmp_path)
    expected = by_transformers(folder, [*PLAIN, *TITLED], 156, "pooler", model.bert)
    agree(Encoder.from_pretrained(folder, side="passage").encode([*PLAIN, *TITLED]), expected)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_a_model_of_half_precision_is_read_exactly(tmp_path: Path, precision: torch.dtype, agree: Agree) -> None:
    model = random(BertModel(BertConfig(**bert_record()))).to(precision)
    folder = saved(model, tmp_path)
    expected = by_transformers(folder, PLAIN, 156, "pooler", model.to(torch.float32))
    agree(Encoder.from_pretrained(folder, side="passage").encode(PLAIN), expected)


@pytest.mark.parametrize("kind", [DPRQuestionEncoder, DPRContextEncoder])
@pytest.mark.parametrize("projection", [0, 24])
def test_a_dpr_model_of_transformers_is_read(
    tmp_path: Path, kind: Callable[[DPRConfig], Any], projection: int, agree: Agree
) -> None:
    model = random(kind(DPRConfig(**bert_record(projection_dim=projection))))
    folder = saved(model, tmp_path)
    expected = by_transformers(folder, [*PLAIN, *TITLED], 156, "pooler", model)
    agree(Encoder.from_pretrained(folder, side="passage").encode([*PLAIN, *TITLED]), expected)


def test_a_model_of_sentence_transformers_with_a_dense_module_is_read(
    pair_directory: Path, tmp_path: Path, agree: Agree
) -> None:
    from sentence_transformers.sentence_transformer import modules as models

    transformer = models.Transformer(str(pair_directory / "query_encoder"), max_seq_length=48)
    modules = [
        transformer,
        models.Pooling(128, pooling_mode="cls"),
        models.Dense(128, 128, activation_function=torch.nn.Tanh()),
        models.Dense(128, 24, bias=False, activation_function=torch.nn.Identity()),
        models.Normalize(),
    ]
    theirs = SentenceTransformer(modules=modules, device="cpu", similarity_fn_name="dot")
    theirs.save_pretrained(str(tmp_path))
    ours = Encoder.from_pretrained(tmp_path, side="query")
    assert (ours.embedding_dim, ours.max_length, ours.similarity, ours.normalize) == (24, 48, "dot", True)
    agree(ours.encode([*PLAIN, *TITLED]), np.concatenate([theirs.encode(PLAIN), theirs.encode(TITLED)]))


def test_a_pickle_is_converted_as_its_error_says(tmp_path: Path, agree: Agree) -> None:
    model = random(BertModel(BertConfig(**bert_record())))
    folder = saved(model, tmp_path)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"AutoModel.from_pretrained\(folder\).save_pretrained\(folder\)"):
        Encoder.from_pretrained(folder, side="passage")
    AutoModel.from_pretrained(folder).save_pretrained(folder)
    expected = by_transformers(folder, PLAIN, 156, "pooler", model)
    agree(Encoder.from_pretrained(folder, side="passage").encode(PLAIN), expected)
