"""Epochs stay comparable though the control topic's offsets begin anew."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from registry.epochs import ERA_BITS, MAX_EPOCH, epoch_of, era_of, offset_of

OFFSETS = st.integers(0, 2**ERA_BITS - 1)
ERAS = st.integers(0, 8191)


@given(ERAS, OFFSETS)
def test_an_epoch_holds_its_era_and_its_offset(era: int, offset: int) -> None:
    epoch = epoch_of(era, offset)
    assert (era_of(epoch), offset_of(epoch)) == (era, offset)
    assert epoch <= MAX_EPOCH


@given(st.tuples(ERAS, OFFSETS), st.tuples(ERAS, OFFSETS))
def test_epochs_compare_as_era_and_offset_do(
    first: tuple[int, int], other: tuple[int, int]
) -> None:
    assert (epoch_of(*first) < epoch_of(*other)) == (first < other)


@given(OFFSETS)
def test_in_the_first_era_an_epoch_is_the_offset(offset: int) -> None:
    assert epoch_of(0, offset) == offset


def test_before_all_commands_is_the_first_era() -> None:
    assert era_of(-1) == 0
