"""The provenance of an answer: which rule and which bytes it comes from.

Pure. Must not know what the answer is.
"""

from __future__ import annotations

from collections.abc import Callable

from registry.fresh.fresh_sight import FreshSight
from registry.ids import ItemId
from registry.versions.model import Model
from registry.wire.requests import Request
from registry.wire.responses import Provenance
from registry.wire.rollout_state import RolloutState
from streams.raw_record import RawRecord
from streams.serving.batch_results import Origin
from streams.serving.deadline_and_latency import latency_ms


def provenance_of(
    record: RawRecord,
    now_ms: float,
    origin: Origin,
    acting: RolloutState | None,
    sight: FreshSight | None,
    model: Model | None = None,
    unknown_items: int = 0,
) -> Provenance:
    """Return the provenance of the answer to `record`, but for the user's bucket.

    Parameters
    ----------
    record
        The request's.
    now_ms
        The wall clock, in milliseconds since the epoch.
    origin
        This worker.
    acting
        The state that is acted on.
    sight
        What users did since.
    model
        What answers; None for an error.
    unknown_items
        Items that the request names and the version does not know.
    """
    manifest = model.manifest if model else None
    withdrawn = (model.withdrawn_items or None) if model else None
    return Provenance(
        environment=origin.environment,
        worker=origin.worker,
        latency_ms=latency_ms(record.timestamp, now_ms),
        strategy=acting.strategy if acting else None,
        rollout_epoch=acting.epoch if acting else None,
        git_sha=manifest.git_sha if manifest else None,
        data_snapshot=manifest.data_snapshot.id if manifest else None,
        image_digest=manifest.image_digest if manifest else None,
        fresh=sight.fresh_state(model.version, record.partition) if sight and model else None,
        fresh_offsets=sight.offsets(record.partition) if sight and model else {},
        fresh_from=sight.beginnings(record.partition) if sight and model else {},
        withdrawn_items=withdrawn,
        items_offset=model.withdrawals.offset if model and withdrawn else None,
        unknown_items=unknown_items,
    )


def count_unknown_items(request: Request, row_of: Callable[[ItemId], int | None]) -> int:
    """Return how many of the items that a request is about the version does not know."""
    if request.is_plain and request.candidates is None:
        return 0
    session = [item.item_id for item in request.items or ()]
    named = {*(request.candidates or ()), *(request.like or ()), *session}
    return sum(row_of(item_id) is None for item_id in named)
