"""Token ids -> vectors: one BERT, three ways to run it."""
