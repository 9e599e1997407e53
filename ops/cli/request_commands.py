"""``request`` and ``traffic``: asking for recommendations, as applications do.

Knows options and what is shown. Must not know wire formats.
"""

from __future__ import annotations

import random
import time
import uuid
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.options import AsJson, Bootstrap, settings_with, user_id_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ops.clients.answer_tally import Tally
    from ops.clients.traffic_generator import Traffic
    from registry.ids import UserId
    from registry.settings import Settings
    from registry.wire.responses import Response

LOOK_SECONDS = 0.2
"""Between two looks whether the traffic goes on, where nothing is drawn."""


def request(
    user: Annotated[
        str, typer.Argument(metavar="USER", help="A whole number is an integer id, like 42 or -5.")
    ],
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
    from ops.clients import kafka_client as client
    from registry.wire.requests import Request

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    requests = [
        Request(
            request_id=str(uuid.uuid4()),
            user_id=user_id_of(user, string_id),
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


def traffic(
    per_second: Annotated[int, typer.Option(min=1, max=5_000, help="Requests a second.")] = 50,
    seconds: Annotated[
        float | None, typer.Option(min=1, help="How long; default: until Ctrl-C.")
    ] = None,
    users: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Users 1 to N; default: those whom the primary version knows."
        ),
    ] = None,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Ask for many users at a steady rate, and sum up which version answered, and as what.

    For trying things out: a ramp needs requests to judge by. The workers cannot tell them from
    those of your applications, and the guardrails count them alike. Exit code 1 if a request has
    no answer.

    Examples
    --------
      recstream traffic
      recstream traffic --per-second 300 --seconds 60
    """
    from ops.clients.answer_tally import Tally
    from ops.clients.traffic_generator import Traffic
    from ops.local.child_group import stopped_by_signals
    from ops.views import terminal

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    asking = list(range(1, users + 1)) if users else _known_users(settings)
    random.Random(0).shuffle(asking)  # neighbours in the list may share bucket, or history
    tally = Tally()
    with (
        stopped_by_signals(),
        Traffic(settings, asking, per_second, lambda one: tally.add(one.response)) as running,
    ):
        _watch(running, tally, seconds, drawn=not as_json)
    if as_json:
        terminal.print_json(
            {"asked": running.asked, "unanswered": running.unanswered, "answers": tally.counts()}
        )
    else:
        terminal.out.print(terminal.tally_table(tally))
        terminal.out.print(f"{running.asked:,} requests, {running.unanswered:,} without an answer")
    if running.unanswered:
        raise typer.Exit(1)


def _watch(running: Traffic, tally: Tally, seconds: float | None, *, drawn: bool) -> None:
    """Return after `seconds`, or at Ctrl-C."""
    from ops.views import terminal
    from ops.views.ramp_progress import redraw

    started = time.monotonic()

    def goes_on() -> bool:
        running.require_running()
        return seconds is None or time.monotonic() - started < seconds

    try:
        if drawn and terminal.out.is_terminal:
            redraw(terminal.out, lambda: terminal.tally_table(tally), goes_on)
        while goes_on():
            time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:  # the way to stop it
        return


def _known_users(settings: Settings) -> list[UserId]:
    """Return the users whom the primary version learned from."""
    from ops.clients import kafka_client as client
    from registry.versions.store import store_of

    state = client.require_state(client.rollout_state(settings), settings)
    return list(store_of(settings).open(state.primary_version).arrays.user_ids)


def _show_responses(responses: Sequence[Response], as_json: bool) -> None:
    from ops.clients.answer_tally import Tally
    from ops.views import terminal

    if as_json:
        terminal.print_json(responses[0] if len(responses) == 1 else responses)
        return
    terminal.out.print(f"user {responses[0].user_id!r}", style="bold")
    for table in terminal.answer_tables(responses[0]):
        terminal.out.print(table)
    if len(responses) > 1:
        terminal.out.print(terminal.tally_table(Tally(responses)))
