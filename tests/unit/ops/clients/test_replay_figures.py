from msgspec.structs import replace

from ops.clients.replay_figures import ChosenItems, Replayed, ReplayLimits, figures_of, unmet
from registry.wire.responses import Item


def items(*ids):
    return [Item(item, 1.0) for item in ids]


def a_replayed(
    recorded=(1, 2),
    candidate=(2, 3),
    popular=False,
    chosen=(),
    seconds=(0.002, 0.001),
    refused=False,
):
    shown = items(*candidate)
    return Replayed(items(*recorded), shown, False, popular, chosen, *seconds, refused)


def test_the_figures_say_how_a_candidate_answers_what_was_asked():
    found = figures_of(
        "v0.4", 3, [a_replayed(chosen=[2, 1]), a_replayed(candidate=(1, 2), popular=True)]
    )

    assert (found.requests, found.leaking, found.compared) == (5, 3, 2)
    assert found.overlap == 0.75
    assert (found.recorded_fallbacks, found.candidate_fallbacks) == (0.0, 0.5)
    assert (found.scoring_ms, found.times_slower) == (2.0, 2.0)
    assert found.chosen == ChosenItems(2, 0.5, 1.5, 1.0)


def test_without_choices_or_recorded_times_the_figures_say_that_nothing_is_known():
    found = figures_of("v0.4", 0, [a_replayed(seconds=(0.002, None))])

    assert found.chosen == ChosenItems(0)
    assert found.times_slower is None
    assert figures_of("v0.4", 0, [a_replayed(chosen=[1])]).chosen.candidate_position is None


def test_a_limit_that_is_not_met_is_named_with_what_was_seen():
    found = figures_of("v0.4", 0, [a_replayed(popular=True)])

    assert unmet(found, ReplayLimits()) == unmet(found, ReplayLimits(0.5, 1.0, 2.0)) == ()
    assert unmet(found, ReplayLimits(0.6, 0.9, 1.5)) == (
        "overlap 0.500, at least 0.6 is required",
        "fallbacks 1.000, at most 0.9 are allowed",
        "2.00 times slower than what was recorded, at most 1.5 is allowed",
    )
    assert unmet(replace(found, times_slower=None), ReplayLimits(max_slower=9.0)) == (
        "unknown times slower than what was recorded, at most 9.0 is allowed",
    )


def test_requests_that_the_candidate_refuses_count_against_the_limit_of_fallbacks():
    replayed = [a_replayed(popular=True), a_replayed(candidate=(), refused=True), a_replayed()]
    found = figures_of("v0.4", 0, [*replayed, a_replayed()])

    assert (found.candidate_fallbacks, found.candidate_refusals) == (0.25, 0.25)
    assert unmet(found, ReplayLimits(max_fallbacks=0.5)) == ()
    assert unmet(found, ReplayLimits(max_fallbacks=0.4)) == (
        "fallbacks 0.500, at most 0.4 are allowed; 0.250 are refusals, of unknown labels",
    )
