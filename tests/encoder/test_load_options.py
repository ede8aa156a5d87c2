"""The options of from_pretrained: one list, one set of defaults, refused before any work begins."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from dpr_tiny_retriever import DualEncoder, Encoder
from dpr_tiny_retriever.load_options import DEFAULTS, LoadOptions


def load_pair(**options: Any) -> DualEncoder:
    return DualEncoder.from_pretrained("no/such-model", **options)


def load_side(**options: Any) -> Encoder:
    return Encoder.from_pretrained("no/such-model", side="query", **options)


both = pytest.mark.parametrize("load", [load_pair, load_side])


def test_every_option_has_a_default() -> None:
    assert set(LoadOptions.__annotations__) == set(DEFAULTS)


@pytest.mark.parametrize("kind", [DualEncoder, Encoder])
def test_the_signature_lists_every_option_with_its_default(kind: Any) -> None:
    parameters = inspect.signature(kind.from_pretrained).parameters
    assert {name: parameters[name].default for name in DEFAULTS} == DEFAULTS
    assert parameters["backend"].annotation == "BackendName"
    assert "options" not in parameters


@both
def test_an_unknown_option_is_refused_with_the_list_of_those_there_are(load: Callable[..., Any]) -> None:
    expected = r"there is no option batch_size; expected model, .*, revision, .*, backend, threads, device, precision$"
    with pytest.raises(TypeError, match=expected):
        load(batch_size=3)


@both
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"pooling": "max"}, "pooling is 'max'; expected 'pooler', 'cls', 'mean' or None for what the model says"),
        ({"backend": "torch"}, "backend is 'torch'; expected 'auto', 'native', 'tensorflow' or 'numpy'"),
        ({"precision": "int8"}, "precision is 'int8'; expected 'float32' or 'bfloat16'"),
        ({"threads": 0}, "threads is 0; expected at least 1, or None for all that may be used"),
    ],
)
def test_a_wrong_value_is_refused_before_the_model_is_looked_for(
    load: Callable[..., Any], option: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load(**option)


@both
@pytest.mark.parametrize("threads", ["2", 2.0, True])
def test_threads_of_another_kind_are_refused(load: Callable[..., Any], threads: Any) -> None:
    with pytest.raises(TypeError, match=f"threads is {threads!r}; expected a whole number, or None"):
        load(threads=threads)
