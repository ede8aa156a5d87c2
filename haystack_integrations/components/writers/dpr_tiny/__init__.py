"""Tiny dense passage retrieval in haystack-ai: a document writer that embeds only new and changed documents."""

# Imported first, because its error names the extra to install if haystack-ai is missing.
import haystack_integrations.components.embedders.dpr_tiny  # noqa: F401  # isort: skip
from haystack_integrations.components.writers.dpr_tiny.document_writer import TinyDPRDocumentWriter

__all__ = ["TinyDPRDocumentWriter"]
