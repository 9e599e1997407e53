"""Names of things: user and item ids, model versions.

Pure. An id is an integer or a string and keeps its JSON type from the training set to the answer.
JSON and Parquet state the type; for sources without types (CSV, a command line, an HTTP path or
query, a file of titles), :func:`parse_id` decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias, TypeVar

from registry.errors import ConfigurationError

UserId: TypeAlias = int | str
ItemId: TypeAlias = int | str

PIECE: Final = 10_000
"""Ids that one call may work on. For a million, ``set`` or ``np.array`` keeps the interpreter from
all other threads for a tenth of a second, and a version is loaded while requests are answered."""

LEAST_INTEGER: Final = -(2**63)
MOST_INTEGER: Final = 2**63 - 1
"""Of a signed 64-bit integer."""

BLANKS: Final = " \t\r\n\u00a0\ufeff"
"""Trimmed around an untyped id: what people do not see. The last is a byte order mark."""

Value = TypeVar("Value")

_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,18}")
_WHOLE_FLOAT: Final = re.compile(r"(0|-?[1-9][0-9]{0,18})\.0+")

_VERSION = re.compile(r"v(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,8})")


def parse_id(text: str) -> int | str:
    """Return the id that `text` names where its source has no types.

    Blanks around it are trimmed. It is an integer if it is written as JSON writes one, without a
    leading zero, and fits in a signed 64-bit integer; otherwise it is a string. ``42.0`` is 42:
    pandas writes a column of integers like that if one is missing (:func:`is_whole_float`).

    >>> parse_id(" 42 "), parse_id("-5"), parse_id("42.0"), parse_id("9223372036854775807")
    (42, -5, 42, 9223372036854775807)
    >>> parse_id("042"), parse_id("+5"), parse_id("9223372036854775808"), parse_id("anna")
    ('042', '+5', '9223372036854775808', 'anna')
    """
    if text.isdecimal() and text.isascii() and text[0] != "0" and len(text) < 19:
        return int(text)  # nearly all are like that
    trimmed = text.strip(BLANKS)
    written = _INTEGER.fullmatch(trimmed) or _WHOLE_FLOAT.fullmatch(trimmed)
    if written is None:
        return trimmed
    number = int(trimmed.partition(".")[0])
    return number if LEAST_INTEGER <= number <= MOST_INTEGER else trimmed


def is_whole_float(text: str) -> bool:
    """Tell whether :func:`parse_id` drops a ``.0`` from `text`, which deserves a warning.

    >>> is_whole_float("42.0"), is_whole_float("42"), is_whole_float("42.5")
    (True, False, False)
    """
    return "." in text and isinstance(parse_id(text), int)


def twin_of(known: int | str) -> int | str | None:
    """Return the id of the other type that a reader would take for the same; None if there is none.

    >>> twin_of(42), twin_of("42"), twin_of(" 42.0"), twin_of("anna")
    ('42', 42, 42, None)
    """
    if isinstance(known, int):
        return str(known)
    number = parse_id(known)
    return number if isinstance(number, int) else None


class VersionName(NamedTuple):
    """A model version's name, ordered by major, then minor.

    >>> max(VersionName.parse("v0.9"), VersionName.parse("v0.10"))
    VersionName(major=0, minor=10)
    >>> str(VersionName(0, 3))
    'v0.3'
    """

    major: int
    minor: int

    @classmethod
    def parse(cls, name: str) -> VersionName:
        """Read ``vMAJOR.MINOR``.

        Raises
        ------
        ConfigurationError
            If `name` has any other form.
        """
        match = _VERSION.fullmatch(name)
        if match is None:
            raise ConfigurationError(f"model version {name!r}: must look like v0.3 (vMAJOR.MINOR)")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"v{self.major}.{self.minor}"

    def next_minor(self) -> VersionName:
        """Return the version that follows in the same major."""
        return VersionName(self.major, self.minor + 1)


def is_version_name(name: str) -> bool:
    """Tell whether `name` is a well-formed version name.

    >>> is_version_name("v0.3"), is_version_name("../v0.3"), is_version_name("v00.3")
    (True, False, False)
    """
    return _VERSION.fullmatch(name) is not None


def pieces(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """Yield `values` in their order, `PIECE` at a time.

    >>> [len(piece) for piece in pieces(range(25_000))]
    [10000, 10000, 5000]
    """
    for start in range(0, len(values), PIECE):
        yield values[start : start + PIECE]
