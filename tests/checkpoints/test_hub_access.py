"""Tokens, offline runs, and what is said when a model cannot be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hub_stand_in import Hub
from published_models import NEEDED, PASSAGE, QUERY, Resolve

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.checkpoints.hub import resolve


@pytest.mark.parametrize("offline", [{"local_files_only": True}, {"environment": {"HF_HUB_OFFLINE": "1"}}])
def test_an_unknown_model_offline_names_the_ways_out(hub: Hub, resolved: Resolve, offline: dict[str, Any]) -> None:
    assert resolved("nlpconnect-L2", "passage", **offline) == (
        f"dpr_tiny_retriever.errors.ModelNotFoundError: the passage model {PASSAGE} is neither a folder here nor in "
        "the local hub cache, and this run may not use the network. Ways out: run once online without "
        "local_files_only and HF_HUB_OFFLINE; check the name and, for a private repository, pass token=; copy the "
        f"hub cache of a machine that has it and set HF_HOME; or download it there (hf download {PASSAGE} "
        "--local-dir FOLDER) and pass the folder"
    )
    assert hub.requests == []


def test_offline_the_other_side_is_still_missing(hub: Hub, resolved: Resolve) -> None:
    resolved("nlpconnect-L2", "query")
    assert f"the passage model {PASSAGE} is neither" in resolved("nlpconnect-L2", "passage", local_files_only=True)


def test_missing_weights_offline_are_named(hub: Hub, resolved: Resolve) -> None:
    directory, _ = resolved(QUERY)
    (directory / "tf_model.h5").unlink()
    assert f"the query model {QUERY} is neither a folder here" in resolved(QUERY, local_files_only=True)


def test_a_token_is_sent_and_opens_a_private_repository(
    hub: Hub, resolved: Resolve, published: dict[str, Path]
) -> None:
    hub.add("me/private", published[QUERY], token="hf_secret")
    directory, preset = resolved("me/private", token="hf_secret")
    assert preset is None
    assert sorted(path.name for path in directory.iterdir()) == NEEDED
    assert {authorization for *_, authorization in hub.requests} == {"Bearer hf_secret"}


def test_a_token_of_the_environment_is_sent_and_false_sends_none(
    hub: Hub, resolved: Resolve, published: dict[str, Path]
) -> None:
    hub.add("me/private", published[QUERY], token="hf_secret")
    resolved("me/private", environment={"HF_TOKEN": "hf_secret"})
    assert {authorization for *_, authorization in hub.requests} == {"Bearer hf_secret"}
    hub.requests.clear()
    resolved(QUERY, environment={"HF_TOKEN": "hf_secret"}, token=False)
    assert {authorization for *_, authorization in hub.requests} == {None}


def test_a_private_repository_without_its_token_names_the_token(
    hub: Hub, resolved: Resolve, published: dict[str, Path]
) -> None:
    hub.add("me/private", published[QUERY], token="hf_secret")
    for how in ({}, {"token": "hf_wrong"}):
        message = resolved("me/private", **how)
        assert "ModelNotFoundError: the query model me/private is neither" in message
        assert "the hub says: 401 Client Error" in message
        assert "for a private repository, pass token=" in message
        assert "hf_wrong" not in message


def test_what_was_downloaded_with_a_token_is_found_again_without_it(
    hub: Hub, resolved: Resolve, published: dict[str, Path]
) -> None:
    """As a pickle does, which does not hold the token."""
    hub.add("me/private", published[QUERY], token="hf_secret")
    first = resolved("me/private", token="hf_secret")
    assert resolved("me/private") == first


def test_an_unknown_repository_says_what_the_hub_says(resolved: Resolve) -> None:
    message = resolved("nobody/nothing", "passage")
    assert "ModelNotFoundError: the passage model nobody/nothing is neither a folder here" in message
    assert "the hub says: 401 Client Error" in message


def test_a_mistyped_folder_is_named(resolved: Resolve) -> None:
    assert "the query model models/pair is neither a folder here" in resolved("models/pair", local_files_only=True)


def test_a_hub_that_fails_is_named(hub: Hub, resolved: Resolve) -> None:
    hub.broken = True
    message = resolved(QUERY)
    assert f"ModelNotFoundError: the query model {QUERY} is neither" in message
    assert "Ways out" in message


def test_a_hub_that_does_not_answer_is_named(resolved: Resolve, nowhere: str) -> None:
    message = resolved(QUERY, environment={"HF_ENDPOINT": nowhere})
    assert f"ModelNotFoundError: the query model {QUERY} is neither" in message
    assert "Ways out" in message


@pytest.mark.parametrize("token", ["hf_secret\n", "hf_secret\r\n", "  hf_secret "])
def test_line_ends_and_blanks_around_a_token_are_not_sent(
    hub: Hub, resolved: Resolve, published: dict[str, Path], token: str
) -> None:
    hub.add("me/private", published[QUERY], token="hf_secret")
    resolved("me/private", token=token)
    assert {authorization for *_, authorization in hub.requests} == {"Bearer hf_secret"}


@pytest.mark.parametrize("environment", [{}, {"HF_TOKEN": ""}])
@pytest.mark.parametrize("token", ["", " ", "\n", None])
def test_an_empty_token_is_none(hub: Hub, resolved: Resolve, token: str | None, environment: dict[str, str]) -> None:
    resolved(QUERY, token=token, environment=environment)
    assert {authorization for *_, authorization in hub.requests} == {None}


@pytest.mark.parametrize("token", ["hf_sec ret", "hf_sec\nret", "hf_sécret", "hf_sec\0ret"])
def test_a_broken_token_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(ValueError, match="the token holds blanks or characters that no token has") as caught:
        resolve("me/private", "query", token=token)
    assert "hf_s" not in str(caught.value)
    with pytest.raises(TypeError, match=r"token is a bytes; expected a text, True, False or None"):
        resolve("me/private", "query", token=b"hf_secret")  # type: ignore[arg-type]


def test_a_revision_is_refused_where_there_are_none(pair_directory: Path) -> None:
    with pytest.raises(ValueError, match=r"revision is 'v2', but the bundled pair has no revisions; expected it with"):
        DualEncoder.from_pretrained(revision="v2")
    with pytest.raises(ValueError, match=r"revision is 'v2', but the folder .* has no revisions"):
        DualEncoder.from_pretrained(pair_directory, revision="v2")


def test_a_token_may_be_given_with_any_model(pair_directory: Path) -> None:
    """Environments and frameworks pass one along always; it is sent to the hub alone."""
    expected = resolve(pair_directory, "query")
    assert resolve(pair_directory, "query", token="hf_secret") == expected
    assert resolve(None, "query", token="hf_secret") == resolve(None, "query")
