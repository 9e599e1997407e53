"""``recstream rollout`` and ``recstream swap``: control commands from the command line.

Knows options and how a result ends the program. Must not know the rules: the control agent
decides, and its refusal is printed as it came.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ops.arguments import AsJson, Bootstrap, ExpectedEpoch, Reason, settings_with
from registry.errors import RefusedCommand
from registry.records import Bucketing, CommandType, Strategy

app = typer.Typer(
    no_args_is_help=True,
    help="Who answers whom: show it and change it.\n\n"
    "A change is a record on the control topic; every worker acts on it within two seconds, and "
    "the control agent says what became of it.",
)


@app.command()
def status(
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Ask this worker over HTTP instead of Kafka.")
    ] = None,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Show the rollout state of the environment.

    It is read from the newest result on the control-results topic. A state that came from the
    environment variables alone (no command yet) is known to the workers only: ask one with --url.

    Examples
    --------
      recstream rollout status
      recstream rollout status --url http://127.0.0.1:6066 --json
    """
    from ops import client, pages, terminal

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    state = pages.rollout(url).state if url else client.rollout_state(settings)
    if state is None:
        raise RefusedCommand(
            f"environment {settings.environment} has no rollout state yet: swap a version in first",
            "no_state",
        )
    if as_json:
        terminal.print_json(state)
    else:
        terminal.out.print(terminal.state_table(state))


@app.command(name="set")
def set_rollout(
    strategy: Annotated[Strategy | None, typer.Option(help="Who answers.")] = None,
    canary_version: Annotated[
        str | None, typer.Option(metavar="VERSION", help="The version on trial, like v0.4.")
    ] = None,
    percentage: Annotated[
        float | None,
        typer.Option(metavar="0..100", help="Share of users that get the canary version."),
    ] = None,
    bucketing: Annotated[
        Bucketing | None,
        typer.Option(help="modulo: user_id % 100, whole percents. hash: any id, 0.01 % steps."),
    ] = None,
    salt: Annotated[str | None, typer.Option(help="Makes hash rollouts hit other users.")] = None,
    expected_epoch: ExpectedEpoch = None,
    reason: Reason = None,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Change the fields given, and only those.

    Examples
    --------
      recstream rollout set --strategy canary --canary-version v0.4 --percentage 10
      recstream rollout set --percentage 25 --expected-epoch 17
    """
    fields = {
        "strategy": strategy,
        "canary_version": canary_version,
        "canary_percentage": percentage,
        "bucketing": bucketing,
        "salt": salt,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    if not given:
        raise typer.BadParameter(
            "give at least one of --strategy, --canary-version, --percentage, --bucketing, --salt"
        )
    _command("rollout", expected_epoch, reason, as_json, bootstrap, **given)


@app.command()
def promote(
    expected_epoch: ExpectedEpoch = None,
    reason: Reason = None,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Make the canary version primary, for everyone."""
    _command("promote", expected_epoch, reason, as_json, bootstrap)


@app.command()
def rollback(
    expected_epoch: ExpectedEpoch = None,
    reason: Reason = None,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Go back to the previous primary version."""
    _command("rollback", expected_epoch, reason, as_json, bootstrap)


@app.command()
def abort(
    expected_epoch: ExpectedEpoch = None,
    reason: Reason = None,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Drop the canary version, keep the primary."""
    _command("abort", expected_epoch, reason, as_json, bootstrap)


def swap(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Like v0.4.")],
    expected_epoch: ExpectedEpoch = None,
    reason: Reason = None,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Make VERSION primary, for everyone, without a restart.

    Examples
    --------
      recstream swap v0.4 --reason "fixes the cold start"
    """
    _command("swap", expected_epoch, reason, as_json, bootstrap, model_version=version)


def _command(
    kind: CommandType,
    expected_epoch: int | None,
    reason: str | None,
    as_json: bool,
    bootstrap: str | None,
    **arguments: Any,
) -> None:
    from ops import client, terminal

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    command = client.new_command(
        settings, kind, expected_epoch=expected_epoch, reason=reason, **arguments
    )
    result = client.send_command(settings, command)
    if as_json:
        terminal.print_json(result)
    else:
        terminal.print_result(result)
    if result.status == "rejected":
        raise typer.Exit(1)
