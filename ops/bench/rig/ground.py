"""The environment of a benchmark: a local broker, fresh topics, real processes.

Knows how they are created and cleaned up. Must not know what is measured. Traffic goes to loopback
only: a benchmark on somebody's production cluster is refused.
"""

from __future__ import annotations

import ipaddress
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from ops.clients import kafka_client as client
from ops.clients import worker_pages as pages
from ops.local.child_group import ChildGroup, stopped_by_signals
from ops.local.kafka_jars import KAFKA_VERSION
from ops.local.kafka_node import running_kafka
from ops.local.ports import HOST, free_port
from registry.connection.client_config import client_config
from registry.errors import ConfigurationError, TransportError
from registry.kafka.topic_admin import create_topics
from registry.kafka.topics import topics_of
from registry.settings import Settings, read_settings, to_environment

LOOK_SECONDS: Final = 0.2
"""Between two looks at a process or a topic; each costs a little of what is measured."""

READY_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Ground:
    """A broker, a folder, and the processes of one benchmark."""

    bootstrap: str
    kafka: str
    group: ChildGroup

    @property
    def registry(self) -> str:
        """The model registry of this benchmark."""
        return str(self.group.folder / "model_registry")


@contextmanager
def ground() -> Iterator[Ground]:
    """Yield the ground; everything of it is gone afterwards.

    The broker is the one of ``KAFKA_BOOTSTRAP_SERVERS`` if that is set, else Apache Kafka's jars.

    Raises
    ------
    ConfigurationError
        If ``KAFKA_BOOTSTRAP_SERVERS`` is not local.
    TransportError
        If there is no broker to be had.
    """
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    with stopped_by_signals():
        if given:
            require_loopback(given.split(","))
            client.require_broker(read_settings({"KAFKA_BOOTSTRAP_SERVERS": given}))
            with ChildGroup() as group:
                yield Ground(given, f"at KAFKA_BOOTSTRAP_SERVERS={given}", group)
            return
        with running_kafka() as address, ChildGroup() as group:
            yield Ground(address, f"Apache Kafka {KAFKA_VERSION}, started for this run", group)


def require_loopback(addresses: Iterable[str]) -> None:
    """Refuse brokers of other machines.

    Parameters
    ----------
    addresses
        Each ``host:port``.

    Raises
    ------
    ConfigurationError
        Naming the address.
    """
    for address in addresses:
        host = address.strip().rpartition(":")[0].strip("[]")
        if host != "localhost" and not _is_loopback(host):
            raise ConfigurationError(
                f"KAFKA_BOOTSTRAP_SERVERS={address.strip()!r}: a benchmark floods its broker, so "
                f"only a local one is allowed (127.0.0.1, localhost, [::1]); unset it to start one"
            )


@contextmanager
def fresh_topics(on: Ground, benchmark: str, **variables: str) -> Iterator[Settings]:
    """Create topics under a prefix of their own, yield the settings, delete the topics again."""
    settings = read_settings(
        {
            "KAFKA_BOOTSTRAP_SERVERS": on.bootstrap,
            "RECSTREAM_TOPIC_PREFIX": f"bench-{benchmark}-{uuid.uuid4().hex[:8]}",
            "MODEL_REGISTRY": on.registry,
            **variables,
        }
    )
    create_topics(settings)
    try:
        wait_until(on, lambda: _are_led(settings), "the topics to have leaders", READY_SECONDS)
        yield settings
    finally:
        admin = AdminClient(client_config(settings))
        names = [
            name
            for name in admin.list_topics(timeout=10).topics
            if name.startswith(settings.topic_prefix)  # with Faust's own: the changelog
        ]
        for deletion in admin.delete_topics(names).values():
            deletion.result()


@contextmanager
def process(on: Ground, name: str, settings: Settings, *words: str) -> Iterator[int]:
    """Run ``python WORDS`` with `settings` as a child; yield its process id, then stop it."""
    on.group.start(name, [sys.executable, *words], child_environment(os.environ, settings))
    try:
        yield on.group.pid(name)
    finally:
        on.group.stop([name])


@contextmanager
def worker(on: Ground, settings: Settings, name: str = "worker") -> Iterator[tuple[int, str]]:
    """Run one worker; yield its process id and its pages' address. It may not be ready yet."""
    port = free_port()
    words = ("-m", "ops.cli.main", "worker", "--name", name, "--http-port", str(port))
    with process(on, name, settings, *words) as pid:
        yield pid, f"http://{HOST}:{port}"


def child_environment(mine: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """Return the environment `mine`, with `settings` in place of any setting of the user's."""
    ours = {field.alias for field in Settings.model_fields.values()}
    kept = {name: value for name, value in mine.items() if name not in ours}
    return kept | to_environment(settings)


def wait_until_ready(on: Ground, url: str) -> None:
    """Wait until the worker at `url` is ready."""

    def ready() -> bool:
        try:
            return not pages.readiness(url).reasons
        except TransportError:  # its pages come after its imports
            return False

    wait_until(on, ready, f"{url}/readyz", READY_SECONDS)


def wait_until(
    on: Ground,
    look: Callable[[], bool],
    what: str,
    seconds: float,
    every_seconds: float = LOOK_SECONDS,
) -> None:
    """Look repeatedly until `look` returns true.

    Raises
    ------
    TransportError
        After `seconds`, or when a child has ended; with the ends of the logs.
    """
    deadline = time.monotonic() + seconds
    while not look():
        on.group.require_running()
        if time.monotonic() > deadline:
            logs = sorted(on.group.folder.glob("*.log"))
            tails = "\n".join(f"-- {log.stem}:\n{on.group.tail(log.stem)}" for log in logs)
            raise TransportError(f"waited {seconds:g} s for {what}\n{tails}")
        time.sleep(every_seconds)


def _are_led(settings: Settings) -> bool:
    """Tell whether each partition answers: a broker takes a moment after it has made a topic."""
    partitions = [
        TopicPartition(topic.name, number)
        for topic in topics_of(settings)
        for number in range(topic.partitions)
    ]
    consumer = Consumer(client_config(settings) | {"group.id": settings.topic_prefix})
    try:
        for partition in partitions:
            consumer.get_watermark_offsets(partition, timeout=10)
    except KafkaException:
        return False
    finally:
        consumer.close()
    return True


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # another name than localhost
        return False
