"""From lines of text to rows of cells, and which delimiter separates them.

Pure. Knows delimiters and quotes; must not know files nor what a column means. Python's `csv` does
the parsing, so that a line break within quotes belongs to its cell. MovieLens' ``::``, which no
parser knows, is split.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

from ops.ingest.text_encoding import is_broken
from registry.error_codes import RecordCode
from registry.errors import ConfigurationError, RecordError

Row: TypeAlias = "list[str]"
NumberedRow: TypeAlias = "tuple[int, Row | RecordError]"

DELIMITERS: Final = {
    ",": "commas",
    "\t": "tabs",
    ";": "semicolons",
    "|": "bars",
    "::": "`::`",
}
"""Those that are found, and what they are called."""

ROWS_LOOKED_AT: Final = 100
ALIKE: Final = 0.9
"""Of the rows that have the same number of cells: a few may be bad."""

SHOWN_CHARACTERS: Final = 80


class Parting(NamedTuple):
    """What separates cells, and whether quotes enclose them."""

    delimiter: str
    quoted: bool


def rows_of(lines: Iterable[str], parting: Parting) -> Iterator[NumberedRow]:
    r"""Yield each row and the number of its first line, from 1; blank lines are none.

    >>> list(rows_of(["1,\"Deux\n", "Mondes\"\n"], Parting(",", True)))
    [(1, ['1', 'Deux\nMondes'])]
    """
    if parting.delimiter == "::":
        for number, line in enumerate(lines, 1):
            if text := line.strip("\r\n\ufeff"):
                yield number, _sound(text.split("::"))
        return
    reader = csv.reader(
        lines,
        delimiter=parting.delimiter,
        quoting=csv.QUOTE_MINIMAL if parting.quoted else csv.QUOTE_NONE,
        strict=True,
    )
    while True:
        number = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, _unbalanced(number, reader.line_num, error)
            continue
        if row and row != [""]:
            yield number, _sound(row)


def parting_of(name: str, sample: Sequence[str], *, whole: bool) -> Parting:
    """Return the delimiter that gives most rows the same number of cells, the most of them.

    Parameters
    ----------
    name
        The file's, for the message.
    sample
        Its first lines.
    whole
        They are all.

    Raises
    ------
    ConfigurationError
        If no delimiter does, or two do equally well.
    """
    widths: dict[Parting, int] = {}
    for delimiter in DELIMITERS:
        for quoted in (True, False):
            parting = Parting(delimiter, quoted)
            width = _common_width(sampled(sample, parting, whole=whole))
            if width > 1:
                widths[parting] = width
                break
    best = [parting for parting, width in widths.items() if width == max(widths.values())]
    if len(best) == 1:
        return best[0]
    first = next((line.strip() for line in sample if line.strip()), "")
    equal = " and ".join(DELIMITERS[parting.delimiter] for parting in best)
    seen = (
        f"{equal} split its rows equally well"
        if best
        else f"none of {', '.join(DELIMITERS.values())} splits its rows into columns"
    )
    raise ConfigurationError(f"{name}: {seen}; the first row is {shown(first)}; use --delimiter")


def sampled(sample: Sequence[str], parting: Parting, *, whole: bool) -> list[Row | RecordError]:
    """Return the first rows of a sample, without the last one if it may be cut."""
    rows = [row for _, row in islice(rows_of(sample, parting), ROWS_LOOKED_AT + 1)]
    return rows[:ROWS_LOOKED_AT] if whole else rows[:-1][:ROWS_LOOKED_AT]


def shown(text: str) -> str:
    """Return the beginning of a line of a file, for a message."""
    return repr(text[:SHOWN_CHARACTERS])


def _common_width(rows: Sequence[Row | RecordError]) -> int:
    widths = Counter(len(row) for row in rows if not isinstance(row, RecordError))
    if not widths:
        return 0
    width, many = widths.most_common(1)[0]
    return width if many >= ALIKE * len(rows) else 0


def _sound(row: Row) -> Row | RecordError:
    text = "".join(row)
    if text.isascii() or not is_broken(text):
        return row
    seen = text.encode("utf-8", "surrogateescape")[:SHOWN_CHARACTERS]
    return RecordError(f"not UTF-8: {seen!r}", RecordCode.MALFORMED)


def _unbalanced(first: int, last: int, error: csv.Error) -> RecordError:
    lines = f", up to line {last}" if last > first else ""
    return RecordError(
        f"unbalanced quotes{lines}: {error}; --no-quotes reads quotes as ordinary characters",
        RecordCode.MALFORMED,
    )
