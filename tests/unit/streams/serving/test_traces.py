"""Traces: what is remembered of answers, and whether the rules say the same."""

from __future__ import annotations

from typing import Any

from harness.cells import each_cell

from registry.wire.codec import encode
from registry.wire.field_types import AnswerError
from registry.wire.requests import Request
from registry.wire.responses import Provenance, Response
from registry.wire.rollout_state import RolloutState
from streams.serving.batch_results import Answer, Batch
from streams.serving.traces import Trace, Traces, trace_of
from tests.unit.registry.builders import a_canary_state, a_state

AT_MS = 1_700_000_000_000
CANARY = a_canary_state(epoch=7)


def an_answer(request_id: str = "r1", user_id: Any = 1, epoch: int = 7, **given: Any) -> Answer:
    """The answer that the rules of `CANARY` give to user 1, unless `given` says otherwise."""
    provenance: dict[str, Any] = {
        "environment": "production", "worker": "w1", "latency_ms": 2.0, "strategy": "canary",
        "rollout_epoch": epoch, "bucket": 1,
    }  # fmt: skip
    provenance |= {name: given.pop(name) for name in list(given) if name in provenance}
    fields: dict[str, Any] = {"status": "ok", "model_version": "v0.2", "variant": "canary"}
    response = Response(request_id, user_id, provenance=Provenance(**provenance), **fields | given)
    return Answer(b"1", encode(response), request_id, "v0.2", AT_MS)


def a_batch(*answers: Answer) -> Batch:
    return Batch(answers=list(answers))


def traced(answer: Answer, state: RolloutState = CANARY) -> Trace:
    return trace_of(answer, {state.epoch: state})


def test_the_newest_answer_to_a_request_is_found() -> None:
    traces = Traces()
    first, second = an_answer(), an_answer()
    traces.remember(a_batch(first, an_answer("r2")))
    traces.remember(a_batch(second))
    assert traces.find("r1") is second
    assert traces.find("r3") is None
    assert len(traces) == 3


def test_the_oldest_batches_are_forgotten_first() -> None:
    traces = Traces(answers=3)
    for number in range(5):
        traces.remember(a_batch(an_answer(f"r{number}")))
    assert [traces.find(f"r{number}") is not None for number in range(5)] == [
        False, False, True, True, True,
    ]  # fmt: skip
    assert len(traces) == 3


def test_of_a_batch_that_is_too_large_the_end_is_remembered() -> None:
    traces = Traces(answers=2)
    traces.remember(a_batch(*(an_answer(f"r{number}") for number in range(5))))
    assert (traces.find("r2"), len(traces)) == (None, 2)
    assert traces.find("r4") is not None


def test_memory_is_bounded_too() -> None:
    size = len(an_answer().payload)
    traces = Traces(size_bytes=3 * size)
    for number in range(5):
        traces.remember(a_batch(an_answer(f"r{number}")))
    assert len(traces) == 3


def test_batches_without_an_answer_cost_nothing() -> None:
    traces = Traces()
    for _ in range(10):
        traces.remember(Batch())
    assert len(traces._batches) == 0


def test_an_answer_by_the_rules_matches() -> None:
    trace = traced(an_answer())
    assert (trace.matches, trace.differences) == (True, ())
    assert trace.requested_at == "2023-11-14T22:13:20.000+00:00"
    assert trace.state is CANARY
    assert trace.explanation is not None
    assert trace.explanation.sentence.startswith("1 % 100 = 1; canary gets the buckets below 10")


@each_cell(
    ("given", "difference"),
    [
        ({"variant": "primary"}, "variant: the rules say canary, the answer says primary"),
        ({"model_version": "v0.1"}, "version: the rules say v0.2, the answer says v0.1"),
        ({"bucket": 2}, "bucket: the rules say 1, the answer says 2"),
        ({"strategy": "fixed"}, "strategy: the rules say canary, the answer says fixed"),
        ({"environment": "eu"}, "environment: the rules say production, the answer says eu"),
    ],
)
def test_an_answer_against_the_rules_is_told_in_what(
    given: dict[str, Any], difference: str
) -> None:
    trace = traced(an_answer(**given))
    assert (trace.matches, trace.differences) == (False, (difference,))


def test_the_primary_may_stand_in_for_a_version_that_is_not_ready() -> None:
    stood_in = {"model_version": "v0.1", "variant": "primary", "assigned_version": "v0.2"}
    assert traced(an_answer(**stood_in, fallback_reason="version_not_ready")).matches
    other = stood_in | {"model_version": "v0.0"}
    assert not traced(an_answer(**other, fallback_reason="version_not_ready")).matches


def test_a_state_that_is_forgotten_leaves_nothing_to_compare() -> None:
    trace = traced(an_answer(), a_state(epoch=8))
    assert (trace.matches, trace.state, trace.explanation) == (None, None, None)
    assert trace.differences == ("the state of epoch 7 is no longer known to this worker",)


def test_an_error_has_no_version_to_compare() -> None:
    error = AnswerError("internal", "a bug")
    trace = traced(an_answer(status="error", error=error, model_version=None, variant=None))
    assert trace.matches is None
    assert trace.differences == ("the answer has status error: no version produced it",)


def test_a_request_that_pins_a_version_asks_no_rule() -> None:
    request = Request("r1", 1, model_version="v0.1")
    trace = traced(an_answer(model_version="v0.1")._replace(request=request))
    assert (trace.request, trace.matches) == (request, None)


@each_cell("stamped", [-1, 10**18])
def test_a_request_without_a_time_that_is_a_date_has_a_trace_without_it(stamped: int) -> None:
    assert traced(an_answer()._replace(timestamp_ms=stamped)).requested_at is None
