"""An answer's arithmetic: its list, recomputed from the interaction topic and the registry alone.

An edge: reads what the answer's provenance names, and has a worker's own functions rank it. Must
not know how results look.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from confluent_kafka import TopicPartition
from msgspec import Struct

from registry.errors import TransportError
from registry.fold_in.merged_cells import UserEvents
from registry.fresh.event_columns import EventBatch
from registry.fresh.event_intake import take_in
from registry.fresh.event_log import EventLog
from registry.fresh.fresh_forgetting import FreshHistory
from registry.fresh.fresh_sight import FreshRange, FreshSight
from registry.ids import ItemId, UserId
from registry.kafka.topic_reader import connected, slice_of
from registry.kafka.topics import topics_of
from registry.new_items.new_item_records import VECTORS, decode_record, vector_of_record
from registry.new_items.overlay import Overlay, PlacedVector
from registry.settings import Settings
from registry.versions.store import store_of
from registry.wire.field_types import Variant
from streams.serving.fresh_answers import named_in, recommend_seeing
from streams.serving.interleaved_answers import mix

if TYPE_CHECKING:
    from registry.answers.recommendation import Recommendation
    from registry.versions.model import Model
    from registry.wire.requests import Request
    from registry.wire.responses import Response
    from registry.wire.rollout_state import RolloutState

READ_SECONDS: Final = 60.0
"""A million fresh interactions in one partition are read in that time."""

PARTITION: Final = 0
"""A sight wants the request's partition; with one request, any number does."""


class FreshArithmetic(Struct, frozen=True):
    """What a list was made of.

    Parameters
    ----------
    version, source
        Whose list it is, and what ranked it.
    offsets
        Interactions before these were seen, by partition of the interaction topic.
    learned_items, fresh_items
        How many of the user's items the version had learned, and how many came since; an item may
        be both.
    weighted_items
        How many of them, together, weigh something. None: the version keeps nothing to merge with
        (format 1).
    item_ids
        The list, as it is recomputed.
    new_items
        How many of the list the version does not know; their vectors are those that the answer
        names.
    """

    version: str
    source: str
    offsets: dict[str, int]
    learned_items: int
    fresh_items: int
    weighted_items: int | None
    item_ids: tuple[int | str, ...]
    new_items: int = 0


class MixedArithmetic(Struct, frozen=True):
    """What a list of two versions was made of: each one's own list, and the mix of them.

    ``variants`` say, item by item, whose it is.
    """

    primary: FreshArithmetic
    canary: FreshArithmetic
    item_ids: tuple[int | str, ...]
    variants: tuple[Variant | None, ...]


def recompute(
    settings: Settings, request: Request, answer: Response, state: RolloutState
) -> FreshArithmetic | MixedArithmetic:
    """Return what the list of `answer` is made of.

    Parameters
    ----------
    settings
        Where topics and registry are; of fresh interactions, what the workers have.
    request, answer
        The answer has items.
    state
        The one of the answer's ``rollout_epoch``.

    Raises
    ------
    TransportError
        If the interactions, or the vector of a new item, cannot be read.
    ArtifactError
        If a version cannot.
    """
    if answer.versions:
        names = answer.versions["primary"], answer.versions["canary"]
        (primary, of_primary), (canary, of_canary) = _lists(settings, request, answer, state, names)
        items = mix(of_primary.items, of_canary.items, request, state.salt)
        return MixedArithmetic(
            primary,
            canary,
            tuple(item.item_id for item in items),
            tuple(item.variant for item in items),
        )
    assert answer.model_version is not None  # it has items
    ((arithmetic, _),) = _lists(settings, request, answer, state, [answer.model_version])
    return arithmetic


def _lists(
    settings: Settings,
    request: Request,
    answer: Response,
    state: RolloutState,
    versions: Sequence[str],
) -> list[tuple[FreshArithmetic, Recommendation]]:
    """Return what each of some versions makes of a request, and of what."""
    store, compared = store_of(settings), named_in(state)
    models = {name: store.open(name) for name in sorted({*versions, *compared})}
    ranges = {name: _range_of(model) for name, model in models.items()}
    offsets = {int(number): end for number, end in answer.provenance.fresh_offsets.items()}
    known_ends = [known.ends for known in ranges.values()]
    starts = {number: min(ends.get(number, 0) for ends in known_ends) for number in offsets}
    starts |= {int(number): at for number, at in answer.provenance.fresh_from.items()}
    log = _log_of(settings, request.key, starts, offsets)
    sight = FreshSight(
        log.frozen,
        ranges,
        {PARTITION: tuple(offsets)},
        most=settings.fresh_items,
        fold_in_least=settings.fold_in_least,
        overlays=_overlays_of(settings, answer),
        most_new=settings.new_items_most,
    )
    lists = []
    for model in (models[name] for name in versions):
        (found,) = recommend_seeing(model, [request], sight, compared=compared)
        learned, fresh, weighted = _counts(model, sight, request.key)
        arithmetic = FreshArithmetic(
            model.version,
            found.source,
            answer.provenance.fresh_offsets,
            learned,
            fresh,
            weighted,
            tuple(item.item_id for item in found.items),
            sum(item.vector_offset is not None for item in found.items),
        )
        lists.append((arithmetic, found))
    return lists


def _range_of(model: Model) -> FreshRange:
    manifest = model.manifest
    partitions = manifest.data_snapshot.partitions
    return FreshRange.of(partitions, manifest.parameters.weights, model.row_of)


def _log_of(
    settings: Settings, user_id: UserId, starts: Mapping[int, int], ends: Mapping[int, int]
) -> EventLog:
    """Return what one user did in ``[start, end)`` of some partitions; an error if it is gone."""
    log, topic = EventLog(), topics_of(settings).interactions.name
    log.begin(starts)
    deadline = time.monotonic() + READ_SECONDS
    with connected(settings, {"auto.offset.reset": "error"}) as consumer:
        for number, start in starts.items():
            records = []
            if start < ends[number]:
                place = TopicPartition(topic, number)
                records = slice_of(consumer, place, start, ends[number], deadline)
            events = take_in(
                [record.offset() or 0 for record in records],
                [record.timestamp()[1] / 1000 for record in records],
                [record.value() for record in records],
            ).events
            own = [place for place, user in enumerate(events.users) if user == user_id]
            log.take(
                number,
                EventBatch(
                    [events.offsets[place] for place in own],
                    [user_id] * len(own),
                    [events.items[place] for place in own],
                    [events.kinds[place] for place in own],
                    [events.values[place] for place in own],
                    [events.times[place] for place in own],
                ),
                end=max(start, ends[number]),
            )
    return log


def _overlays_of(settings: Settings, answer: Response) -> dict[str, Overlay]:
    """Return the new items of an answer, as the overlay of the version that contributed each.

    Those that it does not show need not be known: they have lower scores, or are hidden.
    """
    placed = [
        (item.vector_offset, answer.versions.get(item.variant or "primary", answer.model_version))
        for item in answer.items
        if item.vector_offset is not None
    ]
    if not placed:
        return {}
    topic = topics_of(settings).new_items.name
    vectors: defaultdict[str, dict[ItemId, PlacedVector]] = defaultdict(dict)
    deadline = time.monotonic() + READ_SECONDS
    with connected(settings, {"auto.offset.reset": "error"}) as consumer:
        for offset, version in placed:
            assert version is not None  # it has items
            place = TopicPartition(topic, VECTORS)
            records = slice_of(consumer, place, offset, offset + 1, deadline)
            if not records:
                raise TransportError(
                    f"{topic}: the vector of a new item, offset {offset}, has been replaced by a "
                    "newer one"
                )
            solved = decode_record(records[0].value()).solved
            if solved is None:
                raise TransportError(f"{topic}: the record at offset {offset} is no vector")
            users, vector = vector_of_record(solved)
            vectors[version][solved.item_id] = PlacedVector(users, vector, offset)
    return {version: Overlay(own) for version, own in vectors.items()}


def _counts(model: Model, sight: FreshSight, user_id: UserId) -> tuple[int, int, int | None]:
    """Return the user's learned items, his fresh ones, and how many weigh something."""
    window, vectors = sight.window(model.version), model.fresh_vectors
    assert window is not None  # the version's range is given
    row, _ = model.known_users.learned_row(user_id)
    if vectors is None:
        learned, lately = model.known_users.seen_by(user_id), window.history(user_id)
        return len(learned), len(set(window.seen_in(lately).tolist())), None
    history = window.newest(window.history(user_id, vectors.forgotten_until(user_id)))
    before, _ = vectors.merged([UserEvents(row, FreshHistory(forgotten=history.forgotten))])
    _, weight = vectors.merged([UserEvents(row, history)])
    fresh = len(set(window.seen_in(history).tolist()))
    return len(before.item), fresh, int((weight > 0).sum())
