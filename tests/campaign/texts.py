"""Texts of any characters through the core and every adapter that is installed: the same alone and in company."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from model_folders import write_pair
from numpy.typing import NDArray

from dpr_tiny_retriever import DualEncoder

Vectors = NDArray[np.float32]
#: What vectors of texts that no encoder can read have to say for themselves.
REFUSALS = (ValueError, TypeError)

_PIECES = [
    "the ",
    "River",
    "[SEP]",
    "[MASK]",
    "\x00",
    "\x1b[2J",
    "\u0301",
    "\u200b",
    "\u2028",
    "\ufeff",
    "日本",
    "ﷺ",
    "🗼",
    "İ",
]
_PIECES += [
    "\U0010ffff",
    "\ud800",
    " " * 300,
    "x" * 300,
    "\n",
    "\r\n",
    "\t",
    "'s",
    "##a",
    "é" * 50,
    "\u202e",
    "ß",
    "ǆ",
    "٣",
]


def random_text(rng: random.Random, *, surrogates: bool = True) -> str:
    """A text of odd pieces and of any characters, now and then a very long one."""
    parts = []
    for _ in range(rng.choice([0, 1, 3, 10, 40])):
        kind = rng.randrange(3)
        if kind == 0:
            parts.append(rng.choice(_PIECES))
        elif kind == 1:
            parts.append("".join(chr(rng.randrange(32, 127)) for _ in range(rng.randrange(12))))
        else:
            parts.append("".join(chr(rng.choice([rng.randrange(0x3000), rng.randrange(0x110000)])) for _ in range(5)))
    text = "".join(parts) * rng.choice([1, 1, 1, 1, 200])
    return text if surrogates else text.encode("utf-8", "replace").decode()


def has_surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


@cache
def pair_folder(root: Path) -> Path:
    return write_pair(root / "pair", layers=2, width=32)


@cache
def encoder(root: Path) -> DualEncoder:
    return DualEncoder.from_pretrained(pair_folder(root))


@cache
def adapters(root: Path) -> dict[str, Callable[[list[str]], Vectors]]:
    """What embeds passages in each framework that is installed."""
    pair = str(pair_folder(root))
    found: dict[str, Callable[[list[str]], Vectors]] = {}
    if find_spec("langchain_core"):
        from dpr_tiny_retriever.adapters.langchain import TinyDPREmbeddings

        embeddings = TinyDPREmbeddings(pair)
        found["langchain"] = lambda texts: np.array(embeddings.embed_documents(texts), np.float32)
    if find_spec("haystack") and find_spec("haystack.components"):
        from haystack import Document

        from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder

        embedder = TinyDPRDocumentEmbedder(pair, progress_bar=False)
        embedder.warm_up()

        def haystack(texts: list[str]) -> Vectors:
            documents = embedder.run([Document(content=text) for text in texts])["documents"]
            return np.array([document.embedding for document in documents], np.float32)

        found["haystack"] = haystack
    if find_spec("llama_index"):
        from dpr_tiny_retriever.adapters.llama_index import TinyDPREmbedding

        embedding = TinyDPREmbedding(pair)
        found["llama-index"] = lambda texts: np.array(embedding.get_text_embedding_batch(texts), np.float32)
    if find_spec("chromadb"):
        from dpr_tiny_retriever.adapters.chroma import TinyDPREmbeddingFunction

        function = TinyDPREmbeddingFunction(pair)
        found["chroma"] = lambda texts: np.array(function(texts), np.float32)
    if find_spec("haystack") and not find_spec("haystack.components"):
        from haystack.schema import Document as FarmDocument

        from dpr_tiny_retriever.adapters.farm_haystack import TinyDPRRetriever

        retriever = TinyDPRRetriever(None, pair, embed_title=False)
        found["farm-haystack"] = lambda texts: retriever.embed_documents([FarmDocument(text) for text in texts])
    return found


def attempt(seed: int, folder: Path) -> Counter[str]:
    """Encode forty random texts alone, in a batch and through every adapter."""
    rng = random.Random(seed)
    root = folder.parent
    core = encoder(root)
    texts = [random_text(rng) for _ in range(40)]
    sound = [text for text in texts if not has_surrogates(text)]
    counts = Counter({"texts": len(texts), "refused": len(texts) - len(sound)})
    for text in texts:
        if has_surrogates(text):
            _refuses(lambda text=text: core.encode_passages([text]), text)  # type: ignore[misc]
            _refuses(lambda text=text: core.encode_queries([text]), text)  # type: ignore[misc]
    vectors = core.encode_passages(sound)
    assert np.isfinite(vectors).all()
    for text, vector in zip(sound, vectors, strict=True):
        np.testing.assert_array_equal(core.encode_passages([text])[0], vector, err_msg=ascii(text[:200]))
    titled = [(random_text(rng, surrogates=False), text) for text in sound]
    both = core.encode_passages(titled)
    np.testing.assert_array_equal(core.encode_passages(titled[::-1])[::-1], both)
    for name, embed in adapters(root).items():
        np.testing.assert_allclose(embed(sound), vectors, rtol=0, atol=1e-5, err_msg=name)
        broken = next((text for text in texts if has_surrogates(text)), None)
        if broken is not None:
            _refuses(lambda embed=embed, broken=broken: embed(["the river", broken]), broken)  # type: ignore[misc]
        counts[name] += len(sound)
    return counts


def _refuses(embed: Callable[[], object], text: str) -> None:
    try:
        embed()
    except REFUSALS:
        return
    raise AssertionError(f"taken, although UTF-8 cannot hold it: {text[:200]!a}")
