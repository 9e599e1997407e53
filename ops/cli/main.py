"""The command line: ``recstream``.

Wires the commands, and turns errors into exit codes: 0 done, 1 refused or failed, 2 wrong usage or
configuration, 130 interrupted. Must not know what a command does. Heavy modules are imported by the
commands that need them, so that ``--help`` and completion come at once.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from importlib.metadata import version as distribution_version
from typing import Annotated

import typer

from ops.cli import dead_letter_commands as commands_dead_letters
from ops.cli import inspect_commands as commands_inspect
from ops.cli import kafka_commands as commands_kafka
from ops.cli import registry_commands as commands_registry
from ops.cli import request_commands as commands_asking
from ops.cli import rollout_commands as commands_rollout
from ops.cli import training_commands as commands_training
from ops.cli.options import AsJson, NegativeIds
from ops.views.escape_text import escaped
from registry.errors import ConfigurationError, RecstreamError

EPILOG = """
Start here: a broker, two workers, real data, a release that promotes and one that rolls back.

  recstream demo

Your own setup, configured by KAFKA_BOOTSTRAP_SERVERS, MODEL_REGISTRY, ...

  recstream topics create
  recstream worker
  recstream ingest ratings.csv --movies movies.csv
  recstream retrain
  recstream request 42
  recstream rollout apply ramp.yaml --dry-run
  recstream rollout apply ramp.yaml
  recstream rollout status --follow

Exit codes: 0 done, 1 refused or failed, 2 wrong usage or configuration.
"""

app = typer.Typer(
    name="recstream",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog=EPILOG,
    help="A recommender inside a Kafka stream, with gradual model releases.",
)

RUN, KAFKA, MODELS, ROLLOUT = "Run", "Kafka", "Model versions", "Rollout"

app.command(rich_help_panel=RUN)(commands_kafka.worker)
app.command(rich_help_panel=RUN)(commands_kafka.broker)
app.add_typer(commands_kafka.topics, name="topics", rich_help_panel=KAFKA)
app.command(rich_help_panel=KAFKA)(commands_kafka.ingest)
app.command(rich_help_panel=KAFKA, cls=NegativeIds)(commands_asking.request)
app.command(rich_help_panel=KAFKA)(commands_asking.traffic)
app.add_typer(commands_dead_letters.app, name="dead-letters", rich_help_panel=KAFKA)
app.command(rich_help_panel=MODELS)(commands_training.train)
app.command(rich_help_panel=MODELS)(commands_training.retrain)
app.command(rich_help_panel=MODELS)(commands_training.tune)
app.command(rich_help_panel=MODELS)(commands_training.reproduce)
app.add_typer(commands_registry.app, name="registry", rich_help_panel=MODELS)
app.add_typer(commands_rollout.app, name="rollout", rich_help_panel=ROLLOUT)
app.command(rich_help_panel=ROLLOUT)(commands_rollout.swap)
app.command(rich_help_panel=ROLLOUT, cls=NegativeIds)(commands_inspect.explain)
app.command(rich_help_panel=ROLLOUT)(commands_inspect.fleet)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"recstream {distribution_version('recstream')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version, and exit."
        ),
    ] = False,
) -> None:
    """Declare the options of `recstream` itself."""


@app.command(rich_help_panel=RUN)
def demo(
    exit_at_end: Annotated[
        bool, typer.Option("--exit", help="Stop at the end of the tour, for scripts.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """See it all on this machine: broker, workers, training, hot swap, canary, ramps.

    Needs no network, no Docker and no Java. Takes free ports and a temporary folder; Ctrl-C stops
    everything and leaves nothing behind.
    """
    from ops.demo.tour import run_demo

    run_demo(exit_at_end=exit_at_end, as_json=as_json)


@app.command(
    rich_help_panel=RUN,
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def bench(context: typer.Context) -> None:
    """Measure serving, latency, routing and scaling on real Kafka (see recstream bench --help)."""
    from ops.bench import app as benchmarks

    benchmarks(args=context.args, prog_name="recstream bench")


def flowing(told: str) -> str:
    r"""Return a docstring whose paragraphs are one line each, to be wrapped by the terminal.

    >>> flowing("One\ntwo.\n\nThree\nfour.\n\nExamples\n--------\n  recstream demo")
    'One two.\n\nThree four.\n\nExamples\n--------\n  recstream demo'
    """
    prose, mark, examples = told.partition("Examples\n--------\n")
    return re.sub(r"(?<!\n)\n(?!\n)", " ", prose) + mark + examples


def _let_help_flow(commands: typer.Typer) -> None:
    for one in commands.registered_commands:
        one.help = flowing(inspect.getdoc(one.callback) or "")
    for group in commands.registered_groups:
        if group.typer_instance is not None:
            _let_help_flow(group.typer_instance)


_let_help_flow(app)


def main() -> None:
    """Run the command line, and end the program with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a title must not end a program in the C locale
    try:
        app()
    except RecstreamError as error:
        _complain(error)
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)


def _complain(error: RecstreamError) -> None:
    if "--json" in sys.argv:
        complaint = json.dumps({"error": {"code": error.code, "message": str(error)}})
    else:
        complaint = f"recstream: {escaped(str(error))}"
    print(complaint, file=sys.stderr)


if __name__ == "__main__":
    main()
