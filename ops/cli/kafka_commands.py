"""``topics``, ``broker``, ``worker`` and ``ingest``: what has to do with Kafka itself.

Knows options and what is shown. Must not know wire formats nor file formats.
"""

from __future__ import annotations

import enum
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.options import AsJson, Bootstrap, settings_with
from ops.views.escape_text import EscapingFormatter
from registry.errors import ConfigurationError, RefusedCommand

if TYPE_CHECKING:
    from ops.ingest.interaction_files import BadLine
    from registry.kafka.topics import Topic

BAD_LINES_SHOWN = 10

PRINCIPAL = re.compile(r"\w+:[^\s'\"]+")


class RoleName(enum.StrEnum):
    """The roles of `registry.kafka.permissions`, as the command line takes them."""

    WORKER = "worker"
    APPLICATION = "application"
    OPERATOR = "operator"
    TRAINER = "trainer"


topics = typer.Typer(
    no_args_is_help=True, help="The topics: make them, and check that they are right."
)


@topics.command()
def create(as_json: AsJson = False, bootstrap: Bootstrap = None) -> None:
    """Create the topics that are missing, with the right partitions and configs."""
    from ops.clients import kafka_client as client
    from ops.views import terminal
    from registry.kafka.topic_admin import create_topics

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
    from ops.clients import kafka_client as client
    from ops.views import terminal
    from registry.kafka.topic_admin import check_topics
    from registry.kafka.topic_upkeep import faults_of

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    client.require_broker(settings)
    faults = faults_of(settings)
    wrong = list(dict.fromkeys([*check_topics(settings), *map(str, faults)]))
    if as_json:
        terminal.print_json({"wrong": wrong})
    elif not wrong:
        terminal.out.print("all topics are right")
    for sentence in [] if as_json else wrong:
        terminal.err.print(sentence)
    if not as_json and any(one.is_mendable for one in faults):
        terminal.err.print("`recstream topics mend` sets the configs")
    if wrong:
        raise typer.Exit(1)


@topics.command()
def mend(as_json: AsJson = False, bootstrap: Bootstrap = None) -> None:
    """Set the configs that `topics check` complains of; the topics' records stay as they are.

    The rollout table's changelog is compacted within minutes afterwards: of leases and heartbeats
    that an older release left in it, nothing stays. Partitions and replication factors are not
    touched: Kafka has tools for them.
    """
    from ops.clients import kafka_client as client
    from ops.views import terminal
    from registry.kafka.topic_upkeep import mend_topics

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    client.require_broker(settings)
    mended = mend_topics(settings)
    if as_json:
        rows = [
            {"topic": one.topic, "config": one.setting, "was": one.seen, "is": one.wanted}
            for one in mended
        ]
        terminal.print_json({"mended": rows})
        return
    for one in mended:
        terminal.out.print(f"{one.topic}: {one.setting} was {one.seen}, is {one.wanted}")
    if not mended:
        terminal.out.print("nothing to mend")


@topics.command()
def grow(
    partitions: Annotated[int, typer.Argument(min=1, max=1000, metavar="N")],
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Give all topics keyed by user N partitions: responses, shadow, interactions, then requests.

    Under traffic, and as often as you like: what is done is left alone. Workers read the new
    partitions by themselves, within half a minute. Kafka cannot shrink a topic; fewer is refused.
    Some users' requests go to another partition from then on.

    Examples
    --------
      recstream topics grow 12
    """
    from ops.clients import kafka_client as client
    from ops.views import terminal
    from registry.kafka.partition_growth import grow_topics

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    client.require_broker(settings)

    def show(topic: Topic) -> None:
        if not as_json:
            terminal.out.print(f"{topic.name} has {partitions} partitions")

    grown = grow_topics(settings, partitions, show)
    if as_json:
        terminal.print_json({"grown": [topic.name for topic in grown], "partitions": partitions})
    elif not grown:
        terminal.out.print(f"all topics keyed by user have {partitions} partitions already")


@topics.command()
def acls(
    principal: Annotated[
        str, typer.Option(metavar="User:NAME", help="Who is to be allowed, as Kafka names it.")
    ],
    role: Annotated[
        RoleName | None, typer.Option("--for", help="What it does; without: a part for each role.")
    ] = None,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Print the kafka-acls.sh commands that allow a user what a role needs, and no more.

    Nothing is sent to Kafka. Names follow RECSTREAM_TOPIC_PREFIX, RECSTREAM_CONTROL_PREFIX and
    ENVIRONMENT. kafka-acls.sh itself may need --command-config, with an administrator's login.

    Examples
    --------
      recstream topics acls --principal User:recstream --for worker
      recstream topics acls --principal User:shop --for application --json
    """
    from ops.views import terminal
    from registry.kafka.permissions import ROLES, Role, acl_commands, permissions_of

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    if not PRINCIPAL.fullmatch(principal):
        raise ConfigurationError(
            f"--principal {principal!r}: must look like User:NAME, without blanks and quotes"
        )
    roles: tuple[Role, ...] = ROLES if role is None else (role.value,)
    if as_json:
        terminal.print_json(
            [
                {
                    "role": each,
                    "principal": principal,
                    "resource_type": one.kind,
                    "name": one.name,
                    "pattern_type": "prefixed" if one.prefixed else "literal",
                    "operation": one.operation.lower(),
                }
                for each in roles
                for one in permissions_of(settings, each)
            ]
        )
        return
    for each in roles:
        if role is None:
            terminal.out.print(f"# {each}", markup=False)
        for line in acl_commands(settings, each, principal):
            terminal.out.print(line, markup=False, highlight=False, soft_wrap=True)


def broker(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 9092,
    as_json: AsJson = False,
) -> None:
    """Run an embedded broker in the foreground; Ctrl-C stops it. For a laptop: memory only.

    Examples
    --------
      recstream broker --port 9092
    """
    from ops.local.child_group import ChildGroup, stopped_by_signals
    from ops.local.embedded_broker import start_broker
    from ops.views import terminal

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
    import gc

    gc.disable()  # what is imported stays; `run_worker` switches it on again
    settings = settings_with(
        RECSTREAM_WORKER=name, RECSTREAM_HTTP_PORT=http_port, KAFKA_BOOTSTRAP_SERVERS=bootstrap
    )
    from streams.watch.worker_log import set_up_logging
    from streams.worker import run_worker

    set_up_logging(EscapingFormatter)
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

    FILE is interaction records (CSV with a header: user_id, event, and what there is of item_id,
    value, timestamp, title; JSON lines; a Parquet table) or MovieLens' ratings (CSV, DAT, Parquet).
    The whole file is checked before the first record is sent, because the topic is kept for ever;
    bad lines are shown with their numbers and are left out if --max-bad allows them. A second run
    of the same file goes on where the first one ended, or has nothing to do.

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
    before = f"{sent.before:,} were sent before (--again sends them, too); " if sent.before else ""
    terminal.out.print(
        f"{sent.now:,} interactions sent and confirmed in {seconds:.1f} s, "
        f"{sent.now / seconds:,.0f}/s; {before}{len(bad)} bad lines left out"
    )


def _checked(file: Path) -> tuple[int, list[BadLine]]:
    """Return the number of good lines, and the bad ones."""
    from ops.ingest.interaction_files import BadLine, read_interactions

    good, bad = 0, []
    for one in read_interactions(file):
        if isinstance(one, BadLine):
            bad.append(one)
        else:
            good += 1
    return good, bad
