"""``recstream request`` and ``traffic``: request recommendations, as applications do."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.options import AsJson, Bootstrap, settings_with, user_id_of
from ops.cli.request_options import (
    Allow,
    Candidates,
    Exclude,
    Explain,
    Like,
    Session,
    SessionItems,
    filter_of,
    ids_of,
    session_items_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ops.clients.answer_tally import AnswerTally
    from ops.clients.traffic_generator import GeneratedTraffic
    from registry.ids import UserId
    from registry.settings import Settings
    from registry.wire.requests import Request
    from registry.wire.responses import Response

HTTP_SECONDS = 15.0
"""How long a worker may wait for the answer."""

CHECK_SECONDS = 0.2
"""How often to check whether the traffic is still running, where nothing is drawn."""


def request(
    user: Annotated[
        str | None,
        typer.Argument(
            metavar="[USER]",
            help="A user id; a whole number, like 42 or -5, is an integer id. Without it, give "
            "--item or --like.",
        ),
    ] = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, max=1000, help="Number of items.")] = 10,
    model_version: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="Get the answer from this version, for debugging."),
    ] = None,
    include_seen: Annotated[
        bool, typer.Option(help="Include items that the user has already seen.")
    ] = False,
    count: Annotated[
        int,
        typer.Option(
            min=1, max=10_000, help="Send the request N times, and summarize the answers."
        ),
    ] = 1,
    string_id: Annotated[
        bool, typer.Option(help="Treat USER and all items as strings, even if they are all digits.")
    ] = False,
    http: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Ask the worker at URL, like http://127.0.0.1:6066, instead of Kafka.",
        ),
    ] = None,
    candidate: Candidates = None,
    allow: Allow = None,
    exclude: Exclude = None,
    like: Like = None,
    item: SessionItems = None,
    session: Session = None,
    explain: Explain = False,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Request recommendations through Kafka or a worker's HTTP, and print the answer.

    Examples
    --------
      recstream request 42
      recstream request 42 -k 3 --model-version v0.4
      recstream request anna --json
      recstream request 42 --http http://127.0.0.1:6066
      recstream request 42 --allow genre=Comedy --allow genre=Drama --exclude genre=War
      recstream request 42 --candidate 356 --candidate 527
      recstream request --item 356 --item 527:rate=4.5
      recstream request --like 356
    """
    from registry.wire.requests import Request

    if http is not None and bootstrap is not None:
        raise typer.BadParameter("give only one of --http and --bootstrap")
    if user is None and not (item or like):
        raise typer.BadParameter("give USER, --item or --like")
    requests = [
        Request(
            request_id=str(uuid.uuid4()),
            user_id=None if user is None else user_id_of(user, string_id),
            k=k,
            exclude_seen=not include_seen,
            model_version=model_version,
            candidates=ids_of(candidate, string_id),
            allow=filter_of("--allow", allow),
            exclude=filter_of("--exclude", exclude),
            like=ids_of(like, string_id),
            session_id=session,
            items=session_items_of(item, string_id),
            explain=explain,
        )
        for _ in range(count)
    ]
    responses = _asked(requests, http, bootstrap)
    _show_responses(responses, as_json)
    if any(response.status != "ok" for response in responses):
        raise typer.Exit(1)


def _asked(
    requests: Sequence[Request], http: str | None, bootstrap: str | None
) -> Sequence[Response]:
    if http is not None:
        from ops.clients import worker_pages as pages

        return [pages.recommend(http, request, HTTP_SECONDS) for request in requests]
    from ops.clients import kafka_client as client

    answers = client.ask(settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap), requests)
    return [answers.by_request_id[request.request_id] for request in requests]


def traffic(
    per_second: Annotated[int, typer.Option(min=1, max=5_000, help="Requests per second.")] = 50,
    seconds: Annotated[
        float | None, typer.Option(min=1, help="Duration; default: until Ctrl-C.")
    ] = None,
    users: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Users 1 to N; default: the users that the primary version knows.",
        ),
    ] = None,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Send requests at a steady rate, and summarize which version answered, and how.

    For trials: a ramp needs requests to judge a version by. Workers cannot tell these requests from
    those of your applications, and the guardrails count them alike. Exit code 1 if a request was
    not answered.

    Examples
    --------
      recstream traffic
      recstream traffic --per-second 300 --seconds 60
    """
    from ops.clients.answer_tally import AnswerTally
    from ops.clients.traffic_generator import GeneratedTraffic
    from ops.local.child_group import stopped_by_signals
    from ops.views import terminal
    from ops.views.answer_tables import tally_table

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    user_ids = list(range(1, users + 1)) if users else _known_users(settings)
    tally = AnswerTally()
    with (
        stopped_by_signals(),
        GeneratedTraffic(
            settings, user_ids, per_second, lambda answer: tally.add(answer.response)
        ) as running,
    ):
        _show_until_end(running, tally, seconds, drawn=not as_json)
    if as_json:
        terminal.print_json(
            {"asked": running.asked, "unanswered": running.unanswered, "answers": tally.counts()}
        )
    else:
        terminal.out.print(tally_table(tally))
        terminal.out.print(f"{running.asked:,} requests, {running.unanswered:,} not answered")
    if running.unanswered:
        raise typer.Exit(1)


def _show_until_end(
    running: GeneratedTraffic, tally: AnswerTally, seconds: float | None, *, drawn: bool
) -> None:
    """Show the tally until `seconds` are over, or Ctrl-C."""
    from ops.views import terminal
    from ops.views.answer_tables import tally_table
    from ops.views.ramp_progress import redraw

    started = time.monotonic()

    def is_running() -> bool:
        running.require_running()
        return seconds is None or time.monotonic() - started < seconds

    try:
        if drawn and terminal.out.is_terminal:
            redraw(terminal.out, lambda: tally_table(tally), is_running)
        while is_running():
            time.sleep(CHECK_SECONDS)
    except KeyboardInterrupt:  # how a user stops it
        return


def _known_users(settings: Settings) -> list[UserId]:
    """Return the users that the primary version was trained on."""
    from ops.clients import kafka_client as client
    from registry.versions.store import store_of

    state = client.require_state(client.rollout_state(settings), settings)
    return list(store_of(settings).open(state.primary_version).arrays.user_ids)


def _show_responses(responses: Sequence[Response], as_json: bool) -> None:
    from ops.clients.answer_tally import AnswerTally
    from ops.views import terminal
    from ops.views.answer_tables import answer_tables, tally_table

    if as_json:
        terminal.print_json(responses[0] if len(responses) == 1 else responses)
        return
    user = responses[0].user_id
    terminal.out.print("nobody by name" if user is None else f"user {user!r}", style="bold")
    for table in answer_tables(responses[0]):
        terminal.out.print(table)
    if len(responses) > 1:
        terminal.out.print(tally_table(AnswerTally(responses)))
