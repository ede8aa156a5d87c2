"""The native library: the C structures that it reads, and which of its builds this processor can run.

csrc/bert.c is compiled when the package is built, once for each instruction set; each of these builds is a file
libbert_BUILD in dpr_tiny_retriever/_native. build.json says there why a build is missing.
"""

from __future__ import annotations

import ctypes
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

#: As setup.py names them, the fastest first.
BUILDS = ("avx512", "avx2", "base")
#: The version of the two structures below: increment it here and in bert.h whenever a field changes.
LAYOUT = 1

#: By what dpr_build() calls an instruction set.
_DISPLAY_NAMES = {"avx512": "AVX-512", "avx2": "AVX2", "neon": "NEON", "baseline": "baseline"}


class LayerStruct(ctypes.Structure):
    """struct dpr_layer of bert.h: pointers to packed weights, biases and scales."""

    _fields_ = [
        ("qkv", ctypes.c_void_p),
        ("qkv_bias", ctypes.c_void_p),
        ("attn_out", ctypes.c_void_p),
        ("attn_out_bias", ctypes.c_void_p),
        ("attn_layernorm_scale", ctypes.c_void_p),
        ("ffn_in", ctypes.c_void_p),
        ("ffn_in_bias", ctypes.c_void_p),
        ("ffn_out", ctypes.c_void_p),
        ("ffn_out_bias", ctypes.c_void_p),
        ("ffn_layernorm_scale", ctypes.c_void_p),
    ]


class BertStruct(ctypes.Structure):
    """struct dpr_bert of bert.h."""

    _fields_ = [
        ("layer_count", ctypes.c_size_t),
        ("width", ctypes.c_size_t),
        ("heads", ctypes.c_size_t),
        ("inner_width", ctypes.c_size_t),
        ("vector_size", ctypes.c_size_t),
        ("vocabulary_size", ctypes.c_size_t),
        ("max_length", ctypes.c_size_t),
        ("activation", ctypes.c_int32),
        ("mean_pooling", ctypes.c_int32),
        ("normalize", ctypes.c_int32),
        ("layernorm_epsilon", ctypes.c_float),
        ("word_embeddings", ctypes.c_void_p),
        ("position_embeddings", ctypes.c_void_p),
        ("segment_delta", ctypes.c_void_p),
        ("embedding_layernorm_scale", ctypes.c_void_p),
        ("final_layernorm_bias", ctypes.c_void_p),
        ("layers", ctypes.POINTER(LayerStruct)),
        ("cls_query", ctypes.c_void_p),
        ("cls_query_bias", ctypes.c_void_p),
        ("cls_key", ctypes.c_void_p),
        ("cls_value", ctypes.c_void_p),
        ("cls_value_bias", ctypes.c_void_p),
        ("pooler", ctypes.c_void_p),
        ("pooler_bias", ctypes.c_void_p),
        ("projection", ctypes.c_void_p),
        ("projection_bias", ctypes.c_void_p),
    ]


class NativeLibrary(NamedTuple):
    """One build, loaded."""

    encode: Callable[..., int]  # dpr_encode of bert.c
    instruction_set: str  # "AVX-512", "AVX2", "NEON" or "baseline"
    lanes: int  # floats in one of its vectors
    cpu_lanes: int  # floats in the widest vectors of this processor, of those that there are builds for

    @property
    def panel(self) -> int:
        """Columns in a panel of a packed matrix: two vectors."""
        return 2 * self.lanes


def native_libraries() -> Mapping[str, NativeLibrary]:
    """The builds that this processor can run, the fastest first."""
    return _load()[0]


def available_builds() -> tuple[str, ...]:
    """The names of the builds that this processor can run, the fastest first."""
    return tuple(native_libraries())


def unavailable_builds() -> Mapping[str, str]:
    """Why each of the other builds cannot be used."""
    return _load()[1]


@functools.cache
def _load() -> tuple[Mapping[str, NativeLibrary], Mapping[str, str]]:
    folder = Path(__file__).parents[1] / "_native"
    libraries: dict[str, NativeLibrary] = {}
    reasons = _build_failures(folder)
    for build in reversed(BUILDS):  # the base runs everywhere, and says which others do
        path = next(iter(folder.glob(f"libbert_{build}.*")), None)
        if path is None:
            reasons.setdefault(build, "it was not compiled; install the package again, with a C compiler")
            continue
        try:
            library = _open(path)
        except (OSError, ValueError) as error:
            reasons[build] = str(error)
            continue
        cpu_lanes = libraries.get("base", library).cpu_lanes
        if library.lanes > cpu_lanes:
            reasons[build] = (
                f"the vectors of this processor hold {cpu_lanes} floats, those of the build {library.lanes}"
            )
            continue
        libraries[build] = library
    available = {build: libraries[build] for build in BUILDS if build in libraries}
    return MappingProxyType(available), MappingProxyType(reasons)


def _build_failures(folder: Path) -> dict[str, str]:
    """Why builds are missing, as setup.py has recorded it."""
    record = folder / "build.json"
    failures: dict[str, str] = json.loads(record.read_text("utf-8"))["failures"] if record.exists() else {}
    return failures


def _open(path: Path) -> NativeLibrary:
    library: Any = ctypes.CDLL(str(path))
    library.dpr_build.restype = ctypes.c_char_p
    found: str = library.dpr_build().decode()
    instruction_set, _, layout = found.partition(", layout ")
    if layout != str(LAYOUT):
        raise ValueError(f"{path} is of {found!r}; expected layout {LAYOUT}: install the package again")
    library.dpr_encode.argtypes = [
        ctypes.POINTER(BertStruct),
        ctypes.c_size_t,  # size of the structure
        ctypes.c_size_t,  # number of texts
        ctypes.c_void_p,  # ids
        ctypes.c_size_t,  # number of ids
        ctypes.c_void_p,  # lengths
        ctypes.c_void_p,  # segment starts
        ctypes.c_void_p,  # vectors
        ctypes.c_size_t,  # number of floats in vectors
    ]
    return NativeLibrary(
        library.dpr_encode, _DISPLAY_NAMES[instruction_set], library.dpr_lanes(), library.dpr_cpu_lanes()
    )
