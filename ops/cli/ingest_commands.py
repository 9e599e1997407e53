"""``recstream ingest``: send the interactions of files to the interaction topic.

Knows options, what is shown and what is asked. File formats and sending are in `ops.ingest`.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from ops.cli.options import AsJson, Bootstrap, settings_with
from registry.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ops.ingest.file_check import CheckedFile
    from ops.ingest.file_layout import Layout
    from ops.ingest.file_tables import FileOptions
    from registry.ids import ItemId
    from registry.settings import Settings

BAD_LINES_SHOWN = 10
DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "bar": "|"}


class _File(NamedTuple):
    path: Path
    layout: Layout


def ingest(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Paths, quoted globs, or URLs such as s3://bucket/key; .gz, .bz2, .zst and .xz "
            "files are decompressed.",
        ),
    ],
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="ROLE=COLUMN,...",
            help="Columns by name or position (from 1) for user, item, event, value, time, title.",
        ),
    ] = None,
    event: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Event kind of all rows; default: `rate` if the value column is called rating, "
            "stars or score, otherwise `watch`.",
        ),
    ] = None,
    unit: Annotated[
        Literal["s", "ms", "iso"] | None,
        typer.Option(help="Unit of times: seconds or milliseconds since 1970, or ISO 8601."),
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(metavar="DELIMITER", help="Column delimiter: one character, `tab`, or `::`."),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Text encoding: latin-1, cp1252, utf-16, …"),
    ] = None,
    header: Annotated[
        bool | None,
        typer.Option("--header/--no-header", help="Whether the first row is a header."),
    ] = None,
    quotes: Annotated[
        bool, typer.Option("--quotes/--no-quotes", help="Whether double quotes enclose cells.")
    ] = True,
    movies: Annotated[
        Path | None,
        typer.Option(
            "--titles",
            "--movies",
            exists=True,
            dir_okay=False,
            help="A file of item titles: movies.csv, movies.dat, u.item, or one with a header.",
        ),
    ] = None,
    title_columns: Annotated[
        str | None,
        typer.Option(metavar="item=COLUMN,title=COLUMN", help="Columns of that file."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Accept the guessed delimiter, columns and unit.")
    ] = False,
    max_bad: Annotated[
        int, typer.Option(min=0, help="Bad lines to tolerate; with more, nothing is sent.")
    ] = 0,
    again: Annotated[
        bool, typer.Option("--again", help="Send whole files again, even if they were sent before.")
    ] = False,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Send the interactions of FILEs to the interaction topic, once.

    Interactions (CSV with a header, JSON lines or Parquet: user_id, event, optionally item_id,
    value, timestamp, title) and MovieLens ratings are recognised. For other files, delimiter and
    columns are guessed and shown with three rows; confirm the guess at the prompt or with --yes, or
    name the columns with --columns.

    All files are checked before the first record is sent, because the topic is kept forever. Bad
    lines are shown with their numbers; they are skipped if --max-bad allows as many. Event kinds
    without a weight in RETRAIN_EVENT_WEIGHTS are sent, with a warning. A second run of the same
    file resumes where the first one stopped, or does nothing.

    Examples
    --------
      recstream ingest ratings.csv --titles movies.csv
      recstream ingest plays.tsv --columns user=userID,item=artistID,value=weight --event watch
      recstream ingest 's3://bucket/events/*.parquet'
      recstream ingest events.jsonl.gz --max-bad 10
    """
    from ops.ingest.bad_lines import Checked, bad_lines, require_good
    from ops.ingest.column_roles import INTERACTION_ROLES, roles_named
    from ops.ingest.file_check import check_file, warn_of_kinds
    from ops.ingest.file_layout import layout_of
    from ops.ingest.file_tables import FileOptions
    from ops.ingest.interaction_rows import WHOLE_FLOATS
    from ops.ingest.source_files import local_files
    from ops.views import terminal

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    asked = FileOptions(
        columns=roles_named(columns, INTERACTION_ROLES) if columns else {},
        delimiter=_delimiter(delimiter),
        encoding=encoding,
        event=event,
        unit=unit,
        header=header,
        quotes=quotes,
    )
    titles = _titles(movies, title_columns, quotes=quotes)
    with local_files(files) as paths:
        read = [_File(path, layout_of(path, asked)) for path in paths]
        _confirm(read, asked, yes=yes, as_json=as_json)
        noticed: Counter[str] = Counter()
        checked = [check_file(path, titles, layout, noticed) for path, layout in read]
        count_by_kind = sum((result.count_by_kind for result in checked), Counter())
        for warning in warn_of_kinds(count_by_kind, settings.event_weights):
            terminal.err.print(f"warning: {warning}")
        if noticed[WHOLE_FLOATS]:
            terminal.err.print(f"warning: {noticed[WHOLE_FLOATS]:,} {WHOLE_FLOATS}")
        named = [Checked(file.path, result) for file, result in zip(read, checked, strict=True)]
        for line in bad_lines(named)[:BAD_LINES_SHOWN]:
            terminal.err.print(line)
        require_good(named, max_bad, movies if titles else None)
        _send(settings, read, checked, titles, movies, again=again, as_json=as_json)


def _delimiter(text: str | None) -> str | None:
    found = DELIMITERS.get(text, text) if text is not None else None
    if found is None or found == "::" or (len(found) == 1 and found not in '"\r\n'):
        return found
    raise ConfigurationError(f"--delimiter {text!r}: must be one character, `tab`, or `::`")


def _titles(path: Path | None, columns: str | None, *, quotes: bool) -> Mapping[ItemId, str]:
    from ops.ingest.column_roles import TITLE_ROLES, roles_named
    from ops.ingest.text_encoding import encoding_of
    from ops.ingest.title_files import read_titles
    from ops.views import terminal

    if path is None:
        if columns is not None:
            raise ConfigurationError("--title-columns needs --titles, the file they describe")
        return {}
    named = roles_named(columns, TITLE_ROLES) if columns else None
    titles = read_titles(path, named, quotes=quotes)
    for note in encoding_of(path).notes:
        terminal.err.print(f"{path}: {note}")
    return titles


def _confirm(files: Sequence[_File], asked: FileOptions, *, yes: bool, as_json: bool) -> None:
    """Show how files are read, unless their format determines it; continue only if confirmed."""
    from ops.ingest.file_tables import FileOptions
    from ops.views import terminal
    from ops.views.layout_table import layout_table

    for path, layout in files:
        if layout.guessed or asked != FileOptions():
            terminal.err.print(layout_table(path.name, layout))
        for note in layout.notes:
            terminal.err.print(f"{path.name}: {note}")
    guessed = [(path, layout) for path, layout in files if layout.guessed]
    if not guessed or yes:
        return
    path, layout = guessed[0]
    if as_json or not sys.stdin.isatty():
        raise ConfigurationError(
            f"{path}: {layout.seen}; the {' and the '.join(layout.guessed)} would be guessed, "
            "as shown above. Confirm with --yes, or use --columns or --unit; nothing was sent"
        )
    if not typer.confirm("Is this right?", err=True):
        raise typer.Exit(1)


def _advance(progress: Progress, task: TaskID, done: int, sent: int) -> None:
    progress.update(task, completed=done + sent)


def _send(
    settings: Settings,
    files: Sequence[_File],
    checked: Sequence[CheckedFile],
    titles: Mapping[ItemId, str],
    title_file: Path | None,
    *,
    again: bool,
    as_json: bool,
) -> None:
    from ops.ingest.send_once import fingerprint, records_of, send_once
    from ops.views import terminal

    started = time.monotonic()
    now = before = 0
    with terminal.progress(terminal.err, hidden=as_json) as progress:
        task = progress.add_task("interactions", total=sum(result.good for result in checked))
        for (path, layout), result in zip(files, checked, strict=True):
            done = now + before
            sent = send_once(
                settings,
                fingerprint(path, *([title_file] if title_file else []), read_as=layout.read_as),
                records_of(path, titles, layout),
                again=again,
                on_sent=partial(_advance, progress, task, done),
            )
            now, before = now + sent.now, before + sent.before
            progress.update(task, completed=done + result.good)
    seconds = time.monotonic() - started
    bad = sum(len(result.bad) for result in checked)
    if as_json:
        summary = {"sent": now, "sent_before": before, "bad_lines": bad}
        terminal.print_json({**summary, "seconds": round(seconds, 3)})
        return
    earlier = f"{before:,} had been sent before (--again sends them again); " if before else ""
    terminal.out.print(
        f"{now:,} interactions sent and confirmed in {seconds:.1f} s, {now / seconds:,.0f}/s; "
        f"{earlier}{bad} bad lines skipped"
    )
