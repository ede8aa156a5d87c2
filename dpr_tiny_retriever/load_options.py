"""How a model is loaded: the one record of options that Encoder, DualEncoder and every adapter share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypedDict, TypeVar, cast, get_args

from dpr_tiny_retriever.types import BackendName, Pooling, Precision

_Function = TypeVar("_Function", bound=Callable[..., Any])


class LoadOptions(TypedDict, total=False):
    """The options of Encoder.from_pretrained and DualEncoder.from_pretrained; DEFAULTS has what is left out."""

    revision: str | None
    """Branch, tag or commit on the hub; None is the main branch. Folders and the bundled pair have none."""
    token: str | bool | None
    """The hub's token; True is the stored login, False none, None the login if there is one. It goes to the hub
    alone, so that it may be given with folders too; an empty one is None. It is never pickled."""
    local_files_only: bool
    """Whether to read the hub's local cache only, without any network."""
    fingerprint: str | None
    """The expected fingerprint() of the encoder or pair, with or without model_only. Loading raises ModelMismatchError
    for any other, so that changed weights under the same name are noticed. None accepts all."""
    pooling: Pooling | None
    """How a text's vector is taken: "pooler" ([CLS], dense, tanh), "cls" or "mean"; None is what the model says."""
    normalize: bool | None
    """Whether to scale vectors to unit length; None is what the model says."""
    exact_dot: bool
    """Whether to append one component to each vector, so that cosine and L2 rank exactly as the dot product does; for
    dot-product pairs only. See exact_dot.py."""
    backend: BackendName
    """What runs the model: "native", "numpy", "tensorflow", or "auto", for the choice that model/backends.py tells."""
    threads: int | None
    """How many threads encode at once, at least 1; None is as many as this process may use processors, a cgroup's CPU
    quota counted. TensorFlow and numpy's BLAS have threads of their own, whatever this says."""
    device: str | None
    """Where many texts are encoded, by TensorFlow's name, such as "/CPU:0"; None is a GPU if TensorFlow sees one."""
    precision: Precision
    """The type of TensorFlow's numbers: "float32", or "bfloat16", which is faster for many texts on processors that
    have it, with vectors of a cosine above 0.999 to the exact ones. Unless backend is "tensorflow", few texts, such as
    questions, are encoded in float32 still."""


DEFAULTS: LoadOptions = {
    "revision": None,
    "token": None,
    "local_files_only": False,
    "fingerprint": None,
    "pooling": None,
    "normalize": None,
    "exact_dot": False,
    "backend": "auto",
    "threads": None,
    "device": None,
    "precision": "float32",
}


def complete_options(options: Mapping[str, Any], own: tuple[str, ...] = ()) -> LoadOptions:
    """All options, those that are left out by their defaults; own are the further parameters of who was called.

    Raises TypeError for an unknown name or a value of the wrong kind, ValueError for a wrong value.
    """
    if unknown := [name for name in options if name not in DEFAULTS]:
        raise TypeError(f"there is no option {', '.join(unknown)}; expected {', '.join([*own, *DEFAULTS])}")
    complete = cast(LoadOptions, {**DEFAULTS, **options})
    _expect("pooling", complete["pooling"], (*get_args(Pooling), None), " for what the model says")
    _expect("backend", complete["backend"], get_args(BackendName))
    _expect("exact_dot", complete["exact_dot"], (True, False))
    _expect("precision", complete["precision"], get_args(Precision))
    check_threads(complete["threads"])
    return complete


def without(options: LoadOptions, *names: str) -> dict[str, Any]:
    """Return the options without those named; "token" must never be pickled."""
    return {name: value for name, value in options.items() if name not in names}


def check_threads(threads: int | None) -> None:
    """Raise TypeError or ValueError for what is no number of threads."""
    if threads is None:
        return
    if not isinstance(threads, int) or isinstance(threads, bool):
        raise TypeError(f"threads is {threads!r}; expected a whole number, or None for all that may be used")
    if threads < 1:
        raise ValueError(f"threads is {threads}; expected at least 1, or None for all that may be used")


def spell_out_options(function: _Function) -> _Function:
    """Show the options instead of **options in a function's signature, for help() and editors."""
    signature = inspect.signature(function)
    *own, last = signature.parameters.values()
    assert last.kind is inspect.Parameter.VAR_KEYWORD
    spelled = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=DEFAULTS[name], annotation=annotation)  # type: ignore[literal-required]
        for name, annotation in _annotations().items()
    ]
    function.__signature__ = signature.replace(parameters=[*own, *spelled])  # type: ignore[attr-defined]
    return function


def _annotations() -> dict[str, str]:
    return {name: str(getattr(kind, "__forward_arg__", kind)) for name, kind in LoadOptions.__annotations__.items()}


def _expect(name: str, value: object, allowed: tuple[object, ...], hint: str = "") -> None:
    if value not in allowed:
        *others, last = map(repr, allowed)
        raise ValueError(f"{name} is {value!r}; expected {', '.join(others)} or {last}{hint}")
