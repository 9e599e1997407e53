"""``train``, ``retrain``, ``tune`` and ``reproduce``: model versions, learned.

Knows options and what is shown. Must not know how a version is learned or stored.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.options import AsJson, Bootstrap, Reason, Registry, settings_with
from registry.errors import ConfigurationError
from registry.wire.commands import Deploy

if TYPE_CHECKING:
    from ops.views.training_progress import StageDisplay
    from registry.settings import Settings
    from registry.wire.command_results import CommandResult
    from registry.wire.commands import Command
    from registry.wire.training_messages import TrainingResult

Factors = Annotated[int | None, typer.Option(min=1, max=4096, help="Columns of the factors.")]
Iterations = Annotated[int | None, typer.Option(min=1, max=1000, help="ALS sweeps.")]
Regularization = Annotated[float | None, typer.Option(help="Weight of the L2 term; above 0.")]
Alpha = Annotated[
    float | None, typer.Option(help="Confidence of an interaction is alpha × its weight; above 0.")
]


def train(
    factors: Factors = None,
    iterations: Iterations = None,
    regularization: Regularization = None,
    alpha: Alpha = None,
    deploy: Annotated[
        Deploy,
        typer.Option(
            help="What to ask the fleet for, once the version is published; a first one: swap."
        ),
    ] = "none",
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the report here too: HTML, or Markdown if it ends in .md."
        ),
    ] = None,
    as_json: AsJson = False,
    registry: Registry = None,
    bootstrap: Bootstrap = None,
) -> None:
    """Learn one version here, in the foreground: snapshot, fit, evaluate, gate, publish.

    It is compared with the environment's primary version. The fleet is told with --deploy only.
    A report is stored with the version; --report also writes that of a refused run.

    RETRAIN_TIMEOUT, RETRAIN_MEMORY_BYTES and RETRAIN_NICENESS are for the fleet's runs, which share
    a machine with a worker. This one has the limits of what starts it (timeout, nice, a container).

    Examples
    --------
      recstream train --factors 128
      recstream train --report report.html
      recstream train --deploy canary
    """
    from ops.views import terminal
    from ops.views.training_progress import StageDisplay

    settings = settings_with(
        KAFKA_BOOTSTRAP_SERVERS=bootstrap,
        MODEL_REGISTRY=registry,
        RETRAIN_FACTORS=factors,
        RETRAIN_ITERATIONS=iterations,
        RETRAIN_REGULARIZATION=regularization,
        RETRAIN_ALPHA=alpha,
    )
    with StageDisplay(terminal.err, hidden=as_json) as display:
        result = _train_here(settings, display, report)
        display.finish(result)
    announced = _announce(settings, deploy, result)
    if as_json:
        terminal.print_json({"training": result, "announced": announced})
    else:
        for table in terminal.training_tables(result):
            terminal.out.print(table)
        if announced is not None:
            terminal.print_result(announced)
    if result.status != "published" or (announced and announced.status == "rejected"):
        raise typer.Exit(1)


def retrain(
    factors: Factors = None,
    iterations: Iterations = None,
    regularization: Regularization = None,
    alpha: Alpha = None,
    deploy: Annotated[
        Deploy | None, typer.Option(help="Instead of the fleet's RETRAIN_DEPLOY.")
    ] = None,
    reason: Reason = None,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="A worker's pages, to follow the run.")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Follow the run to its end.")] = True,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Ask the fleet to learn a new version, and follow the run.

    The run is followed over a worker's HTTP (--url, default this machine's RECSTREAM_HTTP_PORT).
    If no worker answers there, only what became of the command is reported.

    Examples
    --------
      recstream retrain --factors 128 --deploy canary
      recstream retrain --no-wait
    """
    from ops.clients import kafka_client as client
    from ops.views import terminal

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    fields = {
        "factors": factors,
        "iterations": iterations,
        "regularization": regularization,
        "alpha": alpha,
        "deploy": deploy,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    command = client.new_command(settings, "retrain", reason=reason, **given)
    page = url or f"http://{settings.http_host}:{settings.http_port}"
    result, training = _retrain(settings, command, page if wait else None, as_json)
    if as_json:
        terminal.print_json({"command": result, "training": training})
    elif training is not None:
        for table in terminal.training_tables(training):
            terminal.out.print(table)
    if result.status == "rejected" or (training and training.status != "published"):
        raise typer.Exit(1)


def tune(
    trials: Annotated[
        int, typer.Option(min=1, max=10_000, help="Trials, those of earlier runs included.")
    ] = 40,
    minutes: Annotated[float, typer.Option(min=0.01, help="At most, of this run.")] = 15,
    study: Annotated[
        Path, typer.Option(metavar="FILE", help="Keeps the trials, to go on with them.")
    ] = Path("recstream-tune.journal"),
    env: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Put the winning settings into this .env file."),
    ] = None,
    as_json: AsJson = False,
    registry: Registry = None,
    bootstrap: Bootstrap = None,
) -> None:
    """Search for better parameters on the interactions that there are; prints them as settings.

    The search begins with the present settings, and may be stopped: the same command goes on where
    it was. What the winner is compared by in the end, no trial has seen. Needs the extra `tune`.

    Examples
    --------
      recstream tune --trials 100 --minutes 30
      recstream tune --env .env
    """
    from ops.views import terminal
    from ops.views import tuning_tables as tuning_view
    from training.runs.tune import env_lines, merged

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap, MODEL_REGISTRY=registry)
    found = tuning_view.search(settings, trials, minutes, study, hidden=as_json)
    lines = env_lines(found.best)
    if env is not None:
        before = env.read_text("utf-8") if env.exists() else ""
        _write(env, merged(before, lines).encode())
    if as_json:
        terminal.print_json(tuning_view.summary(found, lines))
        return
    for table in tuning_view.tables(found):
        terminal.out.print(table)
    for name, value in lines.items():
        terminal.out.print(f"{name}={value}", markup=False)


def reproduce(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Like v0.4.")],
    as_json: AsJson = False,
    registry: Registry = None,
) -> None:
    """Train a version again from its snapshot, and compare; exit code 1 if it is not the same.

    Nothing is published. Its snapshot is read from the registry, so no Kafka is needed. It is
    fitted by the backend that fitted it, and begins with the version that it began with.
    """
    from ops.views import terminal
    from ops.views import tuning_tables as tuning_view
    from ops.views.training_progress import StageDisplay
    from registry.versions.store import store_of
    from training.runs.progress import Journal
    from training.runs.reproduce import reproduce as make_again

    settings = settings_with(MODEL_REGISTRY=registry)
    with StageDisplay(terminal.err, hidden=as_json) as display:
        journal = Journal(f"reproduce-{version}", display.report)
        found = make_again(settings, store_of(settings), version, journal)
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


def _write(path: Path, payload: bytes) -> None:
    try:
        path.write_bytes(payload)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error


def _retrain(
    settings: Settings, command: Command, page: str | None, as_json: bool
) -> tuple[CommandResult, TrainingResult | None]:
    from ops.clients import kafka_client as client
    from ops.clients import worker_pages as pages
    from ops.views import terminal
    from ops.views.training_progress import StageDisplay, follow_run
    from registry.errors import TransportError

    try:
        if page:
            pages.training(page)
    except TransportError as error:
        terminal.err.print(f"the run will not be followed: {error}", markup=False)
        page = None
    result = client.send_command(settings, command)
    if not as_json:
        terminal.print_result(result)
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
    from ops.clients import kafka_client as client
    from training.report.report_pages import HTML, MARKDOWN
    from training.runs.run import parameters_of, train

    if report is not None and not report.absolute().parent.is_dir():
        raise ConfigurationError(f"--report {report}: there is no such folder")

    def keep(files: Mapping[str, bytes]) -> None:
        if report is not None:
            _write(report, files[MARKDOWN if report.suffix == ".md" else HTML])

    state = client.rollout_state(settings)
    return train(
        settings,
        parameters_of(settings),
        run_id=str(uuid.uuid4()),
        incumbent=state.primary_version if state else None,
        report=display.report,
        created_by=client.who(),
        keep=keep,
    )


def _announce(settings: Settings, deploy: Deploy, result: TrainingResult) -> CommandResult | None:
    from ops.clients import kafka_client as client
    from registry.rollout.deploy import offering

    if deploy == "none" or result.version is None:
        return None
    command = client.new_command(settings, "swap", reason=f"training {result.run_id}")
    state, percentage = client.rollout_state(settings), settings.retrain_canary_percentage
    return client.send_command(
        settings, offering(command, result.version, deploy, state, percentage)
    )
