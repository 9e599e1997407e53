"""The Kafka client of the command line, the demo and the benchmarks.

Produces with confirmed delivery, sends a command and waits for its result, requests recommendations
and collects the answers.

The rollout state itself is a Faust table, whose changelog is private to the workers. Others read
`control-results`: its newest applied result carries the state after it.
"""

from __future__ import annotations

import getpass
import os
import socket
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from registry.connection.client_config import client_config
from registry.connection.reachability import DENIALS, metadata_of, refused
from registry.error_codes import CommandCode
from registry.errors import RecordError, RefusedCommand, TransportError
from registry.ids import UserId
from registry.kafka.topic_reader import BROKER_SECONDS, QUIET, messages, reading
from registry.kafka.topics import Topic, topics_of
from registry.settings import Settings
from registry.wire.codec import Record, decode, encode
from registry.wire.command_results import CommandResult
from registry.wire.commands import KINDS, Command, CommandType
from registry.wire.requests import Request
from registry.wire.responses import Response
from registry.wire.rollout_state import RolloutState

DEADLINE_SECONDS: Final = 15.0
"""How long to wait for a result or for answers. It must be longer than a rebalance, during which
another worker takes over."""

QUEUED_MILLISECONDS: Final = 60_000
"""How long a record of many may wait for its turn: a slow broker may take its time as long as it
confirms some within :data:`DEADLINE_SECONDS`."""

AS_JAVA: Final = {"partitioner": "murmur2_random"}
"""Chooses the same partition as Java's producers, so that one worker gets all records of a user."""

RESULTS_READ_FIRST: Final = 50
"""How many of the latest results to read first; ten times as many if they hold no state."""


@dataclass(frozen=True, slots=True)
class Answers:
    """The first answer to each request, by request id, and the number of duplicates."""

    by_request_id: dict[str, Response]
    duplicates: int


def who() -> str:
    """Return the issuer of a command: this machine's user and host name."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def require_broker(settings: Settings) -> None:
    """Check that Kafka answers.

    Raises
    ------
    TransportError
        If it does not: after five seconds, or at once if a wrong setting is the cause. (An admin
        client alone would retry for half a minute.)
    """
    admin = AdminClient(client_config(settings) | QUIET)
    metadata_of(admin, settings, seconds=BROKER_SECONDS)


def new_command(settings: Settings, kind: CommandType, **arguments: Any) -> Command:
    """Return a command with a new id, issued by this machine's user.

    It is for the environment of `settings`, unless `arguments` name another one.
    """
    given = {
        "command_id": str(uuid.uuid4()),
        "issued_by": who(),
        "environment": settings.environment,
    }
    return KINDS[kind](**given | arguments)


def send_command(
    settings: Settings, command: Command, deadline_seconds: float = DEADLINE_SECONDS
) -> CommandResult:
    """Produce `command`, and return its result.

    Raises
    ------
    TransportError
        If Kafka does not confirm it, or no result arrives in time; the message says that the
        command may still be applied.
    """
    topics = topics_of(settings)
    with reading(settings, topics.control_results) as consumer:
        produce_all(settings, topics.control, [(command.environment, encode(command))])
        for message in messages(consumer, deadline_seconds):
            result = readable(CommandResult, message)
            if result is not None and result.command_id == command.command_id:
                return result
    raise TransportError(
        f"no result for command {command.command_id} after {deadline_seconds:g} s; it is on "
        f"{topics.control.name} and may still be applied. Is a worker running on "
        f"{settings.kafka_bootstrap_servers} with topic prefix {settings.topic_prefix} and "
        f"environment {command.environment}? `recstream rollout status` shows the current state"
    )


def rollout_state(settings: Settings) -> RolloutState | None:
    """Return the environment's newest rollout state on control-results; None if there is none."""
    topic = topics_of(settings).control_results
    count = RESULTS_READ_FIRST
    while True:
        with reading(settings, topic, last=count) as consumer:
            seen = list(messages(consumer, DEADLINE_SECONDS, to_end=True))
        states = [
            result.after
            for message in seen
            if (message.key() or b"") == settings.environment.encode()
            and (result := readable(CommandResult, message)) is not None
            and result.after is not None
        ]
        if states or len(seen) < count:
            return max(states, key=lambda state: state.epoch, default=None)
        count *= 10


def require_state(state: RolloutState | None, settings: Settings) -> RolloutState:
    """Return `state`.

    Raises
    ------
    RefusedCommand
        If it is None: the environment has no state yet.
    """
    if state is None:
        raise RefusedCommand(
            f"environment {settings.environment} has no rollout state yet; deploy a version with "
            "`recstream swap` first",
            CommandCode.NO_STATE,
        )
    return state


def ask(
    settings: Settings, requests: Sequence[Request], deadline_seconds: float = DEADLINE_SECONDS
) -> Answers:
    """Send `requests`, and wait until each is answered.

    Raises
    ------
    TransportError
        If some are not answered in time; the message says how many.
    """
    topics = topics_of(settings)
    waiting = {request.request_id for request in requests}
    found: dict[str, Response] = {}
    duplicates = 0
    with reading(settings, topics.responses) as consumer:
        records = ((request.key, encode(request)) for request in requests)
        produce_all(settings, topics.requests, records)
        for message in messages(consumer, deadline_seconds):
            response = readable(Response, message)
            if response is None:
                continue
            if response.request_id in found:
                duplicates += 1
            elif response.request_id in waiting:
                found[response.request_id] = response
            if len(found) == len(waiting):
                return Answers(found, duplicates)
    raise TransportError(
        f"{len(waiting) - len(found)} of {len(waiting)} requests not answered after "
        f"{deadline_seconds:g} s; is a worker ready on {settings.kafka_bootstrap_servers}, and "
        f"does it read {topics.requests.name}? Its /readyz says what it is waiting for; "
        f"{topics.dead_letter.name} holds the records that it could not use"
    )


def readable(kind: type[Record], message: Message) -> Record | None:
    """Return the decoded record; None if it is invalid: others may write to this topic, too."""
    try:
        return decode(kind, message.value())
    except RecordError:
        return None


def produce_all(
    settings: Settings,
    topic: Topic,
    records: Iterable[tuple[UserId, bytes]],
    *,
    on_sent: Callable[[int], None] | None = None,
) -> int:
    """Produce (key, value) records, and return their number once all are confirmed.

    Parameters
    ----------
    settings
        Where Kafka is.
    topic
        Must exist.
    records
        Keys are ids. Records with the same key stay in order unless the client retries.
    on_sent
        Called now and then with the number of records produced so far.

    Raises
    ------
    TransportError
        If Kafka does not confirm all of them; some may have arrived.
    """
    refusals: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            refusals.append(error)

    producer = Producer(
        client_config(settings)
        | QUIET
        | {
            "acks": "all",  # not idempotent: every record has an id, and the first send is faster
            "linger.ms": 5,
            "message.timeout.ms": QUEUED_MILLISECONDS,
        }
        | AS_JAVA
    )
    # A record's timestamp is set when the client takes it, so look the topic up before that.
    metadata_of(producer, settings, topic.name, seconds=DEADLINE_SECONDS)
    sent = 0
    for key, value in records:
        _produce(producer, topic, str(key).encode(), value, delivered)
        sent += 1
        if sent % 1000 == 0:
            producer.poll(0)
            if on_sent is not None:
                on_sent(sent)
        if refusals:
            break
    unconfirmed = _wait_for_confirmations(producer)
    if refusals or unconfirmed:
        what = (
            f"{len(refusals) + unconfirmed} of {sent} records to {topic.name} not confirmed by "
            f"{settings.kafka_bootstrap_servers}"
        )
        raise _unconfirmed(what, refusals, topic)
    return sent


def _wait_for_confirmations(producer: Producer) -> int:
    """Wait while records are being confirmed; return how many were not."""
    waiting = len(producer)
    while waiting and (left := producer.flush(DEADLINE_SECONDS)) < waiting:
        waiting = left
    return waiting


def _unconfirmed(what: str, refusals: Sequence[KafkaError], topic: Topic) -> TransportError:
    for error in refusals:
        if error.code() in DENIALS:
            return refused(error, what, "WRITE", "topic", topic.name)
    reason = refusals[0].str() if refusals else "no confirmation"
    return TransportError(
        f"{what}: {reason}; is the broker up, and has `recstream topics create` been run?"
    )


def _produce(
    producer: Producer,
    topic: Topic,
    key: bytes,
    value: bytes,
    delivered: Callable[[KafkaError | None, Message], None],
) -> None:
    while True:
        try:
            producer.produce(topic.name, key=key, value=value, on_delivery=delivered)
        except BufferError:  # the queue is full; its records will be confirmed or time out
            producer.poll(0.1)
        except KafkaException as error:
            raise TransportError(f"a record for {topic.name} was refused: {error}") from error
        else:
            return
