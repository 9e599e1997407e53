"""How long an experiment still takes: every case has its words."""

from __future__ import annotations

from registry.outcomes.arm_comparison import compare_conversion
from registry.outcomes.conclusion import Arm, conclude
from registry.outcomes.outlook import Elapsed, Outlook, outlook_of
from registry.outcomes.users_needed import users_needed
from registry.wire.outcome_records import ArmSums

ELAPSED = Elapsed(11_000, window_seconds=1_000)


def outlook(primary: ArmSums, canary: ArmSums, seconds: float = 11_000) -> Outlook:
    elapsed = Elapsed(seconds, window_seconds=1_000)
    found = conclude(Arm("A", "v1", primary), Arm("B", "v2", canary), 0.5, elapsed=elapsed)
    assert found.outlook is not None
    return found.outlook


def test_every_state_of_an_experiment_has_its_outlook() -> None:
    some, none = ArmSums(1_000, 400), ArmSums()
    for given, words in (
        ((none, none, 400), "The first windows close in 10 minutes."),
        ((none, none), "Windows could close for 2.8 hours by now, and none has: "),
        ((some, ArmSums(1_000, 600)), "Decided on conversion: more users are not needed."),
        ((some, ArmSums(1_000, 200)), "Decided on conversion: more users are not needed."),
        ((some, ArmSums(2_000, 800)), "More users will not mend that."),
        ((some, some), "No end can be foreseen: at 0.2 users/s, "),
        ((ArmSums(1_000, 0), ArmSums(1_000, 1)), "No end can be foreseen: at 0.2 users/s, "),
        ((some, none), "More users will not mend that."),
    ):
        assert outlook(*given).words.startswith(words), given


def test_windows_that_closed_before_they_could_give_no_outlook() -> None:
    arm = ArmSums(1_000, 400)
    for seconds in (400, 1_000):  # the window that is known here is not that of the workers
        elapsed = Elapsed(seconds, window_seconds=1_000)
        found = conclude(Arm("A", "v1", arm), Arm("B", "v2", arm), 0.5, elapsed=elapsed)
        assert found.outlook is None


def test_an_undecided_experiment_foresees_the_users_that_its_own_difference_needs() -> None:
    seen = outlook(ArmSums(1_000, 400), ArmSums(1_000, 440))
    missing = users_needed(0.4, 0.1).anytime - 2_000
    assert (seen.users_missing, seen.users_per_second) == (missing, 0.2)
    assert seen.seconds == missing / 0.2
    assert seen.words == (
        "If the difference stays at +4.00 percentage points, about 20,000 more users are needed: "
        "27.9 hours at 0.2 users/s."
    )


def test_more_users_than_that_difference_needs_may_be_told_any_time() -> None:
    arms = ArmSums(150_000, 60_000), ArmSums(150_000, 60_900)
    assert users_needed(0.4, 0.015).anytime > 300_000  # four times out of five
    assert outlook(*arms).users_missing
    late = outlook_of(compare_conversion(*arms, 0.05), 10**9, 0.5, ELAPSED, is_broken=False)
    assert late is not None
    assert (late.users_missing, late.seconds) == (0, 0.0)
    assert late.words.startswith("If the difference really is +0.60 percentage points, it is ")
