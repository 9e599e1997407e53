"""Outcomes by the position that the item had in its answer, of each arm. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from msgspec import Struct

from registry.wire.field_types import Variant
from registry.wire.outcome_records import OutcomeRecord


class PositionOutcomes(Struct, frozen=True):
    """How many outcomes an arm had at a position, from 1 on, and the sum of their values."""

    variant: Variant | None
    position: int
    outcomes: int
    value: float


def outcomes_by_position(
    records: Iterable[OutcomeRecord], environment: str, epoch: int
) -> tuple[PositionOutcomes, ...]:
    """Count the outcomes of an experiment, each once, however often its record came.

    Parameters
    ----------
    records
        Of the outcome topic; those of closed users and of other experiments are left out.
    environment, epoch
        Of the experiment.

    Returns
    -------
    Every arm and position with an outcome, in order.
    """
    known: set[tuple[object, ...]] = set()
    outcomes: Counter[tuple[Variant | None, int]] = Counter()
    values: defaultdict[tuple[Variant | None, int], float] = defaultdict(float)
    for record in records:
        credit = record.credit
        if credit is None or (record.environment, record.epoch) != (environment, epoch):
            continue
        name = record.user_id, credit.request_id, credit.item_id, credit.event
        if name in known:
            continue
        known.add(name)
        place = record.variant, credit.position + 1
        outcomes[place] += 1
        values[place] += credit.value
    return tuple(
        PositionOutcomes(*place, outcomes[place], values[place])
        for place in sorted(outcomes, key=lambda place: (place[0] or "", place[1]))
    )
