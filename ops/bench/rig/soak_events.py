"""The fleet of a soak, and how each event of `ops.bench.rig.soak_plan` is carried out.

Must not know when, nor what is read of the processes meanwhile (`ops.bench.soak`).
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ops.bench.rig.ground import Ground, child_environment, fresh_topics, wait_until_ready
from ops.bench.rig.soak_plan import Kind
from ops.bench.rig.synthetic import Shape, publish_model
from ops.clients import kafka_client as client
from ops.demo import demo_fleet
from ops.ingest.send_once import records_of
from ops.local.child_group import ChildGroup, stopped_by_signals
from ops.local.kafka_cluster import Cluster, running_cluster
from ops.local.kafka_jars import KAFKA_VERSION
from ops.local.ports import HOST, free_port
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.wire.commands import CommandType

STEADY: Final = "steady"
RESTLESS: Final = "restless"
WATCHED: Final = (STEADY, RESTLESS)
THIRD: Final = "third"
"""It joins and leaves."""

FROZEN_SECONDS: Final = 10.0
"""Longer than the session: a frozen worker loses its partitions, and learns of it when it wakes."""

STALLED_SECONDS: Final = 25.0
"""Kafka has other leaders after 9 s, and clients go by them after up to 20."""

JOINED_SECONDS: Final = 5.0

SHAPE: Final = Shape(users=400, items=1_000, factors=32, seen=20)
VERSIONS: Final = 4

POISON: Final = (
    b"",
    b"{",
    b'{"request_id": "p", "user_id": [1]}',
    b'{"request_id": "p", "user_id": 1, "x": "' + b"x" * 100_000 + b'"}',
    b'{"request_id": "p", "user_id": 1, "model_version": "v99.99"}',
)


COMMANDS: Final[Mapping[Kind, tuple[CommandType, Mapping[str, Any]]]] = {
    "swap": ("swap", {}),
    "canary": ("rollout", {"strategy": "canary", "canary_percentage": 20.0}),
    "shadow": ("rollout", {"strategy": "shadow"}),
    "training": ("retrain", {}),
}
VERSION_FIELD: Final[Mapping[Kind, str]] = {
    "swap": "model_version", "canary": "canary_version", "shadow": "canary_version",
}  # fmt: skip


@dataclass(slots=True)
class Soaked:
    """A fleet that is being soaked, and what was done to it."""

    on: Ground
    cluster: Cluster
    settings: Settings
    versions: Sequence[str]
    url_by_worker: Mapping[str, str]
    done: dict[Kind, int] = field(default_factory=dict)
    turns: int = 0


@contextmanager
def soaked_fleet(brokers: int = 1) -> Iterator[Soaked]:
    """Run `brokers`, and two workers with versions and interactions; all ends with the block."""
    with (
        stopped_by_signals(),
        tempfile.TemporaryDirectory(prefix="recstream-soak-") as folder,
        running_cluster(Path(folder), brokers) as cluster,
        ChildGroup() as group,
    ):
        kafka = f"Apache Kafka {KAFKA_VERSION}, {brokers} brokers, restarted now and then"
        on = Ground(cluster.bootstrap, kafka, group)
        variables = {
            "RECSTREAM_PARTITIONS": "4",
            "RECSTREAM_REPLICATION_FACTOR": str(brokers),
            "RECSTREAM_SESSION_TIMEOUT": "6",
        }
        with fresh_topics(on, "soak", **variables) as settings:
            versions = [publish_model(on.registry, seed, SHAPE) for seed in range(VERSIONS)]
            client.produce_all(
                settings, topics_of(settings).interactions, records_of(demo_fleet.RATINGS)
            )
            urls = {name: f"http://{HOST}:{free_port()}" for name in (*WATCHED, THIRD)}
            soaked = Soaked(on, cluster, settings, versions, urls)
            for name in WATCHED:
                _start_and_wait(soaked, name)
            yield soaked


def _start_and_wait(soaked: Soaked, name: str) -> None:
    port = soaked.url_by_worker[name].rpartition(":")[2]
    words = ["-m", "ops.cli.main", "worker", "--name", name, "--http-port", port]
    environment = child_environment(os.environ, soaked.settings)
    soaked.on.group.start(name, [sys.executable, *words], environment)
    wait_until_ready(soaked.on, soaked.url_by_worker[name])


def do(soaked: Soaked, kind: Kind) -> None:
    """Do what `kind` says, and wait until it is done.

    Raises
    ------
    RecstreamError
        If it could not be done, or not in time.
    """
    soaked.turns += 1
    version = soaked.versions[soaked.turns % len(soaked.versions)]
    if kind in COMMANDS:
        command, arguments = COMMANDS[kind]
        takes = VERSION_FIELD.get(kind)
        _command(soaked, command, **arguments, **({takes: version} if takes else {}))
    elif kind == "poison":
        topics = topics_of(soaked.settings)
        client.produce_all(soaked.settings, topics.requests, [("1", record) for record in POISON])
        client.produce_all(soaked.settings, topics.control, [("production", b"{")])
    elif kind == "broker":
        _restart_broker(soaked)
    elif kind == "join":
        _join_and_leave(soaked)
    elif kind == "freeze":
        _freeze_worker(soaked)
    elif kind == "stall":
        _freeze_broker(soaked)
    else:
        _restart_worker(soaked, killed=kind == "kill")
    soaked.done[kind] = soaked.done.get(kind, 0) + 1


def _restart_worker(soaked: Soaked, *, killed: bool) -> None:
    group = soaked.on.group
    if killed:
        os.kill(group.pid(RESTLESS), signal.SIGKILL)
    group.stop([RESTLESS], within_seconds=10)
    _start_and_wait(soaked, RESTLESS)


def _join_and_leave(soaked: Soaked) -> None:
    try:
        _start_and_wait(soaked, THIRD)
        time.sleep(JOINED_SECONDS)
    finally:
        soaked.on.group.stop([THIRD], within_seconds=10)


def _freeze_worker(soaked: Soaked) -> None:
    pid = soaked.on.group.pid(RESTLESS)
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(FROZEN_SECONDS)
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until_ready(soaked.on, soaked.url_by_worker[RESTLESS])


def _command(soaked: Soaked, kind: CommandType, **arguments: object) -> None:
    client.send_command(soaked.settings, client.new_command(soaked.settings, kind, **arguments))


def _restart_broker(soaked: Soaked) -> None:
    """Stop a broker, or kill every other one of several, and start it again."""
    cluster, turn = soaked.cluster, soaked.turns
    cluster.restart(turn % cluster.size, kill=cluster.size > 1 and turn % 2 == 0)


def _freeze_broker(soaked: Soaked) -> None:
    cluster, broker = soaked.cluster, soaked.turns % soaked.cluster.size
    cluster.freeze(broker)
    try:
        time.sleep(STALLED_SECONDS)
    finally:
        cluster.thaw(broker)
    cluster.wait_started(broker)
