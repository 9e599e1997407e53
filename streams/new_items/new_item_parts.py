"""The follower of new items, put together."""

from __future__ import annotations

from registry.kafka.topics import Topics
from registry.settings import Settings
from streams.delivery.producer import Delivery
from streams.fresh.freshness import Freshness
from streams.new_items.new_item_follower import NewItemFollower
from streams.serving.routing import versions_to_keep
from streams.state.acting_state import Node
from streams.state.rollout_table import RolloutTable


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
        kept=lambda: versions_to_keep(node.view.state, node.acting),
    )
