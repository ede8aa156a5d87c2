"""Every adapter that is installed here gives the vectors of the core for the same titled passages."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dpr_tiny_retriever import DualEncoder

pytestmark = pytest.mark.langchain

PASSAGES = [
    ("River", "The river is wide where it meets the sea."),
    ("Tower", "Who wrote of the first tower in the city?"),
    ("", "a text without a title"),
    ("äéñ 中文", "Ünïcode — in both 日本 parts"),
    ("A title with a tail", " ".join(["word"] * 300)),
]
QUERIES = ["where is the river", "WHO wrote it?", "中文"]

Vectors = NDArray[np.float32]


def with_langchain(pair: Path) -> tuple[Vectors, Vectors]:
    from dpr_tiny_retriever.adapters.langchain import TinyDPREmbeddings

    embeddings = TinyDPREmbeddings(str(pair), title_separator=" :: ")
    texts = [f"{title} :: {text}" if title else text for title, text in PASSAGES]
    return np.array([embeddings.embed_query(query) for query in QUERIES]), np.array(embeddings.embed_documents(texts))


def with_haystack_ai(pair: Path) -> tuple[Vectors, Vectors]:
    from haystack import Document

    from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder, TinyDPRTextEmbedder

    query = TinyDPRTextEmbedder(str(pair))
    documents = [Document(content=text, meta={"title": title}) for title, text in PASSAGES]
    embedded = TinyDPRDocumentEmbedder(str(pair)).run(documents)["documents"]
    return (
        np.array([query.run(text)["embedding"] for text in QUERIES]),
        np.array([document.embedding for document in embedded]),
    )


def with_farm_haystack(pair: Path) -> tuple[Vectors, Vectors]:
    from haystack.schema import Document

    from dpr_tiny_retriever.adapters.farm_haystack import TinyDPRRetriever

    retriever = TinyDPRRetriever(None, model=str(pair))
    documents = [Document(content=text, meta={"name": title}) for title, text in PASSAGES]
    return retriever.embed_queries(QUERIES), retriever.embed_documents(documents)


def installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


ADAPTERS: dict[str, Callable[[Path], tuple[Vectors, Vectors]]] = {
    name: adapter
    for name, adapter in {
        "langchain-core": with_langchain,
        "haystack-ai": with_haystack_ai,
        "farm-haystack": with_farm_haystack,
    }.items()
    if installed(name)
}


def test_two_adapters_are_compared_here() -> None:
    assert len(ADAPTERS) == 2, "the two Haystacks exclude each other, LangChain joins either"


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_gives_the_vectors_of_the_core(name: str, pair_directory: Path) -> None:
    core = DualEncoder.from_pretrained(pair_directory)
    queries, passages = ADAPTERS[name](pair_directory)
    np.testing.assert_allclose(queries, core.encode_queries(QUERIES), rtol=0, atol=1e-5)
    np.testing.assert_allclose(passages, core.encode_passages(PASSAGES), rtol=0, atol=1e-5)
