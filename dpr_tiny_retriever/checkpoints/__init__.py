"""Folder or hub <-> configuration, weights and tokenizer."""
