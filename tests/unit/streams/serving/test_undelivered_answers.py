"""What a request gets whose answer Kafka will never take, and how that counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from harness.builders import a_record, a_request_of, an_answering, some_rules

from registry.error_codes import RefusalCause
from registry.versions.model import Model
from registry.wire.codec import decode
from registry.wire.requests import Request
from registry.wire.responses import Response
from registry.wire.rollout_state import RolloutState
from streams.delivery.outgoing import Outgoing, Refusal
from streams.serving.answering import answer_batch
from streams.serving.batch_results import Batch
from streams.serving.undelivered_answers import RefusedAnswers

STATE = RolloutState("production", 5, "canary", "v0.1", "v0.2", 50.0)


def answered(models: Mapping[str, Model], *requests: Any) -> Batch:
    return answer_batch(requests, an_answering(models, some_rules(STATE, models)))


def refusal_of(batch: Batch, place: int, cause: RefusalCause = RefusalCause.TOO_LARGE) -> Refusal:
    answer = batch.answers[place]
    return Refusal(place, Outgoing("reco.responses", answer.key, answer.payload), cause, "no")


def error_of(record: Outgoing | None) -> tuple[str, str, str]:
    assert record is not None
    response = decode(Response, record.value)
    assert response.error is not None
    return response.status, response.error.code, response.error.message


def test_an_answer_becomes_an_error_answer_of_the_same_request(
    models: Mapping[str, Model],
) -> None:
    batch = answered(models, a_request_of(1, "r1"), a_request_of(2, "r2"))
    place = next(at for at, answer in enumerate(batch.answers) if answer.request_id == "r2")
    before = batch.answers[place]
    sent = RefusedAnswers(batch, "dead", "w1").instead(refusal_of(batch, place))
    status, code, message = error_of(sent)
    assert (status, code) == ("error", "answer_too_large")
    for named in ("request r2", "topic reco.responses", "key 2", f"{len(before.payload)} bytes"):
        assert named in message
    response, was = decode(Response, sent.value), decode(Response, before.payload)
    assert (response.request_id, response.user_id) == ("r2", 2)
    assert response.provenance == was.provenance
    assert (response.items, response.model_version) == ([], None)
    assert batch.answers[place].payload == sent.value


def test_it_counts_as_an_error_of_its_version_and_of_its_arm(models: Mapping[str, Model]) -> None:
    batch = answered(models, a_request_of(1, "r1"), a_request_of(101, "r2", k=3))
    (place,) = [at for at, answer in enumerate(batch.answers) if answer.request_id == "r2"]
    arm = batch.answers[place].way
    assert arm is not None
    assert arm.arm == "canary"
    assert batch.arms["canary"].fallbacks == 1  # an unknown user: popular items
    RefusedAnswers(batch, "dead", "w1").instead(refusal_of(batch, place))
    assert +batch.counts == {("v0.2", "canary", "ok"): 1, ("v0.2", "canary", "error"): 1}
    assert +batch.fallbacks == {}
    tally = batch.arms["canary"]
    assert (tally.requests, tally.errors, tally.fallbacks, tally.empty) == (2, 1, 0, 0)


def test_an_error_answer_that_is_refused_too_makes_the_request_a_dead_letter(
    models: Mapping[str, Model],
) -> None:
    request = a_request_of(1, "r1")
    batch = answered(models, request)
    error = RefusedAnswers(batch, "dead", "w1").instead(refusal_of(batch, 0))
    assert error.instead is not None
    letter = error.instead(Refusal(1, error, RefusalCause.UNAUTHORIZED, "not allowed"))
    assert letter is not None
    assert (letter.topic, letter.key, letter.value) == ("dead", request.key, request.value)
    assert ("reason", "answer_unauthorized") in (letter.headers or [])
    assert [dead.error.code for dead in batch.dead_letters] == ["answer_unauthorized"]


@pytest.mark.parametrize("given", [{"deadline_ms": 1, "timestamp": 0}, {"model_version": "v9.9"}])
def test_an_answer_without_items_makes_its_request_a_dead_letter_at_once(
    models: Mapping[str, Model], given: dict[str, Any]
) -> None:
    batch = answered(models, a_request_of(1, "r1", **given))
    counted = dict(batch.counts)
    letter = RefusedAnswers(batch, "dead", "w1").instead(refusal_of(batch, 0, RefusalCause.INVALID))
    assert letter.topic == "dead"
    assert batch.counts == counted


def test_answers_and_records_go_in_pairs(models: Mapping[str, Model]) -> None:
    requests = [a_request_of(user, f"r{user}") for user in (1, 2, 101, 102)]
    requests += [a_request_of(3, "r3", model_version="v9.9"), a_record(b"{")]
    batch = answered(models, *requests)
    asked = [decode(Request, record.value).request_id for record in batch.records]
    assert [answer.request_id for answer in batch.answers] == asked
    assert len(batch.answers) == 5
