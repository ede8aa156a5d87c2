"""The embedders with haystack-ai and the base installation: neither tensorflow nor transformers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dpr_tiny_retriever import DualEncoder

pytestmark = pytest.mark.haystack

SCRIPT = """
import json, sys
sys.modules |= dict.fromkeys(["tensorflow", "transformers", "torch"])  # importing any of them fails
from haystack import Document
from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder, TinyDPRTextEmbedder

model, backend = sys.argv[1:]
query = TinyDPRTextEmbedder(model, backend=backend).run("How many hearts?")["embedding"]
document = Document(content="It has three hearts.", meta={"title": "Octopus"})
[embedded] = TinyDPRDocumentEmbedder(model, backend=backend).run([document])["documents"]
print(json.dumps([query, embedded.embedding]))
"""


@pytest.mark.parametrize("backend", ["auto", "numpy"])
def test_the_embedders_run_without_tensorflow_and_transformers(
    pair_directory: Path, tmp_path: Path, backend: str
) -> None:
    command = [sys.executable, "-c", SCRIPT, str(pair_directory), backend]
    # Not in a checkout, which would be imported in the place of what is installed, and may lack the native library.
    output = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    query, passage = json.loads(output.splitlines()[-1])
    core = DualEncoder.from_pretrained(pair_directory, backend=backend)
    assert query == core.encode_queries(["How many hearts?"])[0].tolist()
    assert passage == core.encode_passages([("Octopus", "It has three hearts.")])[0].tolist()
