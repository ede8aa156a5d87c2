"""Check that wheels are what their tags say: `python platforms/check_wheels.py dist [TAG ...]`.

The processor, the oldest system, the required system libraries and the exported names are read from the compiled
libraries.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import lief
from targets import Target, chosen

#: MB
LARGEST_WHEEL = 20
NATIVE = "dpr_tiny_retriever/_native"
#: Exports that linkers for macOS add to every library.
MACOS_EXPORTS = {"__dso_handle", "_mh_dylib_header"}
EXPORTS = {"dpr_build", "dpr_cpu_lanes", "dpr_encode", "dpr_lanes"}
#: The glibc of manylinux2014.
NEWEST_GLIBC = (2, 17)
#: The system libraries that a library may require; of Windows, the beginnings of their names.
NEEDED = {
    "manylinux": ("libc.so.6", "libm.so.6"),
    "musllinux": ("libc.so",),
    "macosx": ("/usr/lib/libSystem.B.dylib",),
    # present since Windows 10; api-ms-win-crt-* is its C runtime
    "win": ("KERNEL32.dll", "api-ms-win-crt-", "ntdll.dll"),
}


def check(folder: Path, targets: list[Target]) -> None:
    """Print a line for each wheel in the folder. Exit with an error at the first faulty wheel."""
    lief.logging.disable()
    contents = set()
    for target in targets:
        [path] = folder.glob(f"dpr_tiny_retriever-*-py3-none-{target.tag}.whl")
        with zipfile.ZipFile(path) as wheel:
            names = {name for name in wheel.namelist() if not name.startswith(f"{NATIVE}/")}
            contents.add(frozenset(names))
            faults = [*faults_of(wheel, target)]
        size = path.stat().st_size / 1e6
        if size > LARGEST_WHEEL:
            faults.append(f"it takes {size:.1f} MB; expected at most {LARGEST_WHEEL}")
        if faults:
            sys.exit(f"{path.name}: {'; '.join(faults)}")
        print(f"{path.name}: {size:.2f} MB, as its tag says")
    if different := frozenset.union(*contents) - frozenset.intersection(*contents):
        sys.exit(f"the wheels differ beside {NATIVE}: {sorted(different)}")


def faults_of(wheel: zipfile.ZipFile, target: Target) -> Iterator[str]:
    """Yield the faults of a wheel."""
    expected = {"build.json", *(f"libbert_{build}{target.suffix}" for build in target.builds)}
    found = {PurePosixPath(name).name for name in wheel.namelist() if name.startswith(f"{NATIVE}/")}
    if found != expected:
        reasons = json.loads(wheel.read(f"{NATIVE}/build.json"))["failures"]
        yield f"found {sorted(found)} in {NATIVE}; expected {sorted(expected)}; {reasons}"
    for name in sorted(found & expected - {"build.json"}):
        library = lief.parse(list(wheel.read(f"{NATIVE}/{name}")))
        for fault in library_faults(library, target):
            yield f"{name} {fault}"


def library_faults(library: lief.Binary, target: Target) -> Iterator[str]:
    """Yield the faults of a library."""
    system = target.tag.partition("_")[0].rstrip("0123456789")
    facts = {"win": windows_facts, "macosx": macos_facts}.get(system, linux_facts)
    processor, exports, needed, faults = facts(library)
    yield from faults
    if processor != target.processor:
        yield f"is for {processor}; expected {target.processor}"
    if exports != EXPORTS:
        yield f"exports {sorted(exports)}; expected {sorted(EXPORTS)}"
    if others := [name for name in needed if not name.startswith(NEEDED[system])]:
        yield f"needs {others}; expected nothing but {NEEDED[system]}"


#: The processor, the exported names, the libraries that are needed, and faults.
Facts = tuple[str, set[str], list[str], list[str]]


def linux_facts(library: lief.ELF.Binary) -> Facts:
    """Return the facts of a library for Linux. Symbols of a newer glibc are a fault."""
    machines = {lief.ELF.ARCH.X86_64: "x86-64", lief.ELF.ARCH.AARCH64: "ARM64"}
    exports = {symbol.name for symbol in library.exported_symbols}
    required = [entry for needed in library.symbols_version_requirement for entry in needed.get_auxiliary_symbols()]
    versions = {str(entry.name) for entry in required}
    newer = [name for name in sorted(versions) if glibc_version(name) > NEWEST_GLIBC]
    faults = [f"needs {', '.join(newer)}; expected at most glibc 2.17's"] if newer else []
    return machines[library.header.machine_type], exports, [str(name) for name in library.libraries], faults


def glibc_version(name: str) -> tuple[int, ...]:
    """Return (2, 2, 5) for GLIBC_2.2.5."""
    return tuple(int(part) for part in name.removeprefix("GLIBC_").split("."))


def macos_facts(library: lief.MachO.Binary) -> Facts:
    """Return the facts of a library for macOS. Another oldest macOS, and on ARM64 no signature, are faults."""
    machines = {lief.MachO.Header.CPU_TYPE.X86_64: "x86-64", lief.MachO.Header.CPU_TYPE.ARM64: "ARM64"}
    processor = machines[library.header.cpu_type]
    exports = {str(symbol.name).removeprefix("_") for symbol in library.exported_symbols} - MACOS_EXPORTS
    oldest = library.build_version.minos if library.has_build_version else library.version_min.version
    faults = []
    if list(oldest)[:2] != [11, 0]:
        faults.append(f"is for macOS {oldest}; expected 11.0")
    if processor == "ARM64" and not library.has_code_signature:  # the system loads no other
        faults.append("has no signature; expected one of its own hashes")
    needed = [command.name for command in library.libraries if command.command != lief.MachO.LoadCommand.TYPE.ID_DYLIB]
    return processor, exports, needed, faults


def windows_facts(library: lief.PE.Binary) -> Facts:
    """Return the facts of a library for Windows."""
    machines = {lief.PE.Header.MACHINE_TYPES.AMD64: "x86-64", lief.PE.Header.MACHINE_TYPES.ARM64: "ARM64"}
    exports = {entry.name for entry in library.get_export().entries}
    return machines[library.header.machine], exports, list(library.libraries), []


if __name__ == "__main__":
    check(Path(sys.argv[1]), chosen(sys.argv[2:]))
