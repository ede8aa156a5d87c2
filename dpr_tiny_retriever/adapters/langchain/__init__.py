"""LangChain, from langchain-core 0.2 to 1.x: embeddings, titles, and a retriever that blends vectors with BM25."""

from dpr_tiny_retriever.errors import MissingExtraError

try:
    import langchain_core  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingExtraError(
        f"{error.name} is not installed, and the LangChain adapter needs it: "
        'pip install "dpr-tiny-retriever[langchain]"'
    ) from error

from dpr_tiny_retriever.adapters.langchain.blend_retriever import TinyDPRBlendRetriever
from dpr_tiny_retriever.adapters.langchain.embeddings import TinyDPREmbeddings
from dpr_tiny_retriever.adapters.langchain.store_scores import relevance_score_fn
from dpr_tiny_retriever.adapters.langchain.titled_store import TitledVectorStore

__all__ = ["TinyDPRBlendRetriever", "TinyDPREmbeddings", "TitledVectorStore", "relevance_score_fn"]
