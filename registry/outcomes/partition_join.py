"""One partition of an experiment: records of its three topics in, records of outcomes out.

Pure. What counts are the closed users on the outcome topic, never those that were only sent: so a
worker that takes the partition over, reads that topic and continues, loses and repeats nobody. Must
not know Kafka's client, nor where reading begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from registry.errors import RecordError
from registry.ids import ItemId, UserId
from registry.interleaving.preference import preferred
from registry.outcomes.attribution import Action, Attribution, Closing, Credit, Exposure
from registry.outcomes.merged_streams import MergedStreams
from registry.outcomes.shown_answers import exposures_among
from registry.wire.codec import decode
from registry.wire.field_types import Variant
from registry.wire.outcome_records import (
    ArmSums,
    ClosedWindow,
    CreditedAction,
    OutcomeRecord,
    PartitionSums,
    sums_of_user,
)
from registry.wire.training_records.interactions import Interaction

MS: Final = 1000


@dataclass(frozen=True, slots=True)
class Experiment:
    """Two arms that are compared, from the command of `epoch` on.

    Parameters
    ----------
    environment, epoch
        Of the rollout state.
    since
        When that command was applied, in seconds since 1970.
    arm_of
        Returns the variant that a user is assigned to; None where each answer is of both.
    versions
        The versions by variant.
    window_ms
        The attribution window.
    value_of
        Returns what an event of a kind and a value counts as an outcome; 0: it is none.
    """

    environment: str
    epoch: int
    since: float
    arm_of: Callable[[UserId], Variant] | None
    versions: Mapping[Variant, str]
    window_ms: int
    value_of: Callable[[str, float | None], float]


class PartitionJoin:
    """The join of one partition; see the module.

    Attributes
    ----------
    latest_since
        When the first exposure was of the user who closed last, in milliseconds; None: nobody has.
    unusable
        Records that could not be read.
    """

    def __init__(self, partition: int, experiment: Experiment) -> None:
        self._partition = partition
        self._experiment = experiment
        self._merged: MergedStreams[Exposure, Action] = MergedStreams()
        self._join = Attribution(experiment.window_ms)
        self._sums: dict[Variant | None, ArmSums] = {}
        self._counted: set[UserId] = set()
        self._sent: set[tuple[UserId, str, ItemId, str]] = set()
        self.latest_since: int | None = None
        self.unusable = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits for time to pass."""
        return not self._merged.waiting and not self._join.open_windows

    @property
    def clock(self) -> int:
        """Up to which time, in milliseconds, both logs have been read."""
        return self._merged.clock

    @property
    def open_windows(self) -> int:
        """Users whose window has not closed yet."""
        return self._join.open_windows

    @property
    def left_out(self) -> int:
        """Exposures of users beyond what is remembered."""
        return self._join.left_out

    @property
    def sums(self) -> tuple[PartitionSums, ...]:
        """Return the sums over the closed users on the outcome topic, by arm."""
        epoch = self._experiment.epoch
        return tuple(
            PartitionSums(epoch, self._partition, variant, sums)
            for variant, sums in sorted(self._sums.items(), key=lambda own: own[0] or "")
        )

    def take_outcome(self, payload: bytes | None, *, earlier: bool = False) -> None:
        """Take in the next record of the outcome topic: what this or another worker has sent.

        `earlier` records were there before this join began; the outcomes among them are not sent
        again.
        """
        try:
            record = decode(OutcomeRecord, payload)
        except RecordError:
            self.unusable += 1
            return
        mine = self._experiment.environment, self._experiment.epoch
        if (record.environment, record.epoch) != mine:
            return
        user, closed, credit = record.user_id, record.closed, record.credit
        if credit is not None and earlier:
            self._sent.add((user, credit.request_id, credit.item_id, credit.event))
        elif closed is not None and user not in self._counted:
            self._counted.add(user)
            self._join.enter(user)
            own = sums_of_user(closed.outcomes, closed.exposures)
            self._sums[record.variant] = self._sums.get(record.variant, ArmSums()).add(own)
            self.latest_since = max(self.latest_since or 0, round(closed.since * MS))

    def take_responses(self, records: Iterable[tuple[int, bytes | None]]) -> None:
        """Take in the next answers: their times in milliseconds, and payloads."""
        environment, epoch = self._experiment.environment, self._experiment.epoch
        interleaved = self._experiment.arm_of is None
        shown = exposures_among(records, environment, epoch, interleaved=interleaved)
        self.unusable += shown.unusable
        self._merged.take_answers(shown.exposures)

    def take_interaction(self, at: int, payload: bytes | None) -> None:
        """Take in the next interaction; `at` is its record's time in milliseconds."""
        try:
            event = decode(Interaction, payload)
        except RecordError:
            self.unusable += 1
            return
        value = self._experiment.value_of(event.event, event.value)
        if value > 0 and event.item_id is not None:
            self._merged.take_event(
                at, Action(event.user_id, event.item_id, event.event, value, event.request_id)
            )

    def pass_responses(self, until: int) -> None:
        """Note that no answer of before `until` is unread, in milliseconds."""
        self._merged.pass_answers(until)

    def pass_interactions(self, until: int) -> None:
        """Note that no interaction of before `until` is unread, in milliseconds."""
        self._merged.pass_events(until)

    def collect(self) -> list[OutcomeRecord]:
        """Return what is to be sent: outcomes and closed users that were found since last time."""
        for at, answer, action in self._merged:
            if answer is not None:
                self._join.expose(at, answer)
            elif action is not None:
                self._join.act(at, action)
        self._join.pass_time(self._merged.clock)
        found = self._join.collect()
        credits = [credit for credit in found.credits if self._is_new(credit)]
        return [*map(self._credited, credits), *map(self._closed, found.closings)]

    def _is_new(self, credit: Credit) -> bool:
        """Tell whether an outcome is not on its topic yet; each is asked about once."""
        action, request_id = credit.action, credit.answer.request_id
        name = (action.user_id, request_id, action.item_id, action.event)
        if name in self._sent:
            self._sent.discard(name)
            return False
        return True

    def _credited(self, credit: Credit) -> OutcomeRecord:
        action, answer = credit.action, credit.answer
        variant = answer.team if answer.is_mixed else self._arm_of(action.user_id)
        return OutcomeRecord(
            self._experiment.environment,
            self._experiment.epoch,
            action.user_id,
            variant,
            self._version_of(variant),
            credit.at / MS,
            credit=CreditedAction(
                answer.request_id,
                action.item_id,
                answer.position,
                action.event,
                action.value,
                (credit.at - answer.at) / MS,
            ),
        )

    def _arm_of(self, user_id: UserId) -> Variant | None:
        return None if self._experiment.arm_of is None else self._experiment.arm_of(user_id)

    def _version_of(self, variant: Variant | None) -> str | None:
        return None if variant is None else self._experiment.versions[variant]

    def _closed(self, closing: Closing) -> OutcomeRecord:
        variant = self._arm_of(closing.user_id) or preferred(closing.lead)
        return OutcomeRecord(
            self._experiment.environment,
            self._experiment.epoch,
            closing.user_id,
            variant,
            self._version_of(variant),
            (closing.since + self._experiment.window_ms) / MS,
            closed=ClosedWindow(closing.since / MS, closing.outcomes, closing.exposures),
        )


@dataclass(frozen=True, slots=True)
class JoinProgress:
    """How far the joins of a worker have come.

    Parameters
    ----------
    sums
        Of the closed users in their partitions.
    open_windows
        Users whose window has not closed yet.
    clock
        Up to which time, in milliseconds, the logs have been read where that is furthest behind;
        None where nothing waits to be read.
    left_out
        Exposures of users beyond what is remembered.
    unusable
        Records that could not be read.
    """

    sums: tuple[PartitionSums, ...] = ()
    open_windows: int = 0
    clock: int | None = None
    left_out: int = 0
    unusable: int = 0


def progress_of(joins: Iterable[PartitionJoin]) -> JoinProgress:
    """Return how far `joins` have come."""
    known = tuple(joins)
    return JoinProgress(
        tuple(part for join in known for part in join.sums),
        sum(join.open_windows for join in known),
        min((join.clock for join in known if join.clock and not join.is_idle), default=None),
        sum(join.left_out for join in known),
        sum(join.unusable for join in known),
    )


def sums_by_arm(reported: Iterable[PartitionSums], epoch: int) -> dict[Variant | None, ArmSums]:
    """Return the sums of each arm over all partitions, whoever reports them.

    Workers read a partition of the outcome topic from the same record on. So of two that report it,
    in a hand-over, the one with more users knows all that the other does.
    """
    latest: dict[tuple[int, Variant | None], ArmSums] = {}
    for part in reported:
        place = part.partition, part.variant
        if part.epoch == epoch and part.sums.users > latest.get(place, ArmSums()).users:
            latest[place] = part.sums
    found: dict[Variant | None, ArmSums] = {}
    for (_, variant), sums in sorted(latest.items(), key=lambda part: part[0][0]):
        found[variant] = found.get(variant, ArmSums()).add(sums)
    return found
