"""Dealing with dead letters: reads the topic, sends records again, and marks what was done.

Knows Kafka's client and the order of things; must not know what people see.

1. *fence*: one dealer at a time, on whatever machine: all have one transactional id, so whoever
   begins ends the transaction of any other, which then counts for nothing;
2. *read*: only then the topic is read, with all marks that any dealer has made;
3. *deal*: records and their marks go out in transactions: Kafka takes both, or neither. So a letter
   is replayed once, wherever a run is broken off, and however often it is begun.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Final, NamedTuple, cast

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from ops.clients.kafka_client import AS_JAVA, who
from registry.connection.client_config import client_config
from registry.connection.reachability import unreachable
from registry.errors import RefusedCommand, TransportError
from registry.kafka.dead_letter_records import (
    Box,
    Letter,
    Mark,
    Wanted,
    What,
    letter_of,
    mark_headers,
    replay_headers,
)
from registry.kafka.reader import QUIET, bounds, connected, messages
from registry.kafka.topics import LARGE_RECORD_BYTES, topics_of
from registry.settings import Settings

LETTERS_AT_ONCE: Final = 200
"""Of one transaction. Of more, more would have to be sent anew after a run that was broken off."""

READ_SECONDS: Final = 600.0
"""Until the whole topic must have been read: some millions of records."""

KAFKA_SECONDS: Final = 30.0
"""How long Kafka may take to begin, and to end, a transaction."""

ANY_PARTITION: Final = -1
"""The client's own value: the key decides."""

FENCED: Final = frozenset(
    {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.INVALID_PRODUCER_ID_MAPPING}
)
"""What a dealer is told when another one has begun."""

OnDone = Callable[[int], None]


class Dealt(NamedTuple):
    """Letters done, and why others could not be: their number by reason."""

    done: int
    refused: Mapping[str, int]


def read_letters(settings: Settings, on_read: OnDone = lambda _: None) -> list[Letter]:
    """Return all letters, without their values, in the order in which they were put aside.

    Raises
    ------
    TransportError
        If Kafka does not answer, the topic is missing, or its end is not reached.
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
        If there is none at this offset.
    """
    for letter in read_letters(settings):
        if letter.offset == offset:
            (whole,) = _whole(settings, [letter])
            return whole
    raise RefusedCommand(
        f"offset {offset}: {topics_of(settings).dead_letter.name} has no letter there; "
        "`recstream dead-letters list` shows the offsets",
        "unknown_letter",
    )


def replay(
    settings: Settings, wanted: Wanted, on_done: OnDone = lambda _: None, *, dry_run: bool = False
) -> Dealt:
    """Send the records of the wanted letters again, and mark these as replayed.

    A record goes by its key to where a user's requests go; one without a key to where it was.

    Raises
    ------
    RefusedCommand
        ``replaced`` if another dealer has begun meanwhile.
    TransportError
        If Kafka does not answer, or does not take a record. What was marked before stays done.
    """
    requests = topics_of(settings).requests.name
    if dry_run:
        chosen, refused = _split(read_letters(settings), wanted, requests)
        return Dealt(len(chosen), refused)
    with _Dealer(settings) as dealer:
        chosen, refused = _split(read_letters(settings), wanted, requests)
        return Dealt(dealer.deal(_whole(settings, chosen), "replayed", on_done), refused)


def drop(
    settings: Settings, wanted: Wanted, on_done: OnDone = lambda _: None, *, dry_run: bool = False
) -> Dealt:
    """Mark the wanted letters as dropped: dealt with, though nothing was sent.

    Raises
    ------
    RefusedCommand, TransportError
        As :func:`replay` does.
    """
    if dry_run:
        return Dealt(sum(map(wanted.includes, read_letters(settings))), {})
    with _Dealer(settings) as dealer:
        chosen = filter(wanted.includes, read_letters(settings))
        return Dealt(dealer.deal(chosen, "dropped", on_done), {})


class _Dealer:
    """Deals in transactions; entering it fences all others."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._box = topics_of(settings).dead_letter.name
        self._by = who()
        self._producer = Producer(
            client_config(settings)
            | QUIET
            | AS_JAVA
            | {
                "transactional.id": f"{self._box}.dealer",
                "message.max.bytes": LARGE_RECORD_BYTES,
                "linger.ms": 5,
            }
        )

    def __enter__(self) -> _Dealer:
        with self._explained():
            self._producer.init_transactions(KAFKA_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(KafkaException):  # of one that was fenced; what counts was committed before
            self._producer.purge()
            self._producer.flush(KAFKA_SECONDS)

    def deal(self, letters: Iterable[Letter], what: What, on_done: OnDone) -> int:
        """Send and mark, and return how many letters there were."""
        done, waiting = 0, iter(letters)
        while some := list(islice(waiting, LETTERS_AT_ONCE)):
            with self._explained():
                self._producer.begin_transaction()
                for letter in some:
                    if what == "replayed":
                        self._send_again(letter)
                    self._producer.produce(
                        self._box, headers=mark_headers(letter.source, what, self._by)
                    )
                self._producer.commit_transaction(KAFKA_SECONDS)
            done += len(some)
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
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            told = error.args[0]
            if self._is_fenced(told):
                raise RefusedCommand(
                    "another `recstream dead-letters replay` or `drop` has begun meanwhile, and "
                    "goes on instead; what was done before stays done",
                    "replaced",
                ) from error
            raise TransportError(
                f"Kafka did not take a part of the letters: {told.str()}; what was done before "
                "stays done, and is not done again"
            ) from error

    def _is_fenced(self, told: KafkaError) -> bool:
        """Tell whether another dealer has begun; end what is open if not.

        Once it is fenced, the client may say so only of the transaction, not of each record.
        """
        if told.code() in FENCED:
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
    """Yield the letters, which are in the order of the topic, with their values."""
    by_offset = {letter.offset: letter for letter in letters}
    for record in _records(settings) if by_offset else ():
        if isinstance(record, Letter) and record.offset in by_offset:
            letter = by_offset.pop(record.offset)
            yield letter.with_value(record.value)
            if not by_offset:
                return


def _records(settings: Settings) -> Iterator[Letter | Mark | None]:
    """Yield what the topic's records are, from its beginning to its end of now."""
    topic = topics_of(settings).dead_letter
    with connected(settings) as consumer:
        places = bounds(settings, consumer, topic)
        consumer.assign([TopicPartition(topic.name, one.partition, low) for one, low, _ in places])
        try:
            for message in messages(consumer, READ_SECONDS, to_end=True):
                yield _read(message)
        except KafkaException as error:
            raise unreachable(settings, error) from error


def _read(message: Message) -> Letter | Mark | None:
    offset, (_, at_ms) = message.offset(), message.timestamp()
    assert offset is not None  # only a message that was never sent has none
    headers = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    return letter_of(offset, at_ms, message.key(), message.value(), headers)
