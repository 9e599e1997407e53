"""Where files come from: paths, globs and URLs, compressed or not, as bytes.

Knows places and compression. Must not know what is in a file. A remote file is copied here once,
because a file is read several times: first checked completely, then sent.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, Final

import fsspec
import pyarrow as pa

from registry.errors import ConfigurationError

COMPRESSED: Final = {
    ".gz": ("gzip", b"\x1f\x8b"),
    ".bz2": ("bzip2", b"BZh"),
    ".zst": ("Zstandard", b"\x28\xb5\x2f\xfd"),
    ".xz": ("xz", b"\xfd7zXZ\x00"),
}
"""How a file is compressed, by the end of its name, and how such a file begins."""

READ_ERRORS: Final = (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException)


@contextmanager
def local_files(places: Sequence[str]) -> Iterator[list[Path]]:
    """Yield the files that paths, globs and URLs (``s3://…``) name, each once, on this machine.

    Raises
    ------
    ConfigurationError
        If a place names no file, or cannot be read.
    """
    with TemporaryDirectory(prefix="recstream-ingest-") as folder:
        found: dict[str, Path] = {}
        for place in places:
            if "://" in place:
                found |= _copies(place, Path(folder))
            else:
                found |= {str(path): path for path in _local(place)}
        yield list(found.values())


def open_decompressed(path: Path) -> IO[bytes]:
    """Open a file for reading, decompressed if its name says that it is compressed.

    Raises
    ------
    ConfigurationError
        If the name and the first bytes disagree, or the file cannot be read.
    """
    start = first_bytes(path)
    suffix = path.suffix.lower()
    for ending, (called, magic) in COMPRESSED.items():
        if start.startswith(magic) != (suffix == ending) and start:
            wrong = (
                f"not readable: the name ends in {ending}, but it is not {called} data"
                if suffix == ending
                else f"{called} data: rename it to end in {ending}"
            )
            raise ConfigurationError(f"{path}: {wrong}")
    if start.startswith(b"PK\x03\x04"):
        raise ConfigurationError(f"{path}: a ZIP archive or spreadsheet: unpack it, or export CSV")
    return _opened(path, suffix)


def first_bytes(path: Path) -> bytes:
    """Return the first eight bytes, as stored."""
    try:
        with path.open("rb") as file:
            return file.read(8)
    except OSError as error:
        raise ConfigurationError(f"{path}: not readable: {error.strerror}") from error


def bare_name(path: Path) -> str:
    """Return the name in small letters, without the suffix of a compression.

    >>> bare_name(Path("data/Ratings.CSV.gz"))
    'ratings.csv'
    """
    name = path.name.lower()
    return name.removesuffix(path.suffix.lower()) if path.suffix.lower() in COMPRESSED else name


def _opened(path: Path, suffix: str) -> IO[bytes]:
    openers: Mapping[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    if suffix == ".zst":
        opened: IO[bytes] = pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")
    else:
        opened = openers.get(suffix, open)(path, "rb")
    return opened


def _local(place: str) -> list[Path]:
    path = Path(place)
    if path.is_file():
        return [path]
    if path.is_dir():
        raise ConfigurationError(f"{place}: a folder; name its files, such as '{place}/*.parquet'")
    anchor = Path(path.anchor)
    pattern = str(path.relative_to(anchor))
    has_wildcard = any(sign in pattern for sign in "*?[")
    found = (
        sorted(match for match in anchor.glob(pattern) if match.is_file()) if has_wildcard else []
    )
    if not found:
        what = "no file matches" if has_wildcard else "no such file"
        raise ConfigurationError(f"{place}: {what}")
    return found


def _copies(place: str, folder: Path) -> dict[str, Path]:
    copies: dict[str, Path] = {}
    try:
        system, path = fsspec.core.url_to_fs(place)
        names = [path] if system.isfile(path) else sorted(system.glob(path))
        for name in names:
            copy = folder / str(name).lstrip("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            system.get_file(name, str(copy))
            copies[system.unstrip_protocol(name)] = copy
    except Exception as error:  # drivers raise whatever their clients do
        extra = "; install the extra `s3`" if isinstance(error, ImportError) else ""
        raise ConfigurationError(f"{place}: not readable: {error}{extra}") from error
    if not copies:
        raise ConfigurationError(f"{place}: no such file, and no file matches")
    return copies
