"""One training run as a process: progress and result as JSON lines on standard output.

Exit code 0: published; 1: refused or failed; 2: wrong configuration; 3: the parent has died.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
import uuid
from collections.abc import Sequence
from typing import Final

from registry.errors import ConfigurationError
from registry.records import TrainingResult
from registry.settings import read_settings
from training.progress import line_writer
from training.run import parameters_of, train

CHILD_NICENESS: Final = 19
"""A run that a worker started takes what serving leaves of the processor; less delays answers."""

PARAMETERS: Final = ("factors", "iterations", "regularization", "alpha")
"""Options that go before the environment variable ``RETRAIN_…`` of the same name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run once; return the exit code."""
    options = _parser().parse_args(arguments)
    if options.end_with_parent:
        os.nice(CHILD_NICENESS)
        threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    given = {f"RETRAIN_{one.upper()}": getattr(options, one) for one in PARAMETERS}
    told = {variable: value for variable, value in given.items() if value is not None}
    try:
        settings = read_settings({**os.environ, **told})
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    write = line_writer(sys.stdout.buffer)
    try:
        result = train(
            settings,
            parameters_of(settings),
            run_id=options.run_id,
            incumbent=options.incumbent,
            report=write,
            created_by=options.requested_by,
        )
    except Exception as error:  # the edge: the parent needs a reason, the log the traceback
        logging.exception("training run %s", options.run_id)
        reason = f"{type(error).__name__}: {error}"
        result = TrainingResult(options.run_id, "failed", code="internal", reason=reason)
    write(result)
    return 0 if result.status == "published" else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    for name in PARAMETERS:
        parser.add_argument(f"--{name}", help=f"instead of RETRAIN_{name.upper()}")
    parser.add_argument("--run-id", default=str(uuid.uuid4()), help="goes into every line")
    parser.add_argument("--incumbent", help="the version to be compared with, e.g. v0.3")
    parser.add_argument("--requested-by", default="python -m training", help="for the manifest")
    parser.add_argument(
        "--end-with-parent", action="store_true", help="exit when standard input is closed"
    )
    return parser


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 4096):  # the parent says nothing, it only holds the pipe
        pass
    os._exit(3)


if __name__ == "__main__":
    sys.exit(main())
