"""A warning for documents whose titles are in another meta field than the embedder reads."""

from collections import Counter
from collections.abc import Collection, Sequence

from haystack import Document, logging

logger = logging.getLogger(__name__)

# Names of title fields in loaders, converters and splitters, best first; lower case, without "_", "-" and blanks.
_TITLE_KEYS = "title doctitle documenttitle pagetitle headline heading header header1 subject name".split()


def has_titles(documents: Sequence[Document], title_meta_field: str) -> bool:
    """Whether any document has a non-blank title in that meta field."""
    return any(_is_title(document.meta.get(title_meta_field)) for document in documents)


def unused_title_field(documents: Sequence[Document], used: Collection[str]) -> str | None:
    """Return the unused meta field that seems to hold the titles of most documents, if any."""
    counts = Counter(
        name
        for document in documents
        for name, value in document.meta.items()
        if _plain(name) in _TITLE_KEYS and name not in used and _is_title(value)
    )
    likely = [name for name, count in counts.items() if 2 * count > len(documents)]
    return min(likely, key=lambda name: _TITLE_KEYS.index(_plain(name)), default=None)


def warn_of_unused_titles(documents: Sequence[Document], title_meta_field: str | None, used: Collection[str]) -> bool:
    """Warn if no document has a title and another meta field seems to hold titles; return whether it warned."""
    if title_meta_field is not None and has_titles(documents, title_meta_field):
        return False
    found = unused_title_field(documents, used)
    if found is None:
        return False
    logger.warning(
        "No title of {count} documents is embedded, since title_meta_field is {field}, but meta[{found}] seems to hold "
        "titles. Documents rank better with them: TinyDPRDocumentEmbedder(title_meta_field={found}).",
        count=len(documents),
        field=repr(title_meta_field),
        found=repr(found),
    )
    return True


def _plain(name: object) -> str:
    return str(name).lower().translate({ord(mark): None for mark in "_- "})


def _is_title(value: object) -> bool:
    return isinstance(value, str) and not value.isspace() and value != ""
