"""What `make docs` adds to the pages in docs/: see mkdocs.yml."""

from __future__ import annotations

import logging
import posixpath
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from command_line import command_line_page
from docstrings import undocumented
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from plots import hit_rates, speed

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
#: Files of the repository's root that are pages of the site.
PAGES_OF_ROOT = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md"}
PLOTS = {"hit_rates": hit_rates, "speed": speed}
LINK = re.compile(r"(\]\()([^)\s#]+)")
log = logging.getLogger("mkdocs.docs_site")  # a warning ends a strict build


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Take the addresses from pyproject.toml, and refuse public names without a docstring."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    # Not repo_url: the theme would ask GitHub for its stars from every reader's browser.
    config.extra["repository"] = urls["Repository"]
    config.extra["social"] = [{"icon": "fontawesome/brands/github", "link": urls["Repository"], "name": "Repository"}]
    for name in undocumented(ROOT, Path(config.docs_dir) / "api"):
        log.warning("%s is public and has no docstring", name)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are generated, and those that stand in the repository's root."""
    files.append(File.generated(config, "command_line.md", content=command_line_page()))
    for source, page in PAGES_OF_ROOT.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to the repository's files into links to pages, or to the repository's address."""
    source = {name: file for file, name in PAGES_OF_ROOT.items()}.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def resolved(link: re.Match[str]) -> str:
        target = link[2]
        if ":" in target:
            return link[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        inside = PAGES_OF_ROOT.get(path) or path.removeprefix("docs/")
        if files.get_file_from_path(inside) is not None or not (ROOT / path).exists():
            return link[1] + posixpath.relpath(inside, posixpath.dirname(page.file.src_uri) or ".")
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"{link[1]}{config.extra['repository']}/{kind}/main/{path}"

    markdown = LINK.sub(resolved, markdown)
    return re.sub(r"<!-- plot: (\w+) -->", lambda found: _figure(PLOTS[found[1]](markdown)), markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put our own drawings into the page itself, where they take its colors."""

    def drawing(image: re.Match[str]) -> str:
        return _figure((Path(config.docs_dir) / "pictures" / image[1]).read_text(encoding="utf-8"))

    return re.sub(r'<p><img [^>]*src="(?:\.\./)*pictures/([\w.]+\.svg)"[^>]*></p>', drawing, html)


def _figure(svg: str) -> str:
    """Return a drawing as a block of HTML in one line, which Markdown leaves as it is."""
    return f"<figure>{' '.join(svg.split())}</figure>"
