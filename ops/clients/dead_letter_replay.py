"""Read, replay and drop dead letters, each exactly once.

1. *fence*: only one run is active at a time, on any machine: all runs share one transactional id,
   so a run that starts aborts the open transaction of any other;
2. *read*: only then is the topic read, with the marks that all earlier runs have made;
3. *commit*: records and their marks are sent in transactions: Kafka takes both or neither. So a
   letter is replayed once, wherever a run is interrupted and however often it is restarted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Final, NamedTuple, cast

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from ops.clients.kafka_client import AS_JAVA, who
from registry.connection.acl_denials import denial
from registry.connection.client_config import client_config
from registry.connection.reachability import unreachable
from registry.error_codes import CommandCode
from registry.errors import AccessRefused, RefusedCommand, TransportError
from registry.kafka.dead_letter_records import (
    Box,
    Letter,
    LetterMark,
    Wanted,
    What,
    letter_of,
    mark_headers,
    replay_headers,
)
from registry.kafka.permissions import replay_id
from registry.kafka.topic_reader import QUIET, bounds, connected, messages
from registry.kafka.topics import LARGE_RECORD_BYTES, topics_of
from registry.settings import Settings

LETTERS_AT_ONCE: Final = 200
"""Letters in one transaction, and the most that an interrupted run has to send again."""

READ_SECONDS: Final = 600.0
"""Deadline for reading the whole topic; enough for some millions of records."""

KAFKA_SECONDS: Final = 30.0
"""How long Kafka may take to begin or to end a transaction."""

ANY_PARTITION: Final = -1
"""The client's own value: the key decides the partition."""

FENCED: Final = frozenset(
    {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.INVALID_PRODUCER_ID_MAPPING}
)
"""The error codes that a run gets when another one has started."""

OnDone = Callable[[int], None]


class LetterCounts(NamedTuple):
    """How many letters were replayed or dropped, and how many were not, by reason."""

    done: int
    refused: Mapping[str, int]


def read_letters(settings: Settings, on_read: OnDone = lambda _: None) -> list[Letter]:
    """Return all letters without their values, in the order of the topic.

    Raises
    ------
    TransportError
        If Kafka does not answer, the topic does not exist, or its end is not reached in time.
    """
    box = Box()
    for number, record in enumerate(_records(settings), 1):
        box.add(record)
        on_read(number)
    return list(box.letters())


def letter_at(settings: Settings, offset: int) -> Letter:
    """Return one letter with its value.

    Raises
    ------
    RefusedCommand
        If there is no letter at this offset.
    """
    for letter in read_letters(settings):
        if letter.offset == offset:
            (whole,) = _whole(settings, [letter])
            return whole
    raise RefusedCommand(
        f"no dead letter at offset {offset} of {topics_of(settings).dead_letter.name}; "
        "`recstream dead-letters list` shows the offsets",
        CommandCode.UNKNOWN_LETTER,
    )


def replay(
    settings: Settings, wanted: Wanted, on_done: OnDone = lambda _: None, *, dry_run: bool = False
) -> LetterCounts:
    """Send the records of the wanted letters again, and mark the letters as replayed.

    A record's key decides its partition; a record without a key returns to its own partition.

    Raises
    ------
    RefusedCommand
        ``replaced`` if another run has started meanwhile.
    TransportError
        If Kafka does not answer or refuses a record. Letters marked before that stay marked.
    """
    requests = topics_of(settings).requests.name
    if dry_run:
        chosen, refused = _split(read_letters(settings), wanted, requests)
        return LetterCounts(len(chosen), refused)
    with _Replayer(settings) as replayer:
        chosen, refused = _split(read_letters(settings), wanted, requests)
        return LetterCounts(replayer.commit(_whole(settings, chosen), "replayed", on_done), refused)


def drop(
    settings: Settings, wanted: Wanted, on_done: OnDone = lambda _: None, *, dry_run: bool = False
) -> LetterCounts:
    """Mark the wanted letters as dropped; nothing is sent.

    Raises
    ------
    RefusedCommand, TransportError
        As :func:`replay` does.
    """
    if dry_run:
        return LetterCounts(sum(map(wanted.includes, read_letters(settings))), {})
    with _Replayer(settings) as replayer:
        chosen = filter(wanted.includes, read_letters(settings))
        return LetterCounts(replayer.commit(chosen, "dropped", on_done), {})


class _Replayer:
    """Sends and marks letters in transactions; entering its context fences all other runs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._box = topics_of(settings).dead_letter.name
        self._id = replay_id(settings)
        self._by = who()
        self._producer = Producer(
            client_config(settings)
            | QUIET
            | AS_JAVA
            | {
                "transactional.id": self._id,
                "message.max.bytes": LARGE_RECORD_BYTES,
                "linger.ms": 5,
            }
        )

    def __enter__(self) -> _Replayer:
        with self._translate_errors():
            self._producer.init_transactions(KAFKA_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(KafkaException):  # it was fenced; everything that counts was committed before
            self._producer.purge()
            self._producer.flush(KAFKA_SECONDS)

    def commit(self, letters: Iterable[Letter], what: What, on_done: OnDone) -> int:
        """Send (if `what` is ``replayed``) and mark the letters; return their number."""
        done, waiting = 0, iter(letters)
        while batch := list(islice(waiting, LETTERS_AT_ONCE)):
            with self._translate_errors():
                self._producer.begin_transaction()
                for letter in batch:
                    if what == "replayed":
                        self._send_again(letter)
                    self._producer.produce(
                        self._box, headers=mark_headers(letter.source, what, self._by)
                    )
                self._producer.commit_transaction(KAFKA_SECONDS)
            done += len(batch)
            on_done(done)
        return done

    def _send_again(self, letter: Letter) -> None:
        self._producer.produce(
            letter.source.topic,
            letter.value,
            letter.key,
            letter.source.partition if letter.key is None else ANY_PARTITION,
            headers=replay_headers(letter),
        )

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            cause = error.args[0]
            if self._is_fenced(cause):
                raise RefusedCommand(
                    "another `recstream dead-letters replay` or `drop` has started and replaced "
                    "this one; letters that were already replayed or dropped stay so",
                    CommandCode.REPLACED,
                ) from error
            if cause.code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
                raise AccessRefused(denial("WRITE", "transactional-id", self._id)) from error
            raise TransportError(
                f"Kafka refused some of the letters: {cause.str()}; run the command again: letters "
                "that were already replayed or dropped are not sent twice"
            ) from error

    def _is_fenced(self, cause: KafkaError) -> bool:
        """Return whether another run has started; abort the open transaction if not.

        A fenced client may report it for the transaction only, not for each record.
        """
        if cause.code() in FENCED:
            return True
        try:
            self._producer.abort_transaction(KAFKA_SECONDS)
        except KafkaException as error:
            return error.args[0].code() in FENCED
        return False


def _split(
    letters: Iterable[Letter], wanted: Wanted, requests: str
) -> tuple[list[Letter], Mapping[str, int]]:
    """Return the wanted letters that can be replayed, and how many cannot, by reason."""
    chosen: list[Letter] = []
    refused: Counter[str] = Counter()
    for letter in filter(wanted.includes, letters):
        if letter.source.topic != requests:
            refused["no_request"] += 1
        elif letter.left_out is not None:
            refused["value_left_out"] += 1
        else:
            chosen.append(letter)
    return chosen, dict(refused)


def _whole(settings: Settings, letters: Iterable[Letter]) -> Iterator[Letter]:
    """Yield the letters with their values; `letters` are in the order of the topic."""
    by_offset = {letter.offset: letter for letter in letters}
    for record in _records(settings) if by_offset else ():
        if isinstance(record, Letter) and record.offset in by_offset:
            letter = by_offset.pop(record.offset)
            yield letter.with_value(record.value)
            if not by_offset:
                return


def _records(settings: Settings) -> Iterator[Letter | LetterMark | None]:
    """Yield the topic's records, up to the end that it has now."""
    topic = topics_of(settings).dead_letter
    with connected(settings) as consumer:
        places = bounds(settings, consumer, topic)
        consumer.assign(
            [TopicPartition(topic.name, place.partition, low) for place, low, _ in places]
        )
        try:
            for message in messages(consumer, READ_SECONDS, to_end=True):
                yield _read(message)
        except KafkaException as error:
            raise unreachable(settings, error) from error


def _read(message: Message) -> Letter | LetterMark | None:
    offset, (_, at_ms) = message.offset(), message.timestamp()
    assert offset is not None  # only a message that was never sent has no offset
    headers = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    return letter_of(offset, at_ms, message.key(), message.value(), headers)
