from ops.demo_traffic import Answered, Traffic
from registry.records import Provenance, Response
from registry.settings import read_settings


def an_answer(at: float, version: str) -> Answered:
    provenance = Provenance("production", "w1", 2.5)
    return Answered(at, Response("r", 1, "ok", provenance, model_version=version))


def test_answers_are_counted_and_timed_from_the_first_to_the_last_that_is_meant() -> None:
    traffic = Traffic(read_settings({}), [1], per_second=1)
    traffic.answers += [an_answer(at, version) for at, version in ((1, "a"), (2, "b"), (5, "a"))]

    def is_of(version: str) -> int:
        return traffic.count(lambda answer: answer.model_version == version)

    assert (is_of("a"), is_of("b"), is_of("c")) == (2, 1, 0)
    assert traffic.span_seconds(lambda answer: answer.model_version == "a") == 4
    assert traffic.span_seconds(lambda answer: answer.model_version == "c") is None
