"""Unit tests in two processes that collect once: the second is forked off when all is imported.

Under pytest-xdist each process imports all tests, which takes as long as a fifth of the tests do,
and a third one hands them out and hears of each five times. Here a pipe holds the numbers of the
test files, the fits of `training` first, and who is free takes the next. The second process writes
its reports to a file; the first shows them when both have ended.
"""

from __future__ import annotations

import os
import pickle
import signal
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, groupby, pairwise
from typing import IO, Any, NoReturn

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run all tests; in one process, as pytest does, where there is nothing to share."""
    if session.testsfailed or session.config.option.collectonly:
        return None
    if threading.active_count() > 1:
        started = [thread.name for thread in threading.enumerate()[1:]]
        raise RuntimeError(f"imports of tests started threads, which no fork keeps: {started}")
    files = [[*items] for _, items in groupby(session.items, lambda item: item.path)]
    session.config._tmp_path_factory.getbasetemp()  # one for both; who made it removes it
    queue, full = os.pipe()
    os.write(full, b"".join(number.to_bytes(2) for number in reversed(range(len(files)))))
    os.close(full)
    with tempfile.TemporaryFile() as reports:
        # Python 3.12 warns of OpenBLAS's threads, which it ends for a fork and starts again.
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            second = os.fork()
        if not second:
            _run_in_second(session, _taken(files, queue), reports)
        try:
            _run(session, _taken(files, queue))
        except BaseException:
            os.kill(second, signal.SIGKILL)
            raise
        finally:
            os.close(queue)
            _, status = os.waitpid(second, 0)
        reports.seek(0)
        try:
            for report in _read(session.config, reports):
                session.config.hook.pytest_runtest_logreport(report=report)
        except EOFError:
            raise RuntimeError(
                f"the second process ended in the middle of a test, with {status}"
            ) from None
    return True


def _taken(files: list[list[pytest.Item]], queue: int) -> Iterator[pytest.Item]:
    while number := os.read(queue, 2):
        yield from files[int.from_bytes(number)]


def _run(session: pytest.Session, items: Iterable[pytest.Item]) -> None:
    """Run tests as pytest's own loop does; what the next one does not share is torn down."""
    for item, following in pairwise(chain(items, [None])):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)


def _run_in_second(
    session: pytest.Session, items: Iterable[pytest.Item], reports: IO[bytes]
) -> NoReturn:
    """Run tests, show nothing, write their reports and None behind the last; end the process."""
    config = session.config

    class Writer:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            written = config.hook.pytest_report_to_serializable(config=config, report=report)
            pickle.dump(written, reports)

    try:
        capture: Any = config.pluginmanager.getplugin("capturemanager")
        capture.stop_global_capturing()  # its files are the first process's as well
        capture.start_global_capturing()
        config.pluginmanager.unregister(name="terminalreporter")
        config.pluginmanager.register(Writer())
        with suppress(session.Failed, session.Interrupted):
            _run(session, items)
        pickle.dump(None, reports)
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        reports.flush()
        os._exit(0)


def _read(config: pytest.Config, reports: IO[bytes]) -> Iterator[pytest.TestReport]:
    while (written := pickle.load(reports)) is not None:
        yield config.hook.pytest_report_from_serializable(config=config, data=written)
