"""What an application and an operator do: send requests and commands, collect what comes back."""

from __future__ import annotations

import json
import threading
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from harness.waiting import wait_until

from registry.connection.client_config import client_config
from registry.kafka.permissions import reader_group
from registry.kafka.topics import Topic, topics_of
from registry.settings import Settings
from registry.wire.codec import encode
from registry.wire.heartbeats import Heartbeat
from registry.wire.requests import Request
from streams.control.heartbeat_follower import heartbeat_of

Answer: TypeAlias = dict[str, Any]
DELIVERY_SECONDS = 30.0
RESULT_SECONDS = 15.0
PASSING = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.OFFSET_NOT_AVAILABLE)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record of the dead-letter topic."""

    key: bytes | None
    value: bytes | None
    headers: Mapping[str, str | bytes | None]


class Client:
    """Sends with confirmed delivery; collects answers, results and dead letters in a thread.

    Answers and results count from the moment when the client is made, dead letters from the
    topic's start. The topics must exist. Use as a context manager, or call :meth:`close`.

    ``answered_at`` has, for each of ``answers``, its record's time in seconds since the epoch;
    ``answer_headers`` are those of a request's last answer;
    ``trail`` is ``results`` in the topic's order; ``fleet`` the latest heartbeat by instance.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.topics = topics_of(settings)
        self.answers: dict[str, list[Answer]] = defaultdict(list)
        self.answered_at: dict[str, list[float]] = defaultdict(list)
        self.answer_headers: dict[str, dict[str, str | bytes | None]] = {}
        self.results: dict[str, list[Answer]] = defaultdict(list)
        self.trail: list[Answer] = []
        self.fleet: dict[str, Heartbeat] = {}
        self.letters: list[DeadLetter] = []
        self._errors: list[str] = []
        self._closing = threading.Event()
        self._to_assign: list[TopicPartition] = []
        self._producer = Producer(
            client_config(settings)
            | {"linger.ms": 2, "acks": "all", "message.max.bytes": 2_000_000}
        )
        self._consumer = Consumer(
            client_config(settings)
            | {
                "group.id": reader_group(settings, uuid.uuid4().hex),  # nothing joins it
                "enable.auto.commit": False,
                "allow.auto.create.topics": False,
                "fetch.message.max.bytes": 8 * 1024 * 1024,
            }
        )
        self._began = [
            *self._partitions(self.topics.responses, at_end=True),
            *self._partitions(self.topics.control_results, at_end=True),
            *self._partitions(self.topics.dead_letter, at_end=False),
            *self._partitions(self.topics.fleet, at_end=True),
        ]
        self._consumer.assign(self._began)
        self._thread = threading.Thread(target=self._collect, name="test-client", daemon=True)
        self._thread.start()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def follow_growth(self, partitions: int) -> None:
        """Collect answers from the response topic's new partitions, from their first record on."""
        known = range(self.topics.responses.partitions)
        new = [number for number in range(partitions) if number not in known]
        # by the collecting thread: the client was seen to hang when two threads use it
        self._to_assign = [
            TopicPartition(self.topics.responses.name, partition, 0) for partition in new
        ]
        wait_until(lambda: not self._to_assign, 15, "the new partitions to be assigned")

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self._consumer.close()
        self._producer.flush(DELIVERY_SECONDS)

    def send(self, requests: Iterable[Request | Mapping[str, Any] | bytes | None]) -> None:
        """Send to the request topic, and return once Kafka has confirmed each.

        Requests and mappings are keyed by their user id; bytes go as they are, without a key, and
        None is a record without a value.
        """
        for request in requests:
            self._produce(self.topics.requests, *_keyed(request))
        self.flush()

    def produce(
        self,
        topic: Topic,
        value: bytes | None,
        key: bytes | None = None,
        headers: Mapping[str, bytes] | None = None,
        timestamp: int = 0,
    ) -> None:
        """Send one record of any kind, confirmed; `timestamp` in milliseconds, 0: now."""
        self._produce(topic, key, value, headers, timestamp)
        self.flush()

    def produce_all(self, topic: Topic, values: Iterable[bytes | None]) -> None:
        """Send records without a key, in their order, confirmed."""
        for value in values:
            self._produce(topic, None, value)
        self.flush()

    def flush(self) -> None:
        """Return once everything sent is confirmed."""
        left = self._producer.flush(DELIVERY_SECONDS)
        assert left == 0, f"{left} records were not confirmed within {DELIVERY_SECONDS:g} s"
        assert not self._errors, self._errors

    def wait_for(self, request_ids: Iterable[str], seconds: float = 30) -> dict[str, list[Answer]]:
        """Return the answers, one or more of each id, once every id has one."""
        wanted = set(request_ids)

        def missing() -> list[str]:
            self._check()
            return sorted(request_id for request_id in wanted if request_id not in self.answers)

        try:
            wait_until(lambda: not missing(), seconds, "answers")
        except AssertionError:
            left = missing()
            raise AssertionError(
                f"{len(left)} of {len(wanted)} requests without an answer after {seconds:g} s, "
                f"such as {left[:5]}"
            ) from None
        return {request_id: list(self.answers[request_id]) for request_id in wanted}

    def post_command(self, **fields: Any) -> str:
        """Produce a control command, confirmed; return its id."""
        command = {
            "command_id": uuid.uuid4().hex,
            "environment": self.settings.environment,
            "issued_by": "test",
        } | fields
        payload = json.dumps(command).encode()
        self.produce(self.topics.control, payload, command["environment"].encode())
        return str(command["command_id"])

    def result_of(self, command_id: str, seconds: float = RESULT_SECONDS) -> Answer:
        """Return the first result of the command."""
        what = f"the result of command {command_id}"
        return wait_until(lambda: self._seen(self.results, command_id), seconds, what)[0]

    def command(self, seconds: float = RESULT_SECONDS, **fields: Any) -> Answer:
        """Produce a control command and return its result."""
        return self.result_of(self.post_command(**fields), seconds)

    def dead_letters(self, count: int = 0, seconds: float = 15) -> list[DeadLetter]:
        """Return the dead letters so far, once there are at least `count`."""
        wait_until(lambda: len(self.letters) >= count, seconds, f"{count} dead letters")
        self._check()
        return list(self.letters)

    def _seen(self, where: dict[str, list[Answer]], key: str) -> list[Answer]:
        self._check()
        return list(where[key]) if key in where else []

    def _check(self) -> None:
        assert self._thread.is_alive(), f"the collecting thread has ended: {self._errors}"

    def _produce(
        self,
        topic: Topic,
        key: bytes | None,
        value: bytes | None,
        headers: Mapping[str, bytes] | None = None,
        timestamp: int = 0,
    ) -> None:
        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._errors.append(f"{topic.name}: {error}")

        while True:
            try:
                self._producer.produce(
                    topic.name,
                    value=value,
                    key=key,
                    headers=dict(headers or {}),
                    timestamp=timestamp,
                    on_delivery=delivered,
                )
                return
            except BufferError:  # the local queue is full
                self._producer.poll(0.1)

    def _watermarks(self, partition: TopicPartition) -> tuple[int, int] | None:
        try:
            return self._consumer.get_watermark_offsets(partition, timeout=DELIVERY_SECONDS)
        except KafkaException as error:
            if error.args[0].code() in PASSING:
                return None  # a topic, or a leader, that is a moment old
            raise

    def _partitions(self, topic: Topic, *, at_end: bool) -> list[TopicPartition]:
        """Return the positions of now; OFFSET_END would be looked up later, after a first send."""
        positions = []
        for number in range(topic.partitions):
            partition = TopicPartition(topic.name, number)
            low, high = wait_until(lambda at=partition: self._watermarks(at), 15, str(partition))
            positions.append(TopicPartition(topic.name, number, high if at_end else low))
        return positions

    def _places(self) -> list[TopicPartition]:
        """Return where reading goes on, or where it began."""
        began = {(place.topic, place.partition): place for place in self._began}
        return [
            place if place.offset >= 0 else began[place.topic, place.partition]
            for place in self._consumer.position(self._consumer.assignment())
        ]

    def _collect(self) -> None:
        try:
            while not self._closing.is_set():
                if self._to_assign:
                    self._consumer.assign([*self._places(), *self._to_assign])
                    self._to_assign = []
                for message in self._consumer.consume(num_messages=1000, timeout=0.05):
                    self._take(message)
        except Exception as error:  # the thread's outermost edge: `_check` reports it
            self._errors.append(repr(error))
            raise

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            if error.retriable() or not error.fatal():
                return  # a broker that restarts; a wait that fails says what is missing
            raise KafkaException(error)
        if message.topic() == self.topics.dead_letter.name:
            headers = dict(message.headers() or [])
            self.letters.append(DeadLetter(message.key(), message.value(), headers))
            return
        if message.topic() == self.topics.fleet.name:
            heartbeat = heartbeat_of(message)
            self.fleet = self.fleet | {heartbeat.instance: heartbeat}
            return
        try:
            answer = json.loads(message.value() or b"")
        except ValueError:
            return  # garbage that a test has put there
        if not isinstance(answer, dict):
            return
        if message.topic() == self.topics.responses.name:
            self.answer_headers[answer["request_id"]] = dict(message.headers() or [])
            self.answered_at[answer["request_id"]].append(message.timestamp()[1] / 1000)
            self.answers[answer["request_id"]].append(answer)
        else:
            self.trail.append(answer)
            self.results[answer["command_id"]].append(answer)


def _keyed(
    request: Request | Mapping[str, Any] | bytes | None,
) -> tuple[bytes | None, bytes | None]:
    if request is None or isinstance(request, bytes):
        return None, request
    if isinstance(request, Request):
        return str(request.user_id).encode(), encode(request)
    return str(request.get("user_id", "")).encode(), json.dumps(request).encode()
