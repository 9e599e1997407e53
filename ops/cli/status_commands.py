"""``recstream rollout status|history``, ``fleet`` and ``doctor``: how things are, and were.

Knows options and how often to refresh. Must not know the rules or wire formats.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.options import AsJson, Bootstrap, moment_of, settings_with
from registry.error_codes import CommandCode, ReadinessCode
from registry.errors import RefusedCommand, TransportError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from registry.settings import Settings

Environments = Annotated[
    bool,
    typer.Option("--all-environments", help="Every environment that shares the control topic."),
]


def status(
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Ask this worker over HTTP instead of reading Kafka."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Refresh once a second until the ramp ends.")
    ] = False,
    all_environments: Environments = False,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Show the rollout state, and the ramp with each guardrail's verdict.

    The state is read from the newest result on the control-results topic, the verdicts from the
    workers' heartbeats. With --follow, the exit code is 0 if the ramp promoted its version, and 1
    if it rolled back or was cancelled; the last line says who or what ended it, and why.

    Examples
    --------
      recstream rollout status
      recstream rollout status --follow
      recstream rollout status --url http://127.0.0.1:6066 --json
    """
    from ops.clients import fleet_observer, kafka_client
    from ops.views import rollout_tables as rollout_view
    from ops.views import terminal
    from registry.rollout.recreated_control_topic import FOREIGN_TOPIC

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    if sum((url is not None, follow, all_environments)) > 1:
        raise typer.BadParameter("give only one of --url, --follow and --all-environments")
    if all_environments:
        states = fleet_observer.states_by_environment(settings)
        _print(states, rollout_view.states_table(states.values()), as_json)
        return
    if follow:
        _follow(settings, as_json)
        return
    seen = fleet_observer.observe_worker(url) if url else fleet_observer.observe(settings)
    if fleet_observer.follows_another_topic(settings, url):
        terminal.err.print(
            f"{ReadinessCode.FOREIGN_CONTROL_TOPIC}: {FOREIGN_TOPIC}", style="yellow"
        )
    state = kafka_client.require_state(seen.state, settings)
    _print(state, rollout_view.seen_tables(seen), as_json)


def history(
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="From this time on: ISO 8601, or an age like 30m, 2h or 7d."
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Before this time; same format.")
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Only commands of this type; repeatable."),
    ] = None,
    issued_by: Annotated[
        str | None,
        typer.Option(metavar="WHO", help="Only commands issued by WHO, as the history shows it."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Show at most N, the newest.")] = 20,
    all_environments: Environments = False,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Show each command's result and what it changed, newest first; read from Kafka.

    Examples
    --------
      recstream rollout history --since 2h
      recstream rollout history --type abort --type rollback --issued-by ramp --limit 5
    """
    from ops.views.rollout_tables import trail_lines
    from registry.kafka.audit_trail import read_trail

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    now = datetime.now(UTC)
    results = read_trail(
        settings,
        environment=None if all_environments else settings.environment,
        limit=limit,
        since=moment_of("--since", since, now),
        until=moment_of("--until", until, now),
        types=tuple(types or ()),
        issued_by=issued_by,
    )
    _print(results, trail_lines(results), as_json)


def fleet(
    watch: Annotated[
        bool, typer.Option("--watch", help="Refresh once a second until Ctrl-C.")
    ] = False,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Show the workers: their epoch, the versions they have ready, their lag.

    Read from the heartbeats of the last 15 seconds; no worker is asked over HTTP.

    Examples
    --------
      recstream fleet
      recstream fleet --watch
    """
    from ops.clients import fleet_observer
    from ops.views import terminal
    from ops.views.ramp_progress import redraw
    from ops.views.rollout_tables import fleet_table

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    if watch and as_json:
        raise typer.BadParameter("--watch and --json cannot be combined")
    if watch:
        redraw(terminal.out, lambda: _fleet_now(settings))
    workers = fleet_observer.heartbeats(settings)
    if not workers and not as_json:
        raise TransportError(
            f"no heartbeat from a worker of environment {settings.environment} in the last "
            f"{fleet_observer.HEARD_SECONDS:g} s; is a worker running, and is the topic prefix "
            f"{settings.topic_prefix} right?"
        )
    _print(workers, fleet_table(workers, time.time(), settings.partitions), as_json)


def doctor(as_json: AsJson = False, bootstrap: Bootstrap = None) -> None:
    """Check Kafka, topics, registry and workers, and name each fault; exit code 1 if any failed.

    Looks at settings, Kafka, ACLs, topics, partitioners, clocks, workers and lag, the rollout,
    the registry, the deployed versions and disks. Changes nothing, but writes one object to the
    registry and removes it. Run it as the user, and with the settings, of a worker.

    Examples
    --------
      recstream doctor
      recstream doctor --json
    """
    from ops.doctor.checkup import examine
    from ops.doctor.diagnosis import has_failed
    from ops.views import terminal
    from ops.views.doctor_lines import lines_of

    given = {"KAFKA_BOOTSTRAP_SERVERS": bootstrap} if bootstrap is not None else {}
    found = []
    for diagnosis in examine({**os.environ, **given}):
        found.append(diagnosis)
        if not as_json:
            terminal.out.print(lines_of(diagnosis), soft_wrap=True)
    if as_json:
        terminal.print_json(found)
    if has_failed(found):
        raise typer.Exit(1)


def _fleet_now(settings: Settings) -> RenderableType:
    from ops.clients import fleet_observer
    from ops.views.rollout_tables import fleet_table

    return fleet_table(fleet_observer.heartbeats(settings), time.time(), settings.partitions)


def _follow(settings: Settings, as_json: bool) -> None:
    """Show the ramp until it ends; the exit code says how it ended."""
    from ops.clients import fleet_observer, kafka_client
    from ops.views import terminal
    from ops.views.ramp_progress import RampDisplay, follow_ramp
    from ops.views.rollout_tables import OUTCOME_STYLE

    state = kafka_client.require_state(kafka_client.rollout_state(settings), settings)
    if state.ramp is None:
        raise RefusedCommand(f"environment {settings.environment} has no ramp", CommandCode.NO_RAMP)
    with RampDisplay(terminal.out, hidden=as_json) as display:
        ended = follow_ramp(
            lambda: fleet_observer.observe(settings), state.ramp.ramp_id, display.show
        )
    if as_json:
        terminal.print_json(fleet_observer.observe(settings).state)
    else:
        terminal.out.print(terminal.Text(ended.reason, OUTCOME_STYLE[ended.outcome]))
    if ended.outcome != "promoted":
        raise typer.Exit(1)


def _print(value: object, table: RenderableType, as_json: bool) -> None:
    from ops.views import terminal

    if as_json:
        terminal.print_json(value)
    else:
        terminal.out.print(table)
