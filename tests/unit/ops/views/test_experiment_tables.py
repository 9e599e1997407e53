from io import StringIO

from rich.console import Console

from ops.views.experiment_tables import conclusion_lines
from registry.outcomes.conclusion import Arm, conclude
from registry.wire.outcome_records import ArmSums


def shown(primary, canary):
    out = StringIO()
    found = conclude(Arm("A", "v0.1", primary), Arm("B", "v0.2", canary), 0.5)
    Console(file=out, width=200).print(conclusion_lines(found))
    return out.getvalue()


def test_arms_differences_and_words_are_shown():
    text = shown(
        ArmSums(2000, 800, 900, 4000, 1100, 2000, 9000),
        ArmSums(2000, 1000, 1200, 4000, 1500, 2600, 9000),
    )
    for part in ("2,000", "40.00%", "50.00%", "outcomes per exposure", "0.2250", "0.3000"):
        assert part in text
    assert "B (v0.2) is better than A (v0.1)" in text
    assert "split: users 2,000 B, 2,000 A" in text


def test_an_experiment_without_closed_users_says_so():
    assert "No conclusion yet: no user of A (v0.1) and B (v0.2)" in shown(ArmSums(), ArmSums())
