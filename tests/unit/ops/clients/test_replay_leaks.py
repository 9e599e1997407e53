"""Which recorded requests a version may replay."""

from __future__ import annotations

import pytest

from ops.clients.recorded_traffic import Recorded
from ops.clients.replay_leaks import without_leaks
from registry.errors import RefusedCommand
from registry.wire.requests import Request
from registry.wire.responses import Provenance, Response


def recorded(at: float) -> Recorded:
    request = Request(f"r{at}", 1)
    answer = Response(request.request_id, 1, "ok", Provenance("production", "w1"))
    return Recorded(request, 0, at, answer, at)


def test_a_request_from_before_the_end_of_what_a_version_learned_is_left_out() -> None:
    fair = without_leaks([recorded(1.0), recorded(2.0), recorded(2.5)], "v0.4", 2.0)
    assert [request.asked_at for request in fair] == [2.5]


def test_a_replay_of_such_requests_alone_is_refused_with_the_time_that_was_learned() -> None:
    with pytest.raises(
        RefusedCommand, match=r"none of 1 .* v0\.4 .*1970-01-01 00:00:02"
    ) as refusal:
        without_leaks([recorded(1.0)], "v0.4", 2.0)
    assert refusal.value.code == "leaks"
