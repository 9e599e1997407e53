"""Kafka's errors: which refuse a record for good, and which mean an outage.

Pure. A table of librdkafka's codes. Must not know what is sent in place of a refused record
(`streams.delivery.producer`), nor how long an outage is waited for.

=================  ==========================================================================
meaning            what it means for the record
=================  ==========================================================================
``refused``        Kafka will never accept it: retrying does not help
``company``        it came in a batch with a record that Kafka will never take, or is that
                   record itself: sent alone, it is taken or ``refused``
``full``           the client's own queue has no room for it yet
``misplaced``      the topic has no such partition: sent by its key, it is taken
``unconfirmed``    nobody knows: an outage, or what ends like one. Asking again may help
=================  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from confluent_kafka import KafkaError

from registry.error_codes import RefusalCause


class Meaning(NamedTuple):
    """What an error says of one record; ``cause`` is None unless Kafka refused something."""

    kind: Literal["refused", "company", "full", "misplaced", "unconfirmed"]
    cause: RefusalCause | None = None


UNCONFIRMED: Final = Meaning("unconfirmed")
QUEUE_FULL: Final = Meaning("full")
NO_PARTITION: Final = Meaning("misplaced")
"""The client knows no such partition, or not yet; a record has another by its key."""

BATCH_ERRORS: Final[Mapping[int, RefusalCause]] = {
    KafkaError.MSG_SIZE_TOO_LARGE: RefusalCause.TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE: RefusalCause.TOO_LARGE,
    KafkaError.INVALID_MSG_SIZE: RefusalCause.TOO_LARGE,
    KafkaError.INVALID_RECORD: RefusalCause.INVALID,
    KafkaError._INVALID_DIFFERENT_RECORD: RefusalCause.INVALID,
    KafkaError.INVALID_TIMESTAMP: RefusalCause.INVALID,
    KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT: RefusalCause.INVALID,
    KafkaError.POLICY_VIOLATION: RefusalCause.INVALID,
}
"""What a broker says of all records of a batch though one alone is the reason. Taking it at its
word loses a thousand good answers with one that is too large."""

TOPIC_ERRORS: Final[Mapping[int, RefusalCause]] = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: RefusalCause.UNAUTHORIZED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: RefusalCause.UNAUTHORIZED,
}
"""What is true of each record of the topic, whoever comes with it. Wrong *credentials* are not
here: they are an outage, because they may be on their way."""

LOCAL_ERRORS: Final[Mapping[int, RefusalCause]] = {
    **BATCH_ERRORS,
    KafkaError._BAD_MSG: RefusalCause.INVALID,
    KafkaError._INVALID_ARG: RefusalCause.INVALID,
}
"""What the client says of one record before it queues it."""


def read_broker_error(code: int, *, alone: bool) -> Meaning:
    """Return what an error of a delivery report says of its record.

    Parameters
    ----------
    code
        Librdkafka's.
    alone
        Whether the record was sent in a batch of its own.

    >>> read_broker_error(KafkaError.MSG_SIZE_TOO_LARGE, alone=False).kind
    'company'
    >>> read_broker_error(KafkaError._MSG_TIMED_OUT, alone=False).kind
    'unconfirmed'
    """
    if code == KafkaError._UNKNOWN_PARTITION:
        return NO_PARTITION
    if (cause := TOPIC_ERRORS.get(code)) is not None:
        return Meaning("refused", cause)
    if (cause := BATCH_ERRORS.get(code)) is not None:
        return Meaning("refused" if alone else "company", cause)
    return UNCONFIRMED


def read_local_error(code: int) -> Meaning:
    """Return the meaning of an error that the client raised instead of queueing the record."""
    if code == KafkaError._UNKNOWN_PARTITION:
        return NO_PARTITION
    cause = LOCAL_ERRORS.get(code) or TOPIC_ERRORS.get(code)
    return UNCONFIRMED if cause is None else Meaning("refused", cause)
