"""Write the passages of a folder of shards, with their vectors, into a document store of haystack-ai.

    pip install "dpr-tiny-retriever[corpus,haystack]" qdrant-haystack
    dpr-tiny encode corpus.jsonl --output vectors --keep title --keep text
    python examples/haystack_shards.py vectors store

Any document store can take the place of Qdrant's. A shard that is there with all its documents is passed over, and a
document that is written twice replaces itself: a run that was ended goes on. One shard is in memory.
"""

import argparse

from haystack import Document
from haystack.components.writers import DocumentWriter
from haystack.document_stores.types import DocumentStore, DuplicatePolicy
from haystack_integrations.document_stores.qdrant import QdrantDocumentStore
from tqdm import tqdm

from dpr_tiny_retriever.corpus import ShardFolder


def write_shards(folder: ShardFolder, store: DocumentStore) -> int:
    """Returns how many documents were written."""
    writer = DocumentWriter(store, DuplicatePolicy.OVERWRITE)
    written = 0
    for shard in tqdm(folder.shards(), total=len(folder.manifest.shards), unit=" shards"):
        here = {"field": "meta.shard", "operator": "==", "value": shard.name}
        if len(store.filter_documents(here)) < shard.num_rows:
            texts, titles = shard.columns["text"], shard.columns["title"]
            documents = [
                Document(id=id, content=text, embedding=vector, meta={"title": title, "shard": shard.name})
                for id, text, title, vector in zip(shard.ids, texts, titles, shard.vectors.tolist(), strict=True)
            ]
            written += writer.run(documents)["documents_written"]
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="the shards, with titles and texts")
    parser.add_argument("store", help="a folder that keeps the document store")
    arguments = parser.parse_args()
    folder = ShardFolder(arguments.folder)
    job = folder.manifest.job
    similarity = "cosine" if job.similarity == "cosine" else "dot_product"
    store = QdrantDocumentStore(path=arguments.store, embedding_dim=job.embedding_dim, similarity=similarity)
    print(f"{write_shards(folder, store)} documents written, {store.count_documents()} in the store")
    store.close()


if __name__ == "__main__":
    main()
