"""The picture of an experiment: where its lines lie."""

from __future__ import annotations

import pytest

from streams.outcomes.evidence_track import TrackedLook
from streams.page.evidence_chart import evidence_pictures, whiskers
from tests.unit.streams.experiments import a_conclusion, an_experiment


def test_the_picture_spans_the_looks_and_is_as_tall_as_the_present_interval_asks() -> None:
    experiment = an_experiment()
    picture = evidence_pictures(experiment.looks)["conversion"]
    assert picture is not None
    assert picture.line == "M0.0 140.7 L1000.0 87.8"
    assert (picture.since, picture.until) == (1.76e9, 1.76e9 + 60)
    assert [mark.label for mark in picture.marks] == ["+40", "+20", "0", "-20", "-40"]


def test_what_was_wider_than_the_picture_is_cut_off_at_its_edge() -> None:
    early, late = a_conclusion(4, 6, users=10), a_conclusion()
    looks = [
        TrackedLook(at, found.conversion, found.outcomes_per_exposure)
        for at, found in ((1.0, early), (2.0, late))
    ]
    pictures = evidence_pictures(looks)
    assert pictures["conversion"] is not None
    assert pictures["conversion"].band.startswith("M0.0 0.0 ")
    assert pictures["outcomes_per_exposure"] is None  # it was judged once only


@pytest.mark.parametrize("kept", [0, 1])
def test_without_two_looks_there_is_no_picture(kept: int) -> None:
    assert set(evidence_pictures(an_experiment().looks[:kept]).values()) == {None}


def test_both_arms_whiskers_share_a_scale() -> None:
    found = a_conclusion().conversion
    primary, canary = whiskers(found)
    assert primary is not None
    assert canary is not None
    assert (primary.left, canary.left + canary.width) == (0.0, 100.0)
    assert primary.left < primary.at < primary.left + primary.width < canary.left < canary.at
    assert whiskers(a_conclusion(users=0, primary=0, canary=0).conversion) == (None, None)
