"""Tiny dense passage retrieval in haystack-ai: one embedder for queries, one for titled documents."""

from importlib.metadata import PackageNotFoundError, version

from dpr_tiny_retriever import MissingExtraError

try:
    from haystack import component  # noqa: F401  farm-haystack's package haystack has no such name
except ImportError as error:
    try:
        installed = f"farm-haystack {version('farm-haystack')}, which has the same import name: uninstall it, then"
    except PackageNotFoundError:
        installed = "none:"
    raise MissingExtraError(
        f'these components need haystack-ai 2 or 3; found {installed} pip install "dpr-tiny-retriever[haystack]"'
    ) from error

from haystack_integrations.components.embedders.dpr_tiny.document_embedder import TinyDPRDocumentEmbedder
from haystack_integrations.components.embedders.dpr_tiny.text_embedder import TinyDPRTextEmbedder

__all__ = ["TinyDPRDocumentEmbedder", "TinyDPRTextEmbedder"]
