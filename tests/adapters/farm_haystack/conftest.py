"""Titled documents, document stores on disk and retrievers for farm-haystack; each model loads once."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

# Both are read when haystack is imported.
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
os.environ["SQLALCHEMY_SILENCE_UBER_WARNING"] = "1"  # it warns of SQLAlchemy 2, which farm-haystack excludes

from haystack import Document
from haystack.document_stores import FAISSDocumentStore

from dpr_tiny_retriever.adapters.farm_haystack import TinyDPRRetriever

PASSAGES = [
    ("Lighthouse", "building", "A lamp on a tower warns ships of rocks at night."),
    ("Suspension bridge", "building", "The roadway hangs from cables that are slung over two towers."),
    ("Greenhouse", "building", "Glass walls keep warmth in, so tomatoes ripen there in spring."),
    ("Sourdough", "food", "Wild yeast and bacteria in a starter make the loaf rise and taste tangy."),
    ("Chocolate", "food", "Roasted beans of the cacao tree are ground and mixed with sugar."),
    ("Cheese", "food", "Milk is curdled with rennet, drained and ripened in a cellar."),
    ("Owl", "animal", "It hears mice under the snow and flies without a sound in the dark."),
    ("Salmon", "animal", "It returns from the sea to the river where it hatched, and spawns there."),
    ("Ant", "animal", "Workers leave scent trails that lead the colony to food."),
    ("Comet", "sky", "Ice and dust evaporate near the sun and form a long tail."),
    ("Eclipse", "sky", "The moon moves in front of the sun and day turns dark for minutes."),
    ("Aurora", "sky", "Charged particles from the sun make the polar night glow green."),
]

QUESTIONS = {
    "What keeps ships from running aground in the dark?": "Lighthouse",
    "What is cacao used for?": "Chocolate",
    "Which fish swims back to its birthplace?": "Salmon",
    "Why are there green lights over the poles?": "Aurora",
    "How do insects find their way to food?": "Ant",
    "How is bread leavened without bought yeast?": "Sourdough",
}

OpenStore = Callable[..., FAISSDocumentStore]


@pytest.fixture
def documents() -> list[Document]:
    """New documents each time: stores and indexing pipelines write into them."""
    return [
        Document(content=text, id=title, meta={"name": title, "topic": topic, "place": place})
        for place, (title, topic, text) in enumerate(PASSAGES)
    ]


@pytest.fixture(scope="session")
def questions() -> dict[str, str]:
    """Questions, each with the title of the document that answers it."""
    return QUESTIONS


@pytest.fixture
def open_store(tmp_path: Path) -> OpenStore:
    """Create a FAISS store over a new SQLite file, by default as wide as MiniLM."""

    def store(name: str = "documents", embedding_dim: int = 384, **options: object) -> FAISSDocumentStore:
        return FAISSDocumentStore(
            sql_url=f"sqlite:///{tmp_path}/{name}.db",
            embedding_dim=embedding_dim,
            progress_bar=False,
            **options,
        )

    return store


@pytest.fixture(scope="session")
def retriever(pair_directory: Path) -> TinyDPRRetriever:
    """A pair of different encoders with random weights; its vectors are not of unit length."""
    return TinyDPRRetriever(model=pair_directory)


@pytest.fixture(scope="session")
def minilm(minilm_directory: Path) -> TinyDPRRetriever:
    """A trained model of unit-length vectors, for whatever depends on meaning."""
    return TinyDPRRetriever(model=minilm_directory)


@pytest.fixture
def store(open_store: OpenStore, documents: list[Document], minilm: TinyDPRRetriever) -> FAISSDocumentStore:
    """A store that holds all documents with their vectors."""
    filled = open_store()
    filled.write_documents(documents)
    filled.update_embeddings(minilm)
    return filled
