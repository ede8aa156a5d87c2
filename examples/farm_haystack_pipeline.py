"""Index titled documents with farm-haystack, and ask questions now and in later processes.

    pip install "dpr-tiny-retriever[farm-haystack]"
    python examples/farm_haystack_pipeline.py "Which planet has a day longer than its year?"

The first run writes an index and a pipeline; later runs open them. In a pipeline of yours, replace
DensePassageRetriever by TinyDPRRetriever and give its document store the embedding_dim of the model. With mode="blend"
it ranks by vectors and BM25 together, though the store has no BM25.
"""

import argparse
from pathlib import Path

import yaml
from haystack import Document, Pipeline
from haystack.document_stores import FAISSDocumentStore

from dpr_tiny_retriever.adapters.farm_haystack import TinyDPRRetriever

# Title and text. Most texts do not name their subject; the title does.
PASSAGES = {
    "Mercury": "It has no moon and hardly any air, so noon melts lead and night is colder than ice.",
    "Venus": "A day there is longer than a year, and the sun rises in the west behind clouds of acid.",
    "Mars": "Rust colours its dust red. Its largest volcano is more than twice as high as Mount Everest.",
    "Jupiter": "The largest planet outweighs all others together; its red spot is a storm centuries old.",
    "Saturn": "Its rings are made of ice and rock. It is so light that it would float on water.",
    "Neptune": "It was found with a pencil: what it did to the orbit of Uranus told where it was.",
    "Pluto": "Discovered in 1930 and counted as a planet until 2006, when astronomers defined the word anew.",
    "Moon": "It shows us the same side at all times, and drifts away by about four centimetres a year.",
    "Comet": "A lump of ice and dust warms up near the sun, and the gas that leaves it forms a tail.",
    "Meteorite": "What does not burn up in the air reaches the ground, as a stone or a piece of iron.",
    "Asteroid belt": "Between two planets circle millions of rocks that never came together to form a third.",
    "Space telescope": "Above the air nothing blurs the view and no clouds come between mirror and stars.",
}


def index(model: str | None, embedding_dim: int, folder: Path) -> None:
    """Write documents, vectors and a query pipeline into a new folder."""
    folder.mkdir(parents=True)
    store = FAISSDocumentStore(
        sql_url=f"sqlite:///{folder}/documents.db", embedding_dim=embedding_dim, progress_bar=False
    )
    store.write_documents([Document(content=text, meta={"name": name}) for name, text in PASSAGES.items()])
    retriever = TinyDPRRetriever(document_store=store, model=model, top_k=2, scale_score=False, mode="blend")
    store.update_embeddings(retriever)
    store.save(folder / "documents.faiss")

    pipeline = Pipeline()
    pipeline.add_node(retriever, name="Retriever", inputs=["Query"])
    config = pipeline.get_config()
    # Haystack records how the store was created; to open it again, name its files.
    [component] = [component for component in config["components"] if component["type"] == "FAISSDocumentStore"]
    component["params"] = {"faiss_index_path": str(folder / "documents.faiss")}
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("question", nargs="?", default="Which planet has a day longer than its year?")
    parser.add_argument("--model", help="a preset, a folder or a hub id; the bundled pair if left out")
    parser.add_argument("--embedding-dim", type=int, default=128, help="the width of the model's vectors")
    parser.add_argument("--folder", type=Path, default=Path("farm-haystack-index"), help="where to keep the index")
    arguments = parser.parse_args()

    folder = arguments.folder.absolute()
    if not folder.exists():
        index(arguments.model, arguments.embedding_dim, folder)
        print(f"indexed {len(PASSAGES)} passages")
    pipeline = Pipeline.load_from_yaml(folder / "pipeline.yaml")
    print(arguments.question)
    for document in pipeline.run(query=arguments.question)["documents"]:
        print(f"  {document.score:6.3f}  {document.meta['name']}: {document.content}")


if __name__ == "__main__":
    main()
