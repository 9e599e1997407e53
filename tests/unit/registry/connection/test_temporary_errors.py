"""Which refusals of brokers are waited out, and for how long."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException
from harness.cells import each_cell

from registry.connection.temporary_errors import PASSING, PAUSE_SECONDS, ask_again

REFUSALS = sorted(PASSING)


class Broker:
    """Refuses some times, then answers; counts the time that is slept."""

    def __init__(self, code: int, times: float) -> None:
        self.code = code
        self.left = times
        self.now = 0.0

    def ask(self) -> str:
        self.left -= 1
        if self.left >= 0:
            raise KafkaException(KafkaError(self.code))
        return "answer"

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def asked(self, seconds: float = 20) -> str:
        return ask_again(self.ask, seconds, lambda: self.now, self.sleep)


@each_cell("code", REFUSALS)
def test_a_refusal_for_the_moment_is_waited_out(code: int) -> None:
    broker = Broker(code, times=3)

    assert broker.asked() == "answer"
    assert broker.now == pytest.approx(3 * PAUSE_SECONDS)


@each_cell(
    "code",
    [
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    ],
)
def test_any_other_error_is_raised_at_once(code: int) -> None:
    broker = Broker(code, times=1)

    with pytest.raises(KafkaException):
        broker.asked()
    assert broker.now == 0


def test_a_refusal_that_does_not_pass_is_raised_in_the_end() -> None:
    broker = Broker(KafkaError.NOT_COORDINATOR, times=float("inf"))

    with pytest.raises(KafkaException, match="NOT_COORDINATOR"):
        broker.asked(seconds=2)
    assert broker.now == pytest.approx(2, abs=1.1 * PAUSE_SECONDS)
