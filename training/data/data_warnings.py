"""What is unusual in the interactions, and what to do about it.

Pure: a function of the data report and of the weights; must not know where either comes from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import structs

from registry.wire.training_records.auto_transform import LINEAR_UP_TO
from registry.wire.training_records.data_report import DataReport, DataWarning, ValueQuantiles
from registry.wire.training_records.event_weights import DEFAULT, EventWeights, parse_event_weights
from training.data.forgets_without_user import FORGET_OF_NOBODY, FORGET_OF_OTHER_TYPE

WIDE: Final = 10.0
"""From this ratio of the largest value to the median on, a `linear` weight is warned of."""

HEAVY_USERS: Final = 3
HEAVY_SHARE: Final = 0.2
FEWEST_USERS: Final = 60
"""A warning is due if this few users account for more than this share of events; not with fewer
users in all."""

REPEATED_SHARE: Final = 0.2
DROPPED_SHARE: Final = 0.01
UNTIMED_SHARE: Final = 0.05
FOUND_NOTHING_SHARE: Final = 0.2
"""A warning is due if more of the undo events than this found nothing to take back."""

_FORGETS: Final = {
    FORGET_OF_NOBODY: "`forget` events met no user",
    FORGET_OF_OTHER_TYPE: "`forget` events name a user who is there with the other JSON type only",
}

SETTING: Final = "RETRAIN_EVENT_WEIGHTS"


def warned(report: DataReport, asked: EventWeights, settled: EventWeights) -> DataReport:
    """Return the report with its warnings.

    Parameters
    ----------
    report
        What there is.
    asked
        Weights as the settings give them.
    settled
        Weights as they are used: no transform is ``auto``.
    """
    found = (
        *_wide_values(report, asked, settled),
        *_times(report),
        *_heavy_users(report),
        *_weights(report, asked),
        *_repeats(report),
        *_undos(report),
        *_dropped(report),
        *_forgets(report),
    )
    return structs.replace(report, warnings=found)


def _wide_values(
    report: DataReport, asked: EventWeights, settled: EventWeights
) -> Iterator[DataWarning]:
    for kind, values in report.values.items():
        if kind not in settled or not settled[kind].weight:
            continue
        reach = f"values of `{kind}` reach {values.largest:,.6g}, median {values.median:,.6g}"
        if settled[kind].transform == "linear" and _is_wide(values):
            yield DataWarning(
                "wide_values",
                reach,
                f"use a log weight, {kind}={_of(asked, kind)}:log in {SETTING}, or the largest "
                f"values drown out the others",
            )
        elif asked[kind].transform == "auto" and settled[kind].transform == "log":
            yield DataWarning(
                "wide_values",
                reach,
                f"they count by their logarithm; write {kind}={_of(asked, kind)}:log into "
                f"{SETTING} to confirm, or choose another transform",
            )


def _is_wide(values: ValueQuantiles) -> bool:
    return values.largest > LINEAR_UP_TO and values.largest > WIDE * values.median


def _of(asked: EventWeights, kind: str) -> str:
    return f"{asked[kind].weight:g}"


def _times(report: DataReport) -> Iterator[DataWarning]:
    if not report.kept:
        return
    if not report.times_tell:
        none = report.untimed == report.kept
        yield DataWarning(
            "no_times",
            "no timestamps: all times are those of the ingestion"
            if none
            else "no event is older than its record, and all are within one hour: the times are "
            "those of the ingestion",
            "send each event's `timestamp` if it is known; without it, the held-out interactions "
            "are drawn at random, not by time",
        )
    elif report.own_times and report.untimed > UNTIMED_SHARE * report.kept:
        yield DataWarning(
            "some_untimed",
            f"{report.untimed / report.kept:.0%} of events have no timestamp, others do",
            "send it with all events: without it the record's time counts, which for a file is "
            "the time of its ingestion",
        )


def _heavy_users(report: DataReport) -> Iterator[DataWarning]:
    heaviest = report.heaviest_users[:HEAVY_USERS]
    share = sum(heavy.events for heavy in heaviest) / max(report.kept, 1)
    if sum(report.users.values()) >= FEWEST_USERS and share > HEAVY_SHARE:
        yield DataWarning(
            "heavy_users",
            f"{len(heaviest)} users make {share:.0%} of events",
            "`recstream inspect` names them; check whether they are people. A `forget` removes "
            "what a user did",
        )


def _weights(report: DataReport, asked: EventWeights) -> Iterator[DataWarning]:
    for kind, count in report.events.items():
        if kind not in asked:
            yield DataWarning(
                "no_weight",
                f"event `{kind}` has no weight: {count:,} events ignored",
                f"add {kind}=1 to {SETTING}, or {kind}=0 if its items only count as seen",
            )
    for kind in asked:
        if kind not in report.events and kind not in parse_event_weights(DEFAULT):
            yield DataWarning(
                "no_events",
                f"{SETTING} names `{kind}`, but there are no such events",
                "compare its spelling with that of the events",
            )


def _repeats(report: DataReport) -> Iterator[DataWarning]:
    if report.repeated > REPEATED_SHARE * report.kept:
        yield DataWarning(
            "repeats",
            f"{report.repeated:,} of {report.kept:,} events repeat an earlier one of the same "
            "user, item and kind",
            "only the latest of them counts; if the number of times matters, send the total so "
            "far as `value`",
        )


def _undos(report: DataReport) -> Iterator[DataWarning]:
    if report.found_nothing > FOUND_NOTHING_SHARE * report.undos:
        yield DataWarning(
            "found_nothing",
            f"{report.found_nothing:,} of {report.undos:,} undo events found no earlier event to "
            "take back",
            "compare their users, items and times with those of the events that they should take "
            "back",
        )


def _dropped(report: DataReport) -> Iterator[DataWarning]:
    broken = {
        reason: unusable
        for reason, unusable in report.dropped.items()
        if reason not in ("no_weight", "forgotten", *_FORGETS)
    }
    records = sum(unusable.records for unusable in broken.values())
    if records > DROPPED_SHARE * (report.kept + records):
        first = next(iter(broken.values()))
        yield DataWarning(
            "dropped",
            f"{records:,} records cannot be used: {', '.join(broken)}",
            f"fix their producer; one is at partition {first.partition}, offset {first.offset}",
        )


def _forgets(report: DataReport) -> Iterator[DataWarning]:
    for reason, found in _FORGETS.items():
        if reason in report.dropped:
            first = report.dropped[reason]
            yield DataWarning(
                reason,
                f"{first.records:,} {found}, so nothing was forgotten",
                "`recstream registry ids` names them; send `forget` with the id, and of the JSON "
                "type, that the interactions have; one is at partition "
                f"{first.partition}, offset {first.offset}",
            )
