"""Dead letters as tables and as JSON.

Bytes are shown as text if they are text; control characters are escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.table import Table

from ops.views.terminal import Text, grid, pairs
from registry.kafka.dead_letter_records import Letter, counts

SHOWN_CHARACTERS: Final = 2_000
"""How much of a value a table shows; ``--json`` has all of it."""

WHY_REFUSED: Final[Mapping[str, str]] = {
    "no_request": "not requests: a command that could not be read was already rejected",
    "value_left_out": "dead-lettered without their value: read it at the source offset",
}


def letters_table(letters: Sequence[Letter], total: int) -> list[Table | Text]:
    """Return one row per letter; `total` is the number of matching letters."""
    rows = [
        (
            letter.offset,
            _moment(letter),
            str(letter.source),
            letter.reason,
            letter.state if letter.replay_of is None else f"{letter.state}, was replayed before",
            plain(letter.error),
        )
        for letter in letters
    ]
    columns = ("offset #", "set aside", "source", "reason", "state", "error")
    shown: list[Table | Text] = [grid(columns, rows)]
    if len(letters) < total:
        shown.append(Text(f"the newest {len(letters):,} of {total:,}; --limit shows more", "dim"))
    return shown


def counts_table(letters: Sequence[Letter]) -> Table:
    """Return the number of letters by topic, reason and state."""
    rows = [
        (topic, reason, state, f"{count:,}")
        for (topic, reason, state), count in counts(letters).items()
    ]
    return grid(("topic", "reason", "state", "letters #"), rows)


def letter_tables(letter: Letter) -> list[Table | Text]:
    """Return a letter with its headers and the beginning of its value."""
    about = {
        "offset": letter.offset,
        "state": letter.state,
        "set aside": f"{_moment(letter)} by {plain(letter.worker)}",
        "source": str(letter.source),
        "replay of": letter.replay_of,
        "reason": letter.reason,
        "error": plain(letter.error),
        "key": "none" if letter.key is None else plain(_text(letter.key)),
        "bytes": f"{letter.value_bytes:,}",
        "left out": letter.left_out,
    }
    headers = {plain(name): plain(_text(value or b"")) for name, value in letter.headers}
    value = "none" if letter.value is None else plain(_text(letter.value))
    if len(value) > SHOWN_CHARACTERS:
        value = f"{value[:SHOWN_CHARACTERS]}… (--json shows all of it)"
    shown: list[Table | Text] = [pairs(about)]
    if headers:
        shown.append(pairs(headers, title="Headers of the source"))
    return [*shown, Text(value)]


def as_json(letter: Letter, *, whole: bool = False) -> dict[str, Any]:
    """Return a letter for JSON; `whole` adds the headers, and key and value in base64."""
    fields: dict[str, Any] = {
        "offset": letter.offset,
        "at": _moment(letter),
        "topic": letter.source.topic,
        "partition": letter.source.partition,
        "source_offset": letter.source.offset,
        "reason": letter.reason,
        "error": letter.error,
        "worker": letter.worker,
        "state": letter.state,
        "replay_of": letter.replay_of,
        "value_bytes": letter.value_bytes,
        "value_left_out": letter.left_out,
    }
    if not whole:
        return fields
    return fields | {
        "key": _base64(letter.key),
        "value": _base64(letter.value),
        "headers": [[name, _base64(value)] for name, value in letter.headers],
    }


def plain(text: str) -> str:
    r"""Return `text` with its unprintable characters escaped.

    >>> plain("a\x1b]52;c;aGk=\x07b")
    'a\\x1b]52;c;aGk=\\x07b'
    """
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _moment(letter: Letter) -> str:
    at = datetime.fromtimestamp(letter.at_ms / 1000, UTC)
    return at.isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()
