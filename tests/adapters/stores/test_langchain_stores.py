"""Each vector store of LangChain holds titled documents and ranks them as a comparison with every vector does."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
import pytest
from langchain_chroma import Chroma
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_milvus import Milvus
from langchain_postgres import Column, PGEngine, PGVectorStore
from langchain_postgres.v2.indexes import DistanceStrategy as PostgresStrategy
from langchain_qdrant import QdrantVectorStore
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, FieldCondition, Filter, MatchValue, VectorParams
from ranked_passages import QUESTIONS, DocumentedStore, RankedPassages, documented_stores, stores_and_pairs

from dpr_tiny_retriever import STAMP_KEY, ModelMismatchError
from dpr_tiny_retriever.adapters.langchain import TinyDPREmbeddings, TitledVectorStore, relevance_score_fn
from dpr_tiny_retriever.adapters.langchain.store_similarity import ranks_by
from dpr_tiny_retriever.exact_dot import exact_dot_bound

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # that langchain-community gets no more features
    from langchain_community.docstore.in_memory import InMemoryDocstore
    from langchain_community.vectorstores import FAISS
    from langchain_community.vectorstores.utils import DistanceStrategy as FaissStrategy

pytestmark = [pytest.mark.langchain, pytest.mark.vector_stores]

_TABLES = count()


class Place(NamedTuple):
    """The storage location of a store, and the resources to close after the test."""

    folder: Path
    postgres: str
    table: str
    opened: ExitStack


class Store(NamedTuple):
    """How a user creates a store, and its filter by colour."""

    open: Callable[[TinyDPREmbeddings, Place], Any]
    green: dict[str, Any]
    #: Whether add_documents replaces a document of the same id.
    replaces: bool = True


def in_memory(embeddings: TinyDPREmbeddings, place: Place) -> Any:
    path = place.folder / "store.json"
    return InMemoryVectorStore.load(str(path), embeddings) if path.exists() else InMemoryVectorStore(embeddings)


def qdrant(distance: Distance) -> Callable[[TinyDPREmbeddings, Place], Any]:
    def open(embeddings: TinyDPREmbeddings, place: Place) -> Any:
        client = QdrantClient(path=str(place.folder))
        if not client.collection_exists("passages"):
            size = embeddings.encoder.embedding_dim
            client.create_collection("passages", vectors_config=VectorParams(size=size, distance=distance))
        return QdrantVectorStore(client, "passages", embeddings, distance=distance)

    return open


def chroma(space: str) -> Callable[[TinyDPREmbeddings, Place], Any]:
    return lambda embeddings, place: Chroma(
        "passages", embeddings, persist_directory=str(place.folder), collection_configuration={"hnsw": {"space": space}}
    )


def postgres(strategy: PostgresStrategy) -> Callable[[TinyDPREmbeddings, Place], Any]:
    def open(embeddings: TinyDPREmbeddings, place: Place) -> Any:
        engine = PGEngine.from_connection_string(place.postgres.replace("postgresql://", "postgresql+psycopg://"))
        place.opened.callback(lambda: engine._run_as_sync(engine.close()))
        columns = [Column("colour", "TEXT")]
        if not place.folder.joinpath("made").exists():
            place.folder.joinpath("made").touch()
            size = embeddings.encoder.embedding_dim
            engine.init_vectorstore_table(place.table, size, metadata_columns=columns)
        return PGVectorStore.create_sync(
            engine, embeddings, place.table, metadata_columns=["colour"], distance_strategy=strategy
        )

    return open


def faiss_index(strategy: FaissStrategy) -> Callable[[TinyDPREmbeddings, Place], Any]:
    def open(embeddings: TinyDPREmbeddings, place: Place) -> Any:
        if place.folder.joinpath("index.faiss").exists():
            return FAISS.load_local(
                str(place.folder), embeddings, allow_dangerous_deserialization=True, distance_strategy=strategy
            )
        width = embeddings.encoder.embedding_dim
        inner = strategy == FaissStrategy.MAX_INNER_PRODUCT
        index = faiss.IndexFlatIP(width) if inner else faiss.IndexFlatL2(width)
        return FAISS(embeddings, index, InMemoryDocstore(), {}, distance_strategy=strategy)

    return open


def milvus(metric: str) -> Callable[[TinyDPREmbeddings, Place], Any]:
    return lambda embeddings, place: Milvus(
        embeddings,
        connection_args={"uri": str(place.folder / "milvus.db")},
        index_params={"index_type": "FLAT", "metric_type": metric, "params": {}},
    )


def close(store: Any, place: Place) -> None:
    """Close a store before it is reopened; save those that live in memory to disk."""
    if isinstance(store, InMemoryVectorStore):
        store.dump(str(place.folder / "store.json"))
    elif isinstance(store, FAISS):
        store.save_local(str(place.folder))
    elif isinstance(store, QdrantVectorStore | Milvus):
        store.client.close()


def is_green(document: Document) -> bool:
    return bool(document.metadata["colour"] == "green")


IN_MEMORY = {"filter": is_green}
QDRANT = {"filter": Filter(must=[FieldCondition(key="metadata.colour", match=MatchValue(value="green"))])}
EQUAL = {"filter": {"colour": "green"}}
FAISS_EQUAL = {**EQUAL, "fetch_k": 1000}
MILVUS = {"expr": 'colour == "green"'}
STORES = {
    "InMemory": Store(in_memory, IN_MEMORY),
    "Qdrant DOT": Store(qdrant(Distance.DOT), QDRANT),
    "Qdrant COSINE": Store(qdrant(Distance.COSINE), QDRANT),
    "Qdrant EUCLID": Store(qdrant(Distance.EUCLID), QDRANT),
    "Chroma l2": Store(chroma("l2"), EQUAL),
    "Chroma cosine": Store(chroma("cosine"), EQUAL),
    "Chroma ip": Store(chroma("ip"), EQUAL),
    "PGVectorStore COSINE_DISTANCE": Store(postgres(PostgresStrategy.COSINE_DISTANCE), EQUAL),
    "PGVectorStore INNER_PRODUCT": Store(postgres(PostgresStrategy.INNER_PRODUCT), EQUAL),
    "PGVectorStore EUCLIDEAN": Store(postgres(PostgresStrategy.EUCLIDEAN), EQUAL),
    "FAISS EUCLIDEAN_DISTANCE": Store(faiss_index(FaissStrategy.EUCLIDEAN_DISTANCE), FAISS_EQUAL, replaces=False),
    "FAISS MAX_INNER_PRODUCT": Store(faiss_index(FaissStrategy.MAX_INNER_PRODUCT), FAISS_EQUAL, replaces=False),
    "Milvus Lite L2": Store(milvus("L2"), MILVUS, replaces=False),
    "Milvus Lite IP": Store(milvus("IP"), MILVUS, replaces=False),
    "Milvus Lite COSINE": Store(milvus("COSINE"), MILVUS, replaces=False),
}
DOCUMENTED = documented_stores("LangChain")


@pytest.fixture(scope="module")
def embeddings(pair_directory: Path) -> dict[str, TinyDPREmbeddings]:
    """Embeddings of the bundled pair (unit length), of a dot-product pair, and of the latter with exact_dot."""
    return {
        "bundled": TinyDPREmbeddings(),
        "dot": TinyDPREmbeddings(pair_directory),
        "exact_dot": TinyDPREmbeddings(pair_directory, exact_dot=True),
    }


@pytest.fixture
def place(tmp_path: Path, postgres: str) -> Iterator[Place]:
    with ExitStack() as opened:
        yield Place(tmp_path, postgres, f"passages_{next(_TABLES)}", opened)


def documents_of(ranked: RankedPassages, *ids: str) -> list[Document]:
    """Return documents with titles in the metadata, as loaders leave them."""
    return [
        Document(id=id, page_content=text, metadata={"title": title, "colour": colour})
        for id, (title, text, colour) in ranked.passages.items()
        if id in ids or not ids
    ]


def check_ranking(store: TitledVectorStore, how: Store, documented: DocumentedStore, ranked: RankedPassages) -> None:
    """Assert that ranking (also filtered), scores and relevance scores are exact, and that metadata is unchanged."""
    for question in QUESTIONS:
        found = store.similarity_search_with_score(question, k=10)
        similarities = ranked.check(question, [ranked.id_of(document.page_content) for document, _ in found])
        scores = ranked.scores(question, similarities, documented)
        assert [score for _, score in found] == pytest.approx(scores, rel=1e-4, abs=1e-3)
        for document, _ in found:
            title, _, colour = ranked.passages[ranked.id_of(document.page_content)]
            assert document.metadata.items() >= {"title": title, "colour": colour}.items()
        green = store.similarity_search(question, k=5, **how.green)
        ranked.check(question, [ranked.id_of(document.page_content) for document in green], 5, "green")
        assert not any(STAMP_KEY in document.metadata for document in green)
    relevances = [score for _, score in store.similarity_search_with_relevance_scores(QUESTIONS[-1], k=10)]
    assert relevances == pytest.approx([min(max(s / largest(store), 0), 1) for s in similarities], abs=1e-3)


def largest(store: TitledVectorStore) -> float:
    """The upper bound of the last question's dot product with any passage: its norm times the passages' bound."""
    encoder = store.tiny_dpr_embeddings.encoder
    if encoder.normalize:
        return 1.0
    passages = encoder.passage_encoder
    norm = float(np.linalg.norm(encoder.encode_queries([QUESTIONS[-1]])))
    return norm * exact_dot_bound(passages.config, passages.weights)


def test_every_store_that_is_documented_is_tested() -> None:
    assert list(DOCUMENTED) == list(STORES)


@pytest.mark.parametrize(("name", "pair"), stores_and_pairs(DOCUMENTED))
def test_titled_documents_are_stored_reopened_filtered_updated_and_deleted(
    name: str, pair: str, embeddings: dict[str, TinyDPREmbeddings], place: Place
) -> None:
    how, embed = STORES[name], embeddings[pair]
    ranked = RankedPassages(embed.encoder)
    inner = how.open(embed, place)
    TitledVectorStore(inner).add_documents(documents_of(ranked), ids=list(ranked.passages))
    assert [kind for kind, _ in [ranks_by(inner) or ("unknown", "")]] == [DOCUMENTED[name].ranks_by.lower()]
    assert inner.similarity_search("who", k=1)[0].metadata[STAMP_KEY] == str(embed.encoder.stamp)
    check_ranking(TitledVectorStore(inner), how, DOCUMENTED[name], ranked)
    close(inner, place)

    inner = how.open(embed, place)
    store = TitledVectorStore(inner)
    changed, *gone = ranked.ids(8, 3, 11, 23)
    ranked.retitle(changed, "Another Title")
    if not how.replaces:
        store.delete([changed])
    store.add_documents(documents_of(ranked, changed), ids=[changed])
    store.delete(gone)
    ranked.remove(gone)
    check_ranking(store, how, DOCUMENTED[name], ranked)
    close(inner, place)


@pytest.mark.parametrize(
    "name", [name for name, documented in DOCUMENTED.items() if documented.ranks_by != "dot" and name != "InMemory"]
)
def test_a_store_that_ranks_otherwise_than_the_pair_is_refused(
    name: str, embeddings: dict[str, TinyDPREmbeddings], place: Place
) -> None:
    ranked = RankedPassages(embeddings["dot"].encoder)
    inner = STORES[name].open(embeddings["dot"], place)
    with pytest.raises(ModelMismatchError, match=r"ranks by .*, the model by dot product.*exact_dot=True"):
        TitledVectorStore(inner).add_documents(documents_of(ranked), ids=list(ranked.passages))
    close(inner, place)


def test_bare_stores_take_the_relevance_function(embeddings: dict[str, TinyDPREmbeddings], tmp_path: Path) -> None:
    embed = embeddings["bundled"]
    texts = [passage.text for passage in RankedPassages(embed.encoder).passages.values()]
    cosines = embed.encoder.encode_passages(texts) @ embed.encoder.encode_queries(QUESTIONS[:1])[0]
    chroma = Chroma("passages", embed, persist_directory=str(tmp_path), relevance_score_fn=squared(embed))
    chroma.add_texts(texts)
    faiss_store = FAISS.from_texts(texts, embed, relevance_score_fn=squared(embed))
    for store in (chroma, faiss_store):
        found = store.similarity_search_with_relevance_scores(QUESTIONS[0], k=5, score_threshold=0.05)
        assert [score for _, score in found] == pytest.approx(sorted(cosines.tolist(), reverse=True)[:5], abs=1e-4)


def squared(embed: TinyDPREmbeddings) -> Callable[[float], float]:
    return relevance_score_fn(embed, "squared_l2")
