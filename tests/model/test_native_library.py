"""The native library and its binding fit each other, and a library of another layout is not used."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from native_code import CSRC, ROOT, compile_library
from native_models import BUILDS

from dpr_tiny_retriever.model.native_library import LAYOUT, BertStruct, LayerStruct, native_libraries

WRONG_SIZE = 3


def fields_of(struct: str) -> list[str]:
    """The names of a C structure's fields, in order."""
    source = re.sub(r"/\*.*?\*/", "", (CSRC / "bert.h").read_text(encoding="utf-8"), flags=re.DOTALL)
    found = re.search(rf"^struct {struct} \{{(.*?)^\}};", source, flags=re.DOTALL | re.MULTILINE)
    assert found is not None
    declarations = [part.strip() for part in found[1].split(";")]
    return [re.findall(r"\w+", name)[-1] for part in declarations if part for name in part.split(",")]


@pytest.mark.parametrize(("mirror", "struct"), [(BertStruct, "dpr_bert"), (LayerStruct, "dpr_layer")])
def test_the_mirrored_structures_have_the_fields_of_those_in_c(mirror: type[ctypes.Structure], struct: str) -> None:
    assert [field[0] for field in mirror._fields_] == fields_of(struct)


@pytest.mark.posix
@pytest.mark.parametrize("build", BUILDS)
def test_the_mirrored_structures_have_the_size_of_those_in_c(tmp_path: Path, build: str) -> None:
    compile_library(Path(__file__).with_name("native_kernels.c"), tmp_path / "kernels.so", build)
    kernels = ctypes.CDLL(str(tmp_path / "kernels.so"))
    assert ctypes.sizeof(BertStruct) == kernels.test_bert_size()
    assert ctypes.sizeof(LayerStruct) == kernels.test_layer_size()


@pytest.mark.parametrize("build", BUILDS)
def test_another_size_than_the_structures_or_the_outputs_is_refused(build: str) -> None:
    encode = native_libraries()[build].encode
    bert = BertStruct(vector_size=4, vocabulary_size=1, max_length=1)
    one = np.zeros(1, np.int32)
    vectors = np.zeros(4, np.float32)

    def outcome(struct_size: int, id_count: int, vectors_size: int) -> int:
        pointers = one.ctypes.data, one.ctypes.data, vectors.ctypes.data
        lengths = np.ones(1, np.int32)
        ids, starts, out = pointers
        return encode(ctypes.byref(bert), struct_size, 1, ids, id_count, lengths.ctypes.data, starts, out, vectors_size)

    size = ctypes.sizeof(bert)
    assert outcome(size - 8, 1, 4) == WRONG_SIZE
    assert outcome(size + 8, 1, 4) == WRONG_SIZE
    assert outcome(size, 1, 5) == WRONG_SIZE
    assert outcome(size, 0, 4) == WRONG_SIZE
    assert outcome(size, 2, 4) == WRONG_SIZE


@pytest.mark.linux
def test_only_the_interface_is_exported(tmp_path: Path) -> None:
    compile_library(CSRC / "bert.c", tmp_path / "bert.so", "base")
    listed = subprocess.run(
        ["nm", "--dynamic", "--defined-only", tmp_path / "bert.so"], capture_output=True, text=True, check=True
    )
    exported = {line.split()[-1] for line in listed.stdout.splitlines()}
    assert exported == {"dpr_build", "dpr_cpu_lanes", "dpr_encode", "dpr_lanes"}


@pytest.mark.posix
@pytest.mark.parametrize("compiler", [name for name in ("gcc", "clang") if shutil.which(name)])
@pytest.mark.parametrize("build", BUILDS)
def test_every_build_compiles_without_a_warning(tmp_path: Path, compiler: str, build: str) -> None:
    compile_library(CSRC / "bert.c", tmp_path / "bert.so", build, compiler=compiler)


@pytest.mark.posix
def test_a_library_of_another_layout_is_not_used_and_named(tmp_path: Path) -> None:
    package = tmp_path / "dpr_tiny_retriever"
    shutil.copytree(ROOT / "dpr_tiny_retriever", package, ignore=shutil.ignore_patterns("_native", "bundled"))
    (package / "_native").mkdir()
    sources = tmp_path / "csrc"
    shutil.copytree(CSRC, sources)
    header = sources / "bert.h"
    current = f'#define LAYOUT "{LAYOUT}"'
    assert current in header.read_text(encoding="utf-8")
    header.write_text(header.read_text(encoding="utf-8").replace(current, '#define LAYOUT "0"'), encoding="utf-8")
    compile_library(sources / "bert.c", package / "_native" / "libbert_base.so", "base")
    script = "from dpr_tiny_retriever.model.native_library import *; print(available_builds(), unavailable_builds())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.startswith("() ")
    assert re.search(
        rf"libbert_base\.so is of '\w+, layout 0'; expected layout {LAYOUT}: install the pack", done.stdout
    )
