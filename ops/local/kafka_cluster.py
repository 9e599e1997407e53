"""Runs a cluster of Apache Kafka brokers without Docker, and does to each what may happen to it.

Broker and controller in one process each; of three replicas of a topic two must be in sync. Each
broker can come back as it was, with an empty disk, or at another address. Used by tests and by the
soak.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from ops.local.kafka_jars import fetched_jars
from ops.local.kafka_node import (
    BROKER_SETTINGS,
    NodeListener,
    format_node,
    launch_node,
    wait_for_broker,
)
from ops.local.ports import HOST, free_ports
from registry.errors import ShapeError, TransportError

SIZE = 3
HEAP = "256m"
FIRST_START_SECONDS = 180.0
"""Three of them begin at once, on a machine that may be busy with other tests."""

NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


class Cluster:
    """The brokers 0, 1, 2…, and what may happen to each. Made by :func:`running_cluster`.

    Parameters
    ----------
    folder
        Keeps their files; must exist.
    size
        How many brokers; topics have as many replicas. With one, it is a broker that can be
        restarted and comes back at its address.
    more
        Further settings of every broker.
    listeners
        A further address of each broker, if any.
    """

    def __init__(
        self,
        folder: Path,
        size: int = SIZE,
        more: Mapping[str, str] = NO_SETTINGS,
        listeners: Sequence[NodeListener] = (),
    ) -> None:
        self.size = size
        self._listeners = listeners
        self._folder = folder
        self._jars = fetched_jars()
        ports = free_ports(2 * size)
        self.addresses = [f"{HOST}:{port}" for port in ports[:size]]
        self._controllers = [f"{HOST}:{port}" for port in ports[size:]]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._more = more
        for broker in range(size):
            self._write_settings(broker)
            self._format(broker)

    @property
    def bootstrap(self) -> str:
        """All addresses, for ``KAFKA_BOOTSTRAP_SERVERS``."""
        return ",".join(self.addresses)

    def start(self, *brokers: int) -> None:
        """Start `brokers`, which do not run; see :meth:`wait_started`."""
        for broker in brokers:
            self._processes[broker] = launch_node(
                self._properties(broker), self._log(broker), HEAP, jars=self._jars
            )

    def wait_started(self, *brokers: int, seconds: float = 60) -> None:
        """Return when each of `brokers` answers, and knows of all others that run.

        Raises
        ------
        TransportError
            If it does not within `seconds`.
        """
        for broker in brokers:
            wait_for_broker(self.addresses[broker], seconds, partial(self._runs, broker))
        deadline = time.monotonic() + seconds
        while not all(self._seen_by(broker) >= len(self._processes) for broker in brokers):
            if time.monotonic() > deadline:
                raise TransportError(f"brokers {brokers} do not see each other after {seconds} s")
            time.sleep(0.05)

    def kill(self, broker: int) -> None:
        """SIGKILL: no goodbye to the others, who notice after up to 9 s."""
        process = self._processes.pop(broker)
        process.kill()
        process.wait()

    def stop(self, broker: int, seconds: float = 40) -> None:
        """SIGTERM: it hands its partitions over first, if it can."""
        process = self._processes.pop(broker)
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def freeze(self, broker: int) -> None:
        """SIGSTOP: it keeps its connections, and answers nothing."""
        self._processes[broker].send_signal(signal.SIGSTOP)

    def thaw(self, broker: int) -> None:
        """SIGCONT, after :meth:`freeze`."""
        self._processes[broker].send_signal(signal.SIGCONT)

    def restart(self, broker: int, *, kill: bool = False) -> None:
        """Stop or kill `broker`, start it again, and return when it answers."""
        (self.kill if kill else self.stop)(broker)
        self.start(broker)
        self.wait_started(broker)

    def wipe(self, broker: int) -> None:
        """Empty the disk of `broker`, which must not run."""
        self._require_ended(broker)
        shutil.rmtree(self._disk(broker))
        self._format(broker)

    def move(self, broker: int) -> None:
        """Give `broker`, which must not run, another address; its controller keeps its own."""
        self._require_ended(broker)
        (port,) = free_ports(1)
        self.addresses[broker] = f"{HOST}:{port}"
        self._write_settings(broker)

    def leader(self, topic: str, partition: int = 0) -> int:
        """Return which broker leads the partition; -1 if none does."""
        found = self._admin(self.bootstrap).list_topics(topic, timeout=15).topics[topic]
        return int(found.partitions[partition].leader) - 1

    def log(self, broker: int) -> str:
        """Return what `broker` has logged."""
        return self._log(broker).read_text(errors="replace")

    def end(self) -> None:
        """Kill what runs, in whatever state it is."""
        for broker in list(self._processes):
            self.kill(broker)

    def _runs(self, broker: int) -> bool:
        return self._processes[broker].poll() is None

    def _require_ended(self, broker: int) -> None:
        if broker in self._processes:
            raise ShapeError(f"broker {broker} runs: stop or kill it first")

    def _seen_by(self, broker: int) -> int:
        try:
            found = self._admin(self.addresses[broker]).list_topics(timeout=5)
        except KafkaException:
            return 0
        return len(found.brokers)

    def _admin(self, bootstrap: str) -> AdminClient:
        return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})

    def _write_settings(self, broker: int) -> None:
        self._properties(broker).write_text(self._text(broker))

    def _format(self, broker: int) -> None:
        format_node(self._properties(broker), jars=self._jars)

    def _properties(self, broker: int) -> Path:
        return self._folder / f"broker-{broker}.properties"

    def _log(self, broker: int) -> Path:
        return self._folder / f"broker-{broker}.log"

    def _disk(self, broker: int) -> Path:
        return self._folder / f"disk-{broker}"

    def _text(self, broker: int) -> str:
        address, controller = self.addresses[broker], self._controllers[broker]
        voters = enumerate(self._controllers, 1)
        others = self._listeners[broker : broker + 1]
        more = {
            f"listener.name.{listener.name.lower()}.{name}": setting
            for listener in others
            for name, setting in listener.settings.items()
        }
        open_to_clients = ",".join(
            [
                f"PLAINTEXT://{address}",
                *(f"{listener.name}://{HOST}:{listener.port}" for listener in others),
            ]
        )
        replicas, in_sync = str(self.size), str(max(1, self.size - 1))
        settings = {
            "process.roles": "broker,controller",
            "node.id": str(broker + 1),
            "controller.quorum.voters": ",".join(f"{node}@{where}" for node, where in voters),
            "controller.listener.names": "CONTROLLER",
            "listeners": f"{open_to_clients},CONTROLLER://{controller}",
            "advertised.listeners": open_to_clients,
            "listener.security.protocol.map": ",".join(
                [
                    "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                    *(f"{listener.name}:{listener.protocol}" for listener in others),
                ]
            ),
            "log.dirs": str(self._disk(broker)),
            **BROKER_SETTINGS,
            "default.replication.factor": replicas,
            "min.insync.replicas": in_sync,
            "num.io.threads": "4",
            "num.network.threads": "2",
            "offsets.topic.replication.factor": replicas,
            "replica.fetch.max.bytes": str(6 * 1024 * 1024),
            "transaction.state.log.min.isr": in_sync,
            "transaction.state.log.num.partitions": "3",
            "transaction.state.log.replication.factor": replicas,
            **self._more,
            **more,
        }
        return "".join(f"{name}={setting}\n" for name, setting in settings.items())


@contextmanager
def running_cluster(
    folder: Path,
    size: int = SIZE,
    more: Mapping[str, str] = NO_SETTINGS,
    listeners: Sequence[NodeListener] = (),
) -> Iterator[Cluster]:
    """Run a cluster until the block ends; nothing but its files is left of it.

    Give topics its replication: ``fresh_settings(…, RECSTREAM_REPLICATION_FACTOR="3")``.
    """
    cluster = Cluster(folder, size, more, listeners)
    try:
        cluster.start(*range(size))
        cluster.wait_started(*range(size), seconds=FIRST_START_SECONDS)
        yield cluster
    finally:
        cluster.end()
