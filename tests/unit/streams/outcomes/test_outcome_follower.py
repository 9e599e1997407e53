"""The follower of outcomes says why nothing is joined, until something is."""

from __future__ import annotations

from typing import Any

from registry.errors import TransportError
from registry.kafka.topics import topics_of
from registry.settings import Settings
from streams.outcomes.outcome_follower import OutcomeFollower


def test_why_nothing_is_joined_is_a_notice_until_all_is_well() -> None:
    delivery: Any = None
    settings = Settings()
    follower = OutcomeFollower(settings, topics_of(settings), lambda: (None, ()), delivery)
    assert follower.notice() is None

    follower._note_trouble(TransportError("topic reco.outcomes was not found"))
    notice = follower.notice()
    assert notice is not None
    assert notice.code == "outcomes_not_joined"
    assert "topic reco.outcomes was not found; retrying" in notice.message

    follower._note_all_is_well()
    assert follower.notice() is None
