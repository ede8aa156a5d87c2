"""The haystack-ai side of a move from farm-haystack: read the documents handed over, index them, and ask.

    pip install "dpr-tiny-retriever[haystack]"
    python examples/move_to_haystack_ai.py documents.jsonl

examples/move_from_farm_haystack.py is the other side, for another environment; docs/moving.md compares them.
"""

import argparse
import json
from pathlib import Path

from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.components.writers import DocumentWriter
from haystack.document_stores.in_memory import InMemoryDocumentStore

from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder, TinyDPRTextEmbedder

QUESTION = "Which fish swims back to its birthplace?"


def main(handed_over: str, question: str = QUESTION, model: str | None = None) -> list[tuple[str, float]]:
    """Print and return the names and scores of the documents found."""
    # --8<-- [start:documents]
    lines = Path(handed_over).read_text(encoding="utf-8").splitlines()
    documents = [Document.from_dict(json.loads(line)) for line in lines]
    # --8<-- [end:documents]
    # --8<-- [start:store]
    store = InMemoryDocumentStore(embedding_similarity_function="dot_product")
    # --8<-- [end:store]
    # --8<-- [start:index]
    indexing = Pipeline()
    indexing.add_component("embedder", TinyDPRDocumentEmbedder(model, title_meta_field="name"))
    indexing.add_component("writer", DocumentWriter(store))
    indexing.connect("embedder", "writer")
    indexing.run({"embedder": {"documents": documents}})
    # --8<-- [end:index]
    # --8<-- [start:query]
    querying = Pipeline()
    querying.add_component("embedder", TinyDPRTextEmbedder(model))
    querying.add_component("retriever", InMemoryEmbeddingRetriever(store, top_k=3))
    querying.connect("embedder.embedding", "retriever.query_embedding")
    found = querying.run({"embedder": {"text": question}})["retriever"]["documents"]
    # --8<-- [end:query]
    for document in found:
        print(f"{document.score:.4f}  {document.meta['name']}: {document.content}")
    return [(document.meta["name"], document.score) for document in found]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("handed_over", metavar="documents.jsonl")
    parser.add_argument("question", nargs="?", default=QUESTION)
    arguments = parser.parse_args()
    main(arguments.handed_over, arguments.question)
