"""``recstream train``, ``retrain`` and ``reproduce``: train model versions.

Knows options and what is shown. Training is in `training`, storage in `registry.versions`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.options import (
    AsJson,
    Bootstrap,
    Reason,
    Registry,
    require_folder,
    settings_with,
    write_file,
)
from registry.error_codes import TrainingCode
from registry.errors import ConfigurationError
from registry.wire.commands import Deploy

if TYPE_CHECKING:
    from ops.views.training_progress import StageDisplay
    from registry.rollout.policy_file import RampPolicy
    from registry.settings import Settings
    from registry.wire.command_results import CommandResult
    from registry.wire.commands import Command
    from registry.wire.training_records.training_messages import TrainingResult

Factors = Annotated[int | None, typer.Option(min=1, max=4096, help="Number of latent factors.")]
Iterations = Annotated[int | None, typer.Option(min=1, max=1000, help="Number of ALS iterations.")]
Regularization = Annotated[
    float | None, typer.Option(help="Weight of the L2 regularization; above 0.")
]
Alpha = Annotated[
    float | None,
    typer.Option(help="The confidence of an interaction is alpha × its weight; above 0."),
]


def train(
    factors: Factors = None,
    iterations: Iterations = None,
    regularization: Regularization = None,
    alpha: Alpha = None,
    deploy: Annotated[
        Deploy,
        typer.Option(
            help="How to deploy the published version; an environment's first one is swapped in."
        ),
    ] = "none",
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write the report to FILE: HTML, or Markdown if it ends in .md.",
        ),
    ] = None,
    as_json: AsJson = False,
    registry: Registry = None,
    bootstrap: Bootstrap = None,
) -> None:
    """Train one version here, in the foreground: snapshot, fit, evaluate, gate, publish.

    The version is compared with the environment's primary version. It is deployed only with
    --deploy, and not during a ramp (with --deploy ramp: any trial); exit code 1 then. The report is
    stored with the version; --report also writes that of a rejected run.

    RETRAIN_TIMEOUT, RETRAIN_MEMORY_BYTES and RETRAIN_NICENESS apply to the fleet's runs only, which
    share a machine with a worker. Limit this run with the usual tools (timeout, nice, a container).

    Examples
    --------
      recstream train --factors 128
      recstream train --report report.html
      recstream train --deploy canary
    """
    from ops.views import terminal
    from ops.views.rollout_tables import print_result
    from ops.views.training_progress import StageDisplay
    from ops.views.training_tables import training_tables

    settings = settings_with(
        KAFKA_BOOTSTRAP_SERVERS=bootstrap,
        MODEL_REGISTRY=registry,
        RETRAIN_FACTORS=factors,
        RETRAIN_ITERATIONS=iterations,
        RETRAIN_REGULARIZATION=regularization,
        RETRAIN_ALPHA=alpha,
    )
    ramp = _ramp_for(settings, deploy)
    with StageDisplay(terminal.err, hidden=as_json) as display:
        result = _train_here(settings, display, report)
        display.finish(result)
    announced, result = _announce(settings, deploy, ramp, result)
    if as_json:
        terminal.print_json({"training": result, "announced": announced})
    else:
        for table in training_tables(result):
            terminal.out.print(table)
        if announced is not None:
            print_result(announced)
    is_done = result.status == "published" and result.code is None
    if not is_done or (announced and announced.status == "rejected"):
        raise typer.Exit(1)


def retrain(
    factors: Factors = None,
    iterations: Iterations = None,
    regularization: Regularization = None,
    alpha: Alpha = None,
    deploy: Annotated[
        Deploy | None,
        typer.Option(help="How to deploy the version; overrides the fleet's RETRAIN_DEPLOY."),
    ] = None,
    reason: Reason = None,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Follow the run through this worker's HTTP pages."),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Follow the run until it ends.")] = True,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Ask the fleet to train a new version, and follow the run.

    The run is followed through a worker's HTTP pages (--url; default: RECSTREAM_HTTP_PORT on this
    machine). If no worker answers there, only the command's result is shown.

    Examples
    --------
      recstream retrain --factors 128 --deploy canary
      recstream retrain --no-wait
    """
    from ops.clients import kafka_client
    from ops.views import terminal
    from ops.views.training_tables import training_tables

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    fields = {
        "factors": factors,
        "iterations": iterations,
        "regularization": regularization,
        "alpha": alpha,
        "deploy": deploy,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    command = kafka_client.new_command(settings, "retrain", reason=reason, **given)
    page = url or f"http://{settings.http_host}:{settings.http_port}"
    result, training = _retrain(settings, command, page if wait else None, as_json)
    if as_json:
        terminal.print_json({"command": result, "training": training})
    elif training is not None:
        for table in training_tables(training):
            terminal.out.print(table)
    if result.status == "rejected" or (training and training.status != "published"):
        raise typer.Exit(1)


def reproduce(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version, like v0.4.")],
    as_json: AsJson = False,
    registry: Registry = None,
) -> None:
    """Train a version again from its snapshot, and compare; exit code 1 if they differ.

    Nothing is published. The snapshot is read from the registry, so Kafka is not needed. The run
    uses the same backend, and the same warm start, as the original one.
    """
    from ops.views import terminal
    from ops.views import tuning_tables as tuning_view
    from ops.views.training_progress import StageDisplay
    from registry.versions.store import store_of
    from training.runs.progress import Journal
    from training.runs.reproduce import reproduce as train_again

    settings = settings_with(MODEL_REGISTRY=registry)
    with StageDisplay(terminal.err, hidden=as_json) as display:
        journal = Journal(f"reproduce-{version}", display.report)
        found = train_again(settings, store_of(settings), version, journal)
    if as_json:
        terminal.print_json(
            {"version": version, "equal": found.is_equal, "different": found.different}
            | {"largest_difference": found.largest}
        )
    else:
        for table in tuning_view.reproduction_tables(found):
            terminal.out.print(table)
    if not found.is_equal:
        raise typer.Exit(1)


def _retrain(
    settings: Settings, command: Command, page: str | None, as_json: bool
) -> tuple[CommandResult, TrainingResult | None]:
    from ops.clients import kafka_client
    from ops.clients import worker_pages as pages
    from ops.views import terminal
    from ops.views.rollout_tables import print_result
    from ops.views.training_progress import StageDisplay, follow_run
    from registry.errors import TransportError

    try:
        if page:
            pages.training(page)
    except TransportError as error:
        terminal.err.print(f"cannot follow the run: {error}")
        page = None
    result = kafka_client.send_command(settings, command)
    if not as_json:
        print_result(result)
    if page is None or result.status == "rejected":
        return result, None
    with StageDisplay(terminal.err, hidden=as_json) as display:
        run = follow_run(
            page,
            display,
            run_id=command.command_id,
            deadline_seconds=settings.retrain_timeout,
        )
    return result, run.result


def _train_here(settings: Settings, display: StageDisplay, report: Path | None) -> TrainingResult:
    from ops.clients import kafka_client
    from training.report.report_pages import HTML, MARKDOWN
    from training.runs.run_rules import parameters_of
    from training.runs.run_stages import train

    require_folder("--report", report)

    def keep(files: Mapping[str, bytes]) -> None:
        if report is not None:
            write_file(report, files[MARKDOWN if report.suffix == ".md" else HTML])

    state = kafka_client.rollout_state(settings)
    return train(
        settings,
        parameters_of(settings),
        run_id=str(uuid.uuid4()),
        incumbent=state.primary_version if state else None,
        report=display.report,
        created_by=kafka_client.who(),
        keep=keep,
    )


def _announce(
    settings: Settings, deploy: Deploy, ramp: RampPolicy | None, result: TrainingResult
) -> tuple[CommandResult | None, TrainingResult]:
    """Offer the version to the fleet; say in the training's result if it must wait."""
    from msgspec.structs import replace

    from ops.clients import kafka_client
    from registry.rollout.deploy_or_wait import offer_version, why_to_wait
    from registry.wire.commands import Swap
    from registry.wire.ramp_values import RampCause

    if deploy == "none" or result.version is None:
        return None, result
    swap = Swap(
        **kafka_client.new_command(settings, "swap", reason=f"training {result.run_id}").common,
        model_version=result.version,
    )
    state, percentage = kafka_client.rollout_state(settings), settings.retrain_canary_percentage
    if (why := why_to_wait(result.version, deploy, state)) is not None:
        return None, replace(result, code=TrainingCode.NOT_ANNOUNCED, reason=why)
    cause = RampCause(result.run_id, swap.issued_by)
    offer = offer_version(swap, deploy, state, percentage, ramp, cause)
    return kafka_client.send_command(settings, offer), result


def _ramp_for(settings: Settings, deploy: Deploy) -> RampPolicy | None:
    """Return the plan of the version's ramp; checked before the run, so that no run is wasted."""
    from registry.policy_reading import read_training_ramp

    if deploy != "ramp":
        return None
    ramp = read_training_ramp(settings)
    if ramp is None:
        raise ConfigurationError("--deploy ramp: needs RETRAIN_RAMP_FILE as well")
    return ramp
