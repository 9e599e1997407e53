"""Reading titles and labels of items from files.

Knows MovieLens' files by name, and others by their header. Must not know interactions. A bad line
is an error: otherwise nobody would notice that half the titles are missing.

==================  =============================================
read by its name    a line
==================  =============================================
``movies.dat``      ``id::title::genres``; the title may hold ``::``
``u.item``          ``id|title|…``, and with 24 columns 19 flags of `FLAGGED_GENRES`
others              a header with a column of ids and one of titles
==================  =============================================

A column ``genres`` is the label ``genre``, unless labels are named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from ops.ingest.column_roles import TITLE_ROLES, Places, Role, places_by_name, places_named
from ops.ingest.delimited_text import Parting, parting_of, rows_of, sampled
from ops.ingest.source_files import bare_name
from ops.ingest.text_encoding import encoding_of, lines_of, sample_of
from registry.error_codes import RecordCode
from registry.errors import ConfigurationError, RecordError
from registry.ids import BLANKS, ItemId, parse_id
from registry.wire.training_records.catalogue_items import TITLE_CHARACTERS

GENRES: Final = {"genre": "genres"}
"""Which label a column is where none is named: MovieLens calls it so."""


FLAGGED_GENRES: Final = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary",
    "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi",
    "Thriller", "War", "Western",
)  # fmt: skip
"""The genres of MovieLens-100K, as its ``u.genre`` numbers the last columns of ``u.item``."""

NO_GENRE: Final = FLAGGED_GENRES[0]

U_ITEM_COLUMNS: Final = 5 + len(FLAGGED_GENRES)
"""Id, title, two dates, a URL, and the flags."""


class TitleRow(NamedTuple):
    """An item, its title, and its labels: a cell, or the values themselves, by label."""

    item: str
    title: str
    labels: Mapping[str, str | Sequence[str]]


def read_titles(
    path: Path,
    columns: Mapping[Role, str] | None = None,
    encoding: str | None = None,
    *,
    quotes: bool = True,
) -> dict[ItemId, str]:
    """Return the titles of a file.

    Parameters
    ----------
    path
        The file.
    columns
        Which columns are ``item`` and ``title``; None: as the file's name or header says.
    encoding
        Of the file; None: UTF-8, or Latin-1 if it is not.
    quotes
        Quotes may enclose cells. Between tabs they are read as ordinary characters if they do not
        balance: few such tables use them.

    Raises
    ------
    ConfigurationError
        If the file cannot be read, or at its first bad line.
    """
    encoding = encoding_of(path, encoding).name
    titles: dict[ItemId, str] = {}
    for number, row in title_rows(path, columns, encoding, quotes=quotes):
        if isinstance(row, RecordError):
            raise ConfigurationError(f"{path}, line {number}: {row}")
        item, title = parse_id(row.item), row.title.strip(BLANKS)
        if item == "" or len(title) > TITLE_CHARACTERS:
            why = f"{len(title)} characters of title, at most {TITLE_CHARACTERS} are allowed"
            raise ConfigurationError(f"{path}, line {number}: {why if item else 'no item id'}")
        if titles.setdefault(item, title) != title:
            raise ConfigurationError(
                f"{path}, line {number}: item {item!r} has two titles: "
                f"{titles[item]!r}, then {title!r}"
            )
    return {item: title for item, title in titles.items() if title}


def title_rows(
    path: Path,
    columns: Mapping[Role, str] | None,
    encoding: str,
    *,
    quotes: bool,
    labels: Mapping[str, str] | None = None,
) -> Iterator[tuple[int, TitleRow | RecordError]]:
    """Yield the number of each row and what it holds, or why it does not.

    Parameters
    ----------
    path, columns, encoding, quotes
        As :func:`read_titles` takes them; the encoding is known.
    labels
        Columns by label; None: `GENRES`, if there is such a column.

    Raises
    ------
    ConfigurationError
        If the file cannot be read, or lacks a column; if labels are named of a file that is read
        by its name.
    """
    lines, whole = sample_of(path, encoding)
    name = bare_name(path)
    first = next((line for line in lines if line.strip()), "")
    is_dat = name.endswith(".dat") and "::" in first
    if columns is None and labels and (is_dat or name == "u.item"):
        raise ConfigurationError(
            f"{path}: the columns of labels are not used: a file of this name has columns of its "
            "own; name those of item and title as well, such as item=1,title=2"
        )
    if columns is None and (is_dat or name == "u.item"):
        yield from (_of_dat if is_dat else _of_u_item)(path, encoding)
        return
    commas = name.endswith(".csv") and "," in first
    parting = Parting(",", True) if commas else parting_of(str(path), lines, whole=whole)
    header = columns is None or not all(column.isdigit() for column in columns.values())
    parting = Parting(parting.delimiter, quotes and _balances(path, encoding, parting))
    heads = [row for row in sampled(lines, parting, whole=True)[:1] if isinstance(row, list)]
    names = [name.strip(BLANKS) for name in heads[0]] if heads else []
    places = _places_of(path, columns, names, header=header)
    wanted = {name: column for name, column in GENRES.items() if header and column in names}
    label_places = {
        label: _place_of(path, column, names, header=header)
        for label, column in (wanted if labels is None else labels).items()
    }
    rows = rows_of(lines_of(path, encoding), parting)
    for number, row in rows:
        if header:
            header = False
        elif isinstance(row, RecordError):
            yield number, row
        elif len(row) != len(names):
            why = f"{len(row)} columns, the first row has {len(names)}"
            yield number, RecordError(why, RecordCode.MALFORMED)
        else:
            cells = {label: row[place] for label, place in label_places.items()}
            yield number, TitleRow(row[places["item"]], row[places["title"]], cells)


def _places_of(
    path: Path, columns: Mapping[Role, str] | None, names: Sequence[str], *, header: bool
) -> Places:
    places = (
        places_named(columns, names, header=header)
        if columns
        else places_by_name(names, titles=True)
    )
    if missing := [role for role in TITLE_ROLES if role not in places]:
        raise ConfigurationError(
            f"{path}: which column is the {' and the '.join(missing)}? The header is "
            f"{', '.join(names)}; name the columns, for example item=id,title=name"
        )
    return places


def _place_of(path: Path, column: str, names: Sequence[str], *, header: bool) -> int:
    if header and names.count(column) == 1:
        return names.index(column)
    if column.isascii() and column.isdigit() and 1 <= int(column) <= len(names):
        return int(column) - 1
    has = f"the columns are {', '.join(names)}" if header else "there is no header"
    raise ConfigurationError(f"{path}: no such column for a label: {column}; {has}")


def _balances(path: Path, encoding: str, parting: Parting) -> bool:
    """Tell whether quotes enclose cells: between tabs only if they do so in every row."""
    if parting.delimiter != "\t" or not parting.quoted:
        return parting.quoted
    return not any(
        isinstance(row, RecordError) for _, row in rows_of(lines_of(path, encoding), parting)
    )


def _of_dat(path: Path, encoding: str) -> Iterator[tuple[int, TitleRow | RecordError]]:
    """Yield id, title and genres: the first cell, all that stands before the last, and that."""
    for number, row in rows_of(lines_of(path, encoding), Parting("::", False)):
        if isinstance(row, RecordError):
            yield number, row
        elif len(row) < 3:
            seen = f"{len(row)} columns between `::`; expected id::title::genres"
            yield number, RecordError(seen, RecordCode.MALFORMED)
        else:
            yield number, TitleRow(row[0], "::".join(row[1:-1]), {"genre": row[-1]})


def _of_u_item(path: Path, encoding: str) -> Iterator[tuple[int, TitleRow | RecordError]]:
    """Yield id and title, the first two cells, and the genres of all flags, if there are any."""
    width = 0
    for number, row in rows_of(lines_of(path, encoding), Parting("|", False)):
        if isinstance(row, RecordError):
            yield number, row
            continue
        width = width or len(row)
        flags = row[-len(FLAGGED_GENRES) :] if width == U_ITEM_COLUMNS else []
        if len(row) != max(2, width):
            seen = f"{len(row)} columns, the first row has {width}, and 2 are needed"
            yield number, RecordError(seen, RecordCode.MALFORMED)
        elif not set(flags) <= {"0", "1"}:
            seen = f"its last {len(FLAGGED_GENRES)} columns are genres, each 0 or 1"
            yield number, RecordError(seen, RecordCode.MALFORMED)
        else:
            yield number, TitleRow(row[0], row[1], {"genre": _flagged(flags)} if flags else {})


def _flagged(flags: Sequence[str]) -> list[str]:
    named = zip(FLAGGED_GENRES, flags, strict=True)
    return [genre for genre, flag in named if flag == "1" and genre != NO_GENRE]
