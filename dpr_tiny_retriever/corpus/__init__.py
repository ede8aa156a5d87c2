"""Corpora of any size -> shards of vectors: what reads them, what encodes them, and what can be resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpr_tiny_retriever.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from dpr_tiny_retriever.corpus.batch_encoder import BatchEncoder
    from dpr_tiny_retriever.corpus.encoding import EncodedCorpus, encode_corpus
    from dpr_tiny_retriever.corpus.manifest import CorpusFolderError, Manifest
    from dpr_tiny_retriever.corpus.row_maker import Fields
    from dpr_tiny_retriever.corpus.rows import BadRow, CorpusRow
    from dpr_tiny_retriever.corpus.shard_folder import Shard, ShardFolder
    from dpr_tiny_retriever.corpus.shard_options import ShardOptions
    from dpr_tiny_retriever.corpus.sources import Sources

_HOMES = {
    "corpus.batch_encoder": ("BatchEncoder",),
    "corpus.encoding": ("EncodedCorpus", "encode_corpus"),
    "corpus.manifest": ("CorpusFolderError", "Manifest"),
    "corpus.row_maker": ("Fields",),
    "corpus.rows": ("BadRow", "CorpusRow"),
    "corpus.shard_folder": ("Shard", "ShardFolder"),
    "corpus.shard_options": ("ShardOptions",),
    "corpus.sources": ("Sources",),
}

__getattr__, __dir__ = lazy_exports(__name__, _HOMES, extra="corpus")

__all__ = [
    "BadRow",
    "BatchEncoder",
    "CorpusFolderError",
    "CorpusRow",
    "EncodedCorpus",
    "Fields",
    "Manifest",
    "Shard",
    "ShardFolder",
    "ShardOptions",
    "Sources",
    "encode_corpus",
]
