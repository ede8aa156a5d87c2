"""Passages and vectors -> ranked passages."""
