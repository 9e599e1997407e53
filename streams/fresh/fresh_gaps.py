"""Gaps: interactions since a version's snapshot that are gone from Kafka (``fresh_incomplete``).

Pure. Must not know what is only not read yet (`streams.fresh.fresh_reading`,
`registry.fresh.earlier_ranges`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from registry.error_codes import NoticeCode
from streams.watch.notices import Notice


class Gap(NamedTuple):
    """What a partition of the log does not have.

    Parameters
    ----------
    begins_at
        Records before are gone; 0: none was missed.
    ended_at
        The log ended here when it was begun, though a version has learned from further on: it is
        another log under the same name. None: it did not.
    """

    begins_at: int = 0
    ended_at: int | None = None


def begin_at(start: int, low: int, high: int) -> tuple[int, Gap | None]:
    """Return where reading begins, and what is missing if anything is.

    Parameters
    ----------
    start
        Where it should begin: the end of a snapshot.
    low, high
        Kafka has ``[low, high)``.

    Examples
    --------
    >>> begin_at(5, 0, 9), begin_at(5, 7, 9), begin_at(5, 0, 3)
    ((5, None), (7, Gap(begins_at=7, ended_at=None)), (3, Gap(begins_at=0, ended_at=3)))
    """
    if start < low:
        return low, Gap(begins_at=low)
    if start > high:
        return high, Gap(ended_at=high)
    return start, None


def gaps_of(gaps: Mapping[int, Gap], ends: Mapping[int, int]) -> set[int]:
    """Return the partitions that have lost records which a version needs."""
    return {
        number
        for number, gap in gaps.items()
        if ends.get(number, 0) < gap.begins_at
        or (gap.ended_at is not None and ends.get(number, 0) > gap.ended_at)
    }


def needed_from(gap: Gap | None, end: int) -> int:
    """Return from where on a version needs what there is; `end`: where its snapshot ends."""
    return end if gap is None else max(end, gap.begins_at)


def gap_notice(
    topic: str,
    gaps: Mapping[int, Gap],
    ends: Mapping[str, Mapping[int, int]],
    foreign: Iterable[str],
) -> Notice | None:
    """Return which versions miss interactions, and why; None if none does.

    Parameters
    ----------
    topic
        The interaction topic.
    gaps
        By partition.
    ends
        By version: where its snapshot ends, by partition.
    foreign
        Versions that learned from another topic.
    """
    wrong = [
        f"{version} {_words(gaps[number], number, known.get(number, 0))}"
        for version, known in sorted(ends.items())
        for number in sorted(gaps_of(gaps, known))[:1]
    ]
    wrong += [f"{version} has learned from another topic" for version in foreign]
    if not wrong:
        return None
    return Notice(
        NoticeCode.FRESH_INCOMPLETE,
        f"{topic}: {'; '.join(wrong)}. What users did since its snapshot is not all known: train a "
        "new version, and keep interactions for ever (retention.ms=-1, no compaction)",
    )


def _words(gap: Gap, number: int, end: int) -> str:
    where = f"has learned partition {number} up to offset {end}"
    if gap.ended_at is not None and end > gap.ended_at:
        return f"{where}, but the log ends at {gap.ended_at}: it was made again, or is another one"
    return f"{where}, but the log begins at {gap.begins_at}: what was between is gone"
