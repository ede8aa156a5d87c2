"""Data files as they are published: plain, gzip'd or in Zstandard's form, opened as streams of bytes."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from dpr_tiny_retriever.errors import MissingExtraError

#: The longest line, and the longest object of a JSON array, that is read, in bytes: what bounds memory.
LONGEST_LINE = 16 * 2**20
_CHUNK = 1 << 17  # bytes
_GZIP = b"\x1f\x8b"
_ZSTANDARD = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")  # a frame, or one to be passed over


class Place(NamedTuple):
    """Where a record begins: a file and a line, counted from 1."""

    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


class DataError(ValueError):
    """Data that cannot be used; the message begins with the file and line."""

    def __init__(self, where: Place | Path, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.where = where
        self.problem = problem


class MisreadDataError(DataError):
    """Data of which other records than one would be lost or misread: never skipped."""


@contextmanager
def open_data_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file and decompress it, whatever its name says; raises FileNotFoundError or IsADirectoryError."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected a file")
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; expected a data file there, plain or .gz")
    with path.open("rb") as file:
        yield decompressed(file)


def decompressed(file: BinaryIO) -> BinaryIO:
    """A stream from its beginning on, decompressed; raises MissingExtraError where Zstandard's form needs pyarrow."""
    head, file = read_ahead(file, lambda head: len(head) >= 4)
    if head.startswith(_GZIP):
        return cast("BinaryIO", io.BufferedReader(_Unzipped(file), _CHUNK))
    if _ZSTANDARD.match(head):
        return cast("BinaryIO", io.BufferedReader(_Zstandard(file), _CHUNK))
    return file


def read_ahead(file: BinaryIO, is_enough: Callable[[bytes], object]) -> tuple[bytes, BinaryIO]:
    """The first bytes of a stream, as many as are enough or some 128 KiB, and a stream that still begins with them."""
    head = b""
    while not is_enough(head) and len(head) < _CHUNK:
        more = cast("io.BufferedIOBase", file).read1(_CHUNK)
        if not more:
            break
        head += more
    return head, cast("BinaryIO", io.BufferedReader(_Rejoined(head, file), _CHUNK))


@contextmanager
def described_errors(path: Path, line: list[int]) -> Iterator[None]:
    """Make DataError of what decompression and decoding raise, at the line that the one item of the list is."""
    try:
        yield
    except UnicodeDecodeError as error:
        at = Place(path, line[0] + error.object[: error.start].count(b"\n"))
        raise not_utf8(at, error) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(Place(path, line[0]), f"the gzip'd file is damaged ({error}); copy it again") from error
    except ZstandardError as error:
        raise DataError(Place(path, line[0]), f"the .zst file is damaged ({error}); copy it again") from error


def not_utf8(place: Place, error: UnicodeDecodeError) -> DataError:
    """The error of a text that is not UTF-8."""
    return DataError(place, f"byte 0x{error.object[error.start]:02x} is not UTF-8; expected UTF-8 text")


class ZstandardError(ValueError):
    """A damaged file in Zstandard's form."""


class _Rejoined(io.RawIOBase):
    """A stream whose first bytes have been read, with these in front of it again."""

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        self._head = memoryview(head)
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._head:
            return cast("io.BufferedIOBase", self._file).readinto1(buffer)
        count = min(len(buffer), len(self._head))
        buffer[:count] = self._head[:count]
        self._head = self._head[count:]
        return count


class _Unzipped(io.RawIOBase):
    """What a gzip'd file holds; what comes before damage can be read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = gzip.GzipFile(fileobj=file)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        # Not readinto, which reads on until the buffer is full, and loses what it has where it comes to damage.
        content = self._file.read1(len(buffer))
        buffer[: len(content)] = content
        return len(content)


class _Zstandard(io.RawIOBase):
    """What a file in Zstandard's form holds."""

    def __init__(self, file: BinaryIO) -> None:
        try:
            import pyarrow
        except ModuleNotFoundError:
            raise MissingExtraError(
                '.zst files need pyarrow, which is not installed; run: pip install "dpr-tiny-retriever[corpus]"'
            ) from None
        self._stream = pyarrow.CompressedInputStream(pyarrow.PythonFile(file, mode="r"), "zstd")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            return int(self._stream.readinto(buffer))
        except OSError as error:
            if error.errno is not None:  # of the disk
                raise
            raise ZstandardError(str(error)) from None
