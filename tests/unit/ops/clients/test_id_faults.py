"""Ids that sources without types read as others, and forgets that meet nobody."""

from __future__ import annotations

from ops.clients.id_faults import IdFault, forget_faults, type_faults


def test_a_text_that_looks_like_an_integer_changes_its_type() -> None:
    ids = ["42", " 7 ", "5.0", "042", "anna", 42_000, "9223372036854775808"]
    found = type_faults("v0.1", "item", ids, set(ids))
    assert [(fault.kind, fault.id, fault.twin) for fault in found] == [
        ("changes_type", "42", 42),
        ("changes_type", " 7 ", 7),
        ("changes_type", "5.0", 5),
    ]


def test_a_user_under_two_ids_is_named_as_such() -> None:
    assert list(type_faults("topic", "user", ["42", 42], {"42", 42})) == [
        IdFault("two_types", "topic", "user", "42", 42)
    ]


def test_a_forget_that_meets_no_user_is_reported_with_the_user_it_may_mean() -> None:
    users = {1, "2", "anna"}
    assert list(forget_faults("topic", [1, "2", "anna"], users)) == []
    assert [(fault.id, fault.twin) for fault in forget_faults("topic", ["1", 2, 3], users)] == [
        ("1", 1),
        (2, "2"),
        (3, None),
    ]
