from __future__ import annotations

from registry.fresh.fresh_events import FreshEvent, fresh_event
from registry.wire.training_records.interactions import Interaction


def test_an_interaction_becomes_an_event_as_training_takes_it() -> None:
    watch = Interaction(user_id=1, item_id="a", event="watch")
    rate = Interaction(user_id=1, item_id=2, event="rate", value=4.5, timestamp=7.25)

    assert fresh_event(watch, 9.5, 3, 1) == FreshEvent("a", "watch", 1.0, 9.5, 3, 1)
    assert fresh_event(rate, 9.5, 4) == FreshEvent(2, "rate", 4.5, 7.25, 4, 0)
