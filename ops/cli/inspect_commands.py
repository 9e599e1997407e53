"""``rollout status|history``, ``fleet`` and ``explain``: looking at a rollout, changing nothing.

Knows options, and how often to look again. Must not know the rules nor wire formats.
"""

from __future__ import annotations

import re
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from ops.cli.options import AsJson, Bootstrap, settings_with, user_id_of
from registry.errors import RefusedCommand, TransportError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from registry.ids import UserId
    from registry.rollout.explanation import Explanation
    from registry.settings import Settings
    from registry.wire.responses import Response

ATTEMPTS: Final = 3
"""Answers asked for by `explain` while the state changes under it."""

SECONDS_BY_UNIT: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

Environments = Annotated[
    bool,
    typer.Option("--all-environments", help="Of every environment that shares the control topic."),
]


def status(
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Ask this worker over HTTP instead of Kafka.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Look once a second, until the ramp has ended.")
    ] = False,
    all_environments: Environments = False,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Show the rollout state of the environment, and its ramp with every guardrail's verdict.

    The state is read from the newest result on the control-results topic, the verdicts from the
    workers' heartbeats. With --follow the exit code is 0 if the ramp promoted its version, and 1
    if it was rolled back or cancelled.

    Examples
    --------
      recstream rollout status
      recstream rollout status --follow
      recstream rollout status --url http://127.0.0.1:6066 --json
    """
    from ops.clients import fleet_observer as observing
    from ops.clients import kafka_client as client
    from ops.views import rollout_tables as rollout_view
    from ops.views import terminal
    from registry.rollout.command_log import FOREIGN, FOREIGN_TOPIC

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    if sum((url is not None, follow, all_environments)) > 1:
        raise typer.BadParameter("give only one of --url, --follow and --all-environments")
    if all_environments:
        states = observing.states_by_environment(settings)
        _print(states, rollout_view.states_table(states.values()), as_json)
        return
    if follow:
        _follow(settings, as_json)
        return
    seen = observing.observe_worker(url) if url else observing.observe(settings)
    if observing.follows_another_topic(settings, url):
        terminal.err.print(f"{FOREIGN}: {FOREIGN_TOPIC}", style="yellow", markup=False)
    state = client.require_state(seen.state, settings)
    _print(state, rollout_view.seen_tables(seen), as_json)


def history(
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="ISO 8601, or so long ago: 30m, 2h, 7d.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="The same; not included.")
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Only these; may be repeated."),
    ] = None,
    issued_by: Annotated[
        str | None, typer.Option(metavar="WHO", help="As the trail shows it, like `ramp`.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest.")] = 20,
    all_environments: Environments = False,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Show what became of each command and what it changed, the newest first; read from Kafka.

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
        bool, typer.Option("--watch", help="Look once a second, until Ctrl-C.")
    ] = False,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Show the workers: what they act on, what they have ready, how far behind they are.

    It is read from the heartbeats of the last 15 seconds; no worker is asked over HTTP.

    Examples
    --------
      recstream fleet
      recstream fleet --watch
    """
    from ops.clients import fleet_observer as observing
    from ops.views import terminal
    from ops.views.ramp_progress import redraw
    from ops.views.rollout_tables import fleet_table

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    if watch and as_json:
        raise typer.BadParameter("--watch is for people; give --json without it")
    if watch:
        redraw(terminal.out, lambda: _fleet_now(settings))
    workers = observing.heartbeats(settings)
    if not workers and not as_json:
        raise TransportError(
            f"no worker of environment {settings.environment} was heard of in the last "
            f"{observing.HEARD_SECONDS:g} s; is the topic prefix {settings.topic_prefix} right?"
        )
    _print(workers, fleet_table(workers, time.time(), settings.partitions), as_json)


def _fleet_now(settings: Settings) -> RenderableType:
    from ops.clients import fleet_observer as observing
    from ops.views.rollout_tables import fleet_table

    return fleet_table(observing.heartbeats(settings), time.time(), settings.partitions)


def explain(
    user: Annotated[
        str, typer.Argument(metavar="USER", help="A whole number is an integer id, like 42 or -5.")
    ],
    ask: Annotated[
        bool, typer.Option(help="Ask for an answer, and compare it with the explanation.")
    ] = True,
    string_id: Annotated[bool, typer.Option(help="USER is a string even if it is digits.")] = False,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Say which rule gives USER which version, and show that an answer is the same.

    Bucket and version are computed here, from the state that Kafka holds; then a request is sent.
    Exit code 1 if the answer says otherwise.

    Examples
    --------
      recstream explain 42
      recstream explain anna --no-ask --json
    """
    from ops.views import rollout_tables as rollout_view
    from ops.views import terminal

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    one = _explained(settings, user_id_of(user, string_id), ask)
    matches = None if one.answer is None else not one.differences
    if as_json:
        terminal.print_json(
            {
                "explanation": one.explanation,
                "answer": one.answer,
                "matches": matches,
                "differences": one.differences,
            }
        )
    else:
        terminal.out.print(rollout_view.explanation_table(one.explanation))
        for difference in one.differences:
            terminal.err.print(difference, style="red", markup=False)
        if one.answer and matches:
            worker = one.answer.provenance.worker
            terminal.out.print(f"the answer of {worker} matches", style="green", markup=False)
    if matches is False:
        raise typer.Exit(1)


class _Explained(NamedTuple):
    explanation: Explanation
    answer: Response | None = None
    differences: tuple[str, ...] = ()


def _explained(settings: Settings, user: UserId, ask: bool) -> _Explained:
    """Explain, ask and compare; again if the state has changed in between."""
    from ops.clients import kafka_client as client
    from registry.rollout import explanation
    from registry.wire.requests import Request

    for _ in range(ATTEMPTS):
        state = client.require_state(client.rollout_state(settings), settings)
        told = explanation.explain(user, state)
        if not ask:
            return _Explained(told)
        request = Request(request_id=str(uuid.uuid4()), user_id=user)
        answer = client.ask(settings, [request]).by_request_id[request.request_id]
        if answer.provenance.rollout_epoch == told.epoch:
            break
    if answer.error is not None:
        return _Explained(told, answer, (f"answered with an error: {answer.error.message}",))
    return _Explained(told, answer, explanation.differences(told, state, answer))


def _follow(settings: Settings, as_json: bool) -> None:
    """Show the ramp until it has ended; the exit code says how."""
    from ops.clients import fleet_observer as observing
    from ops.clients import kafka_client as client
    from ops.views import terminal
    from ops.views.ramp_progress import RampDisplay, follow_ramp

    state = client.require_state(client.rollout_state(settings), settings)
    if state.ramp is None:
        raise RefusedCommand(f"environment {settings.environment} has no ramp", "no_ramp")
    with RampDisplay(terminal.out, hidden=as_json) as display:
        outcome = follow_ramp(lambda: observing.observe(settings), state.ramp.ramp_id, display.show)
    if as_json:
        terminal.print_json(observing.observe(settings).state)
    if outcome != "promoted":
        raise typer.Exit(1)


def moment_of(option: str, text: str | None, now: datetime) -> datetime | None:
    """Return the moment that `text` names: ISO 8601, or so long before `now`; None for None.

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
            f"{option} {text!r}: must be ISO 8601, like 2026-01-31T12:00, or like 30m, 2h, 7d"
        ) from None


def _print(value: object, table: RenderableType, as_json: bool) -> None:
    from ops.views import terminal

    if as_json:
        terminal.print_json(value)
    else:
        terminal.out.print(table)
