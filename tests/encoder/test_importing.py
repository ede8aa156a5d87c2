"""What importing the package costs, and what it offers."""

from __future__ import annotations

import subprocess
import sys

import pytest

import dpr_tiny_retriever

#: Everything that takes long to import, of the core and of the frameworks.
HEAVY = [
    *("tensorflow", "keras", "numpy", "transformers", "tokenizers", "huggingface_hub", "h5py", "safetensors", "tqdm"),
    *("haystack", "langchain_core", "torch", "typer"),
]


def modules_after(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_imports_nothing_heavy() -> None:
    loaded = modules_after("import dpr_tiny_retriever; dpr_tiny_retriever.Passage('title', 'text')")
    assert "dpr_tiny_retriever.passage" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_the_face_is_complete() -> None:
    names = ["CheckpointError", "DualEncoder", "Encoder", "MissingExtraError", "ModelNotFoundError", "Passage"]
    names.append("__version__")
    assert sorted(dpr_tiny_retriever.__all__) == names
    assert {*names, "__version__"} <= set(dir(dpr_tiny_retriever))
    assert all(getattr(dpr_tiny_retriever, name).__doc__ for name in names)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'dpr_tiny_retriever' has no attribute 'DualEncoders'"):
        _ = dpr_tiny_retriever.DualEncoders


def test_errors_are_of_the_kinds_that_callers_catch() -> None:
    assert issubclass(dpr_tiny_retriever.CheckpointError, ValueError)
    assert issubclass(dpr_tiny_retriever.ModelNotFoundError, FileNotFoundError)
    assert issubclass(dpr_tiny_retriever.MissingExtraError, ImportError)


def test_importing_the_package_takes_less_than_a_tenth_of_a_second() -> None:
    """Of the processor's time: a clock on the wall would measure what else the machine does."""
    script = "import time; begin = time.process_time(); import dpr_tiny_retriever; print(time.process_time() - begin)"
    runs = [subprocess.run([sys.executable, "-c", script], capture_output=True, check=True) for _ in range(3)]
    assert min(float(run.stdout) for run in runs) < 0.1
