"""How the package is used, for the type checker: nothing here is run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from haystack import Document as HaystackDocument
from langchain_core.documents import Document as LangChainDocument
from numpy.typing import NDArray
from typing_extensions import assert_type

from dpr_tiny_retriever import DualEncoder, Encoder, ModelNotFoundError, Passage
from dpr_tiny_retriever.adapters.langchain import TinyDPREmbeddings, join_titles, split_titles
from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder, TinyDPRTextEmbedder


def core(folder: Path) -> None:
    encoder = DualEncoder.from_pretrained(folder, max_query_length=32, normalize=True, local_files_only=True)
    assert_type(encoder.encode_queries(["a question"]), NDArray[np.float32])
    encoder.encode_passages([Passage("title", "text"), Passage(None, "text"), ("title", "text"), "text"])
    passages = [Passage("title", "text")]
    assert_type(encoder.encode_passages(passages, batch_size=8, show_progress=False), NDArray[np.float32])
    assert_type(encoder.embedding_dim, int)
    assert_type(encoder.query_encoder, Encoder)
    encoder.save_pretrained(folder / "copy")
    try:
        DualEncoder.from_pretrained(query_model="owner/query", passage_model="owner/passage", revision="main")
    except ModelNotFoundError as error:
        print(error)


def adapters() -> None:
    embeddings = TinyDPREmbeddings("nlpconnect-L2", title_separator=" | ")
    assert_type(embeddings.embed_documents(["text"]), list[list[float]])
    joined = join_titles([LangChainDocument("text", metadata={"title": "title"})], title_separator=" | ")
    assert_type(split_titles(joined, title_separator=" | "), list[LangChainDocument])
    TinyDPRTextEmbedder("nlpconnect-L2", progress_bar=False).warm_up()
    TinyDPRDocumentEmbedder("nlpconnect-L2", title_meta_field="name").run([HaystackDocument(content="text")])
