"""The command `dpr-tiny info`: what is installed, what runs the models, and what the cache holds."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from dpr_tiny_retriever._version import __version__
from dpr_tiny_retriever.cache_folders import CacheFolder, cache_folders, clear_cache_folders
from dpr_tiny_retriever.commands.console import say

_PACKAGE = "dpr-tiny-retriever"
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[(?P<extras>[^]]*)\])?")
_EXTRA_MARKER = re.compile(r"""extra == ['"](?P<extra>[^'"]+)['"]""")


@dataclass(frozen=True)
class _BundledPair:
    """A pair that ships, and what runs it here, or why nothing does."""

    name: str
    backend: str
    embedding_dim: int | None


@dataclass(frozen=True)
class _Extra:
    """An extra of the package: its requirements with their versions, None where one is missing."""

    name: str
    requirements: dict[str, str | None]

    @property
    def command(self) -> str:
        """What installs it."""
        return f'pip install "{_PACKAGE}[{self.name}]"'

    @property
    def is_complete(self) -> bool:
        """Whether everything is there."""
        return None not in self.requirements.values()


@dataclass(frozen=True)
class _Report:
    version: str
    python: str
    platform: str
    bundled_pairs: list[_BundledPair]
    threads: int
    native_builds: list[str]
    missing_native_builds: dict[str, str]
    extras: list[_Extra]
    caches: list[CacheFolder]


def info(
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove all caches, without a question, and say what was removed.")
    ] = False,
) -> None:
    """Show the version, what runs the models, the extras and the caches; or clear the caches."""
    if clear:
        _clear(as_json)
        return
    report = _collect()
    if as_json:
        extras = {extra.name: extra.requirements for extra in report.extras}
        record = asdict(report) | {"extras": extras, "caches": _cache_records(report.caches)}
        say(json.dumps(record, indent=2))
    else:
        say("\n".join(_lines(report)))


def install_hint(module: str) -> str:
    """How to install a missing module: by the first extra that asks for a distribution of its name, or by that name."""
    distribution = module.partition(".")[0].replace("_", "-")
    extras = (extra.command for extra in _extras() if distribution in extra.requirements)
    return next(extras, f"pip install {distribution}")


def _clear(as_json: bool) -> None:
    removed = clear_cache_folders()
    if as_json:
        say(json.dumps({"removed": _cache_records(removed)}, indent=2))
    elif not removed:
        say("There is no cache to remove.")
    else:
        say("\n".join(f"Removed {folder.path} ({_megabytes(folder.size)})" for folder in removed))


def _cache_records(folders: list[CacheFolder]) -> list[dict[str, object]]:
    return [{"path": str(folder.path), "size": folder.size} for folder in folders]


def _collect() -> _Report:
    from dpr_tiny_retriever.checkpoints.bundled_pairs import BUNDLED_PAIRS
    from dpr_tiny_retriever.model.native_library import available_builds, unavailable_builds
    from dpr_tiny_retriever.threads import usable_processors

    return _Report(
        version=__version__,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        platform=platform.platform(),
        bundled_pairs=[_bundled_pair(name) for name in BUNDLED_PAIRS],
        threads=usable_processors(),
        native_builds=list(available_builds()),
        missing_native_builds=dict(unavailable_builds()),
        extras=list(_extras()),
        caches=cache_folders(),
    )


def _bundled_pair(name: str) -> _BundledPair:
    from dpr_tiny_retriever.dual_encoder import DualEncoder

    try:
        encoder = DualEncoder.from_pretrained(name)
    except (ValueError, OSError, ImportError) as error:  # who asks for help needs the rest of the report most
        return _BundledPair(name, f"none: {error}", None)
    return _BundledPair(name, encoder.backend, encoder.embedding_dim)


def _extras() -> Iterator[_Extra]:
    """The extras by the package's own metadata, with what is installed of each."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        listed = requires(_PACKAGE) or []
    except PackageNotFoundError:  # run from its source, without an installation
        return
    of_extra: dict[str, list[str]] = {}
    for line in listed:
        if marker := _EXTRA_MARKER.search(line):
            of_extra.setdefault(marker["extra"], []).append(line)
    for name in of_extra:
        yield _Extra(name, {requirement: _installed(requirement) for requirement in _distributions(name, of_extra)})


def _distributions(extra: str, of_extra: dict[str, list[str]]) -> Iterator[str]:
    """The distributions that an extra asks for, those of the extras that it includes too."""
    for line in of_extra.get(extra, []):
        requirement = _REQUIREMENT.match(line)
        assert requirement is not None
        if requirement["name"] == _PACKAGE:
            for included in requirement["extras"].split(","):
                yield from _distributions(included, of_extra)
        else:
            yield requirement["name"]


def _installed(distribution: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _lines(report: _Report) -> Iterator[str]:
    yield f"{_PACKAGE} {report.version}, {report.python}, {report.platform}"
    for pair in report.bundled_pairs:
        width = f"{pair.embedding_dim} floats, " if pair.embedding_dim else ""
        yield f"Bundled pair: {pair.name} ({width}backend {pair.backend})"
    yield f"Threads: {report.threads}"
    yield f"Native builds that run here: {', '.join(report.native_builds) or 'none'}"
    yield from (f"  not {build}: {reason}" for build, reason in report.missing_native_builds.items())
    yield "Extras:"
    for extra in report.extras:
        found = ", ".join(f"{name} {version}" for name, version in extra.requirements.items())
        yield f"  {extra.name:<14}{found if extra.is_complete else extra.command}"
    yield "Caches:" if report.caches else "Caches: none"
    for folder in report.caches:
        yield f"  {_megabytes(folder.size):>12}  {folder.path}"
    if report.caches:
        yield "  dpr-tiny info --clear removes them."


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
