"""Split documents into batches for a vector store, so that within a batch equal texts have equal titles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from langchain_core.documents import Document

from dpr_tiny_retriever.adapters.langchain.stamps import stamped
from dpr_tiny_retriever.adapters.langchain.titles import title_of


class DocumentBatch(NamedTuple):
    """The documents and further arguments of one call of a store's method."""

    positions: Sequence[int]
    """The positions of these documents among all given ones."""
    documents: list[Document]
    options: dict[str, Any]
    titles: dict[str, str]
    """text -> title, "" if there is none."""


def in_batches(
    documents: Iterable[Document], title_key: str | None, options: Mapping[str, Any], stamp: str | None
) -> list[DocumentBatch]:
    """Split documents into batches, usually a single one; no documents are one empty batch.

    options: for the store's method; `ids`, one for each document, are split like the documents.
    stamp: the model stamp to add to the metadata; None adds none.
    """
    given = list(documents)
    titles = [title_of(document, position, title_key) for position, document in enumerate(given)]
    given = given if stamp is None else [stamped(document, stamp) for document in given]
    groups: list[dict[str, str]] = [{}]
    positions: list[list[int]] = [[]]
    for position, (document, title) in enumerate(zip(given, titles, strict=True)):
        number = 0
        while groups[number].setdefault(document.page_content, title) != title:
            number += 1
            if number == len(groups):
                groups.append({})
                positions.append([])
        positions[number].append(position)
    if len(groups) == 1:
        return [DocumentBatch(positions[0], given, dict(options), groups[0])]
    ids = options.get("ids")
    return [
        DocumentBatch(
            rows,
            [given[row] for row in rows],
            dict(options) if ids is None else {**options, "ids": [ids[row] for row in rows]},
            group,
        )
        for rows, group in zip(positions, groups, strict=True)
    ]


def with_ids(documents: Sequence[Document], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with the documents' ids, if any has one: older LangChain releases drop them in from_documents."""
    if "ids" in options or not any(document.id for document in documents):
        return dict(options)
    return {**options, "ids": [document.id or str(uuid4()) for document in documents]}


def in_given_order(batches: Sequence[DocumentBatch], ids: Sequence[Sequence[str]]) -> list[str]:
    """Return the ids of all batches in the order of the given documents."""
    if len(batches) == 1:
        return list(ids[0])
    by_position = {
        position: id
        for batch, given in zip(batches, ids, strict=True)
        for position, id in zip(batch.positions, given, strict=True)
    }
    return [by_position[position] for position in sorted(by_position)]


def as_documents(texts: Iterable[str], metadatas: Sequence[Mapping[str, Any]] | None) -> list[Document]:
    """Return documents of texts and metadata; raises ValueError if their numbers differ."""
    given = list(texts)
    if metadatas is not None and len(metadatas) != len(given):
        raise ValueError(f"there are {len(given)} texts and {len(metadatas)} metadatas; expected as many")
    return [
        Document(page_content=text, metadata=dict(metadata))
        for text, metadata in zip(given, metadatas or [{}] * len(given), strict=True)
    ]
