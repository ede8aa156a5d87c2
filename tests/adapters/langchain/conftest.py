"""Embeddings and titled documents for the LangChain tests; each model is loaded once."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from langchain_core.documents import Document

from dpr_tiny_retriever.adapters.langchain import TinyDPREmbeddings

SEPARATOR = " | "


@pytest.fixture(scope="session")
def separator() -> str:
    return SEPARATOR


@pytest.fixture(scope="session")
def embeddings(pair_directory: Path) -> TinyDPREmbeddings:
    """A pair of different encoders with random weights, whose vectors every store ranks alike."""
    return TinyDPREmbeddings(pair_directory, title_separator=SEPARATOR, normalize=True)


@pytest.fixture(scope="session")
def minilm(minilm_directory: Path) -> TinyDPREmbeddings:
    """A trained model, for whatever depends on meaning."""
    return TinyDPREmbeddings(minilm_directory, title_separator=SEPARATOR)


@pytest.fixture
def documents() -> list[Document]:
    """Titled documents; the texts of the first two say nothing without their titles."""
    titled = {
        "Honey bee": "It lives in colonies of tens of thousands and fills wax combs for the winter.",
        "Sperm whale": "It dives deeper than two kilometres and hunts squid in the dark.",
        "Tides": "The sea rises and falls twice a day, drawn mostly by the moon.",
        "Concrete": "Cement, water, sand and gravel are mixed and set to a hard mass.",
        "Printing press": "Movable metal type made books cheap in the fifteenth century.",
        "Vaccination": "A harmless part of a germ teaches the immune system to fight it.",
    }
    return [
        Document(page_content=text, metadata={"title": title, "shelf": shelf}, id=str(UUID(int=shelf)))
        for shelf, (title, text) in enumerate(titled.items())
    ]


@pytest.fixture(scope="session")
def questions() -> dict[str, str]:
    """Questions, each with the title of the document that answers it."""
    return {
        "Which insect stores food in wax combs?": "Honey bee",
        "Which mammal hunts squid in deep water?": "Sperm whale",
        "Why does the sea level change during the day?": "Tides",
        "What are buildings cast from?": "Concrete",
        "How did books become affordable?": "Printing press",
        "How can a person be protected from an infectious disease?": "Vaccination",
    }
