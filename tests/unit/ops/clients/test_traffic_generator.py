from ops.clients.traffic_generator import TimedAnswer, span_seconds
from registry.wire.responses import Provenance, Response


def an_answer(at: float) -> TimedAnswer:
    return TimedAnswer(at, Response("r", 1, "ok", Provenance("production", "w1", 2.5)))


def test_answers_span_the_time_from_the_first_to_the_last_in_whatever_order_they_came() -> None:
    assert span_seconds(an_answer(at) for at in (2.0, 1.0, 5.0)) == 4
    assert span_seconds([]) is None
