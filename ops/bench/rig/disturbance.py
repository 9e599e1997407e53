"""What disturbs a fleet while its latency is measured: swaps, and a training.

Knows the commands and when they are sent; afterwards, that each was carried out. Must not know the
traffic.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Producer

from ops.bench.rig.ground import Ground, wait_until
from ops.clients import kafka_client as client
from ops.clients import worker_pages as pages
from registry.connection.client_config import client_config
from registry.errors import TransportError
from registry.kafka.topic_reader import ALL, messages, reading
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.wire.codec import decode, encode
from registry.wire.command_results import CommandResult
from registry.wire.commands import Command
from registry.wire.training_records.training_messages import TrainingRun

SWAPS: Final = 20
TRAINING_SECONDS: Final = 300.0
"""How long a training may take: it shares the cores with all that is measured."""

RESULTS_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Commands, each with the seconds after the start at which it is sent."""

    plan: Sequence[tuple[float, Command]]

    @property
    def training_id(self) -> str | None:
        """The run's id; None without a training."""
        return next(
            (command.command_id for _, command in self.plan if command.type == "retrain"), None
        )


def disturbance(
    settings: Settings, seconds: float, versions: tuple[str, str], *, training: bool
) -> Disturbance:
    """Plan 20 swaps between two versions, evenly over `seconds`, and perhaps a training.

    The last swap returns to the first version: the next plan finds things as this one did. The
    training starts first, so that all of it falls into the time measured if it is short enough.
    """
    plan = [
        (
            (number + 0.5) * seconds / SWAPS,
            client.new_command(settings, "swap", model_version=versions[(number + 1) % 2]),
        )
        for number in range(SWAPS)
    ]
    if training:
        plan.insert(0, (0.0, client.new_command(settings, "retrain", deploy="none")))
    return Disturbance(plan)


class Disturbing:
    """Sends a plan's commands in a thread; a context manager that then checks the results."""

    def __init__(self, on: Ground, settings: Settings, url: str, planned: Disturbance) -> None:
        self._on = on
        self._settings = settings
        self._url = url
        self._planned = planned
        self._thread = threading.Thread(target=self._send, name="disturbance", daemon=True)
        self.training: TrainingRun | None = None

    def __enter__(self) -> Disturbing:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._thread.join()
            self._check_results()
            self._wait_for_training()

    def _send(self) -> None:
        started = time.monotonic()
        producer = Producer(client_config(self._settings) | {"linger.ms": 0})
        topic = topics_of(self._settings).control.name
        for at_seconds, command in self._planned.plan:
            time.sleep(max(0.0, started + at_seconds - time.monotonic()))
            producer.produce(topic, encode(command), command.environment.encode())
            producer.poll(0)
        producer.flush(RESULTS_SECONDS)

    def _check_results(self) -> None:
        waiting = {command.command_id for _, command in self._planned.plan}
        topic = topics_of(self._settings).control_results
        with reading(self._settings, topic, last=ALL) as consumer:
            for message in messages(consumer, RESULTS_SECONDS):
                result = decode(CommandResult, message.value())
                if result.command_id in waiting and result.status != "applied":
                    raise TransportError(f"{result.type} was {result.status}: {result.error}")
                waiting.discard(result.command_id)
                if not waiting:
                    break
        if waiting:
            raise TransportError(f"{len(waiting)} commands without a result")

    def _wait_for_training(self) -> None:
        run_id = self._planned.training_id
        if run_id is None:
            return

        def ended() -> bool:
            self.training = pages.training(self._url)
            seen = self.training
            return seen is not None and seen.run_id == run_id and seen.result is not None

        wait_until(self._on, ended, "the training to end", TRAINING_SECONDS)
