"""TinyDPREmbeddings with langchain-core and the base installation: neither tensorflow nor transformers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dpr_tiny_retriever import DualEncoder

pytestmark = pytest.mark.langchain

SCRIPT = """
import json, sys
sys.modules |= dict.fromkeys(["tensorflow", "transformers", "torch"])  # importing any of them fails
from dpr_tiny_retriever.adapters.langchain import TinyDPREmbeddings

embeddings = TinyDPREmbeddings(sys.argv[1], backend=sys.argv[2], title_separator=" | ")
[passage] = embeddings.embed_documents(["Tides | The sea rises."])
print(json.dumps([embeddings.embed_query("Why does it rise?"), passage]))
"""


@pytest.mark.parametrize("backend", ["auto", "numpy"])
def test_embeddings_need_neither_tensorflow_nor_transformers(
    pair_directory: Path, tmp_path: Path, backend: str
) -> None:
    command = [sys.executable, "-c", SCRIPT, str(pair_directory), backend]
    # Not in a checkout, which would be imported in the place of what is installed, and may lack the native library.
    output = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    query, passage = json.loads(output.splitlines()[-1])
    core = DualEncoder.from_pretrained(pair_directory, backend=backend)
    assert query == core.encode_queries(["Why does it rise?"])[0].tolist()
    assert passage == core.encode_passages([("Tides", "The sea rises.")])[0].tolist()
