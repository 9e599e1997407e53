"""What a replay found: a candidate's answers to recorded requests, beside those that were given.

Pure: answers and times in, figures and unmet limits out. Must not know where they come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, median
from typing import NamedTuple

from msgspec import Struct

from registry.guardrails.overlap import compare
from registry.ids import ItemId
from registry.wire.responses import Item


class Replayed(NamedTuple):
    """One request, answered again.

    ``chosen`` are the items of the recorded answer that the user then chose. ``recorded_seconds``
    is None if the version that answered is not in the registry any more. A candidate that refuses
    the request, for a label that it does not know, has no items.
    """

    recorded: Sequence[Item]
    candidate: Sequence[Item]
    recorded_is_popular: bool
    candidate_is_popular: bool
    chosen: Sequence[ItemId]
    candidate_seconds: float
    recorded_seconds: float | None
    candidate_is_refusal: bool = False


class ChosenItems(Struct, frozen=True):
    """Where the items are that users chose, counted from 1; biased to the version that showed them.

    Parameters
    ----------
    items
        How many.
    kept_share
        Share that the candidate shows, too.
    recorded_position, candidate_position
        Medians: in the recorded answers, of all; in the candidate's, of those that it shows.
    """

    items: int
    kept_share: float | None = None
    recorded_position: float | None = None
    candidate_position: float | None = None


class ReplayFigures(Struct, frozen=True):
    """What came of a replay; shares and overlaps are 0..1.

    Parameters
    ----------
    version
        The candidate.
    requests
        Recorded ones with an answer, of which `leaking` are left out: they are earlier than what
        the candidate has learned from.
    compared
        Answered again.
    overlap, rank_biased_overlap
        With the recorded answers, means.
    recorded_fallbacks, candidate_fallbacks
        Shares of answers with popular items.
    candidate_refusals
        Share of requests that get an error, for a label that the candidate does not know; the limit
        of fallbacks is for both together.
    scoring_ms, times_slower
        Median CPU time a request; against that of the versions that answered, on this
        machine; None if they are not in the registry.
    chosen
        See `ChosenItems`.
    """

    version: str
    requests: int
    leaking: int
    compared: int
    overlap: float
    rank_biased_overlap: float
    recorded_fallbacks: float
    candidate_fallbacks: float
    candidate_refusals: float
    scoring_ms: float
    times_slower: float | None
    chosen: ChosenItems


class ReplayLimits(NamedTuple):
    """What a candidate must keep to; None: no limit."""

    min_overlap: float | None = None
    max_fallbacks: float | None = None
    max_slower: float | None = None


def figures_of(version: str, leaking: int, replayed: Sequence[Replayed]) -> ReplayFigures:
    """Return the figures over `replayed`, of which there is at least one."""
    agreements = [compare(single.recorded, single.candidate) for single in replayed]
    timed = [single.recorded_seconds for single in replayed if single.recorded_seconds is not None]
    seconds = median(single.candidate_seconds for single in replayed)
    return ReplayFigures(
        version,
        len(replayed) + leaking,
        leaking,
        len(replayed),
        mean(agreement.overlap for agreement in agreements),
        mean(agreement.rank_biased_overlap for agreement in agreements),
        mean(single.recorded_is_popular for single in replayed),
        mean(single.candidate_is_popular for single in replayed),
        mean(single.candidate_is_refusal for single in replayed),
        seconds * 1000,
        seconds / median(timed) if timed and median(timed) > 0 else None,
        _chosen(replayed),
    )


def unmet(found: ReplayFigures, limits: ReplayLimits) -> tuple[str, ...]:
    """Return which limits are not met, with what was seen; what is not known is not met."""
    slower = "unknown" if found.times_slower is None else f"{found.times_slower:.2f}"
    least, most, factor = limits
    refused = found.candidate_refusals
    fallbacks = found.candidate_fallbacks + refused
    return tuple(
        words
        for is_unmet, words in (
            (
                least is not None and found.overlap < least,
                f"overlap {found.overlap:.3f}, at least {least} is required",
            ),
            (
                most is not None and fallbacks > most,
                f"fallbacks {fallbacks:.3f}, at most {most} are allowed"
                + (f"; {refused:.3f} are refusals, of unknown labels" if refused else ""),
            ),
            (
                factor is not None and (found.times_slower is None or found.times_slower > factor),
                f"{slower} times slower than what was recorded, at most {factor} is allowed",
            ),
        )
        if is_unmet
    )


def _chosen(replayed: Sequence[Replayed]) -> ChosenItems:
    places = []
    for single in replayed:
        recorded = [item.item_id for item in single.recorded]
        candidate = [item.item_id for item in single.candidate]
        places += [
            (recorded.index(item) + 1, candidate.index(item) + 1 if item in candidate else None)
            for item in single.chosen
        ]
    if not places:
        return ChosenItems(0)
    kept = [place for _, place in places if place is not None]
    return ChosenItems(
        len(places),
        len(kept) / len(places),
        float(median(place for place, _ in places)),
        float(median(kept)) if kept else None,
    )
