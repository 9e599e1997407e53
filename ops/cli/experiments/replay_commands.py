"""``recstream replay``: recorded requests answered again by another version.

Knows options and exit codes. How a request is answered again is in `ops.clients.traffic_replay`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from ops.cli.options import AsJson, Bootstrap, Registry, moment_of, settings_with


def replay(
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="The version that answers again, like v0.4.")
    ],
    since: Annotated[
        str, typer.Option("--from", metavar="TIME", help="ISO 8601, or an age like 30m, 2h or 7d.")
    ] = "1h",
    until: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="The same; default: now.")
    ] = None,
    min_overlap: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least share of items in common.")
    ] = None,
    max_fallbacks: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Largest share of popular answers and refusals."),
    ] = None,
    max_slower: Annotated[
        float | None,
        typer.Option(min=0, help="Largest ratio of CPU time to the recorded versions'."),
    ] = None,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
    registry: Registry = None,
) -> None:
    """Answer recorded requests again by VERSION, and compare with what was answered.

    Each request sees the interactions that its recorded answer had seen. Requests from before the
    end of what VERSION has learned from leak: they are left out, and if all do, the replay is
    refused. Exit code 1 if a limit is not met. New items and withdrawals are not considered.

    Examples
    --------
      recstream replay v0.4 --from 2h
      recstream replay v0.4 --from 1d --to 1h --min-overlap 0.3 --max-slower 1.5 --json
    """
    from ops.clients import recorded_traffic
    from ops.clients.replay_figures import ReplayLimits, figures_of, unmet
    from ops.clients.replay_leaks import without_leaks
    from ops.clients.traffic_replay import Replay
    from ops.views import terminal
    from ops.views.replay_tables import replay_table
    from registry.versions.store import store_of

    now = datetime.now(UTC)
    begin, end = moment_of("--from", since, now), moment_of("--to", until, now) or now
    assert begin is not None  # it is given
    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap, MODEL_REGISTRY=registry)
    store = store_of(settings)
    ends = recorded_traffic.snapshot_ends(settings, store.manifest(version))
    learned = recorded_traffic.learned_until(settings, ends)
    recorded = recorded_traffic.recorded_requests(settings, begin.timestamp(), end.timestamp())
    fair = without_leaks(recorded, version, learned)
    events = recorded_traffic.interactions_from(settings, ends)
    with terminal.progress(terminal.err, hidden=as_json) as progress:
        task = progress.add_task("requests", total=len(fair))
        replayed = Replay(settings, store, version, events).run(
            fair, lambda: progress.advance(task)
        )
    found = figures_of(version, len(recorded) - len(fair), replayed)
    failed = unmet(found, ReplayLimits(min_overlap, max_fallbacks, max_slower))
    if as_json:
        terminal.print_json({"figures": found, "unmet": failed})
    else:
        terminal.out.print(replay_table(found))
    for words in failed:
        terminal.err.print(f"limit not met: {words}", style="red")
    if failed:
        raise typer.Exit(1)
