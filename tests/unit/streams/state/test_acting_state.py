"""Which rollout state a worker acts on."""

from __future__ import annotations

from streams.state.acting_state import next_acting
from tests.unit.registry.builders import a_canary_state, a_state

CANARY = a_canary_state()


def test_nothing_is_acted_on_before_the_first_state() -> None:
    assert next_acting(None, None, {"v0.1"}) is None


def test_the_first_state_is_acted_on_once_its_primary_is_ready() -> None:
    first = a_state()
    assert next_acting(first, None, set()) is None
    assert next_acting(first, None, {"v0.1"}) is first


def test_a_new_state_waits_for_its_primary_and_for_nothing_else() -> None:
    assert next_acting(CANARY, a_state(), {"v0.2"}) == a_state()
    assert next_acting(CANARY, a_state(), {"v0.1"}) is CANARY


def test_what_is_acted_on_stays_if_no_state_is_known() -> None:
    acting = a_state()
    assert next_acting(None, acting, {"v0.1"}) is acting
