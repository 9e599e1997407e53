"""The best broker that the machine offers, in the order of PRODUCT.md §10."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

from ops.local.kafka_jars import KAFKA_VERSION, java_command
from ops.local.kafka_node import BROKER_SETTINGS, running_kafka, wait_for_broker
from ops.local.ports import free_port
from registry.errors import ConfigurationError, TransportError

IMAGE = f"apache/kafka:{KAFKA_VERSION}"
ASK_ENGINE = "import docker; docker.from_env(timeout=5).ping()"


@dataclass(frozen=True, slots=True)
class Broker:
    """A running broker, what it is, and why the better ones were not to be had."""

    bootstrap: str
    what: str
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "; ".join([f"{self.what} at {self.bootstrap}", *self.missing])


@contextmanager
def best_broker(environment: Mapping[str, str], seconds: float = 30) -> Iterator[Broker]:
    """Run the best broker until the block ends; one that was named has `seconds` to answer.

    Raises
    ------
    TransportError
        If the broker that ``KAFKA_BOOTSTRAP_SERVERS`` names does not answer; or if ``CI`` is
        ``true`` and there is no Apache Kafka.
    """
    given = environment.get("KAFKA_BOOTSTRAP_SERVERS")
    if given:
        wait_for_broker(given.split(",")[0], seconds, lambda: True)
        yield Broker(given, "the broker of KAFKA_BOOTSTRAP_SERVERS")
        return
    kinds: list[tuple[str, Callable[[], AbstractContextManager[str]]]] = [
        (f"Apache Kafka {KAFKA_VERSION}, container {IMAGE}", container),
        (f"Apache Kafka {KAFKA_VERSION}, official jars on the machine's Java", jars),
    ]
    if environment.get("CI") != "true":
        kinds.append(("embedded broker (Tansu), NOT Apache Kafka", embedded))
    missing: list[str] = []
    with ExitStack() as stack:
        for what, run in kinds:
            try:
                bootstrap = stack.enter_context(run())
            except (TransportError, ConfigurationError) as error:
                missing.append(f"not a better one: {error}")
                continue
            yield Broker(bootstrap, what, tuple(missing))
            return
    raise TransportError("\n".join(["CI=true needs a real Apache Kafka:", *missing]))


@contextmanager
def jars() -> Iterator[str]:
    """Run the official jars."""
    java_command()  # says what is missing before anything is fetched
    with running_kafka() as bootstrap:
        yield bootstrap


@contextmanager
def embedded() -> Iterator[str]:
    """Run the embedded broker."""
    from ops.local.embedded_broker import (
        running_broker,  # a broken one must not stop tests on Apache Kafka
    )

    with running_broker() as bootstrap:
        yield bootstrap


@contextmanager
def container() -> Iterator[str]:
    """Run the official image, where a Docker engine answers."""
    _require_engine()
    from docker.errors import DockerException
    from testcontainers.core.container import DockerContainer

    port = free_port()
    kafka = DockerContainer(IMAGE).with_bind_ports(port, port)
    host = kafka.get_docker_client().host()
    try:
        kafka.with_envs(**_container_environment(host, port)).start()
    except DockerException as error:
        kafka.stop()
        raise TransportError(f"{IMAGE} does not start: {error}") from error
    try:
        wait_for_broker(f"{host}:{port}", 90, lambda: True)
        yield f"{host}:{port}"
    finally:
        kafka.stop()


def _require_engine() -> None:
    """Ask in another process: the client leaves sockets open when nobody answers."""
    asked = subprocess.run(
        [sys.executable, "-c", ASK_ENGINE], capture_output=True, text=True, timeout=60, check=False
    )
    if asked.returncode != 0:
        seen = asked.stderr.strip().splitlines() or ["no reason given"]
        raise TransportError(f"no Docker engine answers ({seen[-1][:120]})")


def _container_environment(host: str, port: int) -> dict[str, str]:
    settings = {
        "node.id": "1",
        "process.roles": "broker,controller",
        "controller.quorum.voters": "1@localhost:9093",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://:{port},CONTROLLER://:9093",
        "advertised.listeners": f"PLAINTEXT://{host}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        **BROKER_SETTINGS,
    }
    return {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in settings.items()}
