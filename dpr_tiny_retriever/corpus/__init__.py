"""Corpora of any size -> shards of vectors: what reads them, what encodes them, and what can be resumed."""
