"""The command line: ``recstream``.

Wires the commands, and turns errors into exit codes: 0 success, 1 refused or failed, 2 wrong usage
or configuration, 130 interrupted. Each command imports the modules that it needs when it runs, so
that ``--help`` and shell completion are fast; `tests/unit/ops/cli/test_main.py` lists what
``--help`` may not import.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from typing import Annotated

import typer

from ops.cli import (
    dead_letter_commands,
    explain_commands,
    id_commands,
    ingest_commands,
    inspect_commands,
    registry_commands,
    request_commands,
    rollout_commands,
    status_commands,
    topic_commands,
    training_commands,
    tune_commands,
    worker_commands,
)
from ops.cli.catalogue import item_commands
from ops.cli.experiments import experiment_commands, replay_commands
from ops.cli.options import AsJson, NegativeIds
from ops.views.escape_text import escaped
from registry.errors import ConfigurationError, RecstreamError

EPILOG = """
Start here: a broker, two workers, real data, one ramp that is promoted and one that rolls back.

  recstream demo

With your own Kafka, configured by KAFKA_BOOTSTRAP_SERVERS, MODEL_REGISTRY, ...

  recstream topics create
  recstream worker
  recstream ingest ratings.csv --titles movies.csv
  recstream retrain
  recstream request 42
  recstream rollout apply ramp.yaml --dry-run
  recstream rollout apply ramp.yaml
  recstream rollout status --follow

Exit codes: 0 success, 1 refused or failed, 2 wrong usage or configuration.
"""

app = typer.Typer(
    name="recstream",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog=EPILOG,
    help="A recommender inside a Kafka stream, with gradual model rollouts.",
)

RUN, KAFKA, MODELS, ROLLOUT = "Run", "Kafka", "Model versions", "Rollout"

app.command(rich_help_panel=RUN)(worker_commands.worker)
app.command(rich_help_panel=RUN)(worker_commands.broker)
app.add_typer(topic_commands.topics, name="topics", rich_help_panel=KAFKA)
app.command(rich_help_panel=KAFKA)(ingest_commands.ingest)
app.add_typer(item_commands.app, name="items", rich_help_panel=KAFKA)
app.command(rich_help_panel=KAFKA, cls=NegativeIds)(request_commands.request)
app.command(rich_help_panel=KAFKA)(request_commands.traffic)
app.add_typer(dead_letter_commands.app, name="dead-letters", rich_help_panel=KAFKA)
app.command(rich_help_panel=MODELS)(training_commands.train)
app.command(rich_help_panel=MODELS)(training_commands.retrain)
app.command(rich_help_panel=MODELS)(inspect_commands.inspect)
app.command(rich_help_panel=MODELS)(tune_commands.tune)
app.command(rich_help_panel=MODELS)(training_commands.reproduce)
registry_commands.app.command()(id_commands.ids)
app.add_typer(registry_commands.app, name="registry", rich_help_panel=MODELS)
app.add_typer(rollout_commands.app, name="rollout", rich_help_panel=ROLLOUT)
app.add_typer(experiment_commands.app, name="experiment", rich_help_panel=ROLLOUT)
app.command(rich_help_panel=ROLLOUT)(replay_commands.replay)
app.command(rich_help_panel=ROLLOUT)(rollout_commands.swap)
app.command(rich_help_panel=ROLLOUT, cls=NegativeIds)(explain_commands.explain)
app.command(rich_help_panel=ROLLOUT)(status_commands.fleet)
app.command(rich_help_panel=RUN)(status_commands.doctor)


def _print_version(is_requested: bool) -> None:
    if is_requested:
        from importlib.metadata import version as distribution_version

        print(f"recstream {distribution_version('recstream')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Declare the options of `recstream` itself."""


@app.command(rich_help_panel=RUN)
def demo(
    exit_at_end: Annotated[
        bool, typer.Option("--exit", help="Exit when the tour ends, for scripts.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tour everything on this machine: broker, workers, training, hot swap, canary, ramps.

    Needs no network, no Docker and no Java. Uses free ports and a temporary folder; Ctrl-C stops
    everything and cleans up.
    """
    from ops.demo.tour_order import run_demo

    run_demo(exit_at_end=exit_at_end, as_json=as_json)


@app.command(
    rich_help_panel=RUN,
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def bench(context: typer.Context) -> None:
    """Run the benchmarks on real Kafka (see recstream bench --help)."""
    from ops.bench import app as benchmarks

    benchmarks(args=context.args, prog_name="recstream bench")


def unwrap_paragraphs(docstring: str) -> str:
    r"""Return `docstring` with each paragraph on one line, for the terminal to wrap.

    >>> unwrap_paragraphs("One\ntwo.\n\nThree\nfour.\n\nExamples\n--------\n  recstream demo")
    'One two.\n\nThree four.\n\nExamples\n--------\n  recstream demo'
    """
    prose, mark, examples = docstring.partition("Examples\n--------\n")
    return re.sub(r"(?<!\n)\n(?!\n)", " ", prose) + mark + examples


def _unwrap_help(commands: typer.Typer) -> None:
    for command in commands.registered_commands:
        command.help = unwrap_paragraphs(inspect.getdoc(command.callback) or "")
    for group in commands.registered_groups:
        if group.typer_instance is not None:
            _unwrap_help(group.typer_instance)


_unwrap_help(app)


def main() -> None:
    """Run the command line, and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a title must not crash a program in the C locale
    try:
        app()
    except RecstreamError as error:
        _print_error(error)
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)


def _print_error(error: RecstreamError) -> None:
    if "--json" in sys.argv:
        message = json.dumps({"error": {"code": error.code, "message": str(error)}})
    else:
        message = f"recstream: {escaped(str(error))}"
    print(message, file=sys.stderr)


if __name__ == "__main__":
    main()
