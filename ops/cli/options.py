"""Options that several commands share, and how they override settings."""

from __future__ import annotations

import os
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand

from registry.errors import ConfigurationError

if TYPE_CHECKING:
    from registry.ids import UserId
    from registry.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Bootstrap = Annotated[
    str | None,
    typer.Option(
        "--bootstrap",
        metavar="HOST:PORT",
        help="Kafka's address; overrides KAFKA_BOOTSTRAP_SERVERS.",
    ),
]
Registry = Annotated[
    str | None,
    typer.Option("--registry", metavar="URL", help="The registry; overrides MODEL_REGISTRY."),
]
ExpectedEpoch = Annotated[
    int | None,
    typer.Option(metavar="N", help="Apply only if the current epoch is N (compare-and-set)."),
]
Reason = Annotated[str | None, typer.Option(help="Reason, kept in the audit trail.")]

SECONDS_BY_UNIT: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class NegativeIds(TyperCommand):
    """A command whose ids may be negative: ``-5`` is an argument, not an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments."""
        ctx.ignore_unknown_options = any(re.fullmatch("-[0-9]+", word) for word in args)
        return super().parse_args(ctx, args)


def user_id_of(text: str, string_id: bool) -> UserId:
    """Return the user id that a command's argument gives; report a dropped ``.0``.

    Parameters
    ----------
    text
        The argument.
    string_id
        Keep it as a string, whatever it looks like (``--string-id``).
    """
    from ops.views import terminal
    from registry.ids import is_whole_float, parse_id

    if string_id:
        return text
    user = parse_id(text)
    if is_whole_float(text):
        terminal.err.print(f"{text} is read as {user}; use --string-id to keep it as it is")
    return user


def moment_of(option: str, text: str | None, now: datetime) -> datetime | None:
    """Return the time that `text` gives: ISO 8601, or an age before `now`; None for None.

    >>> from datetime import UTC
    >>> moment_of("--since", "2h", datetime(2026, 1, 31, 12, tzinfo=UTC)).isoformat()
    '2026-01-31T10:00:00+00:00'
    """
    from registry.wire.instants import Instant

    if text is None:
        return None
    ago = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if ago:
        return now - timedelta(seconds=int(ago[1]) * SECONDS_BY_UNIT[ago[2]])
    try:
        return Instant.read(text)
    except ValueError:
        raise typer.BadParameter(
            f"{option} {text!r}: must be ISO 8601, like 2026-01-31T12:00, "
            "or an age like 30m, 2h or 7d"
        ) from None


def settings_with(**overrides: str | float | None) -> Settings:
    """Read the settings from the environment; `overrides` that are not None take precedence.

    Raises
    ------
    ConfigurationError
        If a variable is invalid; the message names it.
    """
    from registry.settings import read_settings

    given = {name: str(value) for name, value in overrides.items() if value is not None}
    return read_settings({**os.environ, **given})


def require_folder(option: str, path: Path | None) -> None:
    """Refuse, before any work is done, a file whose folder does not exist.

    Raises
    ------
    ConfigurationError
        Naming the option.
    """
    if path is not None and not path.absolute().parent.is_dir():
        raise ConfigurationError(f"{option} {path}: the folder does not exist")


def read_file(option: str, path: Path) -> str:
    """Read the text file that an option names.

    Raises
    ------
    ConfigurationError
        If it cannot be read, or is not text in UTF-8.
    """
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise ConfigurationError(f"{option} {path}: not readable: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{option} {path}: not text in UTF-8: {error}") from error


def write_file(path: Path, payload: bytes) -> None:
    """Write the file that an option names.

    Raises
    ------
    ConfigurationError
        If it cannot be written.
    """
    try:
        path.write_bytes(payload)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
