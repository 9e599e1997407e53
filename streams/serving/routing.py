"""Routing: which version answers a request.

Pure functions of frozen values. Must not know records on the wire, models or Kafka. The assignment
itself is `registry.rollout.assignment`; here is the rule for a canary version that is *not ready*
(PRODUCT.md §3): the primary answers, and the answer says so; so it is if the two should be
interleaved. Which state a worker acts on: `streams.state.acting_state`.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import NamedTuple

from registry.error_codes import FallbackCode
from registry.ids import UserId
from registry.rollout.assignment import (
    SPLIT,
    Assignment,
    arms_of,
    assign,
    bucket_of,
    partner_of,
)
from registry.wire.field_types import Variant
from registry.wire.requests import Request
from registry.wire.rollout_state import RolloutState


@dataclass(frozen=True, slots=True)
class RoutingRules:
    """What one batch is answered by.

    Parameters
    ----------
    acting
        The state that is acted on; its primary version is ready.
    wanted
        The newest state; another than `acting` while its primary version is being loaded.
    ready
        Versions in memory.
    lease_holds
        Whether this worker is in touch with the rollout table.
    """

    acting: RolloutState
    wanted: RolloutState
    ready: Container[str]
    lease_holds: bool


class Route(NamedTuple):
    """Who answers one request: `version` does, because of `fallback_reason` if there is one.

    ``arm`` is the variant that the user is assigned to, whoever answers; None for a pinned request,
    which is not part of any comparison. ``partner`` is the version whose list is mixed with that of
    `version`, under ``interleave``.
    """

    version: str
    variant: Variant | None
    bucket: int | None
    assigned_version: str | None = None
    fallback_reason: str | None = None
    arm: Variant | None = None
    partner: str | None = None

    def alone(self, version: str, missed: str | None) -> Route:
        """Return this route if one of its two versions answers alone; `missed` cannot.

        >>> both = Route("v0.1", "primary", 3, arm="primary", partner="v0.2")
        >>> made = both.alone("v0.2", missed=None)
        >>> made.version, made.variant, made.partner, made.fallback_reason
        ('v0.2', 'canary', None, None)
        >>> made = both.alone("v0.1", missed="v0.2")
        >>> made.version, made.assigned_version, str(made.fallback_reason)
        ('v0.1', 'v0.2', 'not_interleaved')
        """
        variant: Variant = "primary" if version == self.version else "canary"
        way = self._replace(version=version, variant=variant, partner=None)
        if missed is None:
            return way
        return way._replace(assigned_version=missed, fallback_reason=FallbackCode.NOT_INTERLEAVED)


def route(user_id: UserId, rules: RoutingRules) -> Route:
    """Return who answers `user_id`.

    >>> state = RolloutState("production", 7, "canary", "v0.1", "v0.2", 10.0)
    >>> found = route(3, RoutingRules(state, state, {"v0.1"}, lease_holds=True))
    >>> found.version, found.assigned_version, str(found.fallback_reason)
    ('v0.1', 'v0.2', 'version_not_ready')
    """
    assigned = assign(user_id, rules.wanted)
    acted = assigned if rules.acting is rules.wanted else assign(user_id, rules.acting)
    arm = acted.variant
    if acted.version not in rules.ready:
        primary = rules.acting.primary_version
        acted = Assignment(arms_of(rules.acting)[primary], primary, acted.bucket)
    missed = None if acted.version == assigned.version else assigned.version
    reason = FallbackCode.VERSION_NOT_READY if missed else None
    if not rules.lease_holds:
        reason = FallbackCode.ROLLOUT_LEASE_EXPIRED
    partner = None if reason else partner_of(rules.acting)
    if partner is not None and partner not in rules.ready:
        partner, missed, reason = None, partner, FallbackCode.VERSION_NOT_READY
    return Route(acted.version, acted.variant, acted.bucket, missed, reason, arm, partner)


class Routes:
    """The routes of one batch, the same as `route` returns, worked out once for each bucket.

    Parameters
    ----------
    rules
        Of the batch.
    """

    def __init__(self, rules: RoutingRules) -> None:
        self._rules = rules
        self._acting = acting = rules.acting
        self._has_buckets = acting.canary_version is not None and acting.strategy in SPLIT
        self._is_settled = acting is rules.wanted
        self._known: dict[tuple[int, int] | None, Route] = {}

    def of(self, user_id: UserId) -> Route:
        """Return who answers `user_id`."""
        if not self._is_settled:
            return route(user_id, self._rules)
        bucket = None
        if self._has_buckets:
            bucket = bucket_of(user_id, self._acting.bucketing, self._acting.salt)
        found = self._known.get(bucket)
        if found is None:
            found = self._known[bucket] = route(user_id, self._rules)
        return found


def pinned_route(request: Request, rules: RoutingRules) -> Route | None:
    """Return the route of a request that pins a version; None if that version is not in memory."""
    version = request.model_version
    if version is None or version not in rules.ready:
        return None
    return Route(version, arms_of(rules.acting).get(version), None)
