"""One training run as a process: progress and result as JSON lines on standard output.

Exit code 0: published; 1: refused or failed; 2: wrong configuration; 3: the parent has died; 4: out
of memory. A run that a worker has started (``--end-with-parent``) keeps the limit of
`training.runs.memory_limit`; the worker has lowered its priority.
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

from registry.error_codes import TrainingCode
from registry.errors import ConfigurationError
from registry.settings import read_settings
from registry.wire.training_records.training_messages import TrainingResult
from training.runs.memory_limit import end_when_too_large, out_of_memory
from training.runs.progress import line_writer
from training.runs.run_rules import parameters_of
from training.runs.run_stages import train

PARAMETERS: Final = ("factors", "iterations", "regularization", "alpha")
"""Options that go before the environment variable ``RETRAIN_…`` of the same name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run once; return the exit code."""
    options = _parser().parse_args(arguments)
    if options.end_with_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    given = {f"RETRAIN_{name.upper()}": getattr(options, name) for name in PARAMETERS}
    overrides = {variable: value for variable, value in given.items() if value is not None}
    try:
        settings = read_settings({**os.environ, **overrides})
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    write = line_writer(sys.stdout.buffer)
    if options.end_with_parent:
        end_when_too_large(settings.retrain_memory_bytes, options.run_id)
    try:
        result = train(
            settings,
            parameters_of(settings),
            run_id=options.run_id,
            incumbent=options.incumbent,
            report=write,
            created_by=options.requested_by,
        )
    except MemoryError as error:
        logging.exception("training run %s", options.run_id)
        result = out_of_memory(options.run_id, f"out of memory: {error}")
    except Exception as error:  # the edge: the parent needs a reason, the log the traceback
        logging.exception("training run %s", options.run_id)
        reason = f"{type(error).__name__}: {error}"
        result = TrainingResult(options.run_id, "failed", code=TrainingCode.INTERNAL, reason=reason)
    write(result)
    return 0 if result.status == "published" else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    for name in PARAMETERS:
        parser.add_argument(f"--{name}", help=f"instead of RETRAIN_{name.upper()}")
    parser.add_argument(
        "--run-id", default=str(uuid.uuid4()), help="id of the run, printed with every line"
    )
    parser.add_argument("--incumbent", help="the version to compare with, e.g. v0.3")
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
