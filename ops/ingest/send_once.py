"""Sending a file's interactions once: a second run continues where the first one ended.

Knows what identifies a file, and where its progress is stored. Must not know file formats nor the
terminal.

The progress of a file is stored where its records go: as a committed offset of the consumer group
``{prefix}-ingest-{fingerprint}`` on the interaction topic, that is the number of interactions that
Kafka has confirmed. So every machine knows it, there is no file to lose, and Kafka deletes it with
the topic. Kafka also deletes it when the group was not used for ``offsets.retention.minutes`` (a
week by default).

A killed run sends again what came after its last commit, at most `NOTE_RECORDS`. Neither that nor
sending a file again on purpose harms the training set: only the latest event of each user, item and
kind counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from ops.clients import kafka_client as client
from ops.ingest.file_layout import Layout
from ops.ingest.interaction_files import BadLine, read_interactions
from registry.connection.client_config import client_config
from registry.connection.reachability import metadata_of, refused
from registry.connection.temporary_errors import ask_again
from registry.ids import ItemId, UserId
from registry.kafka.permissions import ingest_group
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.wire.codec import encode

NOTE_RECORDS: Final = 100_000
"""Records between two notes: some seconds of sending, each note costs some milliseconds."""

NOTE_SECONDS: Final = 30.0
NOTES_PARTITION: Final = 0


@dataclass(frozen=True, slots=True)
class SentCounts:
    """How many interactions a run has sent, and how many had been sent before it."""

    now: int
    before: int


def fingerprint(*files: Path, read_as: str = "") -> str:
    """Return what tells these files' bytes from others', whatever they are called.

    Parameters
    ----------
    files
        The files.
    read_as
        How they are read, if not as their format says: other columns make other interactions.
    """
    whole = hashlib.sha256(read_as.encode())
    for path in files:
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:16]


def records_of(
    file: Path, titles: Mapping[ItemId, str] | None = None, layout: Layout | None = None
) -> Iterator[tuple[UserId, bytes]]:
    """Yield the records of a file's good lines, each with its user id."""
    for found in read_interactions(file, titles, layout):
        if not isinstance(found, BadLine):
            yield found.user_id, encode(found)


def send_once(
    settings: Settings,
    file_id: str,
    records: Iterator[tuple[UserId, bytes]],
    *,
    again: bool = False,
    on_sent: Callable[[int], None] = lambda _sent: None,
) -> SentCounts:
    """Send the records that earlier runs have not sent.

    Parameters
    ----------
    settings
        Where to.
    file_id
        Of :func:`fingerprint`.
    records
        Of :func:`records_of`: all of the file's, in the same order each time.
    again
        Send all, whatever was sent before.
    on_sent
        Called now and then with the number that were sent, earlier ones included.

    Raises
    ------
    TransportError
        If Kafka does not answer, or does not confirm.
    """
    topic = topics_of(settings).interactions
    with _notes(settings, file_id) as notes:
        before = 0 if again else notes.read()
        done = sum(1 for _ in islice(records, before))
        on_sent(done)
        while True:
            chunk = islice(records, NOTE_RECORDS)
            sent = client.produce_all(settings, topic, chunk, on_sent=partial(_add, on_sent, done))
            done += sent
            on_sent(done)
            if sent:
                notes.write(done)
            if sent < NOTE_RECORDS:
                return SentCounts(done - before, before)


def _add(report: Callable[[int], None], before: int, sent: int) -> None:
    report(before + sent)


class _Notes:
    def __init__(self, consumer: Consumer, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic

    def read(self) -> int:
        asked = [TopicPartition(self._topic, NOTES_PARTITION)]
        (found,) = ask_again(
            lambda: _without_error(self._consumer.committed(asked, timeout=NOTE_SECONDS))
        )
        return max(0, found.offset)  # below 0: there is none

    def write(self, sent: int) -> None:
        note = TopicPartition(self._topic, NOTES_PARTITION, sent)
        ask_again(lambda: _without_error(self._consumer.commit(offsets=[note], asynchronous=False)))


def _without_error(partitions: list[TopicPartition] | None) -> list[TopicPartition]:
    """Return `partitions`, or raise the error that one of them carries."""
    for partition in partitions or []:
        if partition.error is not None:
            raise KafkaException(partition.error)
    return partitions or []


@contextmanager
def _notes(settings: Settings, file_id: str) -> Iterator[_Notes]:
    group = ingest_group(settings, file_id)
    consumer = Consumer(
        client_config(settings) | {"group.id": group, "enable.auto.commit": False, "log_level": 2}
    )
    try:
        topic = topics_of(settings).interactions.name
        metadata_of(consumer, settings, topic, seconds=NOTE_SECONDS)
        yield _Notes(consumer, topic)
    except KafkaException as error:
        raise refused(
            error.args[0], "Kafka keeps no note of what was sent", "READ", "group", group
        ) from error
    finally:
        consumer.close()
