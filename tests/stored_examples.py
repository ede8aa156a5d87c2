"""Three examples in a store, for the tests of training and of recipes."""

from __future__ import annotations

from dpr_tiny_retriever import DualEncoder, Passage
from dpr_tiny_retriever.data.examples import Example
from dpr_tiny_retriever.training.token_store import ExampleStore

EXAMPLES = [
    Example("who wrote it", (Passage("Title", "a tower"),), (Passage(None, "not it"),)),
    Example("what city", (Passage("City", "the city of the river"),)),
    Example("who wrote it", (Passage(None, "a river"),)),
]


def stored(pair: DualEncoder) -> ExampleStore:
    examples = ExampleStore(pair.query_encoder.tokenizer, 16, 16)
    for example in EXAMPLES:
        examples.add(example)
    return examples
