"""A warning for documents whose titles are in another meta field than the embedder reads."""

from collections.abc import Collection, Sequence

from haystack import Document, logging

from dpr_tiny_retriever.data.title_keys import likely_title_key

logger = logging.getLogger(__name__)


def warn_of_unused_titles(documents: Sequence[Document], title_meta_field: str | None, used: Collection[str]) -> bool:
    """Warn if no document has a title and another meta field seems to hold titles; return whether it warned."""
    found = likely_title_key((document.meta for document in documents), title_key=title_meta_field, used=used)
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
