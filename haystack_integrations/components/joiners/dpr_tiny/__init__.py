"""Tiny dense passage retrieval in haystack-ai: what blends the hits of an embedding and of a BM25 retriever."""

# First, since it says what to install where haystack-ai is missing.
import haystack_integrations.components.embedders.dpr_tiny  # noqa: F401  # isort: skip
from haystack_integrations.components.joiners.dpr_tiny.blend_joiner import TinyDPRBlendJoiner

__all__ = ["TinyDPRBlendJoiner"]
