"""Bad lines of files: how they are named, and when there are so many that nothing is sent.

Must not know Kafka nor the terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ops.ingest.file_check import CheckedFile
from registry.error_codes import CommandCode
from registry.errors import ConfigurationError, RefusedCommand


class Checked(NamedTuple):
    """A file, by its path, and what it holds."""

    path: Path
    holds: CheckedFile


def bad_lines(files: Sequence[Checked]) -> list[str]:
    """Return each bad line with its number and why, of several files with the file's name."""
    return [
        f"{f'{path.name}, ' if len(files) > 1 else ''}line {line.number}: {line.reason}"
        for path, holds in files
        for line in holds.bad
    ]


def require_good(files: Sequence[Checked], max_bad: int, titles: Path | None) -> None:
    """Refuse files with more bad lines than `max_bad`, or without any item that has a title.

    Raises
    ------
    RefusedCommand
        If there are too many bad lines.
    ConfigurationError
        If none of the ids in `titles` occurs in the files.
    """
    bad = sum(len(holds.bad) for _, holds in files)
    if bad > max_bad:
        raise RefusedCommand(
            f"{', '.join(str(path) for path, _ in files)}: {bad} bad lines, but --max-bad "
            f"allows {max_bad}; nothing was sent",
            CommandCode.BAD_LINES,
        )
    if titles and not any(holds.titled for _, holds in files):
        raise ConfigurationError(
            f"{titles}: none of its item ids occurs in these interactions; nothing was sent"
        )
