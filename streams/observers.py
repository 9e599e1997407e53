"""What a worker observes about itself, for its heartbeats, its log and its pages. A value."""

from __future__ import annotations

from dataclasses import dataclass

from streams.kafka.request_progress import RequestProgress
from streams.parts import Parts
from streams.state.liveness import LivenessCheck
from streams.state.readiness import ReadinessCheck
from streams.watch.kafka_health import KafkaHealth
from streams.watch.notice_board import NoticeBoard


@dataclass(frozen=True, slots=True)
class Observers:
    """The checks of one worker."""

    kafka: KafkaHealth
    readiness: ReadinessCheck
    liveness: LivenessCheck
    notices: NoticeBoard
    progress: RequestProgress


def build_observers(parts: Parts) -> Observers:
    """Return the checks of the worker that `parts` make."""
    kafka = KafkaHealth(parts.watch, parts.access, parts.contact)
    view = parts.node.view
    return Observers(
        kafka=kafka,
        readiness=ReadinessCheck(
            parts.app,
            parts.node,
            parts.table,
            parts.entry,
            parts.watch,
            kafka,
            parts.items.reason,
        ),
        liveness=LivenessCheck(parts.app, kafka),
        notices=NoticeBoard(
            parts.transactions,
            parts.losses,
            parts.publishing,
            parts.watch,
            parts.settings.partitions,
            lambda: view.fleet,
            (parts.items.notice, parts.new_items.notice, parts.outcomes.notice),
            parts.fresh.notices,
        ),
        progress=parts.progress,
    )
