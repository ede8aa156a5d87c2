"""Model stamps and fingerprints, and the errors for vectors of another model."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from model_folders import write_pair

from dpr_tiny_retriever import (
    DualEncoder,
    Encoder,
    ModelMismatchError,
    ModelNotFoundError,
    ModelStamp,
    __version__,
    check_stamp,
)
from dpr_tiny_retriever.checkpoints.hub import model_name, passage_side_of

BUNDLED = "bundled@" + ".".join(__version__.split(".")[:2])


@pytest.fixture(scope="module")
def stamp(small_pair: DualEncoder) -> ModelStamp:
    return small_pair.stamp


@pytest.mark.parametrize("changes", [{}, {"exact_dot": True}, {"model": "a folder/with blanks", "max_length": None}])
def test_a_stamp_is_one_line_that_can_be_read_again(stamp: ModelStamp, changes: dict[str, Any]) -> None:
    changed = replace(stamp, **changes)
    assert ModelStamp.parse(str(changed)) == changed


def test_the_bundled_pair_is_stamped_with_its_release() -> None:
    pair = DualEncoder.from_pretrained(backend="numpy")
    passage = pair.passage_encoder
    assert (
        str(pair.stamp) == f"{BUNDLED} passage {passage.max_length} tokens {passage.fingerprint(model_only=True)[:12]}"
    )
    assert passage.stamp == pair.stamp


def test_a_stamp_names_no_folder_of_this_machine(stamp: ModelStamp, small_directory: Path) -> None:
    assert stamp.model == small_directory.name
    assert model_name(small_directory / "query_encoder") == f"{small_directory.name}/query_encoder"
    assert DualEncoder.from_pretrained(
        query_model=small_directory / "query_encoder", passage_model=small_directory / "passage_encoder"
    ).stamp == replace(stamp, model=f"{small_directory.name}/passage_encoder")


def test_the_side_of_queries_expects_the_passages_of_its_own_pair(stamp: ModelStamp, small_directory: Path) -> None:
    for model in (small_directory, small_directory / "query_encoder"):
        encoder = Encoder.from_pretrained(model, side="query")
        expected = encoder.stamp
        assert (expected.fingerprint, expected.max_length) == (stamp.fingerprint, None)
        check_stamp(str(stamp), expected)
        check_stamp(str(replace(stamp, max_length=99)), expected)
        assert encoder.stamp is expected
    assert passage_side_of("facebook/dpr-question_encoder-single-nq-base") == "facebook-single-nq"
    assert passage_side_of("owner/one-model") == "owner/one-model"


@pytest.mark.parametrize("both", [True, False])
def test_the_passage_side_for_questions_is_refused(small_directory: Path, both: bool) -> None:
    folder = small_directory / "passage_encoder"
    encoder = DualEncoder.from_pretrained(folder) if both else Encoder.from_pretrained(folder, side="query")
    with pytest.raises(
        ModelMismatchError, match=r"the model for questions is .*passage_encoder, the passage side of a"
    ):
        encoder.stamp  # noqa: B018
    with pytest.raises(
        ModelMismatchError, match="expected the pair facebook-single-nq or its side for questions, face"
    ):
        passage_side_of("facebook/dpr-ctx_encoder-single-nq-base")


def test_what_fits_is_silent(stamp: ModelStamp) -> None:
    for found in (None, "", str(stamp), str(replace(stamp, model="another/name"))):
        check_stamp(found, stamp)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "other", "fingerprint": "0" * 12}, "another model; load 'other', or index the documents again"),
        ({"fingerprint": "0" * 12}, "the same name, but other weights, as those of another release; load the weights"),
        ({"side": "query"}, "the sides are swapped; encode documents with the passage side, or index"),
        ({"max_length": 99}, "cut at another length; load the model with a passage length of 99, or index"),
        ({"exact_dot": True}, "exact_dot differs; load the model with exact_dot=True, or index the documents again"),
    ],
)
def test_what_differs_is_named_with_both_and_a_remedy(stamp: ModelStamp, changes: dict[str, Any], message: str) -> None:
    found = str(replace(stamp, **changes))
    with pytest.raises(
        ModelMismatchError, match=f"vectors are of {found}, the model that asks has {stamp}: .*{message}"
    ):
        check_stamp(found, stamp)


def test_documents_that_the_question_model_made_are_told_apart(small_pair: DualEncoder, stamp: ModelStamp) -> None:
    made = ModelStamp.of(small_pair.query_encoder, "a name")
    with pytest.raises(
        ModelMismatchError, match="the sides are swapped, the model for questions made them; encode doc"
    ):
        check_stamp(str(made), stamp)


def test_a_stamp_of_another_form_is_no_match(stamp: ModelStamp) -> None:
    with pytest.raises(
        ModelMismatchError, match=r"the stamp is 'v9'; expected MODEL SIDE LENGTH tokens .*index the doc"
    ):
        check_stamp("v9", stamp)


def test_neither_length_nor_precision_nor_backend_makes_another_model(small_directory: Path, stamp: ModelStamp) -> None:
    other = DualEncoder.from_pretrained(small_directory, max_passage_length=20, backend="numpy")
    assert other.stamp == replace(stamp, max_length=20)
    assert (
        other.passage_encoder.fingerprint()
        != DualEncoder.from_pretrained(small_directory).passage_encoder.fingerprint()
    )


def test_a_fingerprint_is_checked_when_the_model_is_loaded(small_pair: DualEncoder, small_directory: Path) -> None:
    pair = DualEncoder.from_pretrained(small_directory, fingerprint=small_pair.fingerprint())
    assert pickle.loads(pickle.dumps(pair)).fingerprint() == small_pair.fingerprint()
    weights = small_pair.fingerprint(model_only=True)
    assert DualEncoder.from_pretrained(small_directory, fingerprint=weights, max_passage_length=20).embedding_dim == 16
    side = small_pair.query_encoder.fingerprint()
    assert Encoder.from_pretrained(small_directory, side="query", fingerprint=side).fingerprint() == side
    found, expected = small_pair.fingerprint(), "0" * 32
    with pytest.raises(
        ModelMismatchError, match=f"has the fingerprint {found}; expected {expected}: these are other w"
    ):
        DualEncoder.from_pretrained(small_directory, fingerprint=expected)


def test_every_weight_is_in_the_fingerprint(tmp_path: Path, small_pair: DualEncoder) -> None:
    other = DualEncoder.from_pretrained(write_pair(tmp_path, layers=1, width=16, type_vocab_size=1))
    assert other.fingerprint() != small_pair.fingerprint()


def test_names_of_the_bundled_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bundled").mkdir()
    monkeypatch.chdir(tmp_path)  # a folder of the name does not hide it
    named = [Encoder.from_pretrained(name, side="query", backend="numpy") for name in ("bundled", BUNDLED)]
    assert {encoder.fingerprint() for encoder in named} == {pickle.loads(pickle.dumps(named[0])).fingerprint()}
    assert {encoder.stamp.model for encoder in named} == {BUNDLED}


def test_a_bundled_pair_of_another_release_says_how_to_have_it() -> None:
    message = (
        r"bundled@0.9 is the bundled pair of release 0.9; this is .*, which has bundled@.*"
        r'pip install "dpr-tiny-retriever==0.9.\*"; or load .*index the documents again'
    )
    with pytest.raises(ModelNotFoundError, match=message):
        DualEncoder.from_pretrained("bundled@0.9")
