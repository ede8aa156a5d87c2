"""What the retriever takes from farm-haystack 1.26, or an error that says what to install."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from dpr_tiny_retriever.errors import MissingExtraError

try:
    from haystack.document_stores.base import BaseDocumentStore  # type: ignore[import-not-found]
    from haystack.nodes.retriever.dense import DenseRetriever  # type: ignore[import-not-found]
    from haystack.schema import Document, FilterType  # type: ignore[import-not-found]
except ImportError as error:
    installed = "none:"
    with suppress(PackageNotFoundError):
        installed = f"haystack-ai {version('haystack-ai')}, which excludes it: uninstall that, then"
    if installed == "none:" and (error.name or "").split(".")[0] != "haystack":
        raise  # farm-haystack is installed, but a library that it needs is not
    raise MissingExtraError(
        f'TinyDPRRetriever needs farm-haystack 1.26; found {installed} pip install "dpr-tiny-retriever[farm-haystack]"'
    ) from error

__all__ = ["BaseDocumentStore", "DenseRetriever", "Document", "FilterType"]
