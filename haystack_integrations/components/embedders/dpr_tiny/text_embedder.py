"""The haystack-ai component that turns a query into a vector."""

import asyncio
from dataclasses import dataclass

from haystack import component

from haystack_integrations.components.embedders.dpr_tiny.embedder import TinyDPREmbedder


@component
@dataclass(eq=False, repr=False)
class TinyDPRTextEmbedder(TinyDPREmbedder):
    """Embeds a query with the query encoder of a pair, for an embedding retriever.

    TinyDPRTextEmbedder("nlpconnect-L2").run("Who wrote Middlemarch?")["embedding"] is a list of 128 floats.
    The parameters are those of TinyDPREmbedder.
    """

    side = "query"

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, list[float]]:
        """Embed one query: {"embedding": [float, ...]}.

        Raises TypeError for anything but a str.
        """
        if not isinstance(text, str):
            raise TypeError(
                f"TinyDPRTextEmbedder embeds a str, but text is a {type(text).__name__}; "
                "for a list of documents use TinyDPRDocumentEmbedder"
            )
        vectors = self._load().encode([self.prefix + text + self.suffix], show_progress=self.progress_bar)
        embedding: list[float] = vectors[0].tolist()
        return {"embedding": embedding}

    @component.output_types(embedding=list[float])
    async def run_async(self, text: str) -> dict[str, list[float]]:
        """As run(), in a thread, so that the event loop is not blocked."""
        return await asyncio.to_thread(self.run, text)


# @component sets a repr of its own, which tells neither model nor backend.
TinyDPRTextEmbedder.__repr__ = TinyDPREmbedder.__repr__  # type: ignore[method-assign]
