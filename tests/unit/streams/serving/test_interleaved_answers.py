"""Interleaved answers: two versions make one list, and who cannot, steps back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from harness.builders import a_request_of, an_answering, some_rules

from registry.answers.recommendation import Recommendation
from registry.interleaving.team_draft import coins_of, draft
from registry.versions.model import Model
from registry.wire.codec import decode
from registry.wire.counts import ArmCounts
from registry.wire.requests import Request
from registry.wire.responses import Provenance, Response
from streams.serving.answering import answer_batch
from streams.serving.batch_results import Batch
from streams.serving.interleaved_answers import provenance_of_both
from streams.serving.undelivered_answers import count_as_error
from tests.unit.registry.builders import a_canary_state

INTERLEAVED = a_canary_state(strategy="interleave", salt="s")
KNOWN, UNKNOWN = 1, 999
BOTH = {"primary": "v0.1", "canary": "v0.2"}


class Broken(Model):
    """Cannot score one user, nor a batch with him."""

    def __init__(self, model: Model, user_id: Any) -> None:
        vars(self).update(vars(model))
        self._broken_for = user_id

    def recommend(
        self, requests: Sequence[Request], *, threads: int = 1, fresh: Any = ()
    ) -> list[Recommendation]:
        if any(request.user_id == self._broken_for for request in requests):
            raise ZeroDivisionError(f"a bug of the {self.version}")
        return super().recommend(requests, threads=threads, fresh=fresh)


def answered(
    models: Mapping[str, Model], *records: Any, ready: Any = None, **given: Any
) -> tuple[Batch, list[Response]]:
    rules = some_rules(INTERLEAVED, models if ready is None else ready, **given)
    batch = answer_batch(records, an_answering(models, rules))
    assert batch.dead_letters == []
    return batch, [decode(Response, answer.payload) for answer in batch.answers]


def test_an_answer_is_the_draft_of_both_versions_lists_by_the_requests_own_coins(
    models: Mapping[str, Model],
) -> None:
    request = Request("r1", KNOWN, k=4)
    lists = {
        name: [item.item_id for item in models[name].recommend([request])[0].items]
        for name in BOTH.values()
    }
    batch, (response,) = answered(models, a_request_of(KNOWN, k=4))

    assert (response.model_version, response.variant, response.versions) == (None, None, BOTH)
    assert [(item.item_id, item.variant) for item in response.items] == draft(
        lists["v0.1"], lists["v0.2"], 4, coins_of("r1", "s")
    )
    assert (response.source, response.fallback_reason, response.status) == ("model", None, "ok")
    provenance = response.provenance
    assert (provenance.strategy, provenance.rollout_epoch) == ("interleave", INTERLEAVED.epoch)
    assert provenance.git_sha is provenance.data_snapshot is None
    assert batch.counts == {("v0.1", "mixed", "ok"): 1}
    assert batch.arms == {"primary": ArmCounts("primary", "v0.1", requests=1)}
    assert set(batch.scoring_seconds) == {"v0.1", "v0.2"}


def test_an_items_score_is_that_of_the_version_that_contributed_it(
    models: Mapping[str, Model],
) -> None:
    _, (response,) = answered(models, a_request_of(KNOWN, k=4))
    request = Request("r1", KNOWN, k=4)
    scores = {
        variant: {item.item_id: item.score for item in models[name].recommend([request])[0].items}
        for variant, name in BOTH.items()
    }

    for item in response.items:
        assert item.variant is not None
        assert item.score == scores[item.variant][item.item_id]


def test_the_same_request_gets_the_same_answer_alone_or_in_any_batch(
    models: Mapping[str, Model],
) -> None:
    records = [a_request_of(user, f"r{user}", k=5) for user in (1, 2, 3, UNKNOWN, 4)]
    _, together = answered(models, *records)
    by_id = {response.request_id: response for response in together}

    for record in records:
        _, (single,) = answered(models, record)
        assert single == by_id[single.request_id]


def test_of_a_user_whom_neither_version_knows_the_primary_answers_and_nobody_is_credited(
    models: Mapping[str, Model],
) -> None:
    batch, (response,) = answered(models, a_request_of(UNKNOWN))

    assert (response.model_version, response.variant, response.source) == (
        "v0.1", "primary", "popular",
    )  # fmt: skip
    assert (response.fallback_reason, response.versions) == ("unknown_user", {})
    assert {item.variant for item in response.items} == {None}
    assert batch.counts == {("v0.1", "primary", "ok"): 1}
    assert batch.arms["primary"].fallbacks == 1


@pytest.mark.parametrize(("broken", "other"), [("v0.1", "v0.2"), ("v0.2", "v0.1")])
def test_if_one_version_cannot_score_a_request_the_other_answers_it_and_only_it(
    models: Mapping[str, Model], broken: str, other: str
) -> None:
    faulty = {**models, broken: Broken(models[broken], 2)}
    batch, found = answered(faulty, *(a_request_of(user, f"r{user}") for user in (1, 2, 3)))
    by_id = {response.request_id: response for response in found}

    single = by_id["r2"]
    assert (single.model_version, single.assigned_version) == (other, broken)
    assert single.variant == {"v0.1": "primary", "v0.2": "canary"}[other]
    assert (single.fallback_reason, single.versions) == ("not_interleaved", {})
    assert {item.variant for item in single.items} == {None}
    assert by_id["r1"].versions == by_id["r3"].versions == BOTH
    assert batch.arms == {"primary": ArmCounts("primary", "v0.1", requests=3, fallbacks=1)}
    assert batch.fallbacks == {"not_interleaved": 1}
    assert batch.failures == {broken: f"ZeroDivisionError('a bug of the {broken}')"}


def test_if_neither_version_can_score_a_request_it_is_an_error(
    models: Mapping[str, Model],
) -> None:
    faulty = {name: Broken(model, 2) for name, model in models.items()}
    batch, found = answered(faulty, a_request_of(1, "r1"), a_request_of(2, "r2"))

    assert {response.request_id: response.status for response in found} == {
        "r1": "ok", "r2": "error",
    }  # fmt: skip
    assert batch.arms["primary"].errors == 1
    (error,) = [response.error for response in found if response.error]
    assert error.message == (
        "v0.1 could not score this request: ZeroDivisionError('a bug of the v0.1')"
    )


def test_while_the_canary_is_not_ready_or_the_lease_is_lost_the_primary_answers_alone(
    models: Mapping[str, Model],
) -> None:
    _, (unready,) = answered(models, a_request_of(KNOWN), ready={"v0.1"})
    _, (lost,) = answered(models, a_request_of(KNOWN), lease_holds=False)

    assert (unready.model_version, unready.assigned_version, unready.fallback_reason) == (
        "v0.1", "v0.2", "version_not_ready",
    )  # fmt: skip
    assert (lost.model_version, lost.fallback_reason) == ("v0.1", "rollout_lease_expired")
    assert unready.versions == lost.versions == {}


def test_a_pinned_request_gets_the_version_that_it_names(models: Mapping[str, Model]) -> None:
    _, (response,) = answered(models, a_request_of(KNOWN, model_version="v0.2"))

    assert (response.model_version, response.versions) == ("v0.2", {})


def test_a_mixed_answer_that_kafka_refuses_counts_as_an_error_of_what_it_counted_as(
    models: Mapping[str, Model],
) -> None:
    batch, (response,) = answered(models, a_request_of(KNOWN))
    count_as_error(batch, batch.answers[0], response)

    assert batch.counts == {("v0.1", "mixed", "ok"): 0, ("v0.1", "mixed", "error"): 1}


def test_the_provenance_of_both_says_the_less_favourable_of_what_differs() -> None:
    first = Provenance("production", "w1", fresh="followed", git_sha="a", unknown_items=2)
    second = Provenance("production", "w1", fresh="catching_up", withdrawn_items=3, items_offset=7)

    assert provenance_of_both(first, second) == Provenance(
        "production",
        "w1",
        fresh="catching_up",
        withdrawn_items=3,
        items_offset=7,
        unknown_items=2,
    )
