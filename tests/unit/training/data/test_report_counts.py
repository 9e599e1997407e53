"""The data report says what is in the interactions, and warns of what is unusual."""

from __future__ import annotations

from typing import Any

import pytest

from registry.wire.training_records.auto_transform import settled
from registry.wire.training_records.data_report import DataReport, Dropped, Heavy, ValueQuantiles
from registry.wire.training_records.event_weights import DEFAULT, parse_event_weights
from registry.wire.training_records.interactions import Interaction
from tests.unit.training.builders import forget, gather_rows, gathered, rate, rows_of, watch
from training.data import report_counts
from training.data.data_warnings import warned
from training.log.rows import table_of

NOW = 1e9


def untimed(user: int, item: int, **more: Any) -> Interaction:
    return Interaction(user_id=user, item_id=item, event="watch", **more)


def report_of(*events: Interaction, weights: str = DEFAULT) -> DataReport:
    """Return the report of events in one partition, recorded within a second, with warnings."""
    asked = parse_event_weights(weights)
    report = gathered([*events]).report
    largest = {kind: values.largest for kind, values in report.values.items()}
    return warned(report, asked, settled(asked, largest))


def warnings_of(*events: Interaction, weights: str = DEFAULT) -> dict[str, str]:
    return {warning.code: str(warning) for warning in report_of(*events, weights=weights).warnings}


def test_the_report_counts_events_pairs_users_and_items() -> None:
    report = report_of(
        *(watch(1, item, at=5.0, value=float(item)) for item in (1, 2, 3)),
        watch(2, 1, at=1.0),
        watch(2, 1, at=2.0),
        watch(2, 1, at=2.0),
        rate(2, 1, 4.0, at=9.0),
        Interaction(user_id=3, item_id=9, event="view"),
    )

    assert report.events == {"watch": 6, "rate": 1, "view": 1}
    assert report.values["watch"] == ValueQuantiles(4, 1.0, 1.0, 2.0, 2.0, 3.0)
    assert report.values["rate"] == ValueQuantiles(1, 4.0, 4.0, 4.0, 4.0, 4.0)
    assert (report.pairs, report.repeated, report.duplicates, report.kept) == (4, 2, 1, 7)
    assert (report.oldest, report.newest) == (1.0, 9.0)
    assert (report.untimed, report.own_times, report.times_tell) == (0, 7, True)
    assert report.users == {"2-4": 2}
    assert report.items == {"1": 2, "5-9": 1}
    assert report.heaviest_users == (Heavy(2, 4), Heavy(1, 3))
    assert report.heaviest_items[0] == Heavy(1, 5)


def test_what_is_dropped_is_counted_by_reason_with_the_place_of_an_example() -> None:
    good = rows_of(
        [watch(1, 7), watch(2, 8), forget(2), Interaction(user_id=1, item_id=7, event="view")]
    )
    bad = table_of([40, 41], [NOW] * 2, [b"{", b"{"])

    report = gather_rows([(0, good), (3, bad)]).report

    assert report.dropped == {
        "malformed": Dropped(2, 3, 40),
        "forgotten": Dropped(1, 0, 1),
        "no_weight": Dropped(1, 0, 3),
    }
    assert report.events == {"watch": 1, "view": 1}


def test_nothing_at_all_has_a_report_too() -> None:
    report = report_of()

    assert (report.events, report.values, report.oldest, report.warnings) == ({}, {}, None, ())
    assert report.text_by_name["events"] == "none"


def test_names_without_end_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_counts, "MOST_NAMES", 2)
    kinds = ("a", "b", "c", "d")

    report = report_of(*(Interaction(user_id=1, item_id=7, event=kind) for kind in kinds))

    assert sum(report.events.values()) == 4
    assert report.events["(others)"] == 2


# --- warnings ---


def test_values_beyond_a_small_range_count_by_their_logarithm_and_the_report_says_so() -> None:
    counts = [watch(1, item, value=260.0) for item in range(3)] + [watch(2, 9, value=352_698.0)]

    assert warnings_of(*counts) == {
        "wide_values": "values of `watch` reach 352,698, median 260: they count by their "
        "logarithm; write watch=1:log into RETRAIN_EVENT_WEIGHTS to confirm, or choose another "
        "transform"
    }
    assert (
        "use a log weight, watch=2:log in"
        in (warnings_of(*counts, weights="watch=2")["wide_values"])
    )
    assert warnings_of(*counts, weights="watch=1:log") == {}
    assert warnings_of(*counts, weights="watch=0,click=1") == {}


def test_ratings_are_nothing_unusual() -> None:
    assert warnings_of(rate(1, 7, 0.5), rate(1, 8, 5.0), rate(2, 7, 10.0)) == {}


def test_events_without_any_time_are_those_of_the_ingestion() -> None:
    report = report_of(*(untimed(user, 1) for user in range(5)))

    assert not report.times_tell
    assert [warning.code for warning in report.warnings] == ["no_times"]
    assert report.warnings[0].found == "no timestamps: all times are those of the ingestion"
    assert "give no order" in report.text_by_name["times"]


def test_times_that_were_stamped_while_a_file_was_read_are_those_of_the_ingestion_too() -> None:
    report = report_of(*(watch(user, 1, at=NOW - user) for user in range(5)))

    assert not report.times_tell
    assert "the times are those of the ingestion" in report.warnings[0].found


def test_records_of_many_hours_tell_what_came_first_without_timestamps() -> None:
    rows = [(0, rows_of([untimed(1, hour)], recorded_at=hour * 3600.0)) for hour in range(3)]

    report = gather_rows(rows).report

    assert (report.untimed, report.own_times, report.times_tell) == (3, 0, True)


def test_some_events_without_a_time_among_others_are_warned_of() -> None:
    assert set(warnings_of(watch(1, 1, at=5.0), untimed(1, 2))) == {"some_untimed"}


def test_a_few_users_who_make_many_events_are_warned_of() -> None:
    crowd = [watch(user, 1) for user in range(100, 170)]
    bots = [watch(user, item) for user in range(3) for item in range(20)]

    assert "heavy_users" not in warnings_of(*crowd)
    assert warnings_of(*crowd, *bots)["heavy_users"].startswith("3 users make 46% of events")


def test_a_kind_without_a_weight_is_named_with_its_number() -> None:
    views = [Interaction(user_id=1, item_id=item, event="view", timestamp=0.0) for item in range(5)]

    assert warnings_of(watch(1, 1), *views)["no_weight"] == (
        "event `view` has no weight: 5 events ignored: add view=1 to RETRAIN_EVENT_WEIGHTS, or "
        "view=0 if its items only count as seen"
    )


def test_a_weight_for_a_kind_that_never_occurs_is_a_spelling_to_be_looked_at() -> None:
    found = warnings_of(watch(1, 1), weights="watch=1,purchse=3")

    assert "names `purchse`, but there are no such events" in found["no_events"]


def test_events_that_repeat_others_are_warned_of() -> None:
    plays = [watch(1, 1, at=float(second)) for second in range(10)]

    assert "9 of 10 events repeat an earlier one" in warnings_of(*plays)["repeats"]


def test_records_that_cannot_be_used_are_warned_of_beyond_one_in_a_hundred() -> None:
    rows = [(0, rows_of([watch(1, 1)])), (2, table_of([7], [NOW], [b"{"]))]
    weights = parse_event_weights("watch=1")

    (warning,) = warned(gather_rows(rows).report, weights, weights).warnings

    assert str(warning) == (
        "1 records cannot be used: malformed: fix their producer; one is at partition 2, offset 7"
    )


def test_a_forget_that_met_no_user_is_warned_of() -> None:
    crowd = [watch(user, user % 9) for user in range(500)]
    warnings = warnings_of(*crowd, forget(7), forget("7a"), forget("8"))

    assert warnings.keys() >= {"forget_of_nobody", "forget_of_other_type"}
    assert warnings["forget_of_nobody"].startswith("1 `forget` events met no user, so nothing")
    assert "partition 0, offset 501" in warnings["forget_of_nobody"]
    assert "dropped" not in warnings
