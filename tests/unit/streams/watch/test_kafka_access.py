"""Whether Kafka lets this worker in: looked at after a complaint, until all is well again."""

from __future__ import annotations

import asyncio

from confluent_kafka import KafkaError

from registry.connection.refused_connections import Cause
from streams.watch.kafka_access import LOOK_SECONDS, AccessCheck

ROTATED = Cause("it does not accept this password", final=True)
AWAY = Cause("nothing listens there", final=False)


class Kafka:
    """Says what is wrong when it is looked at."""

    def __init__(self, cause: Cause | None) -> None:
        self.cause = cause
        self.looks = 0

    def find_cause(self) -> Cause | None:
        self.looks += 1
        return self.cause


def complain(check: AccessCheck, code: int = KafkaError._AUTHENTICATION) -> None:
    check.note(KafkaError(code))


def seen(check: AccessCheck, now: float) -> str | None:
    asyncio.run(check.look(now))
    reason = check.reason()
    return None if reason is None else reason.message


def test_without_a_complaint_nobody_looks() -> None:
    kafka = Kafka(ROTATED)
    check = AccessCheck(kafka.find_cause)
    complain(check, KafkaError._MSG_TIMED_OUT)
    assert seen(check, 0) is None
    assert kafka.looks == 0


def test_the_cause_is_told_until_it_is_over() -> None:
    kafka = Kafka(ROTATED)
    check = AccessCheck(kafka.find_cause)
    complain(check)
    assert "does not accept this password" in str(seen(check, 0))
    kafka.cause = None
    assert "does not accept this password" in str(seen(check, LOOK_SECONDS - 1)), "not all the time"
    assert seen(check, LOOK_SECONDS) is None
    assert kafka.looks == 2


def test_an_outage_is_no_refusal() -> None:
    check = AccessCheck(Kafka(AWAY).find_cause)
    complain(check, KafkaError._ALL_BROKERS_DOWN)
    assert seen(check, 0) is None
