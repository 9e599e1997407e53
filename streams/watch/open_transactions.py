"""Open transactions of producers, which keep the records behind them from being read.

Pure: how far partitions are read, and the time, come in. A working producer opens and ends
transactions all the time; only one that stays open is worth a notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from registry.error_codes import NoticeCode
from streams.watch.notices import Notice
from streams.watch.read_progress import Progress

OPEN_SECONDS: Final = 10.0
"""How long a transaction may hold up a partition before it is named. Shorter: batches of producers
that commit every few seconds are named. Longer: users wait longer before anybody looks."""


class _Held(NamedTuple):
    stable_end: int
    since: float
    records: int


class OpenTransactions:
    """Remembers since when each partition of one topic has been held up."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._held: dict[int, _Held] = {}

    def look(self, progress: Mapping[int, Progress], now: float) -> None:
        """Note where partitions end now; `now` is in seconds, on a monotonic clock."""
        held = {}
        for partition, read in progress.items():
            if read.stable_end is None or not read.held_back:
                continue
            known = self._held.get(partition)
            same = known is not None and known.stable_end == read.stable_end
            since = known.since if known is not None and same else now
            held[partition] = _Held(read.stable_end, since, read.held_back)
        self._held = held

    def notice(self, now: float) -> Notice | None:
        """Return what to say of the transactions that have been open for too long; None of none."""
        named = [
            f"partition {partition} from offset {held.stable_end} ({held.records:,} records, for "
            f"{now - held.since:.0f} s)"
            for partition, held in sorted(self._held.items())
            if now - held.since >= OPEN_SECONDS
        ]
        if not named:
            return None
        return Notice(
            NoticeCode.OPEN_TRANSACTION,
            f"an open producer transaction blocks {self._topic}: {'; '.join(named)}. "
            "Later records are answered once the producer commits or aborts, or once Kafka "
            "aborts it (transaction.timeout.ms); `kafka-transactions.sh find-hanging` names "
            "the producer",
        )
