"""Importing the embedders without haystack-ai."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.haystack

IMPORT = "import haystack_integrations.components.embedders.dpr_tiny"
ERROR = "dpr_tiny_retriever.errors.MissingExtraError: the embedders need haystack-ai 2 or 3; "
REMEDY = 'pip install "dpr-tiny-retriever[haystack]"'


def last_line_of(script: str) -> str:
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    return result.stderr.splitlines()[-1]


def test_without_haystack_the_error_names_the_extra() -> None:
    error = last_line_of(f"import sys; sys.modules['haystack'] = None; {IMPORT}")
    assert error == f"{ERROR}found none: {REMEDY}"


def test_with_farm_haystack_the_error_explains_the_collision(tmp_path: Path) -> None:
    (tmp_path / "haystack").mkdir()
    (tmp_path / "haystack" / "__init__.py").write_text("from haystack import nodes\n")
    (tmp_path / "haystack" / "nodes.py").touch()
    record = tmp_path / "farm_haystack-1.26.4.dist-info" / "METADATA"
    record.parent.mkdir()
    record.write_text("Metadata-Version: 2.1\nName: farm-haystack\nVersion: 1.26.4\n")
    error = last_line_of(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {IMPORT}")
    collision = "found farm-haystack 1.26.4, which has the same import name: uninstall it, then "
    assert error == f"{ERROR}{collision}{REMEDY}"
