from collections.abc import Callable

import pytest
from harness.cells import each_cell
from msgspec.structs import replace

from ops.clients.fleet_observer import Observation
from ops.views import ramp_progress as watching
from ops.views.ramp_progress import follow_ramp
from registry.errors import TransportError
from registry.wire.instants import Instant
from registry.wire.ramp_values import Outcome, Ramp, RampState
from registry.wire.rollout_state import RolloutState

STATE = RolloutState(
    "production", 7, "canary", "v0.1", "v0.2", 10.0, updated_by="anna", reason="a fix"
)
RAMP = RampState(
    Ramp(steps=(10.0, 100.0), hold_seconds=1), "r1", 1, Instant.read("2026-01-01T00:00:00+00:00")
)
ENDED = replace(STATE, ramp=replace(RAMP, outcome="promoted"))


def looks(*states: RolloutState | None) -> Callable[[], Observation]:
    """Return a look that sees `states`, one after the other."""
    coming = iter(states)
    return lambda: Observation(next(coming))


@each_cell("outcome", ["promoted", "rolled_back", "cancelled"])
def test_a_ramp_is_followed_to_its_end(outcome: Outcome) -> None:
    going, gone = replace(STATE, ramp=RAMP), replace(STATE, ramp=replace(RAMP, outcome=outcome))
    shown: list[Observation] = []
    ended = follow_ramp(looks(going, going, gone), "r1", shown.append, every_seconds=0)
    assert ended.outcome == outcome
    assert [seen.state for seen in shown] == [going, going, gone]


@each_cell("after", [STATE, replace(STATE, ramp=replace(RAMP, ramp_id="r2"))])
def test_a_ramp_whose_place_another_command_took_was_cancelled(after: RolloutState) -> None:
    look = looks(replace(STATE, ramp=RAMP), after)
    ended = follow_ramp(look, "r1", lambda _seen: None, every_seconds=0)
    words = "cancelled by anna: a fix (strategy canary, primary v0.1, canary v0.2 at 10 %)"
    assert ended == ("cancelled", words)


@each_cell(
    ("outcome", "by", "reason", "words"),
    [
        (
            "rolled_back",
            "ramp",
            "step of 20 %: fail; error_rate: …",
            "rolled back by ramp: step of",
        ),
        ("promoted", "ramp", "step of 100 %: all guardrails pass", "promoted by ramp: step of 100"),
        ("cancelled", "anna", None, "cancelled by anna: no reason given"),
    ],
)
def test_the_end_says_who_ended_the_ramp_and_why(
    outcome: Outcome, by: str, reason: str | None, words: str
) -> None:
    gone = replace(STATE, ramp=replace(RAMP, outcome=outcome), updated_by=by, reason=reason)
    ended = follow_ramp(looks(gone), "r1", lambda _seen: None, every_seconds=0)
    assert ended.reason.startswith(words)


def test_a_ramp_whose_environment_is_gone_was_cancelled() -> None:
    ended = follow_ramp(looks(None), "r1", lambda _seen: None, every_seconds=0)
    assert ended == ("cancelled", "cancelled: there is no rollout state any more")


def test_a_broker_that_is_away_for_a_moment_ends_no_following() -> None:
    seen = iter([TransportError("away"), TransportError("away"), Observation(ENDED)])

    def look() -> Observation:
        next_look = next(seen)
        if isinstance(next_look, TransportError):
            raise next_look
        return next_look

    assert follow_ramp(look, "r1", lambda _seen: None, every_seconds=0).outcome == "promoted"


def test_a_broker_that_stays_away_ends_the_following(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "BLIND_SECONDS", 0.0)

    def look() -> Observation:
        raise TransportError("away")

    with pytest.raises(TransportError):
        follow_ramp(look, "r1", lambda _seen: None, every_seconds=0)
