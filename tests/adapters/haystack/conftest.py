"""Embedders over small random weights, titled passages, and questions whose answers a reader can check."""

from pathlib import Path

import pytest
from haystack import Document

from dpr_tiny_retriever import DualEncoder
from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder, TinyDPRTextEmbedder


@pytest.fixture(scope="session")
def core(pair_directory: Path) -> DualEncoder:
    return DualEncoder.from_pretrained(pair_directory)


@pytest.fixture(scope="session")
def text_embedder(pair_directory: Path) -> TinyDPRTextEmbedder:
    return TinyDPRTextEmbedder(pair_directory)


@pytest.fixture(scope="session")
def document_embedder(pair_directory: Path) -> TinyDPRDocumentEmbedder:
    return TinyDPRDocumentEmbedder(pair_directory)


@pytest.fixture(scope="session")
def titled() -> list[tuple[str, str]]:
    return [
        ("Photosynthesis", "Plants turn light, water and carbon dioxide into sugar and give off oxygen."),
        ("Mount Everest", "With 8,849 metres above the sea it is the highest mountain on Earth."),
        (
            "Ada Lovelace",
            "She wrote what is held to be the first program, for a machine that was never built.",
        ),
        ("Espresso", "Hot water is pressed through finely ground coffee at about nine bar."),
        ("Penicillin", "Alexander Fleming found in 1928 that a mould kills bacteria."),
        ("Suez Canal", "The waterway joins the Mediterranean and the Red Sea without locks."),
        ("Octopus", "It has three hearts, eight arms and blue blood."),
        ("Magna Carta", "In 1215 the barons of England made King John put his seal to it."),
    ]


@pytest.fixture
def documents(titled: list[tuple[str, str]]) -> list[Document]:
    return [Document(content=text, meta={"title": title, "number": n}) for n, (title, text) in enumerate(titled)]


@pytest.fixture(scope="session")
def questions() -> dict[str, str]:
    """Each question with the title of the passage that answers it."""
    return {
        "How do plants make sugar?": "Photosynthesis",
        "What is the highest mountain in the world?": "Mount Everest",
        "Who was the first computer programmer?": "Ada Lovelace",
        "How is espresso coffee made?": "Espresso",
        "Who discovered the first antibiotic?": "Penicillin",
        "Which canal links the Red Sea to the Mediterranean?": "Suez Canal",
        "How many hearts does an octopus have?": "Octopus",
        "Which charter did King John seal?": "Magna Carta",
    }
