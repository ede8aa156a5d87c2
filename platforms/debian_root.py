"""Debian's packages, of this processor or another, unpacked into a folder; nothing is installed."""

from __future__ import annotations

import subprocess
from pathlib import Path


def debian_root(cache: Path, architecture: str, packages: list[str]) -> Path:
    """Return a folder with the packages and their dependencies for "amd64" or "arm64"; download them the first time."""
    root = cache.resolve() / "root"
    if root.exists():
        return root
    for folder in ("lists/partial", "archives/partial", "unpacked"):
        (cache / folder).mkdir(parents=True, exist_ok=True)
    (cache / "status").touch()
    places = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "Dir::State": cache.resolve(),
        "Dir::State::status": cache.resolve() / "status",
        "Dir::Cache": cache.resolve(),
    }
    apt = ["apt-get", "-qq", *(f"--option={name}={value}" for name, value in places.items())]
    # The packages that are installed here are not looked at or touched.
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "install", "--yes", "--no-install-recommends", "--download-only", *packages], check=True)
    for package in (cache / "archives").glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", package, cache / "unpacked"], check=True)
    (cache / "unpacked").rename(root)
    return root
