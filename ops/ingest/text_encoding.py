"""From bytes to lines of text: which encoding a file has.

Knows encodings, byte order marks and line ends. Must not know what a line holds.

UTF-8 comes first. A file that is not UTF-8 anywhere beyond ASCII is read as Latin-1, with a
warning. One that is UTF-8 in places is UTF-8: lines with other bytes are bad lines
(:func:`is_broken`).
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ops.ingest.source_files import READ_ERRORS, open_decompressed
from registry.errors import ConfigurationError

SAMPLE_CHARACTERS: Final = 1 << 16
"""Of a file's beginning, to see its shape: some hundred lines."""

_BLOCK: Final = 1 << 20
_BROKEN: Final = re.compile("[\udc80-\udcff]")
_WINDOWS: Final = re.compile("[\udc80-\udc9f]")
_BEYOND_ASCII: Final = re.compile("[\x80-\ud7ff\ue000-\U0010ffff]")
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoding by its Python name, and warnings."""

    name: str
    notes: tuple[str, ...] = ()


def encoding_of(path: Path, asked: str | None = None) -> Encoding:
    """Return the encoding of a text file; the whole file is read.

    Raises
    ------
    ConfigurationError
        If it is not text, or in an encoding that must be named.
    """
    if asked is not None:
        return Encoding(_known(asked))
    broken = valid = windows = False
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    require_no_utf_16(path)
    for block in _blocks(path):
        if block.isascii() and not decoder.getstate()[0]:
            continue
        text = decoder.decode(block)
        broken = broken or _BROKEN.search(text) is not None
        windows = windows or _WINDOWS.search(text) is not None
        valid = valid or _BEYOND_ASCII.search(text.removeprefix("\ufeff")) is not None
    broken = broken or bool(decoder.getstate()[0])
    if not broken or valid:
        return Encoding("utf-8")
    if windows:
        raise ConfigurationError(
            f"{path}: neither UTF-8 nor Latin-1; name the encoding, for example --encoding cp1252"
        )
    return Encoding("latin-1", ("not UTF-8; read as Latin-1 (use --encoding for another)",))


def lines_of(path: Path, encoding: str) -> Iterator[str]:
    r"""Yield the lines with their ends, be they ``\n``, ``\r\n`` or ``\r``; no byte order mark.

    Raises
    ------
    ConfigurationError
        If the file is not readable to its end.
    """
    errors = "surrogateescape" if encoding == "utf-8" else "strict"
    name = "utf-8-sig" if encoding == "utf-8" else encoding
    try:
        with closing(io.TextIOWrapper(open_decompressed(path), name, errors, newline="")) as lines:
            yield from lines
    except UnicodeError as error:
        raise ConfigurationError(f"{path}: not {encoding}: {error}") from error
    except READ_ERRORS as error:
        raise ConfigurationError(f"{path}: not readable: {error}") from error


def sample_of(path: Path, encoding: str) -> tuple[list[str], bool]:
    """Return the first lines, and whether these are all lines."""
    lines: list[str] = []
    left = SAMPLE_CHARACTERS
    for line in lines_of(path, encoding):
        lines.append(line)
        left -= len(line)
        if left < 0:
            return lines, False
    return lines, True


def is_broken(text: str) -> bool:
    """Tell whether `text` holds bytes that are not UTF-8."""
    return not text.isascii() and _BROKEN.search(text) is not None


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with open_decompressed(path) as file:
            while block := file.read(_BLOCK):
                yield block
    except READ_ERRORS as error:
        raise ConfigurationError(f"{path}: not readable: {error}") from error


def _known(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError as error:
        raise ConfigurationError(
            f"--encoding {name!r}: unknown; utf-8, latin-1, cp1252, utf-16, … are known"
        ) from error


def require_no_utf_16(path: Path) -> None:
    """Guess the encoding from a file's beginning if none was named.

    Raises
    ------
    ConfigurationError
        If it is UTF-16, or no text.
    """
    start = next(_blocks(path), b"")
    if start.startswith(_UTF_16) or b"\0" in start[:4096]:
        raise ConfigurationError(
            f"{path}: UTF-16, expected UTF-8: use --encoding utf-16, or convert it "
            "(iconv -f UTF-16 -t UTF-8)"
            if start.startswith(_UTF_16)
            else f"{path}: contains NUL bytes: not text, or UTF-16 without a byte order mark "
            "(--encoding utf-16-le)"
        )
