"""``recstream ingest``: send the interactions of a file to the interaction topic.

Knows options and what is shown. File formats and sending are in `ops.ingest`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.options import AsJson, Bootstrap, settings_with
from registry.error_codes import CommandCode
from registry.errors import RefusedCommand

if TYPE_CHECKING:
    from ops.ingest.interaction_files import BadLine

BAD_LINES_SHOWN = 10


def ingest(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="A .csv, .dat or .jsonl file, also as .gz; or a .parquet file.",
        ),
    ],
    movies: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="MovieLens' movies file, for the titles."),
    ] = None,
    max_bad: Annotated[
        int, typer.Option(min=0, help="Bad lines to tolerate; with more, nothing is sent.")
    ] = 0,
    again: Annotated[
        bool, typer.Option("--again", help="Send the whole file again, even if it was sent before.")
    ] = False,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Send the interactions of FILE to the interaction topic, once.

    FILE holds interactions (CSV with a header: user_id, event, optionally item_id, value,
    timestamp, title; JSON lines; Parquet) or MovieLens ratings (CSV, DAT, Parquet). The whole file
    is checked before the first record is sent, because the topic is kept forever. Bad lines are
    shown with their numbers; they are skipped if --max-bad allows as many. A second run of the
    same file resumes where the first one stopped, or does nothing.

    Examples
    --------
      recstream ingest ratings.csv --movies movies.csv
      recstream ingest events.jsonl.gz --max-bad 10
    """
    from ops.ingest.interaction_files import read_titles
    from ops.ingest.send_once import fingerprint, records_of, send_once
    from ops.views import terminal

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    titles = read_titles(movies) if movies else {}
    good, bad = _check_lines(file)
    for line in bad[:BAD_LINES_SHOWN]:
        terminal.err.print(f"line {line.number}: {line.reason}", markup=False)
    if len(bad) > max_bad:
        raise RefusedCommand(
            f"{file}: {len(bad)} bad lines, but --max-bad allows {max_bad}; nothing was sent",
            CommandCode.BAD_LINES,
        )
    started = time.monotonic()
    with terminal.progress(terminal.err, hidden=as_json) as progress:
        task = progress.add_task("interactions", total=good)
        sent = send_once(
            settings,
            fingerprint(file, *([movies] if movies else [])),
            records_of(file, titles),
            again=again,
            on_sent=lambda done: progress.update(task, completed=done),
        )
    seconds = time.monotonic() - started
    if as_json:
        terminal.print_json(
            {
                "sent": sent.now,
                "sent_before": sent.before,
                "bad_lines": len(bad),
                "seconds": round(seconds, 3),
            }
        )
        return
    before = (
        f"{sent.before:,} had been sent before (--again sends them again); " if sent.before else ""
    )
    terminal.out.print(
        f"{sent.now:,} interactions sent and confirmed in {seconds:.1f} s, "
        f"{sent.now / seconds:,.0f}/s; {before}{len(bad)} bad lines skipped"
    )


def _check_lines(file: Path) -> tuple[int, list[BadLine]]:
    """Return the number of good lines, and the bad ones."""
    from ops.ingest.interaction_files import BadLine, read_interactions

    good, bad = 0, []
    for line in read_interactions(file):
        if isinstance(line, BadLine):
            bad.append(line)
        else:
            good += 1
    return good, bad
