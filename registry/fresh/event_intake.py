"""Intake: raw interaction records become columns of events, quickly, by training's own rules.

Pure. Nearly always all records of a batch are sound: they are decoded and checked together. Where
one is not, each is checked alone, and what training could not use is left out and counted. Must
not know where records come from.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from operator import sub
from typing import Final, NamedTuple, cast

import msgspec

from registry.errors import RecordError
from registry.fresh.event_columns import EventBatch
from registry.fresh.fresh_events import FreshEvent, fresh_event
from registry.ids import LEAST_INTEGER, MOST_INTEGER, ItemId, UserId
from registry.wire.codec import decode
from registry.wire.training_records.event_weights import FORGET, KIND_PATTERN, LONGEST_KIND
from registry.wire.training_records.interactions import (
    FUTURE_SECONDS,
    LARGEST_VALUE,
    Interaction,
    require_usable,
)

_KIND: Final = re.compile(KIND_PATTERN)

_Bare: Final = msgspec.defstruct(
    "Bare",
    [
        (field.name, str) if field.name == "event"
        else (field.name, field.type) if field.required
        else (field.name, field.type, field.default)
        for field in msgspec.structs.fields(Interaction)
    ],
    kw_only=True,
    gc=False,
)  # fmt: skip

_decode = cast("Callable[[bytes | None], Interaction]", msgspec.json.Decoder(_Bare).decode)
"""An `Interaction` whose kind and item are not checked yet: a third of the time."""


class Intake(NamedTuple):
    """Events, and how many records were none, by reason."""

    events: EventBatch
    unusable: Counter[str]


def take_in(
    offsets: Sequence[int], record_times: Sequence[float], payloads: Sequence[bytes | None]
) -> Intake:
    """Return the events of some records, in their order.

    Parameters
    ----------
    offsets, record_times, payloads
        Of each record: offset, its own time in seconds since the epoch, and its bytes.

    Examples
    --------
    >>> taken = take_in([7, 8], [1.0, 2.0], [b'{"user_id":1,"item_id":2,"event":"watch"}', b"{"])
    >>> taken.events.offsets, taken.events.users, taken.events.times, taken.unusable.total()
    ([7], [1], [1.0], 1)
    """
    try:
        found = list(map(_decode, payloads))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError):
        return _one_by_one(offsets, record_times, payloads)
    events = EventBatch(
        offsets,
        [record.user_id for record in found],
        [record.item_id for record in found],
        [record.event for record in found],
        [1.0 if record.value is None else record.value for record in found],
        [
            at if record.timestamp is None else record.timestamp
            for record, at in zip(found, record_times, strict=True)
        ],
    )
    if _is_sound(events, record_times, found):
        return Intake(events, Counter())
    return _one_by_one(offsets, record_times, payloads)


def _is_sound(
    events: EventBatch, record_times: Sequence[float], records: Sequence[Interaction]
) -> bool:
    """Tell whether training could use all of them. In doubt it is false: then each is checked."""
    if not records:
        return True
    kinds = set(events.kinds)
    return (
        _have_items(events)
        and all(len(kind) <= LONGEST_KIND and _KIND.match(kind) for kind in kinds)
        and max(events.values) <= LARGEST_VALUE
        and min(events.values) >= -LARGEST_VALUE
        and _are_small(events.users)
        and _are_small(events.items)
        and max(map(sub, events.times, record_times)) < FUTURE_SECONDS - 1
        and not (
            "rate" in kinds
            and any(record.value is None for record in records if record.event == "rate")
        )
    )


def _have_items(events: EventBatch) -> bool:
    """Tell whether only a `forget` is without an item."""
    return None not in events.items or all(
        kind == FORGET
        for item, kind in zip(events.items, events.kinds, strict=True)
        if item is None
    )


def _are_small(ids: Sequence[UserId | ItemId | None]) -> bool:
    """Tell whether all integers among them have 64 bits."""
    numbers = [known for known in ids if type(known) is int]
    return not numbers or (max(numbers) <= MOST_INTEGER and min(numbers) >= LEAST_INTEGER)


def _one_by_one(
    offsets: Sequence[int], record_times: Sequence[float], payloads: Sequence[bytes | None]
) -> Intake:
    users: list[UserId] = []
    found: list[FreshEvent] = []
    unusable: Counter[str] = Counter()
    for offset, at, payload in zip(offsets, record_times, payloads, strict=True):
        try:
            interaction = decode(Interaction, payload)
            require_usable(interaction, at)
        except RecordError as error:
            unusable[error.code] += 1
            continue
        users.append(interaction.user_id)
        found.append(fresh_event(interaction, at, offset))
    events = EventBatch(
        [event.offset for event in found],
        users,
        [event.item_id for event in found],
        [event.event for event in found],
        [event.value for event in found],
        [event.time for event in found],
    )
    return Intake(events, unusable)
