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
    names = ["CheckpointError", "DualEncoder", "Encoder", "IndexedPassage", "MissingExtraError", "ModelMismatchError"]
    names += ["ModelNotFoundError", "ModelStamp", "Passage", "PassageIndex", "STAMP_KEY", "UnusableIndexError"]
    names += ["__version__", "check_stamp", "dot_from_cosine", "dot_from_squared_l2"]
    assert sorted(dpr_tiny_retriever.__all__) == names
    assert set(names) <= set(dir(dpr_tiny_retriever))
    assert all(getattr(dpr_tiny_retriever, name).__doc__ for name in names)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'dpr_tiny_retriever' has no attribute 'DualEncoders'"):
        _ = dpr_tiny_retriever.DualEncoders


def test_errors_are_of_the_kinds_that_callers_catch() -> None:
    assert issubclass(dpr_tiny_retriever.CheckpointError, ValueError)
    assert issubclass(dpr_tiny_retriever.ModelNotFoundError, FileNotFoundError)
    assert issubclass(dpr_tiny_retriever.MissingExtraError, ImportError)
    assert issubclass(dpr_tiny_retriever.UnusableIndexError, ValueError)


def test_importing_the_package_imports_a_handful_of_its_own_modules() -> None:
    own = {name for name in modules_after("import dpr_tiny_retriever") if name.startswith("dpr_tiny_retriever.")}
    names = ("_version", "errors", "passage", "lazy_exports")
    assert own <= {f"dpr_tiny_retriever.{name}" for name in names}


def test_answering_a_question_imports_what_it_needs_and_no_more() -> None:
    """Each of the others would cost more time than the question itself."""
    loaded = modules_after(
        "from dpr_tiny_retriever import DualEncoder; DualEncoder.from_pretrained().encode_queries(['who wrote it'])"
    )
    top = {name.partition(".")[0] for name in loaded}
    assert {"numpy", "tokenizers", "safetensors"} <= top
    assert top.isdisjoint({*HEAVY, "asyncio", "email"} - {"numpy", "tokenizers", "safetensors"})
