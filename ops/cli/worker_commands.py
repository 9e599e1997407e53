"""``recstream worker`` and ``recstream broker``: run a process in the foreground.

Knows options. How a worker runs is in `streams.worker`, how a broker does in
`ops.local.embedded_broker`.
"""

from __future__ import annotations

from typing import Annotated

import typer

from ops.cli.options import AsJson, Bootstrap, settings_with
from ops.views.escape_text import EscapingFormatter


def broker(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free port.")] = 9092,
    as_json: AsJson = False,
) -> None:
    """Run an embedded broker in the foreground until Ctrl-C; it keeps everything in memory.

    Examples
    --------
      recstream broker --port 9092
    """
    from ops.local.child_group import ChildGroup, stopped_by_signals
    from ops.local.embedded_broker import start_broker
    from ops.views import terminal

    with stopped_by_signals(), ChildGroup() as group:
        address = start_broker(group, port)
        if as_json:
            terminal.print_json({"bootstrap": address})
        else:
            terminal.out.print(f"broker listening on {address}, in memory only; Ctrl-C stops it")
            terminal.out.print(f"export KAFKA_BOOTSTRAP_SERVERS={address}")
        terminal.out.file.flush()
        group.run_until_interrupted()


def worker(
    name: Annotated[
        str | None, typer.Option(help="Name of this worker; overrides RECSTREAM_WORKER.")
    ] = None,
    http_port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port of its HTTP pages; overrides RECSTREAM_HTTP_PORT."
        ),
    ] = None,
    bootstrap: Bootstrap = None,
) -> None:
    """Run one worker until SIGTERM or Ctrl-C: it answers requests, decides commands and trains.

    Examples
    --------
      recstream worker
      recstream worker --name worker-2 --http-port 6067
    """
    import gc

    gc.disable()  # imported modules are never freed; `run_worker` enables it again
    settings = settings_with(
        RECSTREAM_WORKER=name, RECSTREAM_HTTP_PORT=http_port, KAFKA_BOOTSTRAP_SERVERS=bootstrap
    )
    from streams.logs.worker_log import set_up_logging
    from streams.worker import run_worker

    set_up_logging(EscapingFormatter)
    run_worker(settings)
