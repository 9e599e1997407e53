"""``recstream dead-letters``: list, show, replay and drop records that could not be used.

Knows options and what is shown. Reading and replaying are in `ops.clients.dead_letter_replay`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ops.cli.options import AsJson, Bootstrap, moment_of, settings_with

if TYPE_CHECKING:
    from ops.clients.dead_letter_replay import LetterCounts
    from registry.kafka.dead_letter_records import State, Wanted

app = typer.Typer(
    no_args_is_help=True,
    help="Records that could not be used: list, show, replay or drop them.",
)

Topics = Annotated[
    list[str] | None,
    typer.Option("--topic", metavar="TOPIC", help="Only from this topic; repeatable."),
]
Reasons = Annotated[
    list[str] | None,
    typer.Option(
        "--reason", metavar="CODE", help="Only with this reason, like `malformed`; repeatable."
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="Only letters from this time on: ISO 8601, or an age like 30m or 2h."
    ),
]
Until = Annotated[
    str | None, typer.Option(metavar="TIME", help="Only letters before this time; same format.")
]
Offsets = Annotated[
    list[int] | None,
    typer.Argument(
        metavar="[OFFSET]...", help="Offsets, as `recstream dead-letters list` shows them."
    ),
]
All = Annotated[
    bool, typer.Option("--all", help="All letters; required if nothing else selects them.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be done, without doing it.")
]


@app.command("list")
def list_letters(
    topic: Topics = None,
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    state: Annotated[
        Literal["open", "replayed", "dropped", "any"],
        typer.Option(help="Only letters in this state."),
    ] = "open",
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="Show at most N, the newest.")
    ] = 20,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """List dead letters, newest last, with counts by topic and reason.

    A record that was dead-lettered twice is one letter. Letters are kept for 7 days.

    Examples
    --------
      recstream dead-letters list
      recstream dead-letters list --reason malformed --since 2h
    """
    from ops.clients.dead_letter_replay import read_letters
    from ops.views import dead_letter_tables as letters_view
    from ops.views import terminal

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    states: tuple[State, ...] = () if state == "any" else (state,)
    wanted = _select(topic, reason, since, until, None, states)
    with terminal.progress(terminal.err, hidden=as_json) as progress:
        task = progress.add_task("records read", total=None)
        found = read_letters(settings, lambda done: progress.update(task, completed=done))
    letters = list(filter(wanted.includes, found))
    if as_json:
        terminal.print_json([letters_view.as_json(letter) for letter in letters[-limit:]])
        return
    if not letters:
        terminal.out.print(f"no letters match; {len(found):,} in total")
        return
    for shown in letters_view.letters_table(letters[-limit:], len(letters)):
        terminal.out.print(shown)
    terminal.out.print(letters_view.counts_table(letters))


@app.command()
def show(
    offset: Annotated[int, typer.Argument(min=0, help="Its offset, as `list` shows it.")],
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Show one letter: its source, the reason, its headers and its value.

    With --json, key, value and header values are base64-encoded.

    Examples
    --------
      recstream dead-letters show 17
    """
    from ops.clients.dead_letter_replay import letter_at
    from ops.views import dead_letter_tables as letters_view
    from ops.views import terminal

    letter = letter_at(settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap), offset)
    if as_json:
        terminal.print_json(letters_view.as_json(letter, whole=True))
        return
    for shown in letters_view.letter_tables(letter):
        terminal.out.print(shown)


@app.command()
def replay(
    offsets: Offsets = None,
    topic: Topics = None,
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    everything: All = False,
    again: Annotated[
        bool, typer.Option("--again", help="Include letters that were already replayed or dropped.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Replay dead-lettered requests, each exactly once.

    Sending a record and marking its letter as replayed are one Kafka transaction, so a second run,
    on any machine, sends nothing twice. A record that still cannot be used becomes a new letter.
    Commands are not replayed: each was already rejected. Exit code 1 if some were not replayed.

    Examples
    --------
      recstream dead-letters replay --reason too_large --dry-run
      recstream dead-letters replay --reason too_large
      recstream dead-letters replay 17 18 --again
    """
    from ops.clients import dead_letter_replay
    from ops.views import terminal

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    states: tuple[State, ...] = () if again else ("open",)
    wanted = _require_selection(topic, reason, since, until, offsets, states, everything)
    with terminal.progress(terminal.err, hidden=as_json or dry_run) as progress:
        task = progress.add_task("letters replayed", total=None)
        counts = dead_letter_replay.replay(
            settings, wanted, lambda done: progress.update(task, completed=done), dry_run=dry_run
        )
    _print_counts(counts, "replayed", dry_run, as_json)


@app.command()
def drop(
    offsets: Offsets = None,
    topic: Topics = None,
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    everything: All = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Mark dead letters as dropped: they are no longer listed or replayed.

    Kafka cannot delete single records: the letters stay on the topic until its retention ends.

    Examples
    --------
      recstream dead-letters drop --reason malformed --until 1h
    """
    from ops.clients import dead_letter_replay
    from ops.views import terminal

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    wanted = _require_selection(topic, reason, since, until, offsets, ("open",), everything)
    with terminal.progress(terminal.err, hidden=as_json or dry_run) as progress:
        task = progress.add_task("letters dropped", total=None)
        counts = dead_letter_replay.drop(
            settings, wanted, lambda done: progress.update(task, completed=done), dry_run=dry_run
        )
    _print_counts(counts, "dropped", dry_run, as_json)


def _require_selection(
    topic: list[str] | None,
    reason: list[str] | None,
    since: str | None,
    until: str | None,
    offsets: list[int] | None,
    states: tuple[State, ...],
    everything: bool,
) -> Wanted:
    """Return which letters are selected; selecting all of them takes ``--all``."""
    selects = any((topic, reason, since, until, offsets))
    if selects == everything:
        raise typer.BadParameter(
            "select letters by OFFSET, --topic, --reason, --since or --until; or give --all alone"
        )
    return _select(topic, reason, since, until, offsets, states)


def _select(
    topic: list[str] | None,
    reason: list[str] | None,
    since: str | None,
    until: str | None,
    offsets: list[int] | None,
    states: tuple[State, ...],
) -> Wanted:
    from registry.kafka.dead_letter_records import Wanted

    now = datetime.now(UTC)
    bounds = [moment_of("--since", since, now), moment_of("--until", until, now)]
    since_ms, until_ms = (None if at is None else at.timestamp() * 1000 for at in bounds)
    return Wanted(
        tuple(topic or ()), tuple(reason or ()), since_ms, until_ms, tuple(offsets or ()), states
    )


def _print_counts(counts: LetterCounts, action: str, dry_run: bool, as_json: bool) -> None:
    from ops.views import dead_letter_tables as letters_view
    from ops.views import terminal

    if as_json:
        terminal.print_json({action: counts.done, "refused": counts.refused, "dry_run": dry_run})
    else:
        would = "would be " if dry_run else ""
        terminal.out.print(f"{counts.done:,} letters {would}{action}")
        for reason, count in counts.refused.items():
            why = letters_view.WHY_REFUSED[reason]
            terminal.err.print(f"{count:,} not {action}: {why}")
    if counts.refused:
        raise typer.Exit(1)
