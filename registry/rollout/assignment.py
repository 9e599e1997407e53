"""Assignment: which user gets which version. Pure, and the same on every worker.

The only place that decides "who answers this user?" (PRODUCT.md §3). Must not know whether a
version is ready somewhere (`streams.serving.routing`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import mmh3

from registry.ids import UserId
from registry.wire.field_types import Bucketing, Strategy, Variant
from registry.wire.rollout_state import RolloutState

HASH_BUCKETS: Final = 10_000
"""Steps of 0.01 %. More would need a wider percentage type; fewer would be too coarse a ramp."""

MODULO_BUCKETS: Final = 100
"""Whole percentages, as in ``user_id % 100``."""


SPLIT: Final[frozenset[Strategy]] = frozenset({"canary", "ab_test"})
"""Strategies under which a user's bucket decides who answers him."""


class Assignment(NamedTuple):
    """What the rules give one user. ``bucket`` is None if the strategy uses no bucket."""

    variant: Variant
    version: str
    bucket: int | None


def bucket_of(user_id: UserId, bucketing: Bucketing, salt: str) -> tuple[int, int]:
    """Return the user's bucket and the number of buckets that it is out of.

    ``modulo``: ``user_id % 100`` of 100. ``hash``, and any id that is not an integer:
    MurmurHash3 (x86, 32 bit, seed 0) of ``salt:user_id`` modulo 10,000.

    >>> bucket_of(1234, "modulo", "")
    (34, 100)
    >>> bucket_of("anna", "modulo", "s") == bucket_of("anna", "hash", "s")
    True
    """
    if bucketing == "modulo" and isinstance(user_id, int):
        return user_id % MODULO_BUCKETS, MODULO_BUCKETS
    return mmh3.hash(f"{salt}:{user_id}", 0, False) % HASH_BUCKETS, HASH_BUCKETS


def assign(user_id: UserId, state: RolloutState) -> Assignment:
    """Return who answers `user_id` under `state`: a pure function, the same on every worker.

    ``canary``: a user is in it when ``bucket < canary_percentage`` of the buckets; so a raised
    percentage only adds users to it. ``ab_test``: B has the odd buckets under ``modulo``, and the
    upper half of them under ``hash``. Otherwise the primary answers; under ``interleave`` together
    with the version that :func:`partner_of` names.

    >>> state = RolloutState("production", 7, "canary", "v0.1", "v0.2", 10.0)
    >>> assign(109, state)
    Assignment(variant='canary', version='v0.2', bucket=9)
    >>> assign(110, state)
    Assignment(variant='primary', version='v0.1', bucket=10)
    """
    if state.strategy not in SPLIT or state.canary_version is None:
        return Assignment("primary", state.primary_version, None)
    bucket, buckets = bucket_of(user_id, state.bucketing, state.salt)
    if state.strategy == "ab_test":
        odd_or_upper = bucket % 2 == 1 if buckets == MODULO_BUCKETS else 2 * bucket >= buckets
        if odd_or_upper:
            return Assignment("B", state.canary_version, bucket)
        return Assignment("A", state.primary_version, bucket)
    if bucket < round(state.canary_percentage * buckets / 100):
        return Assignment("canary", state.canary_version, bucket)
    return Assignment("primary", state.primary_version, bucket)


def is_shadowed(user_id: UserId, state: RolloutState) -> bool:
    """Tell whether the canary version scores this user's requests off to the side.

    The sample is drawn by hash with a salt of its own: it is independent of every canary.
    """
    if state.strategy != "shadow" or state.canary_version is None:
        return False
    bucket, buckets = bucket_of(user_id, "hash", f"{state.salt}:shadow")
    return bucket < round(state.shadow_sample_percentage * buckets / 100)


def partner_of(state: RolloutState) -> str | None:
    """Return the version whose list is mixed with the primary's in every answer, if any is."""
    return state.canary_version if state.strategy == "interleave" else None


def canary_share(state: RolloutState) -> float:
    """Return the percentage of users that the rules give to the canary version, 0..100."""
    if state.canary_version is None:
        return 0.0
    shares = {"canary": state.canary_percentage, "ab_test": 50.0}
    return shares.get(state.strategy, 0.0)


def arms_of(state: RolloutState) -> dict[str, Variant]:
    """Return the variant that each version stands for, for those that users get.

    >>> arms_of(RolloutState("production", 7, "ab_test", "v0.1", "v0.2"))
    {'v0.1': 'A', 'v0.2': 'B'}
    """
    names: dict[str, tuple[Variant, Variant]] = {"ab_test": ("A", "B")}
    first, second = names.get(state.strategy, ("primary", "canary"))
    arms = {state.primary_version: first}
    if state.canary_version is not None and state.strategy in ("canary", "ab_test", "interleave"):
        arms[state.canary_version] = second
    return arms
