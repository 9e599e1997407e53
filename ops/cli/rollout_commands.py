"""``recstream rollout`` and ``recstream swap``: control commands from the command line.

Knows options and how a result ends the program. Must not know the rules: the control agent
decides, and its refusal is printed as it came. What only looks is in `ops.cli.inspect_commands`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ops.cli import inspect_commands as commands_inspect
from ops.cli.options import AsJson, Bootstrap, ExpectedEpoch, Reason, settings_with
from registry.errors import ArtifactError, ConfigurationError
from registry.wire.commands import CommandType
from registry.wire.field_types import Bucketing, Strategy

if TYPE_CHECKING:
    from registry.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    help="Who answers whom: show it and change it.\n\n"
    "A change is a record on the control topic; every worker acts on it within two seconds, and "
    "the control agent says what became of it.",
)
app.command()(commands_inspect.status)
app.command()(commands_inspect.history)


@app.command(name="set")
def set_rollout(
    strategy: Annotated[
        Strategy | None,
        typer.Option(
            help="Who answers: the primary alone (fixed); the canary version for a share of users "
            "(canary) or for half (ab_test); the primary, compared with the canary (shadow)."
        ),
    ] = None,
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
    shadow_sample: Annotated[
        float | None,
        typer.Option(metavar="0..100", help="Share of users that a shadow compares."),
    ] = None,
    expected_epoch: ExpectedEpoch = None,
    reason: Reason = None,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Change the fields given, and only those. For a ramp see `apply`.

    Examples
    --------
      recstream rollout set --strategy canary --canary-version v0.4 --percentage 10
      recstream rollout set --percentage 25 --expected-epoch 17
      recstream rollout set --strategy shadow --canary-version v0.4 --shadow-sample 20
    """
    fields = {
        "strategy": strategy,
        "canary_version": canary_version,
        "canary_percentage": percentage,
        "bucketing": bucketing,
        "salt": salt,
        "shadow_sample_percentage": shadow_sample,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    if not given:
        raise typer.BadParameter(
            "give at least one of --strategy, --canary-version, --percentage, --bucketing, --salt, "
            "--shadow-sample"
        )
    _send("rollout", expected_epoch, reason, as_json, bootstrap, **given)


@app.command()
def apply(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="YAML, or JSON if named .json.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show the plan and its arithmetic.")
    ] = False,
    users: Annotated[
        int | None,
        typer.Option(
            min=0, help="Users to reckon with; default: as many as the latest version learned from."
        ),
    ] = None,
    expected_epoch: ExpectedEpoch = None,
    reason: Reason = None,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Start the ramp that FILE describes; it then promotes or rolls back by itself.

    FILE names the canary_version and the ramp {steps, hold_seconds, min_requests, guardrails,
    shadow, patience_seconds, soak_seconds, false_alarm}, and may name environments, bucketing,
    salt and a reason. The first of its environments starts; the others follow one by one.
    --dry-run asks no worker: without a bucketing in FILE, it reckons with modulo.

    Examples
    --------
      recstream rollout apply ramp.yaml --dry-run
      recstream rollout apply ramp.yaml && recstream rollout status --follow
    """
    from ops.clients.rollout_file import read_rollout_file

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    fields = read_rollout_file(file).command_fields(settings.environment)
    if dry_run:
        _show_plan(settings, fields, users, as_json)
        return
    why = fields.pop("reason")
    _send("rollout", expected_epoch, reason or why, as_json, bootstrap, **fields)


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
    _send("swap", expected_epoch, reason, as_json, bootstrap, model_version=version)


def _without_arguments(kind: CommandType, what: str) -> Callable[..., None]:
    """Return the command that sends a control command without arguments of its own."""

    def command(
        expected_epoch: ExpectedEpoch = None,
        reason: Reason = None,
        as_json: AsJson = False,
        bootstrap: Bootstrap = None,
    ) -> None:
        _send(kind, expected_epoch, reason, as_json, bootstrap)

    command.__doc__ = what
    return command


WITHOUT_ARGUMENTS: Final[dict[CommandType, str]] = {
    "promote": "Make the canary version primary, for everyone.",
    "rollback": "Go back to the previous primary version.",
    "abort": "Drop the canary version, keep the primary.",
    "pause": "Stop the ramp where it is; it then goes neither forward nor back by itself.",
    "resume": "Let the paused ramp go on; its stage begins anew.",
}

for _kind, _what in WITHOUT_ARGUMENTS.items():
    app.command(name=_kind)(_without_arguments(_kind, _what))


@app.command(name="begin-era")
def begin_era(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    reason: Reason = None,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Go on with another control topic: it was made again, or this is another cluster.

    Workers decide no command (`foreign_control_topic` in /readyz) until somebody says that the
    topic which is there now is the right one. The rollout state stays as it is; epochs of the new
    era are larger than all before. Without such a change the command is refused.

    Examples
    --------
      recstream rollout begin-era --reason "the broker lost its disk"
    """
    if not yes:
        typer.confirm(
            "Commands are decided from this control topic from now on, and those that are on "
            "another one are never decided. Begin a new era?",
            abort=True,
            err=True,
        )
    _send("begin_era", None, reason, as_json, bootstrap)


def _show_plan(
    settings: Settings, fields: Mapping[str, Any], users: int | None, as_json: bool
) -> None:
    from ops.cli.ramp_arithmetic import plan_of, plan_tables
    from ops.clients import kafka_client as client
    from ops.views import terminal

    command = client.new_command(settings, "rollout", **fields)
    plan = plan_of(command, _known_users(settings) if users is None else users)
    if as_json:
        terminal.print_json(plan)
        return
    for table in plan_tables(plan):
        terminal.out.print(table)


def _known_users(settings: Settings) -> int | None:
    """Return how many users the latest version learned from; None, and why, if nobody knows."""
    from ops.views import terminal
    from registry.versions.store import store_of

    try:
        store = store_of(settings)
        latest = store.latest()
        return None if latest is None else store.manifest(latest).data_snapshot.users
    except (ArtifactError, ConfigurationError) as error:
        terminal.err.print(f"users are not known: {error}; --users gives them", markup=False)
        return None


def _send(
    kind: CommandType,
    expected_epoch: int | None,
    reason: str | None,
    as_json: bool,
    bootstrap: str | None,
    **arguments: Any,
) -> None:
    from ops.clients import kafka_client as client
    from ops.views import terminal

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
