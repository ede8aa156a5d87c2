"""How the package is used, for the type checker: this file is checked, not run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import haystack
import numpy as np
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.utils import Secret
from langchain_core.documents import Document as LangChainDocument
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore, VectorStoreRetriever
from numpy.typing import NDArray
from typing_extensions import assert_type

from dpr_tiny_retriever import (
    STAMP_KEY,
    CheckpointError,
    DualEncoder,
    Encoder,
    IndexedPassage,
    MissingExtraError,
    ModelNotFoundError,
    ModelStamp,
    Passage,
    PassageIndex,
    UnusableIndexError,
    check_stamp,
    dot_from_cosine,
    dot_from_squared_l2,
)
from dpr_tiny_retriever.adapters.chroma import TinyDPREmbeddingFunction
from dpr_tiny_retriever.adapters.langchain import TinyDPRBlendRetriever as LangChainBlendRetriever
from dpr_tiny_retriever.adapters.langchain import TinyDPREmbeddings, TitledVectorStore, relevance_score_fn
from dpr_tiny_retriever.adapters.llama_index import TinyDPREmbedding
from dpr_tiny_retriever.load_options import LoadOptions
from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder, TinyDPRTextEmbedder
from haystack_integrations.components.joiners.dpr_tiny import TinyDPRBlendJoiner
from haystack_integrations.components.retrievers.dpr_tiny import TinyDPRBlendRetriever, TinyDPRRelevanceFilter
from haystack_integrations.components.writers.dpr_tiny import TinyDPRDocumentWriter

pair = DualEncoder.from_pretrained()
pair = DualEncoder.from_pretrained("nlpconnect-L2", revision="main", token="hf_...", local_files_only=True)
pair = DualEncoder.from_pretrained(Path("pair"), token=False, pooling="mean", normalize=True)
pair = DualEncoder.from_pretrained(query_model="owner/query", passage_model=Path("passage"))
pair = DualEncoder.from_pretrained("pair", backend="native", threads=2, device="/CPU:0", precision="bfloat16")
pair = DualEncoder.from_pretrained("pair", exact_dot=True, fingerprint="0123456789abcdef0123456789abcdef")
pair = DualEncoder.from_pretrained("pair", max_query_length=32, max_passage_length=128)

options: LoadOptions = {"backend": "numpy", "threads": None}
pair = DualEncoder.from_pretrained("pair", **options)

assert_type(pair, DualEncoder)
assert_type(pair.embedding_dim, int)
assert_type(pair.similarity, Literal["dot", "cosine"])
assert_type(pair.normalize, bool)
assert_type(pair.exact_dot_bound, float | None)
assert_type(pair.fingerprint(), str)
assert_type(pair.stamp, ModelStamp)
assert_type(ModelStamp.parse(str(pair.stamp)), ModelStamp)
check_stamp({STAMP_KEY: str(pair.stamp)}.get(STAMP_KEY), pair.stamp)
assert_type(dot_from_cosine(0.5, 1.0, pair.exact_dot_bound or 1.0), float)
assert_type(dot_from_squared_l2(np.zeros(3, np.float32), 1.0, 1.0), NDArray[np.floating])
assert_type(pair.query_encoder, Encoder)
assert_type(pair.encode_queries(["a query"]), NDArray[np.float32])
assert_type(pair.encode_queries(("a", "tuple"), batch_size=8, show_progress=False), NDArray[np.float32])


def passages() -> Iterator[Passage | tuple[str | None, str] | str]:
    yield Passage("title", "text")
    yield Passage(None, "text")
    yield "title", "text"
    yield None, "text"
    yield "text"


assert_type(pair.encode_passages(passages(), batch_size=None, show_progress=None), NDArray[np.float32])
pair.encode_passages([Passage("title", "text"), ("title", "text"), "text"])
pair.encode_passages(["only", "texts"])
pair.encode_passages([("title", "text")])
pair.warm_up()
pair.save_pretrained("folder")
pair.save_pretrained(Path("folder"))

encoder = Encoder.from_pretrained("pair", side="passage", max_length=100)
assert_type(encoder.encode([("title", "text")]), NDArray[np.float32])
assert_type(encoder.num_truncated, int)
assert_type(encoder.max_length, int)
assert_type(encoder.with_max_length(64), Encoder)
DualEncoder(encoder, encoder)

with PassageIndex("notes.sqlite", pair) as index:
    index.add([IndexedPassage("1", "title", "text", "notes.md", {"year": 2020, "tags": ["a"]})])
    index.update(iter([IndexedPassage("1", "", "text")]), show_progress=False)
    assert_type(index.delete(["1"]), int)
    assert_type(index.ids(), list[str])
    assert_type(index.get("1"), IndexedPassage | None)
    found = index.search("a query", 5, mode="bm25", where={"year": [2020, 2021], "source": "notes.md", "draft": None})
    assert_type(found[0].passage, IndexedPassage)
    assert_type(found[0].words, list[str])
    assert_type(found[0].placement.bm25_rank, int | None)
assert_type(PassageIndex.create(Path("notes.sqlite"), pair), PassageIndex)
assert_type(PassageIndex.open("notes.sqlite", pair, model_name="mine"), PassageIndex)

embeddings = TinyDPREmbeddings()
embeddings = TinyDPREmbeddings("pair", title_separator=" | ", batch_size=8, show_progress=False)
embeddings = TinyDPREmbeddings(Path("pair"), backend="native", threads=2, precision="float32", device=None)
embeddings = TinyDPREmbeddings(query_model="query", passage_model="passage", max_query_length=32, **options)
langchain_embeddings: Embeddings = embeddings
assert_type(TinyDPREmbedding("nlpconnect-L2", embed_batch_size=64, exact_dot=True).encoder, DualEncoder)
assert_type(TinyDPREmbeddingFunction("nlpconnect-L2", exact_dot=True).encoder, DualEncoder)
assert_type(embeddings.encoder, DualEncoder)
assert_type(embeddings.embed_query("a query"), list[float])
assert_type(embeddings.embed_documents(["title | text"]), list[list[float]])

documents = [LangChainDocument(page_content="text", metadata={"title": "title"})]
langchain_retriever = LangChainBlendRetriever(InMemoryVectorStore(embeddings), documents, k=3)
langchain_retriever = LangChainBlendRetriever.from_documents(
    documents, embeddings, vectorstore_class=InMemoryVectorStore
)
base_retriever: BaseRetriever = langchain_retriever
assert_type(langchain_retriever.invoke("a query"), list[LangChainDocument])
assert_type(langchain_retriever.search("a query", 3)[0].placement.bm25_rank, int | None)
assert_type(langchain_retriever.add_documents(documents), list[str])

titled_store = TitledVectorStore(InMemoryVectorStore(embeddings), title_key="name", stamp_documents=False)
titled_store = TitledVectorStore.from_documents(documents, embeddings, on_mismatch="warn", ids=["1"])
vectorstore: VectorStore = titled_store
assert_type(titled_store.similarity_search_with_relevance_scores("a query"), list[tuple[LangChainDocument, float]])
assert_type(titled_store.as_retriever(search_type="similarity_score_threshold"), VectorStoreRetriever)
assert_type(relevance_score_fn(embeddings, "squared_l2")(0.5), float)
assert_type(embeddings.score_threshold, float | None)

text_embedder = TinyDPRTextEmbedder("pair", backend="numpy", threads=1, device="/CPU:0", precision="float32")
text_embedder = TinyDPRTextEmbedder(token=Secret.from_env_var("HF_TOKEN"), normalize_embeddings=True)
assert_type(text_embedder.run("a query"), dict[str, list[float]])
document_embedder = TinyDPRDocumentEmbedder(Path("pair"), "name", backend="tensorflow", threads=None, batch_size=8)
assert_type(document_embedder.embedding_dim, int)
assert_type(document_embedder.run([haystack.Document(content="text")]), dict[str, list[haystack.Document]])

joiner = TinyDPRBlendJoiner(10, similarity="cosine", retriever_top_k=100, on_mismatch="warn")
joiner.run([haystack.Document(content="text", score=0.5)], [], top_k=3)
retriever = TinyDPRBlendRetriever(InMemoryEmbeddingRetriever(InMemoryDocumentStore()), text_embedder, top_k=3)
retriever.run("a query", filters={"field": "meta.title", "operator": "==", "value": "title"})
assert_type(retriever.synchronize(), list[haystack.Document])
relevance_filter = TinyDPRRelevanceFilter(0.5, text_embedder)
relevance_filter.run([haystack.Document(content="text", score=0.5)], query_embedding=[0.5])
writer = TinyDPRDocumentWriter(InMemoryDocumentStore(), document_embedder, source_meta_field="file")
writer.run([haystack.Document(content="text")])

errors: tuple[type[Exception], ...] = (CheckpointError, ModelNotFoundError, MissingExtraError, UnusableIndexError)

# What must not pass: an ignored error that does not occur is itself an error.
DualEncoder.from_pretrained("pair", pooling="max")  # type: ignore[arg-type]
DualEncoder.from_pretrained("pair", backend="torch")  # type: ignore[arg-type]
DualEncoder.from_pretrained("pair", batch_size=3)  # type: ignore[call-arg]
DualEncoder.from_pretrained("pair", "other")  # type: ignore[call-arg]
Encoder.from_pretrained("pair")  # type: ignore[call-arg]
Encoder.from_pretrained("pair", side="document")  # type: ignore[arg-type]
pair.encode_queries([b"bytes"])  # type: ignore[list-item]
pair.encode_queries([("title", "text")])  # type: ignore[list-item]
pair.encode_passages([1])  # type: ignore[list-item]
index.search("a query", mode="sparse")  # type: ignore[arg-type]
index.search("a query", where={"year": {"from": 2020}})  # type: ignore[dict-item]
TinyDPREmbeddings("pair", backend="torch")  # type: ignore[arg-type]
TinyDPREmbeddings("pair", encode_kwargs={})  # type: ignore[call-arg]
TinyDPRTextEmbedder("pair", threads="2")  # type: ignore[arg-type]
TinyDPRTextEmbedder("pair", title_meta_field="name")  # type: ignore[call-arg]
TinyDPRDocumentEmbedder("pair", token="hf_...")  # type: ignore[arg-type]
TitledVectorStore(InMemoryVectorStore(embeddings), on_mismatch="ignore")  # type: ignore[arg-type]
relevance_score_fn(embeddings, "cosine")  # type: ignore[arg-type]
TinyDPRRelevanceFilter("high")  # type: ignore[arg-type]
Passage("title")  # type: ignore[call-arg]
Passage("title", "text").text = "other"  # type: ignore[misc]
