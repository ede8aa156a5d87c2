"""The platforms that wheels are built for, and their names in Zig's C compiler."""

from __future__ import annotations

from typing import NamedTuple


class Target(NamedTuple):
    """A platform."""

    #: The wheel's tag, which names the oldest supported system.
    tag: str
    #: Its name in Zig's C compiler.
    triple: str
    #: "x86-64" or "ARM64".
    processor: str
    #: The names of the native library's builds, as in setup.py.
    builds: tuple[str, ...]
    suffix: str


_X86_BUILDS, _ARM_BUILDS = ("base", "avx2", "avx512"), ("base",)

TARGETS = [
    Target("manylinux2014_x86_64", "x86_64-linux-gnu.2.17", "x86-64", _X86_BUILDS, ".so"),
    Target("manylinux2014_aarch64", "aarch64-linux-gnu.2.17", "ARM64", _ARM_BUILDS, ".so"),
    Target("musllinux_1_2_x86_64", "x86_64-linux-musl", "x86-64", _X86_BUILDS, ".so"),
    Target("musllinux_1_2_aarch64", "aarch64-linux-musl", "ARM64", _ARM_BUILDS, ".so"),
    Target("macosx_11_0_x86_64", "x86_64-macos.11.0", "x86-64", _X86_BUILDS, ".dylib"),
    Target("macosx_11_0_arm64", "aarch64-macos.11.0", "ARM64", _ARM_BUILDS, ".dylib"),
    Target("win_amd64", "x86_64-windows-gnu", "x86-64", _X86_BUILDS, ".dll"),
    Target("win_arm64", "aarch64-windows-gnu", "ARM64", _ARM_BUILDS, ".dll"),
]


def chosen(tags: list[str]) -> list[Target]:
    """Return the targets of these tags, or all for an empty list. Raise ValueError for an unknown tag."""
    known = {target.tag: target for target in TARGETS}
    if unknown := [tag for tag in tags if tag not in known]:
        raise ValueError(f"found the platform {unknown[0]}; expected some of {', '.join(known)}")
    return [known[tag] for tag in tags] or TARGETS
