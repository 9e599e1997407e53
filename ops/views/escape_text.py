"""Text that comes from elsewhere, made harmless for a terminal.

Titles, ids, reasons and names are whatever somebody sent. Raw, a control character in one can write
the clipboard, move the cursor over other lines, or turn text around. Here it is shown instead.
Must not know what is shown.
"""

from __future__ import annotations

import logging
import re
from typing import Final

ACTING: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f"  # C0 without the line feed, DEL, C1
    "\u2028\u2029"  # other ends of lines
    "\u202a-\u202e\u2066-\u2069]"  # overrides of the direction of writing
)
"""Characters that make a terminal do something else than show them."""


def escaped(text: str) -> str:
    r"""Return `text` with each character that acts written out; line feeds stay.

    >>> print(escaped("a\x1b]52;c;aGk=\x07b"))
    a\x1b]52;c;aGk=\x07b
    """
    return ACTING.sub(lambda found: _written_out(found[0]), text)


def on_one_line(text: str) -> str:
    r"""Return `text` escaped, its line feeds as well: it must not look like lines of ours.

    >>> print(on_one_line("anna\nswap applied"))
    anna\nswap applied
    """
    return escaped(text).replace("\n", r"\n")


def _written_out(character: str) -> str:
    code = ord(character)
    return rf"\x{code:02x}" if code < 0x100 else rf"\u{code:04x}"


class EscapingFormatter(logging.Formatter):
    """Formats log records for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's lines, escaped."""
        return escaped(super().format(record))
