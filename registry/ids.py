"""Names of things: user and item ids, model versions.

Pure. An id is an integer or a string and keeps its JSON type from the training set to the answer.
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias

from registry.errors import ConfigurationError

UserId: TypeAlias = int | str
ItemId: TypeAlias = int | str

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
