"""What a recomputed list says of an answer's; where it comes from is tested with real workers."""

from __future__ import annotations

from harness.cells import each_cell

from ops.cli.explain_commands import CheckedAnswer, compared
from ops.clients.fresh_arithmetic import FreshArithmetic
from registry.rollout.explanation import explain
from registry.wire.responses import Item, Provenance, Response
from registry.wire.rollout_state import RolloutState

EXPLANATION = explain("u", RolloutState("production", 1, "fixed", "v0.1"))
ARITHMETIC = FreshArithmetic("v0.1", "model", {}, 1, 0, 1, (1, 2))


def checked(*item_ids: int, withdrawn: int | None = None) -> CheckedAnswer:
    answer = Response(
        "r1",
        "u",
        "ok",
        Provenance("production", "w1", withdrawn_items=withdrawn),
        [Item(item_id, 1.0) for item_id in item_ids],
        "v0.1",
        source="model",
    )
    return compared(CheckedAnswer(EXPLANATION, answer), answer, ARITHMETIC)


@each_cell("withdrawn", [None, 3])
def test_the_same_list_is_no_difference(withdrawn: int | None) -> None:
    check = checked(1, 2, withdrawn=withdrawn)

    assert (check.differences, check.not_recomputed) == ((), None)


def test_another_list_is_a_difference() -> None:
    check = checked(2, 3)

    assert check.not_recomputed is None
    assert "recomputed it is model [1, 2], the answer says model [2, 3]" in check.differences[0]


def test_another_list_under_withdrawals_is_reported_as_not_recomputed() -> None:
    check = checked(2, 3, withdrawn=1)

    assert check.differences == ()
    assert check.not_recomputed is not None
    assert "withdrawn" in check.not_recomputed
