"""Retrieval with langchain-core alone: the in-memory store and a chain."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough

from dpr_tiny_retriever.adapters.langchain import TinyDPREmbeddings, TitledVectorStore

pytestmark = pytest.mark.langchain


@pytest.fixture
def store(minilm: TinyDPREmbeddings, documents: list[Document]) -> TitledVectorStore:
    return TitledVectorStore.from_documents(documents, minilm)


def test_every_question_finds_its_passage_first(store: TitledVectorStore, questions: dict[str, str]) -> None:
    assert {q: store.similarity_search(q, k=1)[0].metadata["title"] for q in questions} == questions


def test_the_score_is_the_cosine_of_the_cores_vectors(
    store: TitledVectorStore, minilm: TinyDPREmbeddings, documents: list[Document]
) -> None:
    question = "Which insect stores food in wax combs?"
    passages = [(document.metadata["title"], document.page_content) for document in documents]
    expected = minilm.encoder.encode_passages(passages) @ minilm.encoder.encode_queries([question])[0]
    ranking = store.similarity_search_with_score(question, k=len(documents))
    assert [document.metadata["shelf"] for document, _ in ranking] == np.argsort(-expected).tolist()
    np.testing.assert_allclose([score for _, score in ranking], np.sort(expected)[::-1], atol=1e-5)


def test_search_works_asynchronously(store: TitledVectorStore, questions: dict[str, str]) -> None:
    async def search() -> list[str]:
        rankings = await asyncio.gather(*(store.asimilarity_search(question, k=1) for question in questions))
        return [documents[0].metadata["title"] for documents in rankings]

    assert asyncio.run(search()) == list(questions.values())


@pytest.fixture
def chain(store: TitledVectorStore) -> Runnable[str, str]:
    """Retriever and prompt; instead of a chat model, the last line of the prompt is the answer."""
    context = store.as_retriever(search_kwargs={"k": 1}) | RunnableLambda(
        lambda documents: "\n".join(f"{document.metadata['title']}: {document.page_content}" for document in documents)
    )
    prompt = ChatPromptTemplate.from_template("{question}\n{context}")
    last_line = RunnableLambda(lambda value: value.to_string().splitlines()[-1])
    return {"question": RunnablePassthrough(), "context": context} | prompt | last_line | StrOutputParser()


def test_a_chain_puts_title_and_text_into_the_prompt(
    chain: Runnable[str, str], documents: list[Document], questions: dict[str, str]
) -> None:
    texts = {document.metadata["title"]: document.page_content for document in documents}
    expected = [f"{title}: {texts[title]}" for title in questions.values()]
    assert chain.batch(list(questions)) == expected
    assert asyncio.run(chain.abatch(list(questions))) == expected
