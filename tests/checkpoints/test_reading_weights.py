"""model.safetensors and tf_model.h5, in every form that wrappers have left them in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from model_folders import Arrays, bert_arrays, bert_record, write_h5, write_json, write_model, write_safetensors

from dpr_tiny_retriever import CheckpointError, Encoder
from dpr_tiny_retriever.checkpoints.checkpoint import Checkpoint, read_checkpoints
from dpr_tiny_retriever.checkpoints.hub import Source

RECORD = bert_record(layers=2, width=16)
ARRAYS = bert_arrays(RECORD, seed=3)
TEXTS = ["the city", ("the tower", "of the river")]

Writer = Callable[[Path, Arrays], None]


def read_checkpoint(folder: Path, **options: Any) -> Checkpoint:
    return read_checkpoints({"passage": Source(folder)}, **options)["passage"]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    folder = write_model(tmp_path_factory.mktemp("plain"), RECORD, ARRAYS)
    return Encoder.from_pretrained(folder, side="passage").encode(TEXTS)


def vectors(folder: Path, record: dict[str, Any] = RECORD, arrays: Arrays = ARRAYS, **how: Any) -> np.ndarray:
    return Encoder.from_pretrained(write_model(folder, record, arrays, **how), side="passage").encode(TEXTS)


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "bert/",
        "bert/tf_bert_model_1/bert/",
        "bert/tf_bert_for_pre_training/bert/",
        "tf_bert_model/bert/",
        "encoder/tf_bert_model_7/bert/",
        "ctx_encoder/tfdpr_context_encoder/ctx_encoder/bert_model/",
        "question_encoder/tfdpr_question_encoder/question_encoder/bert_model/",
        "passage_model/layer_0/embeddings_of/bert/",
    ],
)
def test_h5_is_read_under_any_wrapper(tmp_path: Path, expected: np.ndarray, prefix: str) -> None:
    found = vectors(tmp_path, weights=lambda folder, arrays: write_h5(folder, arrays, prefix))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("prefix", ["", "bert.", "model.bert.", "0.auto_model.", "ctx_encoder.bert_model."])
def test_safetensors_is_read_under_any_wrapper(tmp_path: Path, expected: np.ndarray, prefix: str) -> None:
    found = vectors(tmp_path, weights=lambda folder, arrays: write_safetensors(folder, arrays, prefix))
    np.testing.assert_array_equal(found, expected)


def test_layer_norms_may_bear_their_old_names(tmp_path: Path, expected: np.ndarray) -> None:
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): array
        for name, array in ARRAYS.items()
    }
    np.testing.assert_array_equal(vectors(tmp_path, arrays=old), expected)


def test_safetensors_is_taken_before_h5(tmp_path: Path, expected: np.ndarray) -> None:
    def both(folder: Path, arrays: Arrays) -> None:
        write_safetensors(folder, arrays)
        write_h5(folder, bert_arrays(RECORD, seed=4))

    np.testing.assert_array_equal(vectors(tmp_path, weights=both), expected)


def bfloat16(array: np.ndarray) -> np.ndarray:
    """Round to the nearest value that the upper 16 bits of a float32 can hold."""
    bits = array.astype("<f4").view("<u4")
    return (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16


@pytest.mark.parametrize(
    ("kind", "stored", "meant"),
    [
        ("F16", lambda a: a.astype("<f2"), lambda a: a.astype(np.float16).astype(np.float32)),
        ("F64", lambda a: a.astype("<f8"), lambda a: a),
        ("BF16", lambda a: bfloat16(a).astype("<u2"), lambda a: (bfloat16(a) << 16).view(np.float32)),
    ],
)
def test_other_precisions_are_read_exactly(
    tmp_path: Path, kind: str, stored: Callable[[np.ndarray], np.ndarray], meant: Callable[[np.ndarray], np.ndarray]
) -> None:
    def write(folder: Path, arrays: Arrays) -> None:
        header, data = {}, b""
        for name, array in arrays.items():
            begin, data = len(data), data + stored(array).tobytes()
            header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": [begin, len(data)]}
        described = json.dumps(header).encode()
        (folder / "model.safetensors").write_bytes(len(described).to_bytes(8, "little") + described + data)

    exact = {name: meant(array) for name, array in ARRAYS.items()}
    np.testing.assert_array_equal(vectors(tmp_path / "a", weights=write), vectors(tmp_path / "b", arrays=exact))


def test_a_quantised_tensor_is_refused(tmp_path: Path) -> None:
    arrays: Any = ARRAYS | {"encoder.layer.1.output.dense.weight": np.zeros((16, 64), np.int8)}
    write_model(tmp_path, RECORD, arrays)
    with pytest.raises(
        CheckpointError, match=r"encoder.layer.1.output.dense.weight is stored as I8; expected F32, F16"
    ):
        read_checkpoint(tmp_path)


def test_heads_of_pretraining_and_position_counters_are_left_out(tmp_path: Path, expected: np.ndarray) -> None:
    def write(folder: Path, arrays: Arrays) -> None:
        more: Any = {
            "bert.embeddings.position_ids": np.arange(512)[None],
            "cls.predictions.bias": np.zeros(3, np.float32),
            "cls.predictions.transform.LayerNorm.gamma": np.zeros(3, np.float32),
            "cls.seq_relationship.weight": np.zeros((2, 16), np.float32),
        }
        write_safetensors(folder, {f"bert.{name}": array for name, array in arrays.items()} | more)

    np.testing.assert_array_equal(vectors(tmp_path, weights=write), expected)


def test_heads_of_pretraining_in_h5_are_left_out(tmp_path: Path, expected: np.ndarray) -> None:
    def write(folder: Path, arrays: Arrays) -> None:
        write_h5(folder, arrays)
        with h5py.File(folder / "tf_model.h5", "a") as file:
            file["mlm___cls/tf_bert_for_pre_training/mlm___cls/predictions/transform/dense/kernel:0"] = np.zeros((2, 2))
            file["nsp___cls/tf_bert_for_pre_training/nsp___cls/seq_relationship/bias:0"] = np.zeros(2)
            file.create_group("top_level_model_weights")

    np.testing.assert_array_equal(vectors(tmp_path, weights=write), expected)


def test_a_layer_that_h5_holds_twice_is_read_once(tmp_path: Path, expected: np.ndarray) -> None:
    """As TensorFlow's classes with a head of pre-training write it, which shares the embeddings."""

    def write(folder: Path, arrays: Arrays) -> None:
        write_h5(folder, arrays)
        with h5py.File(folder / "tf_model.h5", "a") as file:
            file.copy("bert/tf_bert_model_1/bert/embeddings", file, "mlm___cls/tf_bert_model_1/bert/embeddings")

    np.testing.assert_array_equal(vectors(tmp_path, weights=write), expected)


def dpr_record(**changes: Any) -> dict[str, Any]:
    return RECORD | {"model_type": "dpr", "architectures": ["DPRContextEncoder"], "projection_dim": 0} | changes


WITHOUT_POOLER = {name: array for name, array in ARRAYS.items() if not name.startswith("pooler.")}


@pytest.mark.parametrize("side", ["ctx_encoder", "question_encoder"])
@pytest.mark.parametrize("projection", [0, 8])
@pytest.mark.parametrize("form", ["safetensors", "h5"])
def test_dpr_models_take_the_first_token_and_their_projection(
    tmp_path: Path, side: str, projection: int, form: str
) -> None:
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(projection, 16)).astype(np.float32), rng.normal(size=projection).astype(np.float32)

    def write(folder: Path, arrays: Arrays) -> None:
        named = {f"{side}.bert_model.{name}": array for name, array in arrays.items()}
        if projection:
            named |= {f"{side}.encode_proj.weight": weight, f"{side}.encode_proj.bias": bias}
        if form == "safetensors":
            write_safetensors(folder, named)
        else:
            with h5py.File(folder / "tf_model.h5", "w") as file:
                write_h5(folder / "..", arrays, prefix=f"{side}/tfdpr/{side}/bert_model/")
                with h5py.File(folder / ".." / "tf_model.h5") as source:
                    source.copy(side, file)
                if projection:
                    file[f"{side}/tfdpr/{side}/encode_proj/kernel:0"] = weight.T
                    file[f"{side}/tfdpr/{side}/encode_proj/bias:0"] = bias

    found = vectors(tmp_path / "dpr", dpr_record(projection_dim=projection), WITHOUT_POOLER, weights=write)
    first = vectors(tmp_path / "cls", arrays=WITHOUT_POOLER)
    np.testing.assert_allclose(found, first @ weight.T + bias if projection else first, rtol=0, atol=1e-5)


def test_a_pooler_left_over_in_a_dpr_model_is_not_read(tmp_path: Path) -> None:
    found = vectors(tmp_path / "dpr", dpr_record())
    np.testing.assert_array_equal(found, vectors(tmp_path / "cls", arrays=WITHOUT_POOLER))


def test_the_pooling_is_the_pooler_where_there_is_one_and_can_be_chosen(tmp_path: Path) -> None:
    with_pooler = write_model(tmp_path / "with", RECORD, ARRAYS)
    without = write_model(tmp_path / "without", RECORD, WITHOUT_POOLER)
    assert read_checkpoint(with_pooler).config.pooling == "pooler"
    assert read_checkpoint(without).config.pooling == "cls"
    assert read_checkpoint(with_pooler, pooling="mean").config.pooling == "mean"
    with pytest.raises(CheckpointError, match=r"missing: pooler.dense.weight \[16, 16\]"):
        read_checkpoint(without, pooling="pooler")


def refused(folder: Path, record: dict[str, Any], arrays: Arrays, weights: Writer | None = None) -> str:
    write_model(folder, record, arrays, weights=weights)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(folder)
    return str(caught.value)


@pytest.mark.parametrize("write", [write_safetensors, write_h5])
def test_every_missing_unexpected_and_misshapen_tensor_is_listed(tmp_path: Path, write: Writer) -> None:
    arrays = dict(ARRAYS)
    del arrays["encoder.layer.1.attention.self.key.weight"], arrays["embeddings.LayerNorm.bias"]
    arrays["encoder.layer.2.output.dense.bias"] = np.zeros(16, np.float32)
    arrays["pooler.dense.bias"] = np.zeros(7, np.float32)
    arrays["embeddings.word_embeddings.weight"] = np.zeros((9, 16), np.float32)
    assert refused(tmp_path, RECORD, arrays, write).splitlines() == [
        f"the tensors in {tmp_path} do not match its config.json (pooling 'pooler'):",
        "  missing: embeddings.LayerNorm.bias [16]",
        "  missing: encoder.layer.1.attention.self.key.weight [16, 16]",
        "  unexpected: encoder.layer.2.output.dense.bias [16]",
        f"  misshapen: embeddings.word_embeddings.weight [9, 16], expected [{RECORD['vocab_size']}, 16]",
        "  misshapen: pooler.dense.bias [7], expected [16]",
        "expected the weights that were saved together with this config.json",
    ]


@pytest.mark.parametrize("name", ["classifier.weight", "adapter", "bert.encoder.something.else"])
def test_a_tensor_of_any_other_name_is_unexpected(tmp_path: Path, name: str) -> None:
    assert f"unexpected: {name} [3, 2]\n" in refused(tmp_path, RECORD, ARRAYS | {name: np.zeros((3, 2), np.float32)})


def test_a_long_list_of_differences_is_shortened(tmp_path: Path) -> None:
    message = refused(tmp_path, RECORD | {"num_hidden_layers": 12}, ARRAYS)
    assert message.count("missing: encoder.layer.") == 20
    assert "... and 140 more" in message


@pytest.mark.parametrize("changes", [{"hidden_size": 32}, {"intermediate_size": 32}, {"vocab_size": 30522}])
def test_a_configuration_of_another_model_is_refused(tmp_path: Path, changes: dict[str, int]) -> None:
    assert "misshapen: " in refused(tmp_path, RECORD | changes, ARRAYS)


def test_a_projection_that_only_one_of_configuration_and_weights_has_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path / "a", dpr_record(projection_dim=8), WITHOUT_POOLER)
    assert "missing: encode_proj.weight [8, 16]\n  missing: encode_proj.bias [8]\n" in message
    projection = {"encode_proj.weight": np.zeros((8, 16), np.float32), "encode_proj.bias": np.zeros(8, np.float32)}
    message = refused(tmp_path / "b", dpr_record(), WITHOUT_POOLER | projection)
    assert "unexpected: encode_proj.weight [8, 16]\n" in message


def test_two_models_in_one_file_are_refused(tmp_path: Path) -> None:
    def write(folder: Path, arrays: Arrays) -> None:
        other = bert_arrays(RECORD, seed=4)
        named = {f"question_encoder.bert_model.{name}": array for name, array in arrays.items()}
        write_safetensors(folder, named | {f"ctx_encoder.bert_model.{name}": array for name, array in other.items()})

    message = refused(tmp_path, RECORD, ARRAYS, write)
    assert "model.safetensors holds two tensors " in message
    assert message.endswith("; expected one model in a file")


def test_a_value_that_is_no_number_is_refused(tmp_path: Path) -> None:
    broken = ARRAYS["encoder.layer.0.output.dense.bias"].copy()
    broken[3] = np.nan
    message = refused(tmp_path, RECORD, ARRAYS | {"encoder.layer.0.output.dense.bias": broken})
    assert "not finite: encoder.layer.0.output.dense.bias [16]" in message


def test_a_folder_without_weights_says_what_it_holds(tmp_path: Path) -> None:
    message = refused(tmp_path, RECORD, ARRAYS, lambda folder, _: None)
    assert message == (
        f"{tmp_path} has no weights: found config.json, tokenizer.json, tokenizer_config.json, vocab.txt; "
        "expected model.safetensors or tf_model.h5"
    )


def test_a_folder_with_only_a_pickle_says_how_to_convert_it(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    def write(folder: Path, _: Arrays) -> None:
        code = f"cposix\nsystem\n(S'touch {ran}'\ntR.".encode()  # a pickle that runs a command when it is opened
        (folder / "pytorch_model.bin").write_bytes(code)

    message = refused(tmp_path / "model", RECORD, ARRAYS, write)
    assert "pytorch_model.bin" in message
    assert "transformers.AutoModel.from_pretrained(folder).save_pretrained(folder)" in message
    assert not ran.exists()


def cuts(write: Writer, folder: Path) -> tuple[Path, list[bytes]]:
    """The weights' file and what may be left of it: nothing, a few bytes, half of it, all but the last byte."""
    write(folder, ARRAYS)
    path = next(folder.glob("*model.*"))
    whole = path.read_bytes()
    return path, [whole[:end] for end in (0, 4, 100, len(whole) // 2, len(whole) - 1)]


@pytest.mark.parametrize("write", [write_safetensors, write_h5])
def test_a_truncated_file_is_named(tmp_path: Path, write: Writer) -> None:
    write_model(tmp_path, RECORD, ARRAYS, weights=lambda *_: None)
    path, remains = cuts(write, tmp_path)
    for remain in remains:
        path.write_bytes(remain)
        with pytest.raises(
            CheckpointError, match=r"model\.\w+: truncated or corrupt \(.+\); download or copy it again"
        ):
            read_checkpoint(tmp_path)


@pytest.mark.parametrize("write", [write_safetensors, write_h5])
def test_a_corrupt_file_is_an_error_of_the_checkpoint_or_harmless(tmp_path: Path, write: Writer) -> None:
    """A changed weight cannot be told from a weight; anything else that breaks is named, never another exception."""
    write_model(tmp_path, RECORD, ARRAYS, weights=lambda *_: None)
    path, (*_, whole) = cuts(write, tmp_path)
    rng = np.random.default_rng(0)
    refusals = 0
    for _ in range(150):
        broken = bytearray(whole)
        for position in rng.integers(0, min(len(whole), 20_000), rng.choice([1, 8, 64])):
            broken[position] = rng.integers(256)
        path.write_bytes(broken)
        try:
            read_checkpoint(tmp_path)
        except CheckpointError:
            refusals += 1
    assert refusals > 50


@pytest.mark.parametrize("name", ["model.safetensors", "tf_model.h5"])
@pytest.mark.parametrize(
    "content", [b"version https://git-lfs.github.com/spec/v1\nsize 17600000\n", b"<html>", b"\0" * 99]
)
def test_another_file_under_the_name_of_weights_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    write_model(tmp_path, RECORD, ARRAYS, weights=lambda folder, _: (folder / name).write_bytes(content) and None)
    with pytest.raises(CheckpointError, match=f"{name}: truncated or corrupt"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("content", ["", "{", '{"model_type": "bert"', "\ufffd", "[]", "null", '"bert"'])
def test_a_corrupt_configuration_is_named(tmp_path: Path, content: str) -> None:
    write_model(tmp_path, RECORD, ARRAYS)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"config.json: (not valid JSON|found a \w+; expected a dict)"):
        Encoder.from_pretrained(tmp_path, side="query")


def test_a_configuration_in_another_encoding_is_named(tmp_path: Path) -> None:
    write_model(tmp_path, RECORD, ARRAYS)
    (tmp_path / "config.json").write_bytes(b'{"model_type": "\xff"}')
    with pytest.raises(CheckpointError, match=r"config.json: not valid JSON"):
        Encoder.from_pretrained(tmp_path, side="query")


@pytest.mark.parametrize("model_type", ["roberta", "distilbert", "", None, 3])
def test_another_model_type_is_refused(tmp_path: Path, model_type: object) -> None:
    message = refused(tmp_path, RECORD | {"model_type": model_type}, ARRAYS)
    assert message == f"{tmp_path}/config.json: model_type is {model_type!r}; expected 'bert' or 'dpr'"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": "128"}, "hidden_size is '128'; expected a whole number of at least 1"),
        ({"hidden_size": 16.0}, "hidden_size is 16.0; expected a whole number of at least 1"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0; expected a whole number of at least 1"),
        ({"num_attention_heads": -2}, "num_attention_heads is -2; expected a whole number of at least 1"),
        ({"vocab_size": None}, "vocab_size is None; expected a whole number of at least 1"),
        ({"layer_norm_eps": "1e-12"}, "layer_norm_eps is '1e-12'; expected a number"),
        ({"hidden_act": "mish"}, "hidden_act is 'mish'; expected one of gelu, gelu_new,"),
        ({"hidden_act": ["gelu"]}, "hidden_act is ['gelu']; expected one of gelu, gelu_new,"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'; expected 'absolute'"),
        ({"text_segment": "second"}, "text_segment is 'second'; expected 0 or 1"),
        ({"num_attention_heads": 3}, "hidden_size 16 is no multiple of num_attention_heads 3"),
    ],
)
def test_a_configuration_that_no_bert_can_have_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    assert f"{tmp_path}/config.json: {message}" in refused(tmp_path, RECORD | changes, ARRAYS)


def test_what_a_configuration_does_not_say_is_berts_default(tmp_path: Path) -> None:
    write_model(tmp_path, RECORD, ARRAYS)
    stated = {"hidden_size": 16, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2}
    write_json(tmp_path / "config.json", stated)
    with pytest.raises(
        CheckpointError, match=r"misshapen: embeddings.word_embeddings.weight .*, expected \[30522, 16\]"
    ):
        read_checkpoint(tmp_path)


def test_a_tokenizer_of_more_tokens_than_the_model_is_refused(tmp_path: Path) -> None:
    small = RECORD | {"vocab_size": 20}
    write_model(tmp_path, small, bert_arrays(small))
    message = (
        rf"the tokenizer has {RECORD['vocab_size']} tokens, the word embeddings have 20 rows; expected the tokenizer"
    )
    with pytest.raises(CheckpointError, match=message):
        Encoder.from_pretrained(tmp_path, side="query")


def test_rows_that_no_token_names_are_no_mistake(tmp_path: Path, expected: np.ndarray) -> None:
    """Many models round the size of their vocabulary up."""
    padded = RECORD | {"vocab_size": 256}
    words = np.zeros((256, 16), np.float32)
    words[: RECORD["vocab_size"]] = ARRAYS["embeddings.word_embeddings.weight"]
    found = vectors(tmp_path, padded, ARRAYS | {"embeddings.word_embeddings.weight": words})
    np.testing.assert_array_equal(found, expected)
