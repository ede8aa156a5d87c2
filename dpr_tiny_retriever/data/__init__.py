"""Published files -> records, data sets and corpora, for training and evaluation."""
