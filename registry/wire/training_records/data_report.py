"""The data report: what a training found in the interactions, and what to do about it."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import Struct

from registry.wire.training_records.gate_results import Count


class ValueQuantiles(Struct, frozen=True):
    """The values of a kind of event: of the latest event of each user with each item."""

    events: Count
    least: float
    median: float
    p90: float
    p99: float
    largest: float


class Heavy(Struct, frozen=True):
    """One of the users, or items, with the most events."""

    id: int | str
    events: Count


class Dropped(Struct, frozen=True):
    """Records that cannot be used, for one reason, and the position of the first one."""

    records: Count
    partition: Count
    offset: Count


class DataWarning(Struct, frozen=True):
    """What is unusual, and what to do. ``code`` stays the same, whatever the figures."""

    code: str
    found: str
    remedy: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.found}: {self.remedy}"


class DataReport(Struct, frozen=True, omit_defaults=True):
    """The findings of a training about its interactions.

    Parameters
    ----------
    events
        Number of events of each kind, without forgotten ones.
    values
        By kind that has a weight.
    untimed
        Events that count and have no time, so their record's time is used.
    own_times
        Events that count and are older than their record by more than a minute. If there are
        none, and all are of the same hour, the times are those of the ingestion.
    oldest, newest
        Times of the events that count, seconds since the epoch; None without any.
    users, items
        Number of those with 1, 2 to 4, 5 to 9, … events.
    heaviest_users, heaviest_items
        Those with the most events, in descending order.
    pairs
        Pairs of user and item.
    repeated
        Events replaced by a later one of the same user, item and kind.
    duplicates
        How many of those have the same time as the one that counts.
    undos
        Undo events, such as an ``unlike``.
    undone
        Users, items and kinds whose events an undo took back.
    found_nothing
        Undo events without an earlier event to take back.
    dropped
        By reason.
    times_tell
        Whether the times give an order.
    warnings
        What is unusual, and what to do.
    """

    events: dict[str, Count]
    values: dict[str, ValueQuantiles] = {}
    untimed: Count = 0
    own_times: Count = 0
    oldest: float | None = None
    newest: float | None = None
    users: dict[str, Count] = {}
    items: dict[str, Count] = {}
    heaviest_users: tuple[Heavy, ...] = ()
    heaviest_items: tuple[Heavy, ...] = ()
    pairs: Count = 0
    repeated: Count = 0
    duplicates: Count = 0
    undos: Count = 0
    undone: Count = 0
    found_nothing: Count = 0
    dropped: dict[str, Dropped] = {}
    times_tell: bool = True
    warnings: tuple[DataWarning, ...] = ()

    @property
    def kept(self) -> int:
        """How many events count."""
        counting = sum(found.events for found in self.values.values())
        return counting + self.repeated + self.undone + self.undos

    @property
    def text_by_name(self) -> dict[str, str]:
        """What there is to say, for people."""
        shown = {"events": _counts(self.events) or "none"}
        for kind, found in self.values.items():
            shown[f"values of {kind}"] = (
                f"{found.least:,.6g} to {found.largest:,.6g}; half are at most "
                f"{found.median:,.6g}, 90 % {found.p90:,.6g}, 99 % {found.p99:,.6g}"
            )
        return shown | {
            "times": self._times,
            "pairs of user and item": f"{self.pairs:,}; {self.repeated:,} events were replaced by "
            f"a later one of the same kind, {self.duplicates:,} of them of the same time",
            **self._taken_back,
            "users by events": _counts(self.users),
            "items by events": _counts(self.items),
            "most active users": self._heaviest(self.heaviest_users),
            "most used items": self._heaviest(self.heaviest_items),
            "dropped": "; ".join(
                f"{dropped.records:,} {reason} (partition {dropped.partition}, "
                f"offset {dropped.offset}{', …' if dropped.records > 1 else ''})"
                for reason, dropped in self.dropped.items()
            )
            or "none",
        }

    @property
    def _times(self) -> str:
        if self.oldest is None or self.newest is None:
            return "none"
        span = f"{_date(self.oldest)} to {_date(self.newest)}"
        untimed = f"{self.untimed:,} of {self.kept:,} events have no timestamp"
        tell = "" if self.times_tell else "; all are of one ingestion and give no order"
        return f"{span}; {untimed}{tell}"

    @property
    def _taken_back(self) -> dict[str, str]:
        if not self.undos:
            return {}
        return {
            "taken back": f"{self.undone:,} events, by {self.undos:,} undo events; "
            f"{self.found_nothing:,} found nothing to take back"
        }

    def _heaviest(self, heaviest: tuple[Heavy, ...]) -> str:
        whole = max(self.kept, 1)
        return ", ".join(
            f"{heavy.id} ({heavy.events:,}, {heavy.events / whole:.1%})" for heavy in heaviest
        )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in counts.items())


def _date(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):  # a producer's mistake, years away
        return f"{seconds:g} s"
