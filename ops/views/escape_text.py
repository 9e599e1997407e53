"""Escapes control characters in text from elsewhere, so that it is harmless on a terminal.

Titles, ids, reasons and names are whatever somebody sent. Unescaped, a control character can write
to the clipboard, move the cursor over other lines, or reverse the direction of text.
"""

from __future__ import annotations

import logging
import re
from typing import Final

ACTING: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f"  # C0 without the line feed, DEL, C1
    "\u2028\u2029"  # other line ends
    "\u202a-\u202e\u2066-\u2069]"  # overrides of the text direction
)
"""Characters that a terminal acts on instead of showing them."""


def escaped(text: str) -> str:
    r"""Return `text` with control characters escaped; line feeds stay.

    >>> print(escaped("a\x1b]52;c;aGk=\x07b"))
    a\x1b]52;c;aGk=\x07b
    """
    return ACTING.sub(lambda found: _escape(found[0]), text)


def on_one_line(text: str) -> str:
    r"""Return `text` with line feeds escaped, too, so that it cannot fake lines of our output.

    >>> print(on_one_line("anna\nswap applied"))
    anna\nswap applied
    """
    return escaped(text).replace("\n", r"\n")


def _escape(character: str) -> str:
    code = ord(character)
    return rf"\x{code:02x}" if code < 0x100 else rf"\u{code:04x}"


class EscapingFormatter(logging.Formatter):
    """Formats log records for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the formatted record, escaped."""
        return escaped(super().format(record))
