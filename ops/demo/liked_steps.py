"""The demo's last steps: only users can tell that a version is worse, by a ramp and in one list.

Chance decides nothing: some 60 % of the viewers like a film of the good version's answer, 3 % one
of the other's. Even with 55 % against 5 %, 300 viewers in each arm miss that with a probability of
less than one in a hundred million, and 60 who prefer one of two lists with one in fifty thousand.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from ops.clients import kafka_client
from ops.clients.fleet_observer import heartbeats
from ops.demo import demo_fleet
from ops.demo.demo_fleet import DemoFleet
from ops.demo.shipped_ratings import mixed_up_ratings, tastes
from ops.demo.tour_commands import send, show_ramp, start_ramp, train_here
from ops.demo.tour_screen import Screen
from ops.demo.viewers import watching
from ops.views.experiment_tables import preference_lines
from registry.interleaving.preference import Preference
from streams.outcomes.compared_arms import preference_of

MIXED_PREFIX: Final = "reco-export"

PREFERENCE_SECONDS: Final = 60.0
"""How long to wait until viewers have shown which version they prefer; it takes about ten."""


def train_on_mixed_up_films(screen: Screen, variables: Mapping[str, str]) -> str:
    """Train on ratings of which an export has mixed up the films, in the fleet's registry."""
    described = "each under the id of another film"
    version = train_here(variables, MIXED_PREFIX, mixed_up_ratings(), described, screen)
    screen.say(f"{version} passed its gate: by its own ratings it is as good as any")
    return version


def ramp_by_conversion(fleet: DemoFleet, screen: Screen, version: str) -> dict[str, Any]:
    """Ramp up `version` under viewers who rate, until it is rolled back; return the figures."""
    ramp_id, epoch = start_ramp(fleet, version, "trained on a new export", demo_fleet.LIKED_RAMP)
    began = time.monotonic()
    with watching(fleet.settings, tastes(), epoch + 1) as viewers:
        ended = show_ramp(fleet, screen, ramp_id)
    seconds = time.monotonic() - began
    outcome = ended.outcome.replace("_", " ")
    screen.say(f"{outcome} after {seconds:.1f} s and {viewers.ratings:,} ratings by viewers")
    return {"outcome": ended.outcome, "reason": ended.reason, "seconds": round(seconds, 2)}


def interleave(fleet: DemoFleet, screen: Screen, version: str) -> dict[str, Any]:
    """Mix the lists of both versions until viewers prefer one; return the figures."""
    command = kafka_client.new_command(
        fleet.settings, "rollout", strategy="interleave", canary_version=version, reason="demo"
    )
    epoch = send(fleet, command).epoch or 0
    demo_fleet.wait_until_acting(fleet, version, epoch)
    began = time.monotonic()
    with watching(fleet.settings, tastes(), epoch):
        found = demo_fleet.wait_for(
            fleet, lambda: _preference(fleet), "viewers to prefer a version", PREFERENCE_SECONDS
        )
    seconds = time.monotonic() - began
    send(fleet, kafka_client.new_command(fleet.settings, "abort", reason=found.words))
    screen.show([preference_lines(found)])
    screen.say(f"found {seconds:.1f} s after the first request")
    return {"verdict": found.verdict, "seconds": round(seconds, 2)}


def _preference(fleet: DemoFleet) -> Preference | None:
    """Return which version viewers prefer; None as long as that is not clear."""
    state = kafka_client.rollout_state(fleet.settings)
    found = preference_of(state, heartbeats(fleet.settings))
    return found if found is not None and found.verdict in ("better", "worse") else None
