"""The modes of ``bench serve``: strategies, outcomes, fresh interactions, factors.

Each mode is one backlog like the plain one. Knows what is prepared for a mode; must not know how it
is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Final

import numpy as np

from ops.bench.rig import synthetic
from ops.bench.rig.made_up_interactions import PER_USER, MadeUpSizes, pairs
from ops.clients import kafka_client as client
from registry.ids import UserId
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.versions.manifest import Parameters
from registry.versions.store import Store
from training.data.matrix import Csr
from training.fitting.als import fit_als

CANARY_PERCENTAGE: Final = "10"
FRESH_SHARE: Final = 10
"""One user in so many has fresh interactions, `FRESH_EACH` of them."""

FRESH_EACH: Final = 20

LARGE: Final = synthetic.Shape(items=1_000_000, factors=50)
SIGMA: Final = 0.5
"""Of the norms' logarithms: about as skewed as those of fitted factors."""

FITTED_ON: Final = MadeUpSizes(PER_USER * synthetic.USERS)
"""Interactions by which factors are fitted. Their items are a fifth of those of made-up versions,
so each stands for five."""

ITERATIONS: Final = 3
"""Of that fit. More sharpen the factors; what scoring costs depends on their norms, which have
their shape by then."""


@dataclass(frozen=True, slots=True)
class ServingMode:
    """One mode: its settings, by the names of two versions, and what is done before the worker.

    ``prepare`` gets the settings with fresh topics, and returns those that the worker gets. A mode
    with ``least_per_second`` is measured by that, in place of the reference agents; ``requests``
    is the size of its backlog.
    """

    name: str
    variables: Callable[[str, str], Mapping[str, str]]
    prepare: Callable[[Settings], Settings] = lambda settings: settings
    requests: int | None = None
    least_per_second: float | None = None


def _ab_test(first: str, second: str) -> dict[str, str]:
    return {
        "MODEL_VERSION": first,
        "ROLLOUT_STRATEGY": "ab_test",
        "CANARY_VERSION": second,
    }


def _canary(first: str, second: str) -> dict[str, str]:
    return _ab_test(first, second) | {
        "ROLLOUT_STRATEGY": "canary",
        "CANARY_PERCENTAGE": CANARY_PERCENTAGE,
    }


def _with_outcomes(first: str, second: str) -> dict[str, str]:
    return _ab_test(first, second) | {"RECSTREAM_OUTCOMES": "on"}


def _nothing(_first: str, _second: str) -> dict[str, str]:
    return {}


def _two_cores(_first: str, _second: str) -> dict[str, str]:
    return {"RECSTREAM_SCORING_THREADS": "2"}


def _make_fresh(settings: Settings) -> Settings:
    """Publish a version that has learned nothing of the topic, and send it interactions."""
    version = synthetic.publish_model_before(settings, seed=1)
    client.produce_all(settings, topics_of(settings).interactions, fresh_interactions())
    return settings.model_copy(update={"model_version": version})


def _send_interactions(settings: Settings) -> Settings:
    client.produce_all(settings, topics_of(settings).interactions, fresh_interactions())
    return settings


def _publish_fitted(settings: Settings) -> Settings:
    return settings.model_copy(update={"model_version": publish_fitted(settings.model_registry)})


def _publish_large(settings: Settings, *, skewed: bool) -> Settings:
    version = publish_large(settings.model_registry, skewed=skewed)
    return settings.model_copy(update={"model_version": version})


MODES: Final = (
    ServingMode("a canary of 10 % of users", _canary),
    ServingMode("an A/B test", _ab_test),
    ServingMode("an A/B test, with outcomes", _with_outcomes, _send_interactions),
    ServingMode("10 % of users fresh", _nothing, _make_fresh),
    ServingMode("fitted factors", _nothing, _publish_fitted),
)


LARGE_MODES: Final = (
    ServingMode(
        "1M items × 50, lognormal norms",
        _two_cores,
        partial(_publish_large, skewed=True),
        requests=60_000,
        least_per_second=4_370,
    ),
    ServingMode(
        "1M items × 50, flat norms",
        _two_cores,
        partial(_publish_large, skewed=False),
        requests=12_000,
        least_per_second=1_000,
    ),
)
"""The bars are ten times the 437 answers/s that Oryx 2 states for this shape on 32 cores, and what
remains of it where norms say nothing. They are of two cores, so two threads score."""


def fresh_interactions() -> Iterator[tuple[UserId, bytes]]:
    """Yield `FRESH_EACH` interactions of each of a tenth of the users, as (key, record)."""
    random = np.random.default_rng(2)
    users = range(1, synthetic.USERS + 1, FRESH_SHARE)
    items = random.integers(1, synthetic.ITEMS + 1, (len(users), FRESH_EACH)).tolist()
    record = b'{"user_id":%d,"item_id":%d,"event":"watch","timestamp":1760000000}'
    for user, theirs in zip(users, items, strict=True):
        for item in theirs:
            yield user, record % (user, item)


@cache
def publish_fitted(registry: str) -> str:
    """Publish the made-up version with factors of a fit in the place of random ones."""
    weights = _weights()
    parameters = Parameters(synthetic.FACTORS, ITERATIONS, 0.05, 10.0, 1)
    factors = fit_als(weights, parameters, 1, lambda _: None)
    order = np.argsort(-np.linalg.norm(factors.items, axis=1), kind="stable")  # as is published
    arrays = replace(
        synthetic.arrays_of(synthetic.Shape(), 1),
        user_factors=factors.users,
        item_factors=factors.items[order],
    )
    return Store(registry).publish(arrays, synthetic.description_of(synthetic.Shape(), 1)).version


@cache
def publish_large(registry: str, *, skewed: bool) -> str:
    """Publish a version of `LARGE`, in order of falling norm, as one is published."""
    arrays = synthetic.arrays_of(LARGE, 3)
    items = arrays.item_factors
    if skewed:
        draw = np.random.default_rng(4)
        items *= draw.lognormal(0, SIGMA, (LARGE.items, 1)).astype(np.float32)
    order = np.argsort(-np.linalg.norm(items, axis=1), kind="stable")
    arrays = replace(arrays, item_factors=items[order])
    return Store(registry).publish(arrays, synthetic.description_of(LARGE, 3)).version


def _weights() -> Csr:
    """Return who had to do with what, once each; of users and items as made-up versions have."""
    random, spread = np.random.default_rng(3), synthetic.ITEMS // FITTED_ON.items
    found = [
        user * synthetic.ITEMS + item * spread + random.integers(0, spread, len(item))
        for user, item in pairs(FITTED_ON)
    ]
    cells = np.unique(np.concatenate(found))
    users, items = np.divmod(cells, synthetic.ITEMS)
    bounds = np.searchsorted(users, np.arange(synthetic.USERS + 1))
    return Csr(
        bounds.astype(np.int64),
        items.astype(np.int32),
        np.ones(len(cells), np.float32),
        (synthetic.USERS, synthetic.ITEMS),
    )
