"""Tiny dense passage retrieval in haystack-ai: what blends the hits of an embedding and of a BM25 retriever."""

# Imported first, because its error names the extra to install if haystack-ai is missing.
import haystack_integrations.components.embedders.dpr_tiny  # noqa: F401  # isort: skip
from haystack_integrations.components.joiners.dpr_tiny.blend_joiner import TinyDPRBlendJoiner

__all__ = ["TinyDPRBlendJoiner"]
