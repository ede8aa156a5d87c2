"""Model stamps: a line of text stored with each vector, which says what model made it and is checked at query time."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, get_args

import numpy as np

from dpr_tiny_retriever.errors import ModelMismatchError
from dpr_tiny_retriever.types import Side

#: The metadata key under which documents keep the stamp.
STAMP_KEY = "dpr_tiny_model"
#: What adapters do about vectors of another model.
OnMismatch = Literal["error", "warn"]
#: Length of a stamp's fingerprint in hex digits.
_DIGITS = 12
#: Incremented whenever a release changes the vectors of the same model and settings, which invalidates cached vectors.
_FINGERPRINT_FORMAT = 1

_STAMP = re.compile(r"(?P<model>.+) (?P<side>query|passage) (?P<length>\d+|any) tokens(?P<exact> exact_dot)? (\w+)")


class Fingerprinted(Protocol):
    """An encoder or a pair."""

    def fingerprint(self, *, model_only: bool = False) -> str: ...


class _Encoder(Fingerprinted, Protocol):
    """The part of Encoder that a stamp is made from."""

    max_length: int
    exact_dot: bool


@dataclass(frozen=True)
class ModelStamp:
    """The model and settings that made passage vectors; str() gives "bundled@0.2 passage 256 tokens 3f9a1c2b7d10"."""

    model: str
    side: Side
    max_length: int | None
    """In tokens, including special tokens; None is any length, for query encoders, which do not know it."""
    exact_dot: bool
    fingerprint: str
    """The first digits of fingerprint(model_only=True) of the passage encoder."""
    query_fingerprint: str | None = field(default=None, compare=False)
    """The same of the query encoder, if known; not part of str()."""

    @classmethod
    def of(cls, encoder: _Encoder, model_name: str, side: Side = "passage") -> ModelStamp:
        """Return the stamp of an encoder's vectors."""
        return cls(model_name, side, encoder.max_length, encoder.exact_dot, model_fingerprint(encoder))

    @classmethod
    def parse(cls, text: str) -> ModelStamp:
        """Parse what str() returns; raises ValueError for any other text."""
        found = _STAMP.fullmatch(text)
        if found is None:
            raise ValueError(
                f"the stamp is {text!r}; expected MODEL SIDE LENGTH tokens FINGERPRINT, such as "
                "'bundled@0.2 passage 256 tokens 3f9a1c2b7d10'"
            )
        length = None if found["length"] == "any" else int(found["length"])
        side: Side = "query" if found["side"] == "query" else "passage"
        return cls(found["model"], side, length, found["exact"] is not None, found[5])

    def __str__(self) -> str:
        length = "any" if self.max_length is None else self.max_length
        exact = " exact_dot" if self.exact_dot else ""
        return f"{self.model} {self.side} {length} tokens{exact} {self.fingerprint}"


def model_fingerprint(encoder: _Encoder) -> str:
    """Return an encoder's fingerprint as stamps hold it."""
    return encoder.fingerprint(model_only=True)[:_DIGITS]


def check_on_mismatch(on_mismatch: object) -> None:
    """Raise ValueError unless it is "error" or "warn"."""
    if on_mismatch not in get_args(OnMismatch):
        raise ValueError(f"on_mismatch is {on_mismatch!r}; expected 'error' or 'warn'")


def check_stamp(found: str | None, expected: ModelStamp) -> None:
    """Check the stamp of a stored vector against that of the querying model; a vector without one (None, "") passes.

    Raises ModelMismatchError, which names both models, the difference and the remedy.
    """
    if not found or found == str(expected):
        return
    try:
        made_by = ModelStamp.parse(found)
    except ValueError as error:
        raise ModelMismatchError(f"{error}: index the documents again") from None
    if expected.max_length is None:
        expected = replace(expected, max_length=made_by.max_length)
    difference = _difference(made_by, expected)
    if difference is not None:
        what, remedy = difference
        raise ModelMismatchError(
            f"the stored vectors are of {made_by}, the model that asks has {expected}: {what}; {remedy}, or index the "
            "documents again with the model that asks"
        )


def _difference(found: ModelStamp, expected: ModelStamp) -> tuple[str, str] | None:
    """Return the difference, and how to load the model that was found."""
    if found.side != expected.side:
        return "the sides are swapped", "encode documents with the passage side"
    if found.fingerprint != expected.fingerprint:
        if found.fingerprint == expected.query_fingerprint:
            return "the sides are swapped, the model for questions made them", "encode documents with the passage model"
        if found.model == expected.model:
            return "the same name, but other weights, as those of another release", "load the weights that made them"
        return "another model", f"load {found.model!r}"
    if found.exact_dot != expected.exact_dot:
        return "exact_dot differs", f"load the model with exact_dot={found.exact_dot}"
    if found.max_length != expected.max_length:
        return "passages are cut at another length", f"load the model with a passage length of {found.max_length}"
    return None


def another_model(found: Mapping[str, Any], *, model: str, fingerprint: str) -> tuple[str, str] | None:
    """Describe the model of a store's vectors and the expected one, for an error; None if they are the same."""
    if found.get("fingerprint") == fingerprint:
        return None
    there = str(found.get("fingerprint"))[:8]
    return f"vectors of the model {found.get('model')!r} ({there})", f"expected those of {model!r} ({fingerprint[:8]})"


def check_fingerprint(encoder: Fingerprinted, expected: str, model: str) -> None:
    """Raise ModelMismatchError unless the loaded model has the expected fingerprint, with or without model_only."""
    found = encoder.fingerprint()
    if expected not in (found, encoder.fingerprint(model_only=True)):
        raise ModelMismatchError(
            f"the model {model!r} has the fingerprint {found}; expected {expected}: these are other weights, or other "
            "settings; load those of before, as the release of that name has them, or index the documents again and "
            "give the new fingerprint, or none"
        )


def digest(stated: tuple[object, ...], tokenizer: str, arrays: Any) -> str:
    """Return the digest, 32 hex digits, of settings, a tokenizer's JSON and the arrays of the weights."""
    found = hashlib.blake2b(digest_size=16)
    found.update(repr((_FINGERPRINT_FORMAT, *stated)).encode())
    found.update(tokenizer.encode())
    for array in arrays:
        found.update(repr((array.shape, array.dtype.str)).encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
