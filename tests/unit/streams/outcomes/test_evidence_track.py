"""Looks at an experiment that are kept, and what is watched of it."""

from __future__ import annotations

from itertools import pairwise

from streams.outcomes.evidence_track import MOST_LOOKS, EvidenceTrack
from tests.unit.streams.experiments import a_conclusion


def test_looks_stay_few_and_evenly_spaced_from_the_first_to_the_latest() -> None:
    track, found = EvidenceTrack(), a_conclusion()
    for second in range(10_000):
        track.note(41, float(second), found)
        assert len(track.looks) <= MOST_LOOKS
    times = [look.at for look in track.looks]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert (times[0], times[-1]) == (0.0, 9_999.0)
    assert len(times) > MOST_LOOKS // 4
    assert max(gaps[:-1]) <= 2 * min(gaps[:-1])


def test_another_epoch_begins_anew() -> None:
    track, found = EvidenceTrack(), a_conclusion()
    track.note(41, 1.0, found)
    track.note(42, 2.0, found)
    assert [look.at for look in track.looks] == [2.0]
