"""A control topic is known by its id."""

from __future__ import annotations

from harness.cells import each_cell

from registry.rollout.recreated_control_topic import is_foreign


@each_cell(
    ("known", "present", "foreign"),
    [
        ("a", "a", False),
        ("a", "b", True),
        (None, "b", False),  # a log of an earlier release takes any
        ("a", None, False),  # a broker without ids: nobody can tell
        (None, None, False),
    ],
)
def test_a_topic_of_another_id_is_foreign(
    known: str | None, present: str | None, foreign: bool
) -> None:
    assert is_foreign(known, present) is foreign
