"""``dead-letters``: the records that could not be used, and what is done about them.

Knows options and what is shown. Must not know headers nor Kafka.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ops.cli.inspect_commands import moment_of
from ops.cli.options import AsJson, Bootstrap, settings_with

if TYPE_CHECKING:
    from ops.clients.dead_letter_dealing import Dealt
    from registry.kafka.dead_letter_records import State, Wanted

app = typer.Typer(
    no_args_is_help=True,
    help="The records that could not be used: look at them, send them again, drop them.",
)

Topics = Annotated[
    list[str] | None,
    typer.Option("--topic", metavar="TOPIC", help="Where they came from; may be repeated."),
]
Reasons = Annotated[
    list[str] | None,
    typer.Option("--reason", metavar="CODE", help="Why, like `malformed`; may be repeated."),
]
Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Put aside since then: ISO 8601, or so long ago: 30m, 2h."),
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="The same; not included.")]
Offsets = Annotated[
    list[int] | None,
    typer.Argument(metavar="[OFFSET]...", help="As `recstream dead-letters list` shows them."),
]
All = Annotated[
    bool, typer.Option("--all", help="All of them; needed where nothing else is given.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


@app.command("list")
def list_letters(
    topic: Topics = None,
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    state: Annotated[
        Literal["open", "replayed", "dropped", "any"], typer.Option(help="What was done.")
    ] = "open",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many, the newest.")] = 20,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """List dead letters, the newest last, with their counts by topic and reason.

    A record that was put aside twice is one letter. They are kept for 7 days.

    Examples
    --------
      recstream dead-letters list
      recstream dead-letters list --reason malformed --since 2h
    """
    from ops.clients.dead_letter_dealing import read_letters
    from ops.views import dead_letter_tables as letters_view
    from ops.views import terminal

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    states: tuple[State, ...] = () if state == "any" else (state,)
    wanted = _wanted(topic, reason, since, until, None, states)
    with terminal.progress(terminal.err, hidden=as_json) as progress:
        task = progress.add_task("records read", total=None)
        found = read_letters(settings, lambda done: progress.update(task, completed=done))
    letters = list(filter(wanted.includes, found))
    if as_json:
        terminal.print_json([letters_view.as_json(one) for one in letters[-limit:]])
        return
    if not letters:
        terminal.out.print(f"no letters like that; {len(found):,} in all")
        return
    for shown in letters_view.letters_table(letters[-limit:], len(letters)):
        terminal.out.print(shown)
    terminal.out.print(letters_view.counts_table(letters))


@app.command()
def show(
    offset: Annotated[int, typer.Argument(min=0, help="As `list` shows it.")],
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Show one letter: where it came from, why it was put aside, its headers and its value.

    With --json key, value and header values are in base64, byte for byte.

    Examples
    --------
      recstream dead-letters show 17
    """
    from ops.clients.dead_letter_dealing import letter_at
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
        bool, typer.Option("--again", help="Also those that were replayed or dropped before.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Send the requests of dead letters again, each once.

    Sending and noting that it was sent are one transaction on Kafka: a second run, on whatever
    machine, sends nothing twice. A record that still cannot be used becomes a new letter. Commands
    are not replayed: each was answered with a rejection. Exit code 1 if some could not be sent.

    Examples
    --------
      recstream dead-letters replay --reason too_large --dry-run
      recstream dead-letters replay --reason too_large
      recstream dead-letters replay 17 18 --again
    """
    from ops.clients import dead_letter_dealing as dealing
    from ops.views import terminal

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    states: tuple[State, ...] = () if again else ("open",)
    wanted = _chosen(topic, reason, since, until, offsets, states, everything)
    with terminal.progress(terminal.err, hidden=as_json or dry_run) as progress:
        task = progress.add_task("letters replayed", total=None)
        dealt = dealing.replay(
            settings, wanted, lambda done: progress.update(task, completed=done), dry_run=dry_run
        )
    _report(dealt, "replayed", dry_run, as_json)


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
    """Mark dead letters as dealt with: neither listed nor replayed any more.

    Kafka cannot delete one record: the letters stay on the topic until its retention ends.

    Examples
    --------
      recstream dead-letters drop --reason malformed --until 1h
    """
    from ops.clients import dead_letter_dealing as dealing
    from ops.views import terminal

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    wanted = _chosen(topic, reason, since, until, offsets, ("open",), everything)
    with terminal.progress(terminal.err, hidden=as_json or dry_run) as progress:
        task = progress.add_task("letters dropped", total=None)
        dealt = dealing.drop(
            settings, wanted, lambda done: progress.update(task, completed=done), dry_run=dry_run
        )
    _report(dealt, "dropped", dry_run, as_json)


def _chosen(
    topic: list[str] | None,
    reason: list[str] | None,
    since: str | None,
    until: str | None,
    offsets: list[int] | None,
    states: tuple[State, ...],
    everything: bool,
) -> Wanted:
    """Return which letters are chosen; whoever means all of them must say so."""
    chooses = any((topic, reason, since, until, offsets))
    if chooses == everything:
        raise typer.BadParameter(
            "say which letters: by OFFSET, --topic, --reason, --since or --until; or --all, alone"
        )
    return _wanted(topic, reason, since, until, offsets, states)


def _wanted(
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


def _report(dealt: Dealt, done: str, dry_run: bool, as_json: bool) -> None:
    from ops.views import dead_letter_tables as letters_view
    from ops.views import terminal

    if as_json:
        terminal.print_json({done: dealt.done, "refused": dealt.refused, "dry_run": dry_run})
    else:
        would = "would be " if dry_run else ""
        terminal.out.print(f"{dealt.done:,} letters {would}{done}")
        for reason, count in dealt.refused.items():
            why = letters_view.WHY_REFUSED[reason]
            terminal.err.print(f"{count:,} not {done}: they {why}", markup=False)
    if dealt.refused:
        raise typer.Exit(1)
