"""Following the topics: what a worker does when one of them was recreated. An edge."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable

import faust

from registry.errors import TransportError
from streams.catalogue.item_follower import ItemFollower
from streams.kafka.slices import SliceConsumer
from streams.metrics import Metrics
from streams.state.rollout_table import RolloutTable
from streams.state.rollout_view import RolloutView
from streams.watch.topic_watch import TopicWatch

logger = logging.getLogger(__name__)


async def follow_topics(
    watch: TopicWatch,
    app: faust.App,
    table: RolloutTable,
    view: RolloutView,
    metrics: Metrics,
    items: ItemFollower,
    note_made_again: Iterable[Callable[[str], None]],
) -> None:
    """Look, and repair what the re-creation of a topic has broken."""
    with contextlib.suppress(TransportError):  # an outage of Kafka is reported by all others
        await watch.look()
    for topic in watch.take_made_again():
        metrics.topics_made_again.labels(topic).inc()
        logger.warning("topic %s was re-created: reading it from the beginning", topic)
        if topic == items.topic:
            items.read_anew()
        for note in note_made_again:
            note(topic)
    consumer = app.consumer
    for topic in sorted(watch.to_read_anew):
        if isinstance(consumer, SliceConsumer):
            await consumer.read_anew(topic)  # may fail in a rebalance; then the next look does it
        watch.to_read_anew.discard(topic)
    if table.recovered and table.is_owner:
        _write_what_is_known(watch, table, view)


def _write_what_is_known(watch: TopicWatch, table: RolloutTable, view: RolloutView) -> None:
    """Write the owner's log to a recreated changelog, and the topic's id to its log."""
    adopting = watch.adopting(view.log)
    if adopting is not None or (watch.changelog_is_new and view.log.last_offset >= 0):
        table.write_log(adopting or view.log)
    if watch.changelog_is_new and view.training is not None:
        table.write_training(view.training)
    watch.changelog_is_new = False
