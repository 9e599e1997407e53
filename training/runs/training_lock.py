"""The lock: one training at a time in an environment, whichever worker owns the control partition.

An edge: knows Kafka's consumer groups; must not know what a run does.

The control topic has one partition, and in a consumer group a partition has one owner. So a run
joins the group ``{prefix}-{environment}-training`` and may train only while it owns that partition.
It reads nothing from it: the partition is paused, and other groups are not affected. The assignor
is cooperative-sticky, so a second run that joins does not take the partition away.

What ends the ownership:

- the run leaves: the next one has the partition at once;
- the run is killed, or stopped for longer than ``RETRAIN_SESSION_TIMEOUT``: then Kafka reassigns
  the partition. A run that wakes up is no longer in the group and must not publish; so
  :meth:`TrainingLock.confirm` asks the broker instead of trusting its own state.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Final

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from registry.connection.client_config import client_config
from registry.connection.reachability import DENIALS, metadata_of, refused
from registry.error_codes import TrainingCode
from registry.errors import ConfigurationError, TrainingFailed
from registry.kafka.permissions import training_group
from registry.kafka.topics import topics_of
from registry.settings import Settings

WAIT_SECONDS: Final = 40.0
"""How long a run waits for its turn: a killed owner's session, and a rebalance or two."""

CONFIRM_SECONDS: Final = 30.0
"""How long a rebalance, or a change of leaders, may keep the broker from confirming."""

POLL_SECONDS: Final = 0.2
"""A loss that Kafka tells shows after at most this; polling also keeps the membership alive."""

PARTITION: Final = 0


class TrainingLock:
    """The partition's ownership, as one run sees it. Made by :func:`training_lock`.

    Once the polling thread runs, it alone uses the client: with `confluent-kafka` 2.16 a commit in
    one thread and a poll in another were seen to wait for each other for ever.
    """

    def __init__(self, settings: Settings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._assigned, self._lost = threading.Event(), threading.Event()
        self._asked, self._closing = threading.Event(), threading.Event()
        self._member: str | None = None
        self._problem: KafkaError | None = None
        self._answers: SimpleQueue[str | None] = SimpleQueue()
        self._poller = threading.Thread(target=self._poll, name="training-lock", daemon=True)
        self._consumer = Consumer(
            client_config(settings)
            | {
                "group.id": training_group(settings),
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": int(settings.retrain_session_timeout * 1000),
                "heartbeat.interval.ms": 1000,
                "enable.auto.commit": False,
                "on_commit": self._on_commit,
            }
        )

    def require(self) -> None:
        """Check that nothing is known of a loss; cheap, for every step of a run.

        Raises
        ------
        TrainingFailed
            ``lost_lock``.
        """
        if self._lost.is_set() or not self._assigned.is_set():
            silence = self._settings.retrain_session_timeout
            raise TrainingFailed(
                f"lost the training lock (no contact with Kafka for {silence:g} s, or the process "
                "was stopped); another run may have started, so this one ends",
                TrainingCode.LOST_LOCK,
            )

    def confirm(self) -> None:
        """Have the broker confirm the ownership now; for the moment before publication.

        A commit of offset 0 is the one call that the broker answers by whether the caller is a
        member of the group's present generation. Nobody reads the committed offset.

        Raises
        ------
        TrainingFailed
            ``lost_lock``, also if the broker does not confirm in time.
        """
        deadline = time.monotonic() + CONFIRM_SECONDS
        complaint: str | None = "no answer"
        while complaint is not None and time.monotonic() < deadline:
            self.require()
            self._asked.set()
            with suppress(Empty):
                complaint = self._answers.get(timeout=CONFIRM_SECONDS)
        self.require()
        if complaint is not None:  # a rebalance that does not end, or no broker
            raise TrainingFailed(
                f"the broker did not confirm the training lock: {complaint}", TrainingCode.LOST_LOCK
            )

    def _acquire(self, wait_seconds: float) -> None:
        _require_topic(self._consumer, self._settings, self._topic)
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke
        )
        self._poller.start()
        deadline = time.monotonic() + wait_seconds
        while (left := deadline - time.monotonic()) > 0:
            if self._assigned.wait(min(left, POLL_SECONDS)):
                return
            if self._problem is not None and self._problem.code() in DENIALS:
                break
        if self._problem is not None:
            group = training_group(self._settings)
            raise refused(
                self._problem, f"the training lock on {self._topic}", "READ", "group", group
            )
        raise TrainingFailed(
            f"another training run of this environment is in progress (it held the lock for "
            f"{wait_seconds:.0f} s); wait for it to end",
            TrainingCode.ALREADY_RUNNING,
        )

    def _release(self) -> None:
        self._closing.set()
        if self._poller.is_alive():
            self._poller.join()
        self._consumer.close()

    def _poll(self) -> None:
        while not self._closing.is_set():
            if self._asked.is_set():
                self._asked.clear()
                self._commit()
            message = self._consumer.poll(POLL_SECONDS)
            if message is not None and message.error() is not None:
                self._problem = message.error()

    def _commit(self) -> None:
        try:
            self._consumer.commit(offsets=[TopicPartition(self._topic, PARTITION, 0)])
        except KafkaException as error:
            self._answers.put(str(error))

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if not partitions:
            return
        own = [TopicPartition(self._topic, PARTITION, OFFSET_END)]
        consumer.incremental_assign(own)
        consumer.pause(own)
        self._member = consumer.memberid()
        self._assigned.set()

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions:
            self._lost.set()

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        problem = error or next(
            (partition.error for partition in partitions if partition.error), None
        )
        # From outside of a group that is empty, a commit passes too. In tests the loss was always
        # told before such an answer, but nothing promises that order.
        if self._consumer.memberid() != self._member:
            self._lost.set()
        self._answers.put(str(problem) if problem else None)


@contextmanager
def training_lock(settings: Settings, wait_seconds: float = WAIT_SECONDS) -> Iterator[TrainingLock]:
    """Hold the training lock of the settings' environment.

    Raises
    ------
    TrainingFailed
        ``already_running`` if another run holds it for all of `wait_seconds`.
    ConfigurationError
        If the control topic is missing.
    TransportError
        If Kafka does not answer, or refuses the group.
    """
    lock = TrainingLock(settings, topics_of(settings).control.name)
    try:
        lock._acquire(wait_seconds)
        yield lock
    finally:
        lock._release()


def _require_topic(consumer: Consumer, settings: Settings, topic: str) -> None:
    found = metadata_of(consumer, settings, topic, seconds=WAIT_SECONDS).topics[topic]
    if found.error is not None:
        raise ConfigurationError(
            f"topic {topic}: {found.error}; `recstream topics create` creates it"
        )
