"""Tiny dense passage retrieval in haystack-ai: a retriever that blends vectors with BM25, and a filter
of what is near, over any document store."""

# Imported first, because its error names the extra to install if haystack-ai is missing.
import haystack_integrations.components.embedders.dpr_tiny  # noqa: F401  # isort: skip
from haystack_integrations.components.retrievers.dpr_tiny.blend_retriever import TinyDPRBlendRetriever
from haystack_integrations.components.retrievers.dpr_tiny.relevance_filter import TinyDPRRelevanceFilter

__all__ = ["TinyDPRBlendRetriever", "TinyDPRRelevanceFilter"]
