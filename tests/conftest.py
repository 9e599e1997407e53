"""Fixtures for all tests: one broker for the session, fresh names, real workers and clients.

Under pytest-xdist the broker is started by the process that hands out the tests, and shared.
What a fixture uses is imported when a test first asks: before unit tests, who hands them out would
spend half of a second on it, and they wait for him.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

if TYPE_CHECKING:
    from harness.brokers import Broker
    from harness.client import Client
    from harness.workers import Worker

    from registry.settings import Settings

# Machines that run tests beside others are slow at times: that is no failure of a property.
# At home examples are drawn anew each time; CI judges a change, not the luck of a draw.
hypothesis.settings.register_profile(
    "here", max_examples=40, deadline=None, derandomize=os.environ.get("CI") == "true"
)
hypothesis.settings.load_profile("here")

# A console reads its width once, when it is made: in whichever test comes first.
os.environ["COLUMNS"] = "200"

UNIT = Path(__file__).parent / "unit"

BROKERS = pytest.StashKey[list[str]]()
SHARED: pytest.StashKey[tuple[ExitStack, Broker]] = pytest.StashKey()
WORKERS: pytest.StashKey[list[Worker]] = pytest.StashKey()
LEFT_OUT = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long", action="store_true", help="run the tests marked `long` too: minutes each"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        items[:] = [item for item in items if item not in long]
        config.hook.pytest_deselected(items=long)
    config.stash[LEFT_OUT] = len(long)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[BROKERS] = []
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that `timeout` leaves nothing


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist where the broker is; started when the first one asks."""
    if all(Path(given).resolve().is_relative_to(UNIT) for given in node.config.args):
        return  # unit tests ask for none
    if SHARED not in node.config.stash:
        from harness.brokers import best_broker

        stack = ExitStack()
        running = stack.enter_context(best_broker(os.environ))
        node.config.stash[SHARED] = stack, running
        node.config.stash[BROKERS].append(str(running))
    node.workerinput["kafka"] = node.config.stash[SHARED][1].bootstrap


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Hear from a worker of pytest-xdist, which is who collects, how many tests it left out."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = session.config.stash.get(LEFT_OUT, 0)


def pytest_unconfigure(config: pytest.Config) -> None:
    if SHARED in config.stash:
        config.stash[SHARED][0].close()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for report in terminalreporter.getreports("passed"):
        for name, figure in report.user_properties:
            if name == "figure" and report.when == "call":
                terminalreporter.write_line(f"{report.nodeid.rsplit('::')[-1]}: {figure}")
    left_out = config.stash.get(LEFT_OUT, 0)
    if left_out:
        terminalreporter.write_line(f"{left_out} long tests were left out: `make test-long`")
    for broker in config.stash[BROKERS]:
        terminalreporter.write_line(f"Kafka: {broker}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Any:
    """Add the end of each worker's log to a failure's report."""
    report = yield
    if report.failed:
        for worker in item.stash.get(WORKERS, []):
            report.sections.append((f"log of {worker}", worker.tail()))
    return report


@pytest.fixture(scope="session")
def broker(pytestconfig: pytest.Config) -> Iterator[Broker]:
    """The best broker that the machine offers; started when a test first asks."""
    from harness.brokers import Broker, best_broker

    shared = getattr(pytestconfig, "workerinput", {}).get("kafka")
    if shared is not None:
        yield Broker(shared, "shared")
        return
    with best_broker(os.environ) as running:
        pytestconfig.stash[BROKERS].append(str(running))
        yield running


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Show a measured figure at the end of the run: ``figure("none lost of 12,000")``."""
    return lambda text: record_property("figure", text)


@pytest.fixture(scope="session")
def kafka(broker: Broker) -> str:
    """The address of the best broker, for ``KAFKA_BOOTSTRAP_SERVERS``."""
    return broker.bootstrap


@pytest.fixture(scope="session")
def embedded() -> Iterator[str]:
    """The address of an embedded broker."""
    from harness.brokers import embedded as embedded_broker

    with embedded_broker() as bootstrap:
        yield bootstrap


@pytest.fixture
def settings(kafka: str, tmp_path: Path) -> Settings:
    """Settings with a fresh topic prefix and a fresh registry; the topics are not created yet."""
    from harness.fresh import fresh_settings

    return fresh_settings(kafka, tmp_path)


@pytest.fixture
def topics_created(settings: Settings) -> Settings:
    """The settings of the `settings` fixture, with their topics created."""
    from harness.waiting import wait_until

    from registry.kafka.topic_admin import check_topics, create_topics

    create_topics(settings)  # returns when the controller knows; brokers follow a moment later
    wait_until(lambda: not check_topics(settings), 60, "the topics to be there")
    return settings


@pytest.fixture
def client(topics_created: Settings) -> Iterator[Client]:
    """A client of the `settings` fixture's topics, which it creates."""
    from harness.client import Client

    with Client(topics_created) as running:
        yield running


@pytest.fixture
def start_worker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Start ``start_worker(settings, name, …)`` as :class:`Worker` does; all end with the test."""
    from harness.workers import Worker

    started = request.node.stash.setdefault(WORKERS, [])
    with ExitStack() as ends:

        def start(settings: Settings, name: str | None = None, **more: Any) -> Worker:
            worker = Worker(settings, name or f"w{len(started) + 1}", tmp_path, **more)
            started.append(worker)
            ends.callback(worker.end)
            return worker

        yield start
