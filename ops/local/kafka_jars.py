"""Apache Kafka without Docker: the official jars, run by the machine's Java.

Knows how the jars are fetched (by Maven, once per machine), and how a KRaft node is configured,
formatted, started and ended. Must not know who uses it; tests and benchmarks do.
"""

from __future__ import annotations

import contextlib
import os
import re
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

from ops.local.ports import HOST, free_ports, listens
from registry.errors import TransportError

KAFKA_VERSION: Final = "4.1.1"

MIN_JAVA: Final = 17
"""Kafka 4's brokers need Java 17; older ones stop with `UnsupportedClassVersionError`."""

CLUSTER_ID: Final = "cmVjc3RyZWFtLXRlc3RzIQ"
"""16 bytes in base64. No two clusters here ever meet, so one name does for all."""

FETCH_SECONDS: Final = 300.0
START_SECONDS: Final = 60.0

PLUGIN: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

POM: Final = f"""\
<project><modelVersion>4.0.0</modelVersion>
<groupId>recstream</groupId><artifactId>kafka</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
<version>{KAFKA_VERSION}</version></dependency></dependencies></project>
"""

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
"""What one node alone needs, with or without a container."""


@dataclass(frozen=True, slots=True)
class KafkaNode:
    """One running broker and its files."""

    bootstrap: str
    process: subprocess.Popen[bytes]
    log: Path


@contextlib.contextmanager
def running_kafka() -> Iterator[str]:
    """Run one Kafka node on free ports and yield its address; nothing is left of it afterwards.

    Raises
    ------
    TransportError
        If Java or the jars cannot be had, or the broker does not answer within 60 s.
    """
    jars = fetched_jars()
    with tempfile.TemporaryDirectory(prefix="recstream-kafka-") as folder:
        node = start_node(jars, Path(folder))
        try:
            yield node.bootstrap
        finally:
            _end(node.process)


def java_command() -> str:
    """Return the path of a Java that runs Kafka.

    Raises
    ------
    TransportError
        If there is none, or only one older than 17.
    """
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if java is None or not Path(java).exists():
        raise TransportError(f"Apache Kafka's jars need Java {MIN_JAVA}: `java` was not found")
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', told)
    if version is None or int(version[1]) < MIN_JAVA:
        seen = told.splitlines()[0] if told else "nothing"
        raise TransportError(f"Apache Kafka's jars need Java {MIN_JAVA} or newer: {java}: {seen}")
    return java


def fetched_jars() -> Path:
    """Return the folder of Kafka's jars, fetching them (43 MB) when it is not there yet.

    The folder is ``$RECSTREAM_CACHE/kafka-4.1.1/`` (default ``~/.cache/recstream``). It is filled
    beside and renamed into place, so that it is whole whenever it exists.

    Raises
    ------
    TransportError
        If Maven is missing or fails.
    """
    cache = Path(os.environ.get("RECSTREAM_CACHE") or Path.home() / ".cache" / "recstream")
    jars = cache / f"kafka-{KAFKA_VERSION}"
    if jars.is_dir():
        return jars
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".kafka-") as beside:
        _copy_dependencies(Path(beside))
        try:
            (Path(beside) / "jars").rename(jars)
        except OSError:
            if not jars.is_dir():
                raise
            # another process was faster; its jars are as good as ours
    return jars


def _copy_dependencies(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise TransportError("Apache Kafka's jars are fetched by Maven: `mvn` was not found")
    pom = folder / "pom.xml"
    pom.write_text(POM)
    where = ["-f", str(pom), f"-DoutputDirectory={folder / 'jars'}", "-DincludeScope=runtime"]
    try:
        run = subprocess.run(
            [maven, "-q", "-B", "--strict-checksums", PLUGIN, *where],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=FETCH_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise TransportError(f"Apache Kafka's jars: Maven took over {FETCH_SECONDS} s") from error
    if run.returncode != 0:
        raise TransportError(f"Apache Kafka's jars: Maven failed:\n{run.stdout[-2000:]}")


@dataclass(frozen=True, slots=True)
class Listener:
    """One more address of a node, and how it is spoken to there.

    ``settings`` are the broker's ``listener.name.….`` settings, without that beginning.
    """

    name: str
    port: int
    protocol: str
    settings: Mapping[str, str] = field(default_factory=dict)


def start_node(
    jars: Path,
    folder: Path,
    listeners: Sequence[Listener] = (),
    more: Mapping[str, str] = MappingProxyType({}),
    jvm: Sequence[str] = (),
) -> KafkaNode:
    """Format and start one node whose files are all in `folder`; return when it answers.

    Parameters
    ----------
    jars
        Of :func:`fetched_jars`.
    folder
        Must exist.
    listeners
        Beside the plain one, which the controller and the returned address use.
    more
        Further settings of the broker.
    jvm
        Further options of Java.

    Raises
    ------
    TransportError
        If it ends, or does not answer within 60 s; with the end of its log.
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
        If Kafka's own tool refuses.
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
        raise TransportError(f"Apache Kafka's log folder could not be formatted:\n{seen}")


def launch_node(
    properties: Path, log: Path, heap: str = "512m", *, jars: Path, jvm: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    """Start the formatted node that the file `properties` describes; it adds to `log`."""
    memory = f"-Xmx{heap}"
    java = [java_command(), memory, *jvm, "-cp", f"{jars}/*", "kafka.Kafka", str(properties)]
    with log.open("ab") as sink:
        return subprocess.Popen(
            _bound_to_parent(java),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for its users first; they end it
        )


def _properties(
    port: int,
    controller_port: int,
    log_folder: Path,
    listeners: Sequence[Listener],
    more: Mapping[str, str],
) -> str:
    controller = f"{HOST}:{controller_port}"
    known = [
        Listener("PLAINTEXT", port, "PLAINTEXT"),
        Listener("CONTROLLER", controller_port, "PLAINTEXT"),
        *listeners,
    ]
    addresses = ",".join(f"{one.name}://{HOST}:{one.port}" for one in known)
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.bootstrap.servers": controller,
        "controller.listener.names": "CONTROLLER",
        "listeners": addresses,
        "advertised.listeners": addresses,
        "listener.security.protocol.map": ",".join(f"{one.name}:{one.protocol}" for one in known),
        "log.dirs": str(log_folder),
        **BROKER_SETTINGS,
        **more,
    }
    for listener in listeners:
        begin = f"listener.name.{listener.name.lower()}."
        settings |= {begin + name: setting for name, setting in listener.settings.items()}
    return "".join(f"{name}={setting}\n" for name, setting in settings.items())


def _bound_to_parent(command: list[str]) -> list[str]:
    """Let the kernel kill the child when the thread that starts it dies, where Linux can."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--", *command] if setpriv else command


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()  # its files go anyway: there is nothing to flush
    process.wait()


def wait_for_broker(bootstrap: str, seconds: float, alive: Callable[[], bool]) -> None:
    """Return when the broker at `bootstrap` (``host:port``) lists itself in its metadata.

    Raises
    ------
    TransportError
        After `seconds`, or as soon as `alive` says no.
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
