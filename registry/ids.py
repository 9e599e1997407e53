"""Names of things: user and item ids, model versions.

Pure. An id is an integer or a string and keeps its JSON type from the training set to the answer.
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

One = TypeVar("One")

_VERSION = re.compile(r"v(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,8})")


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


def pieces(values: Sequence[One]) -> Iterator[Sequence[One]]:
    """Yield `values` in their order, `PIECE` at a time.

    >>> [len(piece) for piece in pieces(range(25_000))]
    [10000, 10000, 5000]
    """
    for start in range(0, len(values), PIECE):
        yield values[start : start + PIECE]
