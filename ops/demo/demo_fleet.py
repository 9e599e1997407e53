"""The demo's fleet: two worker processes in a temporary folder; starts them and waits for them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeVar

from ops.clients import worker_pages as pages
from ops.local.child_group import ChildGroup
from ops.local.ports import HOST, free_port
from registry.errors import TransportError
from registry.settings import Settings, read_settings

WORKERS: Final = ("worker-1", "worker-2")
SHIPPED: Final = Path(__file__).parent
RATINGS: Final = SHIPPED / "ratings.csv.gz"
MOVIES: Final = SHIPPED / "movies.csv.gz"
RATINGS_COUNT: Final = 100_004
RAMP: Final = SHIPPED / "ramp.yaml"
LIKED_RAMP: Final = SHIPPED / "liked_ramp.yaml"

LOOK_SECONDS: Final = 0.1
"""Time between two looks at a worker's pages."""

Seen = TypeVar("Seen")


@dataclass(frozen=True, slots=True)
class DemoFleet:
    """The running workers: the addresses of their pages by name, and their common settings."""

    group: ChildGroup
    settings: Settings
    url_by_worker: Mapping[str, str]

    @property
    def url(self) -> str:
        """The address of the first worker's pages."""
        return self.url_by_worker[WORKERS[0]]


def demo_variables(bootstrap: str, folder: Path) -> dict[str, str]:
    """Return the demo's environment variables: the user's, with our settings only."""
    ours = {field.alias for field in Settings.model_fields.values()}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return {
        **kept,
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "MODEL_REGISTRY": str(folder / "model_registry"),
        "TMPDIR": str(folder),  # Faust leaves its folder there
        "RECSTREAM_SESSION_TIMEOUT": "6",  # the embedded broker delays joins by half of it
        "RECSTREAM_OUTCOMES": "on",
        "RECSTREAM_OUTCOME_EVENTS": "rate=1:floor=4",
        "RECSTREAM_ATTRIBUTION_SECONDS": "3",  # the viewers of the demo act at once
        "RETRAIN_SESSION_TIMEOUT": "6",  # so that no training waits 7.5 s for its lock
        "RETRAIN_FACTORS": "16",
        "RETRAIN_NICENESS": "0",
        "RETRAIN_ITERATIONS": "10",
    }


def start_workers(group: ChildGroup, variables: Mapping[str, str]) -> DemoFleet:
    """Start the workers, each with its pages on a free port, without waiting for them."""
    urls = {}
    for name in WORKERS:
        port = free_port()
        command = [sys.executable, "-m", "ops.cli.main", "worker", "--name", name]
        group.start(name, [*command, "--http-port", str(port)], variables)
        urls[name] = f"http://{HOST}:{port}"
    return DemoFleet(group, read_settings(variables), urls)


def wait_until_ready(fleet: DemoFleet) -> None:
    """Wait until every worker has recovered; they may still lack a version."""

    def is_ready(url: str) -> Literal[True] | None:
        reasons = pages.readiness(url).reasons
        return True if all(reason.code == "no_version" for reason in reasons) else None

    for name, url in fleet.url_by_worker.items():
        wait_for(fleet, partial(is_ready, url), f"{name} to be ready", 40)


def wait_until_acting(fleet: DemoFleet, version: str, epoch: int) -> int:
    """Wait until every worker acts on `epoch` or a later one that names `version`; return it.

    The version is then in its memory: until it is, the primary answers for a canary.
    """

    def acting_epoch(url: str) -> int | None:
        page = pages.rollout(url)
        if page.state is None or page.acting_epoch is None or page.acting_epoch < epoch:
            return None
        named = version in (page.state.primary_version, page.state.canary_version)
        return page.acting_epoch if named and version in page.resident_versions else None

    seen = epoch
    for name, url in fleet.url_by_worker.items():
        seen = wait_for(fleet, partial(acting_epoch, url), f"{name} to act on {version}", 30)
    return seen


def wait_for(fleet: DemoFleet, look: Callable[[], Seen | None], what: str, seconds: float) -> Seen:
    """Call `look` until it returns a value; a worker that does not answer yet counts as None.

    Raises
    ------
    TransportError
        If it takes longer than `seconds`, or a child has ended (with the end of its log).
    """
    deadline = time.monotonic() + seconds
    problem = ""
    while time.monotonic() < deadline:
        fleet.group.require_running()
        try:
            if (seen := look()) is not None:
                return seen
        except TransportError as error:
            problem = f"; {error}"
        time.sleep(LOOK_SECONDS)
    tails = "\n".join(f"-- {name}:\n{fleet.group.tail(name)}" for name in fleet.url_by_worker)
    raise TransportError(f"timed out after {seconds:g} s waiting for {what}{problem}\n{tails}")
