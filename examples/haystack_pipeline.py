"""Index titled documents with haystack-ai, and ask questions now and in later processes.

    pip install "dpr-tiny-retriever[haystack]"
    python examples/haystack_pipeline.py "How do tardigrades survive in space?"

Each document below has two paragraphs, and each paragraph becomes a passage. Hardly any of them names its subject:
the title does, and the model reads it beside the text. Vectors and BM25 rank together, and each answer says why. The
first run writes an index and a pipeline; later runs open them. Any document store with an embedding retriever can take
the place of the one in memory; it needs no keyword search of its own.
"""

import argparse
from pathlib import Path

from haystack import Document, Pipeline
from haystack.components.preprocessors import DocumentSplitter
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore

from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder, TinyDPRTextEmbedder
from haystack_integrations.components.retrievers.dpr_tiny import TinyDPRBlendRetriever
from haystack_integrations.components.writers.dpr_tiny import TinyDPRDocumentWriter

ARTICLES = {
    "Lighthouse of Alexandria": """
Built on the island of Pharos in the third century BC, it guided ships into harbour by a fire at its top.

Three earthquakes brought it down by the fourteenth century; its last stones went into a fortress.""",
    "Tardigrade": """
These animals have eight legs, are half a millimetre long and live in any film of water: in moss, too.

When they dry out they curl up, stop their metabolism and can survive the cold and vacuum of space.""",
    "Northern lights": """
Charged particles from the Sun follow the Earth's magnetic field to the poles and make the air glow.

Oxygen makes them green or, higher up, red; nitrogen adds blue and purple at the lower edge.""",
    "Honey bee": """
A colony has one queen, some hundred drones and tens of thousands of workers, all of them females.

A worker that has found flowers dances: the angle tells the direction, the length the distance.""",
    "Printing press": """
Johannes Gutenberg of Mainz printed with movable metal type around 1450, on a machine like a wine press.

Within fifty years it had spread to more than two hundred towns, and books had become far cheaper.""",
    "Great Barrier Reef": """
It stretches for 2,300 kilometres along the coast of Queensland and consists of some 2,900 separate reefs.

When the sea stays too warm, the corals expel the algae that feed them, turn white and may die.""",
}

QUESTIONS = [
    "What destroyed the ancient lighthouse of Alexandria?",
    "How do tardigrades survive in space?",
    "Why are the northern lights green?",
    "How do bees tell each other where flowers are?",
    "Who invented printing with movable type?",
    "What happens to the Great Barrier Reef when the sea is too warm?",
]


def index_articles(model: str | None, folder: Path) -> None:
    """Write the passages with their vectors, and a query pipeline in YAML, into a new folder."""
    # In-memory stores with the same index name share documents: the pipeline from YAML finds them by this name.
    store = InMemoryDocumentStore(embedding_similarity_function="dot_product", index="articles")
    indexing = Pipeline()
    indexing.add_component("splitter", DocumentSplitter(split_by="passage", split_length=1, split_overlap=0))
    indexing.add_component("writer", TinyDPRDocumentWriter(store, TinyDPRDocumentEmbedder(model)))
    indexing.connect("splitter", "writer")
    documents = [Document(content=text.strip(), meta={"title": title}) for title, text in ARTICLES.items()]
    written = indexing.run({"splitter": {"documents": documents}})["writer"]["documents_written"]
    print(f"indexed {written} passages of {len(documents)} articles")

    querying = Pipeline()
    retriever = TinyDPRBlendRetriever(InMemoryEmbeddingRetriever(store), TinyDPRTextEmbedder(model), top_k=2)
    querying.add_component("retriever", retriever)
    folder.mkdir(parents=True)
    store.save_to_disk(str(folder / "articles.json"))
    (folder / "query.yaml").write_text(querying.dumps(), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("questions", nargs="*", default=QUESTIONS)
    parser.add_argument("--model", help="a preset, a folder or a hub id; the bundled pair if left out")
    parser.add_argument("--folder", type=Path, default=Path("haystack-index"), help="where to keep the index")
    arguments = parser.parse_args()

    if not arguments.folder.exists():
        index_articles(arguments.model, arguments.folder)
    InMemoryDocumentStore.load_from_disk(str(arguments.folder / "articles.json"))
    pipeline = Pipeline.loads((arguments.folder / "query.yaml").read_text(encoding="utf-8"))
    for question in arguments.questions:
        print(f"\n{question}")
        output = pipeline.run({"retriever": {"query": question}})["retriever"]
        for document, why in zip(output["documents"], output["explanations"], strict=True):
            print(f"  {document.score:6.2f}  {document.meta['title']}: {document.content.strip()}")
            by_words = f"{why['bm25_rank'] or 'none'} by words {why['words']}"
            print(f"          rank {why['embedding_rank']} by vector, {by_words}")


if __name__ == "__main__":
    main()
