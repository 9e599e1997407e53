"""Errors that are kept as values: a model must leave memory though its errors are still there."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from harness.builders import a_record, a_request_of, an_answering, some_rules

from registry.answers.recommendation import Recommendation
from registry.versions.model import Model
from registry.wire.requests import Request
from streams.comparing.shadow_scoring import score_chunk
from streams.serving.answering import answer_batch
from streams.serving.batch_results import Origin, Shadowed
from tests.unit.registry.builders import a_canary_state, a_state

GOOD, MALFORMED, POISON = a_request_of(1, "r1"), a_record(b"{"), a_request_of(2, "r2")


class Poisoned(Model):
    """Cannot score user 2, and says so with a cause."""

    def __init__(self, model: Model) -> None:
        vars(self).update(vars(model))

    def recommend(
        self, requests: Sequence[Request], *, threads: int = 1, fresh: Any = ()
    ) -> list[Recommendation]:
        if any(request.user_id == 2 for request in requests):
            try:
                raise KeyError(2)
            except KeyError as error:
                raise ZeroDivisionError("a bug") from error
        return super().recommend(requests, threads=threads, fresh=fresh)


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Only reference counts free memory, as with objects that were frozen."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def a_malformed_record(models: Mapping[str, Model]) -> object:
    batch = answer_batch([GOOD, MALFORMED], an_answering(models, some_rules(a_state(), models)))
    assert [letter.error.code for letter in batch.dead_letters] == ["malformed"]
    return batch


def a_request_that_a_version_cannot_score(models: Mapping[str, Model]) -> object:
    rules = some_rules(a_state(), models)
    batch = answer_batch([GOOD, POISON], an_answering(models, rules))
    assert batch.counts["v0.1", "primary", "error"] == 1
    return batch


def a_request_that_two_versions_cannot_score(models: Mapping[str, Model]) -> object:
    rules = some_rules(a_canary_state(strategy="interleave", salt="s"), models)
    batch = answer_batch([GOOD, POISON], an_answering(models, rules))
    assert batch.counts["v0.1", "primary", "error"] == 1
    return batch


def an_answer_that_cannot_be_compared(models: Mapping[str, Model]) -> object:
    chunk = [Shadowed(b"2", Request("r2", 2, k=3), [], 7, "v0.1", "v0.2", 0.0, None)] * 2
    scored = score_chunk(models["v0.2"], chunk, Origin("production", "w1"))
    assert repr(scored.failure) == "ZeroDivisionError('a bug')"
    return scored


@pytest.mark.parametrize(
    "meet",
    [
        a_malformed_record,
        a_request_that_a_version_cannot_score,
        a_request_that_two_versions_cannot_score,
        an_answer_that_cannot_be_compared,
    ],
)
def test_a_model_goes_by_reference_counts_though_an_error_of_its_time_is_kept(
    models: Mapping[str, Model],
    no_collection: None,
    meet: Callable[[Mapping[str, Model]], object],
) -> None:
    own = {name: Poisoned(model) for name, model in models.items()}
    left = [weakref.ref(model) for model in own.values()]
    kept = meet(own)
    del own
    assert [ref() for ref in left] == [None] * len(left)
    assert kept is not None
