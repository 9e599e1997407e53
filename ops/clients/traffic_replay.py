"""Replay: recorded requests scored by a candidate as it would have answered them then.

Each request sees the interactions up to the offsets that the recorded answer names, and no later
ones. Must not know Kafka, nor how figures look.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from ops.clients.recorded_traffic import Recorded, RecordedEvent
from ops.clients.replay_figures import Replayed
from registry.errors import ArtifactError
from registry.fresh.event_intake import take_in
from registry.fresh.event_log import EventLog
from registry.fresh.fresh_sight import FreshRange, FreshSight
from registry.ids import ItemId, UserId
from registry.settings import Settings
from registry.versions.model import Model
from registry.versions.store import Store
from registry.wire.outcome_kinds import value_of
from registry.wire.requests import Request
from streams.serving.error_answers import unknown_label
from streams.serving.fresh_answers import recommend_seeing


class Replay:
    """Answers recorded requests again.

    Parameters
    ----------
    settings
        Of fresh interactions and outcomes, what the workers have.
    store
        The registry; a version that answered and is gone from it is not timed.
    version
        The candidate.
    events
        All interactions from the end of the candidate's snapshot on, by partition in their order.
    """

    def __init__(
        self, settings: Settings, store: Store, version: str, events: Sequence[RecordedEvent]
    ) -> None:
        self._settings = settings
        self._store = store
        self._version = version
        self._models: dict[str, Model | None] = {version: store.open(version)}
        self._events: defaultdict[int, list[RecordedEvent]] = defaultdict(list)
        for event in events:
            self._events[event.partition].append(event)
        self._actions = self._actions_of(events)

    def run(
        self, recorded: Sequence[Recorded], advance: Callable[[], None] = lambda: None
    ) -> list[Replayed]:
        """Answer `recorded` again; `advance` is called after each.

        Those of a partition go in the order of what their answers knew, so each log is read once.
        """
        logs: dict[int, _PartitionLog] = {}
        replayed = []
        for single in sorted(recorded, key=_known_then):
            log = logs.get(single.partition)
            if log is None:
                log = logs[single.partition] = _PartitionLog(
                    self._events, self._open(self._version)
                )
            replayed.append(self._replay(single, log))
            advance()
        return replayed

    def _replay(self, single: Recorded, log: _PartitionLog) -> Replayed:
        ends = {int(number): end for number, end in single.answer.provenance.fresh_offsets.items()}
        begins = {int(number): at for number, at in single.answer.provenance.fresh_from.items()}
        sight = log.sight_until(ends, begins, single.partition, self._settings) if ends else None
        candidate = self._open(self._version)
        is_refused = unknown_label(single.request, candidate) is not None
        found = None if is_refused else recommend_seeing(candidate, [single.request], sight)[0]
        answered_by = self._models_of(single.answer.model_version)
        return Replayed(
            single.answer.items,
            found.items if found is not None else (),
            single.answer.source == "popular",
            found is not None and found.source == "popular",
            self._chosen(single),
            _seconds(candidate, single.request),
            None if answered_by is None else _seconds(answered_by, single.request),
            is_refused,
        )

    def _open(self, version: str) -> Model:
        model = self._models[version]
        assert model is not None  # the candidate's is opened first
        return model

    def _models_of(self, version: str | None) -> Model | None:
        """Return the version that answered; None if it is gone, or two did."""
        if version is None:
            return None
        if version not in self._models:
            try:
                self._models[version] = self._store.open(version)
            except ArtifactError:
                self._models[version] = None
        return self._models[version]

    def _actions_of(
        self, events: Sequence[RecordedEvent]
    ) -> Mapping[UserId, Sequence[tuple[float, ItemId]]]:
        """Return what each user chose, of the kinds that are outcomes, and when."""
        taken = take_in(
            range(len(events)), [event.at for event in events], [event.payload for event in events]
        ).events
        kinds = self._settings.outcome_kinds
        found: defaultdict[UserId, list[tuple[float, ItemId]]] = defaultdict(list)
        columns = (taken.offsets, taken.users, taken.items, taken.kinds, taken.values)
        for place, user, item, kind, value in zip(*columns, strict=True):
            if item is not None and value_of(kinds, kind, value) > 0:
                found[user].append((events[place].at, item))
        return found

    def _chosen(self, single: Recorded) -> list[ItemId]:
        since = single.answered_at
        until = since + self._settings.attribution_seconds
        shown = {item.item_id for item in single.answer.items}
        chosen = [
            item
            for at, item in self._actions.get(single.request.key, ())
            if since <= at < until and item in shown
        ]
        return list(dict.fromkeys(chosen))


class _PartitionLog:
    """The interactions that requests of one partition may see, up to where the last one did.

    It begins again for a request that saw less: another worker had answered it.
    """

    def __init__(self, events: Mapping[int, Sequence[RecordedEvent]], candidate: Model) -> None:
        self._events = events
        self._candidate = candidate
        self._range = _range_of(candidate)
        self._log = EventLog()
        self._read: dict[int, int] = {}
        self._ends: Mapping[int, int] = {}
        self._begins: Mapping[int, int] = {}

    def sight_until(
        self,
        ends: Mapping[int, int],
        begins: Mapping[int, int],
        partition: int,
        settings: Settings,
    ) -> FreshSight:
        """Return what could be seen when these offsets had been read, from `begins` on at most."""
        is_other = self._ends.keys() != ends.keys() or self._begins != begins
        if is_other or any(end < self._ends[number] for number, end in ends.items()):
            self._range = _range_of(self._candidate)  # it knows the items by one log's numbers
            self._log, self._read = EventLog(), dict.fromkeys(ends, 0)
            known = self._range.ends
            self._log.begin(
                {number: max(known.get(number, 0), begins.get(number, 0)) for number in ends}
            )
        for number, end in ends.items():
            begin, events = self._read[number], self._events.get(number, [])
            new = events[begin : bisect_left(events, end, begin, key=lambda event: event.offset)]
            taken = take_in(
                [event.offset for event in new],
                [event.at for event in new],
                [event.payload for event in new],
            )
            self._log.take(number, taken.events, max(end, self._log.frozen.starts[number]))
            self._read[number] += len(new)
        self._ends, self._begins = ends, begins
        return FreshSight(
            self._log.frozen,
            {self._candidate.version: self._range},
            {partition: tuple(ends)},
            most=settings.fresh_items,
            fold_in_least=settings.fold_in_least,
        )


def _known_then(single: Recorded) -> tuple[int, tuple[tuple[str, int], ...], float]:
    offsets = single.answer.provenance.fresh_offsets
    return single.partition, tuple(sorted(offsets.items())), single.asked_at


def _range_of(model: Model) -> FreshRange:
    manifest = model.manifest
    snapshot, weights = manifest.data_snapshot.partitions, manifest.parameters.weights
    return FreshRange.of(snapshot, weights, model.row_of)


def _seconds(model: Model, request: Request) -> float:
    """Return the CPU time of scoring a request alone, from what the version has learned."""
    started = time.process_time()
    recommend_seeing(model, [request], None)
    return time.process_time() - started
