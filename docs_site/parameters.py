"""Parameters in docstrings as lists: the package writes one as `name: meaning`, in a paragraph of such lines."""

from __future__ import annotations

import re
from typing import Any

import griffe

PARAMETER = re.compile(r"([a-z_]\w*(?:, [a-z_]\w*)*): (?=\S)")


class ParameterLists(griffe.Extension):
    """Makes a Markdown list of each paragraph that describes parameters."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = with_lists(obj.docstring.value)


def with_lists(docstring: str) -> str:
    """Return the docstring with list items where lines begin with the name of a parameter."""
    paragraphs = docstring.split("\n\n")
    return "\n\n".join(_as_list(paragraph) if PARAMETER.match(paragraph) else paragraph for paragraph in paragraphs)


def _as_list(paragraph: str) -> str:
    """Return a list whose items are the lines that begin with a name; other lines continue the item before."""
    lines = []
    for line in paragraph.splitlines():
        found = PARAMETER.match(line)
        lines.append(f"- **{found[1]}**: {line[found.end() :]}" if found else f"  {line.strip()}")
    return "\n".join(lines)
