"""The explanation of an assignment: which rule gave which user which version, in one sentence.

Pure, recomputed from scratch from a user id and a rollout state. Must not know whether a version
was ready where the user was answered (`streams.serving.routing`), nor what the answer was.
"""

from __future__ import annotations

from msgspec import Struct

from registry.ids import UserId
from registry.rollout.assignment import (
    MODULO_BUCKETS,
    Assignment,
    arms_of,
    assign,
    bucket_of,
    is_shadowed,
    partner_of,
)
from registry.wire.field_types import Bucketing, Strategy, Variant
from registry.wire.responses import Response
from registry.wire.rollout_state import RolloutState


class Explanation(Struct, frozen=True):
    """Which version answers one user under one state, and why; under ``interleave``, together with
    the canary version.

    ``bucket`` of ``buckets``; both are None if the strategy uses no bucket. ``sentence`` is for
    people.
    """

    user_id: UserId
    environment: str
    epoch: int
    strategy: Strategy
    bucketing: Bucketing
    salt: str
    bucket: int | None
    buckets: int | None
    variant: Variant
    version: str
    sentence: str


def explain(user_id: UserId, state: RolloutState) -> Explanation:
    """Return who answers `user_id` under `state`, and why.

    >>> state = RolloutState("production", 7, "canary", "v0.1", "v0.2", 10.0)
    >>> print(explain(109, state).sentence)
    109 % 100 = 9; canary gets the buckets below 10 of 100 (10 %): canary, v0.2
    >>> print(explain(109, RolloutState("production", 7, "interleave", "v0.1", "v0.2")).sentence)
    strategy interleave: a coin for each request mixes two lists: primary, v0.1, and canary, v0.2
    >>> print(explain(109, RolloutState("production", 7, "fixed", "v0.1")).sentence)
    strategy fixed: the primary version answers every user: primary, v0.1
    """
    given = assign(user_id, state)
    _, buckets = bucket_of(user_id, state.bucketing, state.salt)
    if given.bucket is None:
        rule = _rule_without_buckets(user_id, state)
    else:
        rule = (
            f"{_formula(user_id, state, buckets)} = {given.bucket}; {_bucket_rule(state, buckets)}"
        )
    return Explanation(
        user_id=user_id,
        environment=state.environment,
        epoch=state.epoch,
        strategy=state.strategy,
        bucketing=state.bucketing,
        salt=state.salt,
        bucket=given.bucket,
        buckets=None if given.bucket is None else buckets,
        variant=given.variant,
        version=given.version,
        sentence=f"{rule}: {_answering_words(given, state)}",
    )


def _answering_words(given: Assignment, state: RolloutState) -> str:
    words, partner = f"{given.variant}, {given.version}", partner_of(state)
    return words if partner is None else f"{words}, and canary, {partner}"


def _rule_without_buckets(user_id: UserId, state: RolloutState) -> str:
    if partner_of(state) is not None:
        return "strategy interleave: a coin for each request mixes two lists"
    rule = f"strategy {state.strategy}: the primary version answers every user"
    if state.strategy == "shadow":
        among = "among" if is_shadowed(user_id, state) else "not among"
        share = f"{state.shadow_sample_percentage:g} %"
        rule += f", this one is {among} the {share} that {state.canary_version} shadows"
    return rule


def _formula(user_id: UserId, state: RolloutState, buckets: int) -> str:
    if buckets == MODULO_BUCKETS:
        return f"{user_id} % {buckets}"
    salted = f"{state.salt}:{user_id}"
    return f"murmur3({salted!r}) % {buckets}"


def _bucket_rule(state: RolloutState, buckets: int) -> str:
    if state.strategy == "ab_test":
        odd_or_upper = (
            "odd buckets" if buckets == MODULO_BUCKETS else f"buckets from {buckets // 2} on"
        )
        return f"B gets the {odd_or_upper}, A the others"
    below = round(state.canary_percentage * buckets / 100)
    return f"canary gets the buckets below {below} of {buckets} ({state.canary_percentage:g} %)"


def differences(
    explanation: Explanation, state: RolloutState, response: Response
) -> tuple[str, ...]:
    """Return in what `response` is not what the rules of `state` say; nothing if it matches.

    Where the assigned version was not ready, the answer names it and the primary answers: that is
    what the rules say, too. So it is where one of two interleaved versions had no list.

    Parameters
    ----------
    explanation
        What :func:`explain` makes of the user and `state`.
    state
        The one of the answer's ``rollout_epoch``.
    response
        An answer with items; not to a request that pins a version, which asks no rule.
    """
    provenance = response.provenance
    pairs: list[tuple[str, object, object]] = [
        ("environment", explanation.environment, provenance.environment),
        ("epoch", explanation.epoch, provenance.rollout_epoch),
        ("strategy", explanation.strategy, provenance.strategy),
        ("bucket", explanation.bucket, provenance.bucket),
    ]
    stood_in = response.assigned_version is not None and response.fallback_reason is not None
    partner = partner_of(state)
    if partner is not None and response.versions:
        expected = {"primary": state.primary_version, "canary": partner}
        pairs.append(("versions", expected, response.versions))
    elif partner is not None and stood_in:
        by_version = arms_of(state)
        pairs.append(("variant", by_version.get(response.model_version or ""), response.variant))
    elif stood_in and response.model_version == state.primary_version:
        pairs.append(("variant", arms_of(state)[state.primary_version], response.variant))
    else:
        pairs.append(("variant", explanation.variant, response.variant))
        pairs.append(("version", explanation.version, response.model_version))
    return tuple(
        f"{name}: the rules say {rule}, the answer says {seen}"
        for name, rule, seen in pairs
        if rule != seen
    )
