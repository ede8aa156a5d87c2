"""The standard suites that every LangChain integration of embeddings, a retriever or a vector store has to pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import (
    EmbeddingsIntegrationTests,
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)
from langchain_tests.unit_tests import EmbeddingsUnitTests

from dpr_tiny_retriever.adapters.langchain import TinyDPRBlendRetriever, TinyDPREmbeddings, TitledVectorStore

pytestmark = pytest.mark.langchain_modern


class Configuration:
    """Which class the suites test, and on which model."""

    pair_directory: Path

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _use_pair_directory(cls, pair_directory: Path) -> None:
        cls.pair_directory = pair_directory

    @property
    def embeddings_class(self) -> type[TinyDPREmbeddings]:
        return TinyDPREmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": str(self.pair_directory)}


class TestTinyDPREmbeddingsUnit(Configuration, EmbeddingsUnitTests):
    """No setting comes from the environment, so `init_from_env_params` stays empty."""


@pytest.mark.anyio
class TestTinyDPREmbeddingsIntegration(Configuration, EmbeddingsIntegrationTests):
    """The asynchronous tests run on asyncio, by the plugin that anyio brings."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"


@pytest.mark.anyio
class TestTinyDPRBlendRetrieverIntegration(RetrieversIntegrationTests):
    """Over a store in memory, with four documents."""

    params: dict[str, Any]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _use_embeddings(cls, embeddings: TinyDPREmbeddings) -> None:
        documents = [Document(page_content=text) for text in ("a tide", "a whale", "a wave", "the wide sea")]
        cls.params = {
            "vectorstore": InMemoryVectorStore.from_documents(documents, embeddings),
            "documents": documents,
        }

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @property
    def retriever_constructor(self) -> type[TinyDPRBlendRetriever]:
        return TinyDPRBlendRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return self.params

    @property
    def retriever_query_example(self) -> str:
        return "the sea"


@pytest.mark.anyio
class TestTitledVectorStoreIntegration(VectorStoreIntegrationTests):
    """Over a store in memory."""

    one_model: TinyDPREmbeddings

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _use_embeddings(cls, pair_directory: Path) -> None:
        """One model for both sides: the suite expects a text to be the nearest one to itself."""
        model = pair_directory / "query_encoder"
        cls.one_model = TinyDPREmbeddings(query_model=model, passage_model=model, normalize=True)

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    def vectorstore(self) -> TitledVectorStore:  # type: ignore[override]
        return TitledVectorStore(InMemoryVectorStore(self.one_model))
