"""``recstream experiment``: what may be concluded from outcomes, and how many users it takes.

Knows options. Must not know statistics (`registry.outcomes`).
"""

from __future__ import annotations

import time
from typing import Annotated

import typer

from ops.cli.options import AsJson, Bootstrap, settings_with
from registry.error_codes import CommandCode
from registry.errors import RefusedCommand

app = typer.Typer(
    no_args_is_help=True,
    help="Which version users like better: a canary, an A/B test or an interleaving by its "
    "outcomes.",
)


@app.command()
def show(as_json: AsJson = False, bootstrap: Bootstrap = None) -> None:
    """Show the arms' users, conversion and outcomes per exposure, and what may be concluded now.

    Of two interleaved versions: how many users prefer which.

    Read from the heartbeats of the last 15 seconds, which have what workers with
    RECSTREAM_OUTCOMES=on have joined. The intervals hold however often you look.

    Examples
    --------
      recstream experiment show
      recstream experiment show --json
    """
    from ops.clients import fleet_observer, kafka_client
    from ops.views import terminal
    from ops.views.experiment_tables import conclusion_lines, preference_lines
    from streams.outcomes.compared_arms import conclusion_of, preference_of

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    state = kafka_client.require_state(kafka_client.rollout_state(settings), settings)
    fleet = fleet_observer.heartbeats(settings)
    found = conclusion_of(state, fleet, time.time(), settings.attribution_seconds)
    preferred = preference_of(state, fleet)
    if found is None and preferred is None:
        raise RefusedCommand(
            f"environment {settings.environment} compares no arms (strategy {state.strategy}); "
            f"start a canary or an A/B test: recstream rollout set --strategy ab_test "
            f"--canary-version VERSION; or mix both versions' lists: recstream rollout interleave "
            f"VERSION",
            CommandCode.NO_CANARY,
        )
    if as_json:
        terminal.print_json(found or preferred)
    elif found is not None:
        terminal.out.print(conclusion_lines(found))
    elif preferred is not None:
        terminal.out.print(preference_lines(preferred))


@app.command()
def positions(
    epoch: Annotated[
        int | None,
        typer.Option(min=0, help="Of an experiment that has ended; default: the present state's."),
    ] = None,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Show at which positions of their answers users found what they liked, by arm.

    Read from the outcome topic, which keeps a week; each outcome counts once. `recstream rollout
    history` names the epochs.

    Examples
    --------
      recstream experiment positions
      recstream experiment positions --epoch 41 --json
    """
    from ops.clients import kafka_client
    from ops.clients.outcome_topic import outcome_records
    from ops.views import terminal
    from ops.views.experiment_tables import position_table
    from registry.outcomes.outcome_positions import outcomes_by_position

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    since = 0.0
    if epoch is None:
        state = kafka_client.require_state(kafka_client.rollout_state(settings), settings)
        epoch, began = state.epoch, state.updated_at
        since = 0.0 if began is None else began.timestamp()
    found = outcomes_by_position(outcome_records(settings, since), settings.environment, epoch)
    if as_json:
        terminal.print_json(found)
    elif found:
        terminal.out.print(position_table(found))
    else:
        terminal.out.print(f"no outcome of epoch {epoch} is on the outcome topic")


@app.command()
def plan(
    baseline: Annotated[
        float, typer.Option(help="Conversion of the primary version, such as 0.4.")
    ],
    better_by: Annotated[
        float, typer.Option(help="Relative effect to find, such as 0.1 for 10 % more.")
    ],
    share: Annotated[
        float, typer.Option(help="Share of users that get the canary; an A/B test has 0.5.")
    ] = 0.5,
    power: Annotated[float, typer.Option(help="Probability of finding the effect.")] = 0.8,
    alpha: Annotated[float, typer.Option(help="Most probability of a false claim.")] = 0.05,
    users_per_day: Annotated[
        float | None, typer.Option(min=0.001, help="New users a day; adds how long it takes.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how many users an effect on conversion needs. Needs no Kafka.

    Examples
    --------
      recstream experiment plan --baseline 0.4 --better-by 0.1
      recstream experiment plan --baseline 0.4 --better-by 0.1 --users-per-day 5000
    """
    from ops.views import terminal
    from registry.outcomes.users_needed import users_needed

    needed = users_needed(baseline, better_by, alpha, power, share)
    if as_json:
        terminal.print_json(needed)
        return
    duration = "" if users_per_day is None else f", {needed.anytime / users_per_day:,.1f} days"
    terminal.out.print(
        f"{needed.anytime:,} users in both arms together{duration}: conversion {baseline:g} "
        f"against {baseline * (1 + better_by):g} is found with a probability of {power:g}, "
        f"however often you look.\nA test that may be looked at only once, at its end, needs "
        f"{needed.one_look:,}."
    )
