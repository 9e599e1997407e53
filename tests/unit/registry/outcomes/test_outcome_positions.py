from registry.outcomes.outcome_positions import PositionOutcomes, outcomes_by_position
from registry.wire.field_types import Variant
from registry.wire.outcome_records import ClosedWindow, CreditedAction, OutcomeRecord


def an_outcome(
    user: int, variant: Variant, position: int, epoch: int = 7, event: str = "click"
) -> OutcomeRecord:
    credit = CreditedAction("r1", position, position, event, 0.5, 1.0)
    return OutcomeRecord("production", epoch, user, variant, "v0.1", 0.0, credit=credit)


def test_each_outcome_of_the_experiment_counts_once_at_the_position_of_its_item() -> None:
    closed = OutcomeRecord("production", 7, 1, "A", "v0.1", 0.0, closed=ClosedWindow(0.0, 1, 1))
    records = [
        an_outcome(1, "B", 0), an_outcome(1, "B", 0), an_outcome(1, "B", 0, event="watch"),
        an_outcome(2, "B", 3), an_outcome(3, "A", 0), an_outcome(3, "A", 0, epoch=8), closed,
    ]  # fmt: skip
    assert outcomes_by_position(records, "production", 7) == (
        PositionOutcomes("A", 1, 1, 0.5),
        PositionOutcomes("B", 1, 2, 1.0),
        PositionOutcomes("B", 4, 1, 0.5),
    )
    assert outcomes_by_position(records, "eu", 7) == ()
