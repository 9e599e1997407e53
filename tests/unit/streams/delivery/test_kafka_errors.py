"""Which of Kafka's errors say no for good: every code that librdkafka has falls into one kind."""

from __future__ import annotations

from confluent_kafka import KafkaError
from harness.cells import each_cell

from streams.delivery.kafka_errors import read_broker_error, read_local_error

TOO_LARGE = ("MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_MSG_SIZE")
INVALID = (
    *("INVALID_RECORD", "INVALID_TIMESTAMP", "UNSUPPORTED_FOR_MESSAGE_FORMAT"),
    *("POLICY_VIOLATION", "_INVALID_DIFFERENT_RECORD"),
)
UNAUTHORIZED = ("TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED")
ONLY_LOCAL = ("_BAD_MSG", "_INVALID_ARG")
CODES = {
    name: getattr(KafkaError, name)
    for name in dir(KafkaError)
    if name.upper() == name and isinstance(getattr(KafkaError, name), int)
}


@each_cell(
    ("name", "cause"),
    [*((name, "too_large") for name in TOO_LARGE), *((name, "invalid") for name in INVALID)],
)
def test_what_a_batch_is_refused_for_counts_only_of_a_record_alone(name: str, cause: str) -> None:
    assert read_broker_error(CODES[name], alone=False) == ("company", cause)
    assert read_broker_error(CODES[name], alone=True) == ("refused", cause)
    assert read_local_error(CODES[name]) == ("refused", cause)


@each_cell("name", UNAUTHORIZED)
@each_cell("alone", [True, False])
def test_what_is_not_allowed_is_refused_at_once(name: str, alone: bool) -> None:
    assert read_broker_error(CODES[name], alone=alone) == ("refused", "unauthorized")


@each_cell("name", ONLY_LOCAL)
def test_what_the_client_does_not_take_is_refused(name: str) -> None:
    assert read_local_error(CODES[name]) == ("refused", "invalid")
    assert read_broker_error(CODES[name], alone=True).kind == "unconfirmed"


def test_a_partition_that_is_not_there_is_no_reason_to_wait() -> None:
    code = CODES["_UNKNOWN_PARTITION"]
    assert read_broker_error(code, alone=False) == read_local_error(code) == ("misplaced", None)


def test_every_other_code_is_an_outage() -> None:
    """Wrong credentials, unknown topics, too few replicas, timeouts: all may pass."""
    final = {*TOO_LARGE, *INVALID, *UNAUTHORIZED, "_UNKNOWN_PARTITION"}
    others = {name for name in CODES if name not in final}
    assert len(others) > 100
    assert {"_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED", "UNKNOWN_TOPIC_OR_PART"} <= others
    assert {"_MSG_TIMED_OUT", "NOT_ENOUGH_REPLICAS", "_ALL_BROKERS_DOWN", "_FATAL"} <= others
    for name in others:
        assert read_broker_error(CODES[name], alone=True) == ("unconfirmed", None)
        assert read_broker_error(CODES[name], alone=False) == ("unconfirmed", None)
    for name in others.difference(ONLY_LOCAL):
        assert read_local_error(CODES[name]) == ("unconfirmed", None)
