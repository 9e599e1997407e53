from msgspec.structs import replace

from ops.clients.answer_tally import LATENCIES_KEPT, AnswerTally, Count
from registry.wire.field_types import AnswerError
from registry.wire.responses import Provenance, Response

ANSWER = Response(
    "r",
    1,
    "ok",
    Provenance("production", "w1", 2.5),
    model_version="v0.1",
    variant="primary",
    source="model",
)


def taking(milliseconds: float) -> Response:
    return replace(ANSWER, provenance=replace(ANSWER.provenance, latency_ms=milliseconds))


def test_answers_are_counted_by_status_version_variant_and_source() -> None:
    popular = replace(ANSWER, source="popular")
    assert AnswerTally([popular, ANSWER, popular]).counts() == [
        Count("ok", "v0.1", "primary", "model", 1, 2.5),
        Count("ok", "v0.1", "primary", "popular", 2, 2.5),
    ]


def test_an_error_is_counted_by_its_code() -> None:
    failed = Response("r", 1, "error", ANSWER.provenance, error=AnswerError("no_version", "none"))
    assert AnswerTally([failed]).counts() == [Count("error", "", "", "no_version", 1, 2.5)]


def test_without_answers_there_is_no_count() -> None:
    assert AnswerTally().counts() == []


def test_the_median_is_of_the_latest_answers_and_the_count_of_all() -> None:
    tally = AnswerTally(taking(9.0) for _ in range(LATENCIES_KEPT))
    for _ in range(LATENCIES_KEPT):
        tally.add(taking(1.04))
    assert tally.counts() == [
        Count("ok", "v0.1", "primary", "model", 2 * LATENCIES_KEPT, 1.0),
    ]


def test_answers_whose_latency_is_not_known_have_no_median() -> None:
    unknown = replace(ANSWER, provenance=replace(ANSWER.provenance, latency_ms=None))
    assert AnswerTally([unknown]).counts() == [Count("ok", "v0.1", "primary", "model", 1, None)]
    assert AnswerTally([unknown, taking(3.0)]).counts()[0].median_ms == 3.0
