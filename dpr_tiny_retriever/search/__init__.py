"""Search in a folder of texts: titled passages, an index on disk, and the commands `search` and `demo`."""
