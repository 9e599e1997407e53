"""Ranges of offsets: each is read once, gaps are found, small segments become large ones."""

from __future__ import annotations

from harness.cells import each_cell
from hypothesis import given
from hypothesis import strategies as st

from training.log.offset_ranges import RangePlan, Span, cover, missing, plan
from training.log.segment_merging import SEGMENT_RECORDS, absorbed

spans = st.tuples(st.integers(0, 30), st.integers(1, 12)).map(
    lambda pair: Span(pair[0], pair[0] + pair[1])
)


@given(st.lists(spans, max_size=8), spans)
def test_what_is_covered_and_what_is_missing_are_each_offset_once(
    held: list[Span], wanted: Span
) -> None:
    cuts = cover(held, wanted)
    read = [offset for cut in cuts for offset in range(*cut.span)]
    gaps = [offset for gap in missing(held, wanted) for offset in range(*gap)]

    assert read == sorted(set(read))
    assert sorted(read + gaps) == list(range(*wanted))
    assert set(read) == {
        place for place in range(*wanted) if any(place in range(*held) for held in held)
    }
    assert all(cut.segment in held for cut in cuts)


@each_cell(
    ("held", "limits", "range_", "unread", "lost"),
    [
        ([], (0, 0), (0, 0), [], []),
        ([], (0, 9), (0, 9), [(0, 9)], []),
        ([], (4, 9), (4, 9), [(4, 9)], []),  # no snapshot ever held what went before
        ([(0, 9)], (0, 9), (0, 9), [], []),
        ([(0, 5)], (0, 9), (0, 9), [(5, 9)], []),
        ([(0, 5)], (5, 9), (0, 9), [(5, 9)], []),  # retention took what is held
        ([(0, 5)], (9, 9), (0, 9), [], [(5, 9)]),
        ([(0, 5)], (7, 9), (0, 9), [(7, 9)], [(5, 7)]),
        ([(0, 2), (4, 5)], (0, 9), (0, 9), [(2, 4), (5, 9)], []),  # somebody removed a segment
        ([(0, 2), (4, 5)], (3, 9), (0, 9), [(3, 4), (5, 9)], [(2, 3)]),
        ([(4, 5)], (2, 9), (2, 9), [(2, 4), (5, 9)], []),
    ],
)
def test_the_plan_reads_what_is_not_held_and_names_what_is_lost(
    held: list[tuple[int, int]],
    limits: tuple[int, int],
    range_: tuple[int, int],
    unread: list[tuple[int, int]],
    lost: list[tuple[int, int]],
) -> None:
    planned = plan([Span(*span) for span in held], *limits)

    assert planned == RangePlan(
        Span(*range_), [Span(*span) for span in unread], [Span(*span) for span in lost]
    )


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=300))
def test_segments_stay_few_and_whole_however_they_are_added(lengths: list[int]) -> None:
    held: list[Span] = []
    for length in lengths:
        end = held[-1].end if held else 0
        new = Span(end, end + length)
        before = absorbed(held, new)
        whole = Span(before[0].start, new.end) if before else new
        held = [span for span in held if span not in before] + [whole]

    assert missing(held, Span(0, sum(lengths))) == []
    assert len(held) <= 22  # 2 + log2 of 600,000, the most there can be, and a full one or two


def test_a_full_segment_is_never_written_again() -> None:
    assert absorbed([Span(0, SEGMENT_RECORDS)], Span(SEGMENT_RECORDS, 2 * SEGMENT_RECORDS)) == []
