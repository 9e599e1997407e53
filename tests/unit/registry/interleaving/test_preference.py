import math
import random

import pytest

from registry.guardrails.evidence import Sample, log_e_value
from registry.interleaving.preference import PreferenceTally, prefer
from registry.interleaving.preference_guardrail import judge_preference


@pytest.mark.parametrize(
    ("tally", "verdict"),
    [
        (PreferenceTally(0, 0, 0), "no data"),
        (PreferenceTally(0, 0, 500), "undecided"),
        (PreferenceTally(1, 0, 0), "undecided"),
        (PreferenceTally(6, 0, 0), "undecided"),
        (PreferenceTally(7, 0, 900), "better"),
        (PreferenceTally(0, 7, 900), "worse"),
        (PreferenceTally(520, 480, 0), "undecided"),
        (PreferenceTally(600, 400, 0), "better"),
        (PreferenceTally(400, 600, 10_000), "worse"),
    ],
)
def test_the_verdict_follows_from_wins_and_losses_and_never_from_ties(tally, verdict):
    assert prefer("v0.1", "v0.2", tally).verdict == verdict


def test_the_bounds_of_the_share_leave_one_half_out_exactly_where_there_is_a_verdict():
    for wins in range(41):
        found = prefer("v0.1", "v0.2", PreferenceTally(wins, 40 - wins, 3))

        assert found.lower <= wins / 40 <= found.upper
        assert (found.verdict == "undecided") == (found.lower <= 0.5 <= found.upper), wins
        for bound in (found.lower, found.upper):
            if 0 < bound < 1:
                assert log_e_value(Sample(wins, 40), bound) == pytest.approx(math.log(20), abs=0.05)


@pytest.mark.parametrize(("users", "most_wins"), [(100, 27), (400, 153)])
def test_a_stage_fails_with_so_few_wins_as_the_page_says(users, most_wins):
    """At the usual share of `false_alarm`, 1/2000: docs/explanation/interleaving.md."""

    def verdict(wins):
        _, found = judge_preference(PreferenceTally(wins, users - wins, 50), users, 1 / 2000)
        return found.verdict

    assert (verdict(most_wins), verdict(most_wins + 1)) == ("fail", "pass")


def test_the_words_name_the_preferred_version_first():
    better = prefer("v0.1", "v0.2", PreferenceTally(30, 8, 22))
    worse = prefer("v0.1", "v0.2", PreferenceTally(8, 30, 22))

    assert better.words.startswith(
        "Users prefer canary (v0.2) to primary (v0.1): 30 against 8 users, 22 ties (e-value "
    )
    assert worse.words.startswith("Users prefer primary (v0.1) to canary (v0.2): ")
    assert "95 % confidence, however often you look" in better.words
    assert prefer("v0.1", "v0.2", PreferenceTally(3, 2, 9)).words.startswith("No conclusion yet: ")
    assert prefer("v0.1", "v0.2", PreferenceTally(0, 0, 0)).words == (
        "No conclusion yet: no user has a closed window."
    )


def test_looked_at_after_every_user_a_coin_seldom_makes_a_claim():
    rng = random.Random(15)
    claims = 0
    for _ in range(200):
        wins = 0
        for users in range(1, 201):
            wins += rng.random() < 0.5
            if log_e_value(Sample(wins, users), 0.5) >= math.log(20):
                claims += 1
                break

    assert claims <= 10
