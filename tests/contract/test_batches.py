"""An answer depends on user and version: to the last bit, not on who else was in the batch."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest

from registry.answers.recommendation import Recommendation
from registry.scoring.model_arrays import ModelArrays
from registry.versions.model import Model
from registry.wire.requests import Request
from tests.unit.registry.builders import a_manifest, a_request, some_arrays

USERS: Final = 1000
SIZES: Final = (1, 10, 3, 50, 10, 10, 1000, 7)
"""Values of k, side by side in every batch of eight and more."""


def learned_arrays(factors: int) -> ModelArrays:
    """Return factors with all their digits, as training makes them; everybody has seen nine items.

    Every tenth item is equal to the one before it, in everybody's eyes.
    """
    random = np.random.default_rng(7)
    items = random.standard_normal((100, factors), np.float32)
    items[1::10] = items[::10]
    seen = [np.sort(random.choice(100, 9, replace=False)) for _ in range(USERS)]
    return some_arrays(
        USERS,
        100,
        factors,
        user_factors=random.standard_normal((USERS, factors), np.float32),
        item_factors=items,
        seen_indptr=np.arange(0, 9 * USERS + 1, 9),
        seen_items=np.concatenate(seen).astype(np.int32),
    )


@pytest.fixture(scope="module", params=[1, 50, 64])
def model(request: pytest.FixtureRequest) -> Model:
    return Model(a_manifest(), learned_arrays(request.param))


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    """Users that the version knows, some that it does not, and items to hide."""
    return [
        a_request(1 + user, k=SIZES[user % 8], exclude_seen=user % 3 > 0, exclude_items=["film-5"])
        for user in range(USERS + 9)
    ][9:]


@pytest.fixture(scope="module")
def alone(model: Model, requests: list[Request]) -> list[Recommendation]:
    """What each gets who is alone in a batch."""
    return [model.recommend([request])[0] for request in requests]


@pytest.mark.parametrize("batch", [2, 3, 8, 64, 101, 999, 1000])
def test_an_answer_is_the_same_in_batches_of_any_size(
    model: Model, requests: list[Request], alone: list[Recommendation], batch: int
) -> None:
    for start in range(0, USERS, batch):
        some = slice(start, start + batch)
        assert model.recommend(requests[some]) == alone[some]


def test_an_answer_is_the_same_in_any_order_and_in_several_threads(
    model: Model, requests: list[Request], alone: list[Recommendation]
) -> None:
    assert model.recommend(requests[::-1], threads=2) == alone[::-1]


def test_equal_items_come_in_the_order_of_their_rows(alone: list[Recommendation]) -> None:
    compared = 0
    for recommendation in alone:
        places = {item.item_id: place for place, item in enumerate(recommendation.items)}
        for row in range(0, 100, 10):
            first, second = places.get(f"film-{row}"), places.get(f"film-{row + 1}")
            if recommendation.source == "model" and first is not None and second is not None:
                assert first < second
                compared += 1
    assert compared > 1000
