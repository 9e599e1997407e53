"""The follower of new items, put together."""

from __future__ import annotations

import time

from registry.kafka.topics import Topics
from registry.settings import Settings
from registry.wire.rollout_state import RolloutState
from streams.delivery.producer import Delivery
from streams.fresh.freshness import Freshness
from streams.new_items.new_item_follower import NewItemFollower
from streams.serving.residency import versions_to_keep
from streams.state.rollout_table import RolloutTable
from streams.state.rollout_view import RolloutView
from streams.state.worker_node import Node


def build_new_items(
    settings: Settings,
    topics: Topics,
    delivery: Delivery,
    freshness: Freshness,
    node: Node,
    table: RolloutTable,
) -> NewItemFollower:
    """Return the follower of one worker, of whose parts these are."""
    return NewItemFollower(
        settings,
        topics.new_items,
        delivery,
        freshness,
        models=lambda: node.residency.ready,
        is_owner=lambda: table.recovered and table.is_owner,
        kept=lambda: kept_versions(node.view, node.acting, time.time()),
    )


def kept_versions(view: RolloutView, acting: RolloutState | None, now: float) -> tuple[str, ...]:
    """Return the versions that the rollout state names; none while it may be out of date.

    An owner that was paused does not know yet that there is another, or which versions there are:
    it must take nothing back.
    """
    return versions_to_keep(view.state, acting) if view.lease.holds(now) else ()
