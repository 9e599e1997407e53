"""``recstream rollout status|history``, ``fleet`` and ``explain``: inspect, change nothing.

Knows options and how often to refresh. Must not know the rules or wire formats.
Over 300 lines, because each command declares its options with their help texts.
"""

from __future__ import annotations

import re
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from ops.cli.options import AsJson, Bootstrap, settings_with, user_id_of
from registry.error_codes import CommandCode, ReadinessCode
from registry.errors import RefusedCommand, TransportError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from registry.ids import UserId
    from registry.rollout.explanation import Explanation
    from registry.settings import Settings
    from registry.wire.responses import Response

ATTEMPTS: Final = 3
"""How often `explain` asks again when the state changes between explanation and answer."""

SECONDS_BY_UNIT: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

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
    if it rolled back or was cancelled.

    Examples
    --------
      recstream rollout status
      recstream rollout status --follow
      recstream rollout status --url http://127.0.0.1:6066 --json
    """
    from ops.clients import fleet_observer, kafka_client
    from ops.views import rollout_tables as rollout_view
    from ops.views import terminal
    from registry.rollout.command_log import FOREIGN_TOPIC

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
            f"{ReadinessCode.FOREIGN_CONTROL_TOPIC}: {FOREIGN_TOPIC}", style="yellow", markup=False
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
    limit: Annotated[
        int, typer.Option(min=1, max=1000, help="Show at most so many, the newest.")
    ] = 20,
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


def _fleet_now(settings: Settings) -> RenderableType:
    from ops.clients import fleet_observer
    from ops.views.rollout_tables import fleet_table

    return fleet_table(fleet_observer.heartbeats(settings), time.time(), settings.partitions)


def explain(
    user: Annotated[
        str,
        typer.Argument(
            metavar="USER", help="A user id; a whole number, like 42 or -5, is an integer id."
        ),
    ],
    ask: Annotated[
        bool, typer.Option(help="Send a request, and compare its answer with the explanation.")
    ] = True,
    string_id: Annotated[
        bool, typer.Option(help="Treat USER as a string, even if it is all digits.")
    ] = False,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Explain which rule gives USER which version, and check it against a real answer.

    Bucket and version are computed locally from the state in Kafka; then a request is sent. Exit
    code 1 if the answer differs.

    Examples
    --------
      recstream explain 42
      recstream explain anna --no-ask --json
    """
    from ops.views import rollout_tables as rollout_view
    from ops.views import terminal

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    check = _explain_and_check(settings, user_id_of(user, string_id), ask)
    matches = None if check.answer is None else not check.differences
    if as_json:
        terminal.print_json(
            {
                "explanation": check.explanation,
                "answer": check.answer,
                "matches": matches,
                "differences": check.differences,
            }
        )
    else:
        terminal.out.print(rollout_view.explanation_table(check.explanation))
        for difference in check.differences:
            terminal.err.print(difference, style="red", markup=False)
        if check.answer and matches:
            worker = check.answer.provenance.worker
            terminal.out.print(f"the answer from {worker} matches", style="green", markup=False)
    if matches is False:
        raise typer.Exit(1)


class _Check(NamedTuple):
    explanation: Explanation
    answer: Response | None = None
    differences: tuple[str, ...] = ()


def _explain_and_check(settings: Settings, user: UserId, ask: bool) -> _Check:
    """Explain, ask and compare; try again if the state has changed in between."""
    from ops.clients import kafka_client
    from registry.rollout import explanation
    from registry.wire.requests import Request

    for _ in range(ATTEMPTS):
        state = kafka_client.require_state(kafka_client.rollout_state(settings), settings)
        expected = explanation.explain(user, state)
        if not ask:
            return _Check(expected)
        request = Request(request_id=str(uuid.uuid4()), user_id=user)
        answer = kafka_client.ask(settings, [request]).by_request_id[request.request_id]
        if answer.provenance.rollout_epoch == expected.epoch:
            break
    if answer.error is not None:
        return _Check(expected, answer, (f"answered with an error: {answer.error.message}",))
    return _Check(expected, answer, explanation.differences(expected, state, answer))


def _follow(settings: Settings, as_json: bool) -> None:
    """Show the ramp until it ends; the exit code says how it ended."""
    from ops.clients import fleet_observer, kafka_client
    from ops.views import terminal
    from ops.views.ramp_progress import RampDisplay, follow_ramp

    state = kafka_client.require_state(kafka_client.rollout_state(settings), settings)
    if state.ramp is None:
        raise RefusedCommand(f"environment {settings.environment} has no ramp", CommandCode.NO_RAMP)
    with RampDisplay(terminal.out, hidden=as_json) as display:
        outcome = follow_ramp(
            lambda: fleet_observer.observe(settings), state.ramp.ramp_id, display.show
        )
    if as_json:
        terminal.print_json(fleet_observer.observe(settings).state)
    if outcome != "promoted":
        raise typer.Exit(1)


def moment_of(option: str, text: str | None, now: datetime) -> datetime | None:
    """Return the time that `text` gives: ISO 8601, or an age before `now`; None for None.

    >>> moment_of("--since", "2h", datetime(2026, 1, 31, 12, tzinfo=UTC)).isoformat()
    '2026-01-31T10:00:00+00:00'
    """
    from registry.kafka.audit_trail import moment

    if text is None:
        return None
    ago = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if ago:
        return now - timedelta(seconds=int(ago[1]) * SECONDS_BY_UNIT[ago[2]])
    try:
        return moment(text)
    except ValueError:
        raise typer.BadParameter(
            f"{option} {text!r}: must be ISO 8601, like 2026-01-31T12:00, "
            "or an age like 30m, 2h or 7d"
        ) from None


def _print(value: object, table: RenderableType, as_json: bool) -> None:
    from ops.views import terminal

    if as_json:
        terminal.print_json(value)
    else:
        terminal.out.print(table)
