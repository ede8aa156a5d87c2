"""Tiny dense passage retrieval in haystack-ai: what embeds and writes what a store lacks."""

# First, since it says what to install where haystack-ai is missing.
import haystack_integrations.components.embedders.dpr_tiny  # noqa: F401  # isort: skip
from haystack_integrations.components.writers.dpr_tiny.document_writer import TinyDPRDocumentWriter

__all__ = ["TinyDPRDocumentWriter"]
