"""Every adapter that is installed here gives the vectors of the core and the blend of PassageIndex."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest
from numpy.typing import NDArray

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.retrieval.index_file import IndexedPassage
from dpr_tiny_retriever.retrieval.passage_index import PassageIndex

pytestmark = [
    pytest.mark.langchain,
    pytest.mark.also_vector_stores,
    pytest.mark.filterwarnings("ignore:Deprecated API features"),  # SQLAlchemy, of farm-haystack
]

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


def with_llama_index(pair: Path) -> tuple[Vectors, Vectors]:
    from llama_index.core.schema import TextNode

    from dpr_tiny_retriever.adapters.llama_index import TinyDPREmbedding

    with pytest.warns(UserWarning, match="compared by dot product"):
        embed_model = TinyDPREmbedding(str(pair))
    nodes = embed_model([TextNode(text=text, metadata={"title": title}) for title, text in PASSAGES])
    return (
        np.array([embed_model.get_query_embedding(query) for query in QUERIES]),
        np.array([node.embedding for node in nodes]),
    )


def with_chroma(pair: Path) -> tuple[Vectors, Vectors]:
    from dpr_tiny_retriever.adapters.chroma import TinyDPREmbeddingFunction

    function = TinyDPREmbeddingFunction(str(pair))
    titles, texts = [{"title": title} for title, _ in PASSAGES], [text for _, text in PASSAGES]
    return np.array(function.embed_query(QUERIES)), np.array(function.embed_titled(texts, titles))


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
        "llama-index-core": with_llama_index,
        "chromadb": with_chroma,
    }.items()
    if installed(name)
}


def test_two_adapters_are_compared_here() -> None:
    assert len(ADAPTERS) >= 2, "the two Haystacks exclude each other, LangChain joins either"


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_gives_the_vectors_of_the_core(name: str, pair_directory: Path) -> None:
    core = DualEncoder.from_pretrained(pair_directory)
    queries, passages = ADAPTERS[name](pair_directory)
    np.testing.assert_allclose(queries, core.encode_queries(QUERIES), rtol=0, atol=1e-5)
    np.testing.assert_allclose(passages, core.encode_passages(PASSAGES), rtol=0, atol=1e-5)


def paragraphs(count: int) -> list[IndexedPassage]:
    """Paragraphs of Python's language reference, under their topic, each once and with one of three colours."""
    texts = {
        " ".join(paragraph.split()): topic.title()
        for topic, text in topics.items()
        for paragraph in text.split("\n\n")
        if 15 <= len(paragraph.split()) <= 60
    }
    return [
        IndexedPassage(f"p{number}", title, text, metadata={"colour": ("red", "green", "blue")[number % 3]})
        for number, (text, title) in enumerate(list(texts.items())[:count])
    ]


# More than the 100 of either kind that are blended.
STORED = paragraphs(250)
QUESTIONS = [
    "When is an assertion evaluated?",
    "assignment to an attribute of an instance",
    "who calls the finalizer",
    "",
]

Ranking = list[tuple[str, float]]
Search = Callable[[str, str | None], Ranking]


def blend_with_langchain() -> Search:
    from langchain_core.documents import Document

    from dpr_tiny_retriever.adapters.langchain import TinyDPRBlendRetriever

    documents = [Document(page_content=p.text, metadata={"title": p.title, **p.metadata}, id=p.id) for p in STORED]
    retriever = TinyDPRBlendRetriever.from_documents(documents, k=10)

    def search(question: str, colour: str | None) -> Ranking:
        options = {} if colour is None else {"filter": lambda document: document.metadata["colour"] == colour}
        return [(str(hit.document.id), hit.score) for hit in retriever.search(question, **options)]

    return search


def blend_with_haystack_ai() -> Search:
    from haystack import Document
    from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder
    from haystack_integrations.components.retrievers.dpr_tiny import TinyDPRBlendRetriever

    store = InMemoryDocumentStore()
    documents = [Document(id=p.id, content=p.text, meta={"title": p.title, **p.metadata}) for p in STORED]
    store.write_documents(TinyDPRDocumentEmbedder().run(documents)["documents"])
    retriever = TinyDPRBlendRetriever(InMemoryEmbeddingRetriever(store))

    def search(question: str, colour: str | None) -> Ranking:
        filters = None if colour is None else {"field": "meta.colour", "operator": "==", "value": colour}
        return [(document.id, document.score) for document in retriever.run(question, filters)["documents"]]

    return search


def blend_with_farm_haystack() -> Search:
    from haystack.document_stores import FAISSDocumentStore
    from haystack.schema import Document

    from dpr_tiny_retriever.adapters.farm_haystack import TinyDPRRetriever

    store = FAISSDocumentStore(sql_url="sqlite://", embedding_dim=128, progress_bar=False)
    documents = [Document(id=p.id, content=p.text, meta={"name": p.title, **p.metadata}) for p in STORED]
    store.write_documents(documents)
    retriever = TinyDPRRetriever(store, mode="blend", scale_score=False, progress_bar=False)
    store.update_embeddings(retriever)

    def search(question: str, colour: str | None) -> Ranking:
        filters = None if colour is None else {"colour": [colour]}
        return [(document.id, document.score) for document in retriever.retrieve(question, filters)]

    return search


BLENDS = {
    "langchain-core": blend_with_langchain,
    "haystack-ai": blend_with_haystack_ai,
    "farm-haystack": blend_with_farm_haystack,
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> PassageIndex:
    made = PassageIndex(tmp_path_factory.mktemp("index") / "index.sqlite", DualEncoder.from_pretrained())
    made.add(STORED)
    return made


@pytest.mark.parametrize("name", [name for name in ADAPTERS if name in BLENDS])
def test_an_adapter_blends_as_the_index_does(name: str, index: PassageIndex) -> None:
    search = BLENDS[name]()
    for question in QUESTIONS:
        for colour in (None, "green"):
            expected = index.search(question, 10, where=None if colour is None else {"colour": colour})
            ranking = search(question, colour)
            assert [id for id, _ in ranking] == [found.passage.id for found in expected]
            assert [score for _, score in ranking] == pytest.approx([found.score for found in expected], abs=1e-4)
