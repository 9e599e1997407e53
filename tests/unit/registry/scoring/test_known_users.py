"""What a version knows of a user, and what of him ranks in a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from harness.cells import each_cell

from registry.fresh.version_window import FreshUser
from registry.scoring.known_users import KnownUsers
from tests.unit.registry.builders import some_arrays

KNOWN, UNTAUGHT, UNKNOWN = 7, 8, 99
VECTORS = np.array([[1, 2], [0, 0]], np.float32)
OWN, SOLVED = [1.0, 2.0], np.array([3, 4], np.float32)
USERS = KnownUsers(
    some_arrays(
        user_factors=VECTORS,
        user_ids=[KNOWN, UNTAUGHT],
        seen_indptr=np.array([0, 2, 3], np.int64),
        seen_items=np.array([0, 3, 5], np.int32),
    )
)


@each_cell(
    ("user_id", "row", "seen", "other_type"),
    [
        (KNOWN, (0, True), [0, 3], False),
        (UNTAUGHT, (1, False), [5], False),
        (str(KNOWN), (None, False), [], True),
        (UNKNOWN, (None, False), [], False),
    ],
)
def test_a_user_has_a_row_a_vector_and_seen_items_or_not(
    user_id: Any, row: Any, seen: list[int], other_type: bool
) -> None:
    assert USERS.learned_row(user_id) == row
    assert USERS.seen_by(user_id).tolist() == seen
    assert USERS.knows_other_type_of(user_id) is other_type


def test_a_session_without_a_user_has_no_row() -> None:
    assert USERS.learned_row(None) == (None, False)
    assert USERS.askers([None], [None]).sources == ["popular"]


@each_cell(
    ("user_id", "lately", "source", "vector", "seen"),
    [
        (KNOWN, None, "model", OWN, [0, 3]),
        (UNTAUGHT, None, "popular", None, [5]),
        (UNKNOWN, None, "popular", None, []),
        (KNOWN, FreshUser(), "model", OWN, [0, 3]),
        (KNOWN, FreshUser(source="model"), "model", OWN, [0, 3]),
        (KNOWN, FreshUser(forgotten=True), "popular", None, []),
        (KNOWN, FreshUser(source="popular"), "popular", None, [0, 3]),
        (KNOWN, FreshUser(source="fold_in", vector=SOLVED), "fold_in", [3.0, 4.0], [0, 3]),
        (UNKNOWN, FreshUser(source="fold_in", vector=SOLVED), "fold_in", [3.0, 4.0], []),
    ],
)
def test_what_ranks_for_an_asker(
    user_id: Any, lately: FreshUser | None, source: str, vector: Any, seen: list[int]
) -> None:
    found = USERS.askers([user_id, KNOWN], [lately, None])
    assert found.sources == [source, "model"]
    assert found.seen[0].tolist() == seen
    assert vector is None or found.vectors[0].tolist() == vector
    assert found.vectors[1].tolist() == OWN, "a vector that was solved for is another's"
    assert USERS.factors.tolist() == [[1, 2], [0, 0]]


def test_a_sample_is_of_users_with_a_vector_from_all_over() -> None:
    assert USERS.learned_sample(64).tolist() == [0]
    users = KnownUsers(some_arrays(users=9))
    assert users.learned_sample(3).tolist() == [0, 3, 6]
    assert users.learned == 9
