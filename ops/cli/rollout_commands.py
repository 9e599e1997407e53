"""``recstream rollout`` and ``recstream swap``: send control commands.

Knows options and exit codes. Must not know the rules: the control agent decides, and its rejection
is printed unchanged. Commands that only read are in `ops.cli.status_commands`.

Long because each option has its help beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ops.cli import status_commands
from ops.cli.options import AsJson, Bootstrap, ExpectedEpoch, Reason, settings_with
from registry.errors import ArtifactError, ConfigurationError
from registry.wire.commands import CommandType
from registry.wire.field_types import Bucketing, Strategy

if TYPE_CHECKING:
    from registry.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    help="Show and change which version answers which users.\n\n"
    "A change is a command on the control topic. The control agent applies or rejects it; every "
    "worker acts on it within two seconds.",
)
app.command()(status_commands.status)
app.command()(status_commands.history)


@app.command(name="set")
def set_rollout(
    strategy: Annotated[
        Strategy | None,
        typer.Option(
            help="fixed: the primary version answers everyone. canary: the canary version answers "
            "a share of users. ab_test: it answers half of them. shadow: the primary version "
            "answers, and the canary version is compared with it. interleave: each answer mixes "
            "the lists of both."
        ),
    ] = None,
    canary_version: Annotated[
        str | None, typer.Option(metavar="VERSION", help="The canary version, like v0.4.")
    ] = None,
    percentage: Annotated[
        float | None,
        typer.Option(metavar="0..100", help="Share of users that get the canary version."),
    ] = None,
    bucketing: Annotated[
        Bucketing | None,
        typer.Option(
            help="modulo: user_id % 100, whole percentages. hash: any id, steps of 0.01 %."
        ),
    ] = None,
    salt: Annotated[
        str | None, typer.Option(help="Gives hash bucketing a different set of users.")
    ] = None,
    shadow_sample: Annotated[
        float | None,
        typer.Option(metavar="0..100", help="Share of users whose requests a shadow compares."),
    ] = None,
    expected_epoch: ExpectedEpoch = None,
    reason: Reason = None,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Change the given fields of the rollout. To start a ramp, see `apply`.

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
def interleave(
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="The canary version, like v0.4.")
    ],
    salt: Annotated[
        str | None, typer.Option(help="Draws other coins for the same request ids.")
    ] = None,
    expected_epoch: ExpectedEpoch = None,
    reason: Reason = None,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Mix the lists of VERSION and the primary version in each answer, to see which users prefer.

    An outcome is credited to the version that contributed the item. `recstream experiment show`
    tells wins, losses and ties, where workers join outcomes (RECSTREAM_OUTCOMES=on). Both versions
    score each request.

    Examples
    --------
      recstream rollout interleave v0.4
      recstream experiment show
    """
    given = {} if salt is None else {"salt": salt}
    _send(
        "rollout", expected_epoch, reason, as_json, bootstrap,
        strategy="interleave", canary_version=version, **given,
    )  # fmt: skip


@app.command()
def apply(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="YAML, or JSON if named .json.")
    ],
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Only show the plan, its durations and the number of requests it needs.",
        ),
    ] = False,
    users: Annotated[
        int | None,
        typer.Option(
            min=0, help="Number of users to assume; default: the users of the latest version."
        ),
    ] = None,
    fit: Annotated[
        bool,
        typer.Option(
            "--fit", help="Stretch the holds if a step would get too few requests for a verdict."
        ),
    ] = False,
    ignore_traffic: Annotated[
        bool,
        typer.Option("--ignore-traffic", help="Start it as it is, however few requests there are."),
    ] = False,
    expected_epoch: ExpectedEpoch = None,
    reason: Reason = None,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Start the ramp that FILE describes; it promotes or rolls back automatically.

    FILE gives the canary_version and the ramp {steps, hold_seconds, min_requests, guardrails,
    shadow, patience_seconds, soak_seconds, false_alarm, goal}; optionally environments, bucketing,
    salt and a reason. The ramp starts in the first environment; the others follow one by one.
    --dry-run contacts no worker; if FILE gives no bucketing, it assumes modulo.

    A ramp with steps that get too few requests for a verdict, by what the workers answer now, is
    rejected with the numbers; --fit stretches its holds instead.

    Examples
    --------
      recstream rollout apply ramp.yaml --dry-run
      recstream rollout apply ramp.yaml && recstream rollout status --follow
    """
    from registry.policy_reading import read_rollout_file

    if fit and ignore_traffic:
        raise typer.BadParameter("--fit and --ignore-traffic cannot be combined")
    if fit and dry_run:
        raise typer.BadParameter(
            "--fit and --dry-run cannot be combined: the holds are stretched by the requests that "
            "the workers answer when the ramp starts, and --dry-run contacts none"
        )
    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    fields = read_rollout_file(file).command_fields(settings.environment)
    if dry_run:
        _show_plan(settings, fields, users, as_json)
        return
    why = fields.pop("reason")
    fields["fit"] = None if ignore_traffic else fit
    _send("rollout", expected_epoch, reason or why, as_json, bootstrap, **fields)


def swap(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version, like v0.4.")],
    expected_epoch: ExpectedEpoch = None,
    reason: Reason = None,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Make VERSION the primary version for everyone, without a restart.

    Examples
    --------
      recstream swap v0.4 --reason "fixes the cold start"
    """
    _send("swap", expected_epoch, reason, as_json, bootstrap, model_version=version)


def _plain_command(kind: CommandType, help_text: str) -> Callable[..., None]:
    """Return the CLI command for a control command without arguments of its own."""

    def command(
        expected_epoch: ExpectedEpoch = None,
        reason: Reason = None,
        as_json: AsJson = False,
        bootstrap: Bootstrap = None,
    ) -> None:
        _send(kind, expected_epoch, reason, as_json, bootstrap)

    command.__doc__ = help_text
    return command


WITHOUT_ARGUMENTS: Final[dict[CommandType, str]] = {
    "promote": "Make the canary version the primary version, for everyone.",
    "rollback": "Go back to the previous primary version.",
    "abort": "Drop the canary version; the primary version answers everyone.",
    "pause": "Pause the ramp: it neither advances nor rolls back until it is resumed.",
    "resume": "Resume the paused ramp; its current stage starts over.",
}

for _kind, _help_text in WITHOUT_ARGUMENTS.items():
    app.command(name=_kind)(_plain_command(_kind, _help_text))


@app.command(name="begin-era")
def begin_era(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    reason: Reason = None,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Accept a new control topic: it was recreated, or this is another cluster.

    Workers that find a different control topic decide no commands (`foreign_control_topic` in
    /readyz) until an operator accepts the topic with this command. The rollout state stays as it
    is; the new era's epochs are larger than all earlier ones. If the control topic has not changed,
    the command is rejected.

    Examples
    --------
      recstream rollout begin-era --reason "the broker lost its disk"
    """
    if not yes:
        typer.confirm(
            "From now on, commands are read from the current control topic; pending commands on "
            "the previous one are lost. Begin a new era?",
            abort=True,
            err=True,
        )
    _send("begin_era", None, reason, as_json, bootstrap)


def _show_plan(
    settings: Settings, fields: Mapping[str, Any], users: int | None, as_json: bool
) -> None:
    from ops.clients import kafka_client
    from ops.views import terminal
    from ops.views.ramp_plan_tables import plan_tables
    from registry.rollout.ramp_dry_run import plan_of

    command = kafka_client.new_command(settings, "rollout", **fields)
    plan = plan_of(command, _known_users(settings) if users is None else users)
    if as_json:
        terminal.print_json(plan)
        return
    for table in plan_tables(plan):
        terminal.out.print(table)


def _known_users(settings: Settings) -> int | None:
    """Return the number of users of the latest version; None, with a message, if it is unknown."""
    from ops.views import terminal
    from registry.versions.store import store_of

    try:
        store = store_of(settings)
        latest = store.latest()
        return None if latest is None else store.manifest(latest).data_snapshot.users
    except (ArtifactError, ConfigurationError) as error:
        terminal.err.print(f"the number of users is unknown: {error}; give it with --users")
        return None


def _send(
    kind: CommandType,
    expected_epoch: int | None,
    reason: str | None,
    as_json: bool,
    bootstrap: str | None,
    **arguments: Any,
) -> None:
    from ops.clients import kafka_client
    from ops.views import terminal
    from ops.views.rollout_tables import print_result

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    command = kafka_client.new_command(
        settings, kind, expected_epoch=expected_epoch, reason=reason, **arguments
    )
    result = kafka_client.send_command(settings, command)
    if as_json:
        terminal.print_json(result)
    else:
        print_result(result)
    if result.status == "rejected":
        raise typer.Exit(1)
