"""``topics``, ``broker``, ``worker``, ``ingest`` and ``request``: what has to do with Kafka itself.

Knows options and what is shown. Must not know wire formats nor file formats.
"""

from __future__ import annotations

import logging
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ops.arguments import AsJson, Bootstrap, settings_with
from registry.errors import RefusedCommand

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.progress import Progress

    from ops.ingest import BadLine
    from registry.ids import ItemId, UserId
    from registry.records import Response
    from registry.settings import Settings

BAD_LINES_SHOWN = 10
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

topics = typer.Typer(
    no_args_is_help=True, help="The topics: make them, and check that they are right."
)


@topics.command()
def create(as_json: AsJson = False, bootstrap: Bootstrap = None) -> None:
    """Create the topics that are missing, with the right partitions and configs."""
    from ops import client, terminal
    from registry.topics import create_topics

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    client.require_broker(settings)
    created = create_topics(settings)
    if as_json:
        terminal.print_json({"created": created})
        return
    for name in created:
        terminal.out.print(f"created {name}")
    if not created:
        terminal.out.print("all topics are there; `recstream topics check` looks at them closely")


@topics.command()
def check(as_json: AsJson = False, bootstrap: Bootstrap = None) -> None:
    """Compare the topics with what is needed; exit code 1 if something is wrong."""
    from ops import client, terminal
    from registry.topics import check_topics

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    client.require_broker(settings)
    wrong = check_topics(settings)
    if as_json:
        terminal.print_json({"wrong": wrong})
    elif not wrong:
        terminal.out.print("all topics are right")
    for sentence in [] if as_json else wrong:
        terminal.err.print(sentence)
    if wrong:
        raise typer.Exit(1)


def broker(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 9092,
    as_json: AsJson = False,
) -> None:
    """Run an embedded broker in the foreground; Ctrl-C stops it. For a laptop: memory only.

    Examples
    --------
      recstream broker --port 9092
    """
    from ops import terminal
    from ops.broker import start_broker
    from ops.children import ChildGroup, stopped_by_signals

    with stopped_by_signals(), ChildGroup() as group:
        address = start_broker(group, port)
        if as_json:
            terminal.print_json({"bootstrap": address})
        else:
            terminal.out.print(f"broker on {address}, in memory only; Ctrl-C stops it")
            terminal.out.print(f"export KAFKA_BOOTSTRAP_SERVERS={address}")
        terminal.out.file.flush()
        try:
            while True:
                group.require_running()
                time.sleep(0.2)
        except KeyboardInterrupt:  # the way to stop it
            return


def worker(
    name: Annotated[
        str | None, typer.Option(help="This worker's name, instead of RECSTREAM_WORKER.")
    ] = None,
    http_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of the pages, instead of RECSTREAM_HTTP_PORT."),
    ] = None,
    bootstrap: Bootstrap = None,
) -> None:
    """Run one worker until SIGTERM or Ctrl-C: it answers requests, decides commands, trains.

    Examples
    --------
      recstream worker
      recstream worker --name worker-2 --http-port 6067
    """
    from ops import client

    settings = settings_with(
        RECSTREAM_WORKER=name, RECSTREAM_HTTP_PORT=http_port, KAFKA_BOOTSTRAP_SERVERS=bootstrap
    )
    client.require_broker(settings)
    from streams.worker import run_worker

    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    run_worker(settings)


def ingest(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True, dir_okay=False, help=".csv, .dat or .jsonl, .gz allowed; or .parquet."
        ),
    ],
    movies: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="MovieLens' movies file, for titles."),
    ] = None,
    max_bad: Annotated[
        int, typer.Option(min=0, help="Lines that may be unusable; with more, nothing is sent.")
    ] = 0,
    again: Annotated[
        bool, typer.Option("--again", help="Send all of it, whatever was sent before.")
    ] = False,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Send the interactions of FILE to the interaction topic, once.

    FILE is MovieLens' ratings (CSV with its header, or DAT), JSON lines of interaction records, or
    a Parquet table of either. The whole file is checked before the first record is sent, because
    the topic is kept for ever; bad lines are shown with their numbers and are left out if --max-bad
    allows them. A second run of the same file goes on where the first one ended, or has nothing to
    do.

    Examples
    --------
      recstream ingest ratings.csv --movies movies.csv
      recstream ingest events.jsonl.gz --max-bad 10
    """
    from ops import terminal
    from ops.ingest import read_titles
    from ops.ingesting import fingerprint, send_once

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    titles = read_titles(movies) if movies else {}
    good, bad = _checked(file)
    for line in bad[:BAD_LINES_SHOWN]:
        terminal.err.print(f"line {line.number}: {line.reason}", markup=False)
    if len(bad) > max_bad:
        raise RefusedCommand(
            f"{file}: {len(bad)} bad lines, at most {max_bad} are allowed (--max-bad); "
            "nothing was sent",
            "bad_lines",
        )
    started = time.monotonic()
    with terminal.progress(terminal.err, hidden=as_json) as progress:
        task = progress.add_task("interactions", total=good)
        sent = send_once(
            settings,
            fingerprint(file, *([movies] if movies else [])),
            _records(file, titles),
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
    before = f"{sent.before:,} were sent before (--again sends them, too); " if sent.before else ""
    terminal.out.print(
        f"{sent.now:,} interactions sent and confirmed in {seconds:.1f} s, "
        f"{sent.now / seconds:,.0f}/s; {before}{len(bad)} bad lines left out"
    )


def send_interactions(
    settings: Settings, file: Path, titles: Mapping[ItemId, str], total: int, progress: Progress
) -> None:
    """Send the good lines of `file`, showing them on a running `progress`."""
    from ops import client
    from registry.topics import topics_of

    task = progress.add_task("interactions", total=total)
    client.produce_all(
        settings,
        topics_of(settings).interactions,
        _records(file, titles),
        on_sent=lambda sent: progress.update(task, completed=sent),
    )
    progress.update(task, completed=total)


def _records(file: Path, titles: Mapping[ItemId, str]) -> Iterator[tuple[UserId, bytes]]:
    from ops.ingest import BadLine, read_interactions
    from registry.records import encode

    for one in read_interactions(file, titles):
        if not isinstance(one, BadLine):
            yield one.user_id, encode(one)


def request(
    user: Annotated[str, typer.Argument(metavar="USER", help="Digits are an integer id.")],
    k: Annotated[int, typer.Option("--k", "-k", min=1, max=1000, help="How many items.")] = 10,
    model_version: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Pin a version, for debugging.")
    ] = None,
    include_seen: Annotated[bool, typer.Option(help="Items already seen may come, too.")] = False,
    count: Annotated[
        int, typer.Option(min=1, max=10_000, help="Ask so many times; the answers are summed up.")
    ] = 1,
    string_id: Annotated[bool, typer.Option(help="USER is a string even if it is digits.")] = False,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Ask for recommendations through Kafka, and print the answer.

    Examples
    --------
      recstream request 42
      recstream request 42 -k 3 --model-version v0.4
      recstream request anna --json
    """
    from ops import client
    from ops.ingest import parse_id
    from registry.records import Request

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    requests = [
        Request(
            request_id=str(uuid.uuid4()),
            user_id=user if string_id else parse_id(user),
            k=k,
            exclude_seen=not include_seen,
            model_version=model_version,
        )
        for _ in range(count)
    ]
    answers = client.ask(settings, requests)
    responses = [answers.by_request_id[one.request_id] for one in requests]
    _show_responses(responses, as_json)
    if any(response.status != "ok" for response in responses):
        raise typer.Exit(1)


def _show_responses(responses: Sequence[Response], as_json: bool) -> None:
    from ops import terminal

    if as_json:
        terminal.print_json(responses[0] if len(responses) == 1 else responses)
        return
    terminal.out.print(f"user {responses[0].user_id!r}", style="bold")
    for table in terminal.answer_tables(responses[0]):
        terminal.out.print(table)
    if len(responses) > 1:
        groups: dict[tuple[object, ...], list[float]] = {}
        for one in responses:
            key = (one.status, one.model_version, one.variant, one.source)
            groups.setdefault(key, []).append(one.provenance.latency_ms)
        rows = [
            (*(part or "" for part in key), len(values), f"{sorted(values)[len(values) // 2]:.1f}")
            for key, values in groups.items()
        ]
        columns = ("status", "version", "variant", "source", "answers #", "median ms #")
        terminal.out.print(terminal.grid(columns, rows))


def _checked(file: Path) -> tuple[int, list[BadLine]]:
    """Return the number of good lines, and the bad ones."""
    from ops.ingest import BadLine, read_interactions

    good, bad = 0, []
    for one in read_interactions(file):
        if isinstance(one, BadLine):
            bad.append(one)
        else:
            good += 1
    return good, bad
