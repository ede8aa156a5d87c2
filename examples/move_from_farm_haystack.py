"""The farm-haystack side of a move to haystack-ai: index, ask, and hand the documents over as JSON lines.

    pip install "dpr-tiny-retriever[farm-haystack]"
    python examples/move_from_farm_haystack.py documents.jsonl

examples/move_to_haystack_ai.py is the other side, for another environment; docs/moving.md compares them.
"""

import argparse
import json
from pathlib import Path

from haystack import Document
from haystack.document_stores import FAISSDocumentStore

from dpr_tiny_retriever import STAMP_KEY
from dpr_tiny_retriever.adapters.farm_haystack import TinyDPRRetriever

QUESTION = "Which fish swims back to its birthplace?"
PASSAGES = {
    "Lighthouse": "A lamp on a tower warns ships of rocks at night.",
    "Sourdough": "Wild yeast and bacteria in a starter make the loaf rise and taste tangy.",
    "Salmon": "It returns from the sea to the river where it hatched, and spawns there.",
    "Eclipse": "The moon moves in front of the sun and day turns dark for minutes.",
    "Aurora": "Charged particles from the sun make the polar night glow green.",
}


def main(
    handed_over: str, question: str = QUESTION, model: str | None = None, width: int = 128
) -> list[tuple[str, float]]:
    """Print and return the names and scores of the documents found; write all documents to the file."""
    # --8<-- [start:store]
    store = FAISSDocumentStore(sql_url="sqlite://", embedding_dim=width, similarity="dot_product")
    store.write_documents([Document(content=text, meta={"name": name}) for name, text in PASSAGES.items()])
    # --8<-- [end:store]
    # --8<-- [start:index]
    retriever = TinyDPRRetriever(document_store=store, model=model, top_k=3)  # was: DensePassageRetriever(...)
    store.update_embeddings(retriever)
    # --8<-- [end:index]
    # --8<-- [start:query]
    found = retriever.retrieve(question)
    # --8<-- [end:query]
    # --8<-- [start:documents]
    with Path(handed_over).open("w", encoding="utf-8") as file:
        for document in store.get_all_documents(return_embedding=False):
            meta = {name: value for name, value in document.meta.items() if name not in ("vector_id", STAMP_KEY)}
            file.write(json.dumps({"id": document.id, "content": document.content, "meta": meta}) + "\n")
    # --8<-- [end:documents]
    for document in found:
        print(f"{document.score:.4f}  {document.meta['name']}: {document.content}")
    return [(document.meta["name"], document.score) for document in found]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("handed_over", metavar="documents.jsonl")
    parser.add_argument("question", nargs="?", default=QUESTION)
    arguments = parser.parse_args()
    main(arguments.handed_over, arguments.question)
