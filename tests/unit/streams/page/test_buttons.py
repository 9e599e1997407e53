"""The offers: the buttons say what the rules would do now."""

from __future__ import annotations

from typing import Any

from harness.cells import each_cell

from registry.wire.rollout_state import RolloutState
from streams.page.buttons import fields, offers
from tests.unit.streams.statuses import a_canary, a_plan, a_ramp, a_state, a_status

RAMPING = a_canary(5.0, ramp=a_ramp(), previous_versions=("v0.2",))
SOAKING = a_state(ramp=a_ramp(4, plan=a_plan(soak_seconds=60)), previous_versions=("v0.2",))


@each_cell(
    ("state", "labels"),
    [
        (None, ["(Promote)", "(Pause ramp)", "(Abort)", "(Roll back)"]),
        (a_state(), ["(Promote)", "(Pause ramp)", "(Abort)", "(Roll back)"]),
        (
            a_canary(previous_versions=("v0.2", "v0.1")),
            ["Promote v0.4", "(Pause ramp)", "Abort v0.4", "Roll back to v0.2"],
        ),
        (RAMPING, ["Promote v0.4", "Pause ramp", "Abort v0.4", "Roll back to v0.2"]),
        (
            a_canary(5.0, ramp=a_ramp(paused=True)),
            ["Promote v0.4", "Resume ramp", "Abort v0.4", "(Roll back)"],
        ),
        (SOAKING, ["(Promote)", "Pause ramp", "End soak", "Roll back to v0.2"]),
    ],
    ids=["empty", "fixed", "canary", "ramping", "paused", "soaking"],
)
def test_each_button_says_what_it_does_and_whether_the_rules_would_take_it(
    state: RolloutState | None, labels: list[str]
) -> None:
    shown = [f"({offer.label})" if offer.refusal else offer.label for offer in offers(state)]
    assert shown == labels


def test_a_refusal_is_in_the_rules_own_words() -> None:
    (promote, *_) = offers(None)
    assert promote.refusal == "promote: this environment has no version yet; swap one in first"


@each_cell(
    ("state", "shown"),
    [
        (None, {"strategy": "fixed", "canary_version": "", "canary_percentage": "0"}),
        (a_canary(12.5), {"strategy": "canary", "canary_version": "v0.4"}),
        (a_canary(12.5), {"canary_percentage": "12.5", "shadow_sample_percentage": "100"}),
    ],
)
def test_the_fields_hold_the_present_values_as_a_form_shows_them(state: Any, shown: Any) -> None:
    assert shown.items() <= fields(a_status(rollout=state)).items()
