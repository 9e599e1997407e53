"""Runs Apache Kafka without Docker: one KRaft node from the official jars.

Configures, formats, starts and stops it. Used by tests and benchmarks.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from ops.local.kafka_jars import fetched_jars, java_command
from ops.local.ports import HOST, free_ports, listens
from registry.errors import TransportError

CLUSTER_ID: Final = "cmVjc3RyZWFtLXRlc3RzIQ"
"""16 bytes in base64. Our clusters never see each other, so they can share one id."""

START_SECONDS: Final = 60.0


BROKER_SETTINGS: Final[Mapping[str, str]] = {
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "message.max.bytes": str(5 * 1024 * 1024),  # dead letters carry what just fitted, and more
    "offsets.topic.num.partitions": "8",
    "offsets.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.replication.factor": "1",
}
"""Settings that a single node needs, with or without a container."""


@dataclass(frozen=True, slots=True)
class KafkaNode:
    """One running broker and its files."""

    bootstrap: str
    process: subprocess.Popen[bytes]
    log: Path


@contextlib.contextmanager
def running_kafka() -> Iterator[str]:
    """Run one Kafka node on free ports and yield its address; its files are removed afterwards.

    Raises
    ------
    TransportError
        If Java or the jars are not available, or the broker does not answer within 60 s.
    """
    jars = fetched_jars()
    with tempfile.TemporaryDirectory(prefix="recstream-kafka-") as folder:
        node = start_node(jars, Path(folder))
        try:
            yield node.bootstrap
        finally:
            _end(node.process)


@dataclass(frozen=True, slots=True)
class NodeListener:
    """An additional address of a node, with its protocol.

    ``settings`` are the broker's ``listener.name.….`` settings, without that prefix.
    """

    name: str
    port: int
    protocol: str
    settings: Mapping[str, str] = field(default_factory=dict)


def start_node(
    jars: Path,
    folder: Path,
    listeners: Sequence[NodeListener] = (),
    more: Mapping[str, str] = MappingProxyType({}),
    jvm: Sequence[str] = (),
) -> KafkaNode:
    """Format and start one node with all its files in `folder`; return when it answers.

    Parameters
    ----------
    jars
        The folder that :func:`~ops.local.kafka_jars.fetched_jars` returns.
    folder
        Must exist.
    listeners
        In addition to the plain one, which the controller and the returned address use.
    more
        Additional broker settings.
    jvm
        Additional options for Java.

    Raises
    ------
    TransportError
        If it exits, or does not answer within 60 s; the message has the end of its log.
    """
    port, controller_port = free_ports(2)
    properties = folder / "server.properties"
    properties.write_text(_properties(port, controller_port, folder / "log", listeners, more))
    log = folder / "broker.log"
    format_node(properties, "--standalone", jars=jars)
    process = launch_node(properties, log, jars=jars, jvm=jvm)
    node = KafkaNode(f"{HOST}:{port}", process, log)
    try:
        wait_for_broker(node.bootstrap, START_SECONDS, lambda: process.poll() is None)
    except TransportError as error:
        _end(process)
        raise TransportError(f"{error}\n{log.read_text(errors='replace')[-2000:]}") from error
    return node


def format_node(properties: Path, *options: str, jars: Path) -> None:
    """Format the log folder that the file `properties` names.

    Raises
    ------
    TransportError
        If Kafka's own tool fails.
    """
    tool = [java_command(), "-cp", f"{jars}/*", "kafka.tools.StorageTool", "format"]
    run = subprocess.run(
        [*tool, "-t", CLUSTER_ID, "-c", str(properties), *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=START_SECONDS,
    )
    if run.returncode != 0:
        seen = (run.stdout + run.stderr)[-2000:]
        raise TransportError(f"cannot format Apache Kafka's log folder:\n{seen}")


def launch_node(
    properties: Path, log: Path, heap: str = "512m", *, jars: Path, jvm: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    """Start the formatted node that the file `properties` describes; it appends to `log`."""
    memory = f"-Xmx{heap}"
    java = [java_command(), memory, *jvm, "-cp", f"{jars}/*", "kafka.Kafka", str(properties)]
    with log.open("ab") as sink:
        return subprocess.Popen(
            _bound_to_parent(java),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # keeps Ctrl-C away from it: its owner stops it
        )


def _properties(
    port: int,
    controller_port: int,
    log_folder: Path,
    listeners: Sequence[NodeListener],
    more: Mapping[str, str],
) -> str:
    controller = f"{HOST}:{controller_port}"
    known = [
        NodeListener("PLAINTEXT", port, "PLAINTEXT"),
        NodeListener("CONTROLLER", controller_port, "PLAINTEXT"),
        *listeners,
    ]
    addresses = ",".join(f"{each.name}://{HOST}:{each.port}" for each in known)
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.bootstrap.servers": controller,
        "controller.listener.names": "CONTROLLER",
        "listeners": addresses,
        "advertised.listeners": addresses,
        "listener.security.protocol.map": ",".join(
            f"{item.name}:{item.protocol}" for item in known
        ),
        "log.dirs": str(log_folder),
        **BROKER_SETTINGS,
        **more,
    }
    for listener in listeners:
        begin = f"listener.name.{listener.name.lower()}."
        settings |= {begin + name: setting for name, setting in listener.settings.items()}
    return "".join(f"{name}={setting}\n" for name, setting in settings.items())


def _bound_to_parent(command: list[str]) -> list[str]:
    """Let the Linux kernel kill the child when the thread that starts it dies."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--", *command] if setpriv else command


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()  # its files are removed anyway: there is nothing to flush
    process.wait()


def wait_for_broker(bootstrap: str, seconds: float, alive: Callable[[], bool]) -> None:
    """Return when the broker at `bootstrap` (``host:port``) lists itself in its metadata.

    Raises
    ------
    TransportError
        After `seconds`, or as soon as `alive` returns False.
    """
    host, _, port = bootstrap.rpartition(":")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and alive():
        if listens(host, int(port)) and _lists_itself(bootstrap):
            return
        time.sleep(0.05)
    seen = f"no answer within {seconds} s" if alive() else "its process has ended"
    raise TransportError(f"Kafka at {bootstrap} did not start: {seen}")


def _lists_itself(bootstrap: str) -> bool:
    try:
        return bool(AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=5).brokers)
    except KafkaException:
        return False
