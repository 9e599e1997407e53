"""Following the topics: what a worker does when one of them was made again. An edge."""

from __future__ import annotations

import contextlib
import logging

from registry.errors import TransportError
from streams.kafka.slices import SliceConsumer
from streams.parts import Parts

logger = logging.getLogger(__name__)


async def follow_topics(parts: Parts) -> None:
    """Look, and mend what a topic that was made again has broken."""
    with contextlib.suppress(TransportError):  # a Kafka that is away is noticed by all others
        await parts.watch.look()
    consumer, watch = parts.app.consumer, parts.watch
    for topic in watch.take_made_again():
        parts.metrics.topics_made_again.labels(topic).inc()
        logger.warning("topic %s was made again: it is read from its beginning", topic)
        if isinstance(consumer, SliceConsumer):
            await consumer.read_anew(topic)
    if parts.table.recovered and parts.table.is_owner:
        _write_what_is_known(parts)


def _write_what_is_known(parts: Parts) -> None:
    """Write the owner's log to a changelog that was made again, and the topic's id to its log."""
    watch, view = parts.watch, parts.node.view
    adopting = watch.adopting(view.log)
    if adopting is not None or (watch.changelog_is_new and view.log.last_offset >= 0):
        parts.table.write_log(adopting or view.log)
    if watch.changelog_is_new and view.training is not None:
        parts.table.write_training(view.training)
    watch.changelog_is_new = False
