"""The haystack-ai component that turns a query into a vector."""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any

from haystack import Document, component

from haystack_integrations.components.embedders.dpr_tiny.connected_stores import (
    components_behind,
    probe_of,
    setting,
    squeezed_scores,
)
from haystack_integrations.components.embedders.dpr_tiny.embedder import TinyDPREmbedder, complete


@complete
@component
@dataclass(eq=False, repr=False)
class TinyDPRTextEmbedder(TinyDPREmbedder):
    """Embeds a query with the query encoder of a pair, for an embedding retriever.

    TinyDPRTextEmbedder("nlpconnect-L2").run("Who wrote Middlemarch?")["embedding"] is a list of 128 floats.
    In a pipeline the first run compares the model with the document store of the retriever behind it: whether its
    nearest document was embedded with the same model, and whether it ranks as the model does; see on_mismatch.

    The parameters, as of TinyDPREmbedder:

    """

    side = "query"

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, list[float]]:
        """Embed one query: {"embedding": [float, ...]}.

        Raises TypeError for anything but a str.
        """
        embedding = self._embed(text)
        for retriever, probe in self._probes(embedding):
            self._check_found(retriever, retriever.run(**probe)["documents"])
        return {"embedding": embedding}

    @component.output_types(embedding=list[float])
    async def run_async(self, text: str) -> dict[str, list[float]]:
        """Call run() in a worker thread, so that the event loop is not blocked."""
        embedding = await asyncio.to_thread(self._embed, text)
        for retriever, probe in self._probes(embedding):
            # In the way the pipeline will call it: some stores allow either sync or async clients, not both.
            if hasattr(retriever, "run_async"):
                found = await retriever.run_async(**probe)
            else:
                found = await asyncio.to_thread(partial(retriever.run, **probe))
            self._check_found(retriever, found["documents"])
        return {"embedding": embedding}

    def _embed(self, text: str) -> list[float]:
        if not isinstance(text, str):
            raise TypeError(
                f"TinyDPRTextEmbedder embeds a str, but text is a {type(text).__name__}; "
                "for a list of documents use TinyDPRDocumentEmbedder"
            )
        vectors = self._load().encode([self.prefix + text + self.suffix], show_progress=self.progress_bar)
        embedding: list[float] = vectors[0].tolist()
        return embedding

    def _probes(self, embedding: list[float]) -> list[tuple[Any, dict[str, Any]]]:
        """Return the connected retrievers that have not been checked, each with the arguments of a top-1 search.

        Their settings are checked here; the stamp of the document that the search returns is checked later.
        """
        probes = []
        for part in components_behind(self):
            store = setting(part, "document_store")
            if store is not None and id(part) not in self._checked:
                self.check_store(store, part)
                if (warning := squeezed_scores(self.encoder, store, part)) is not None:
                    self._warn(warning)
                if (probe := probe_of(part, embedding)) is not None:
                    probes.append((part, probe))
                else:
                    self._checked.add(id(part))
        return probes

    def _check_found(self, retriever: Any, documents: list[Document]) -> None:
        self.check_stamps(documents)
        if documents:
            self._checked.add(id(retriever))
