"""Shards of vectors -> stores that search them, a module a store; each library is imported only in its own."""
