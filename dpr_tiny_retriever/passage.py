"""Passage: the one type of text that adapters and core exchange."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Passage:
    """A text and the title of its document; None or an empty title stands for no title."""

    title: str | None
    text: str


PassageLike: TypeAlias = Passage | tuple[str | None, str] | str


def as_queries(queries: Iterable[str]) -> list[str]:
    """Check that every query is a str and return them as a list.

    Raises TypeError or, for a text that is not valid Unicode, ValueError that names the position.
    """
    _refuse_single(queries, "queries")
    checked = list(queries)
    for position, query in enumerate(checked):
        if not isinstance(query, str):
            raise TypeError(f"query {position} is {_describe(query)}; expected str")
        refuse_surrogates(query, f"query {position}")
    return checked


def as_passages(passages: Iterable[PassageLike]) -> list[tuple[str, str]]:
    """Convert Passage, (title, text) and plain str to (title, text) pairs; "" stands for no title.

    Raises TypeError or, for a text that is not valid Unicode, ValueError that names the position.
    """
    return list(iterated_passages(passages))


def iterated_passages(passages: Iterable[PassageLike]) -> Iterator[tuple[str, str]]:
    """Like as_passages, but lazily; a wrong kind of argument raises at once."""
    _refuse_single(passages, "passages")
    return (_as_pair(passage, position) for position, passage in enumerate(passages))


def as_ids(ids: Iterable[str]) -> list[str]:
    """The ids as a list; raises TypeError for a single str and for an id that is no str."""
    if isinstance(ids, (str, bytes)):
        raise TypeError(f"ids is {ids!r}; expected a list of ids (a single one goes into a list of one)")
    checked = list(ids)
    for id in checked:
        if not isinstance(id, str):
            raise TypeError(f"an id is {id!r}; expected str")
    return checked


def refuse_surrogates(text: str, where: str) -> None:
    """Raise ValueError if a text holds a lone surrogate, which is not valid Unicode; where names the text."""
    if text.isascii():  # a flag of the string, so most texts cost nothing
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{where} holds the lone surrogate U+{ord(text[error.start]):04X} at character {error.start}, half of a "
            "character; expected valid Unicode: read the source with its encoding, or with errors='replace'"
        ) from None


def _as_pair(passage: PassageLike, position: int) -> tuple[str, str]:
    title: str | None
    if isinstance(passage, str):
        title, text = None, passage
    elif isinstance(passage, Passage):
        title, text = passage.title, passage.text
    elif isinstance(passage, tuple) and len(passage) == 2:
        title, text = passage
    else:
        hint = "; write Passage(record['title'], record['text'])" if isinstance(passage, dict) else ""
        expected = "Passage(title, text), a (title, text) tuple or str"
        raise TypeError(f"passage {position} is {_describe(passage)}; expected {expected}{hint}")
    if not isinstance(text, str):
        raise TypeError(f"the text of passage {position} is {_describe(text)}; expected str")
    if title is not None and not isinstance(title, str):
        raise TypeError(f"the title of passage {position} is {_describe(title)}; expected str or None")
    refuse_surrogates(text, f"the text of passage {position}")
    if title:
        refuse_surrogates(title, f"the title of passage {position}")
    return title or "", text


def _refuse_single(values: object, what: str) -> None:
    if _is_mapping_or_table(values):
        hint = "such as list(zip(table['title'], table['text'])) or list(mapping.values())"
        raise TypeError(f"{what} is {_describe(values)}; expected a list, {hint}")
    if isinstance(values, (str, bytes, bytearray, memoryview, Passage)) or not isinstance(values, Iterable):
        raise TypeError(f"{what} is {_describe(values)}; expected a list (a single one goes into a list of one)")


def _is_mapping_or_table(values: object) -> bool:
    """Whether iterating gives keys: a mapping, also one that does not say so, or a table, but no column of one."""
    return isinstance(values, Mapping) or (hasattr(values, "keys") and getattr(values, "ndim", 0) != 1)


def _describe(value: object) -> str:
    if value is None:
        return "None"
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} with the keys {_shortened(', '.join(map(str, islice(value, 9)))) or '(none)'}"
    if _is_mapping_or_table(value):
        return f"a {type(value).__name__}"
    return f"{type(value).__name__} {_shortened(repr(value))}"


def _shortened(shown: str) -> str:
    return shown if len(shown) <= 40 else f"{shown[:40]}..."
