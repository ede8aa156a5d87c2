"""Prints what CHANGELOG.md says of the version that a tag releases: `release_notes.py v0.2.0 https://HOST/OWNER/NAME`.

Ends with an error where the tag, the version of the package, the changelog and the address of the repository in
pyproject.toml do not agree.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def release_notes(tag: str, repository: str, root: Path = ROOT) -> str:
    """The version's part of the changelog. Raises ValueError with what does not agree."""
    [version] = re.findall(r'__version__ = "(.*)"', read(root / "dpr_tiny_retriever" / "_version.py"))
    if tag != f"v{version}":
        raise ValueError(f"found the tag {tag}; expected v{version}, the package's version")
    [address] = re.findall(r'^Repository = "(.*)"', read(root / "pyproject.toml"), flags=re.MULTILINE)
    if address != repository:
        raise ValueError(
            f"found {address} as the Repository in pyproject.toml; expected {repository}, which is to be released: "
            "correct the addresses below [project.urls]"
        )
    parts = re.split(r"^## \[(.*?)\].*\n", read(root / "CHANGELOG.md"), flags=re.MULTILINE)
    notes = dict(zip(parts[1::2], parts[2::2], strict=True))
    if version not in notes:
        raise ValueError(f"found no heading for {version} in CHANGELOG.md; expected ## [{version}] - YYYY-MM-DD")
    return notes[version].strip()


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


if __name__ == "__main__":
    try:
        print(release_notes(*sys.argv[1:]))
    except ValueError as error:
        sys.exit(str(error))
