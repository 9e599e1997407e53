"""Traces: the latest answers of this worker, and why each was given, recomputed from scratch.

Remembers what was sent, batch by batch, within bounds of number and memory. A trace is put together
only on request. Must not know HTTP.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import chain
from typing import Final

from msgspec import Struct

from registry.rollout.explanation import Explanation, differences, explain
from registry.wire.codec import decode
from registry.wire.requests import Request
from registry.wire.responses import Response
from registry.wire.rollout_state import RolloutState
from streams.serving.batch_results import Answer, Batch

ANSWERS_REMEMBERED: Final = 5_000
"""At a thousand requests a second, those of the last five seconds."""

BYTES_REMEMBERED: Final = 32 * 1024 * 1024
"""Of encoded answers; an answer of 1000 items has 50 kB."""


class Trace(Struct, frozen=True):
    """One answer of this worker, compared with the rules.

    Parameters
    ----------
    request
        The request as received.
    response
        The response as sent.
    requested_at
        The request record's timestamp, ISO 8601 in UTC; None if it has none or it is invalid.
    state
        The rollout state of the answer's epoch; None if it is no longer remembered.
    explanation
        Recomputed from the user id and `state` alone.
    matches
        Whether the answer matches the rules; None if there is nothing to compare.
    differences
        Where they differ, or why nothing was compared.
    """

    request: Request | None
    response: Response
    requested_at: str | None
    state: RolloutState | None
    explanation: Explanation | None
    matches: bool | None
    differences: tuple[str, ...]


class Traces:
    """The latest answers, the oldest batches forgotten first.

    Parameters
    ----------
    answers, size_bytes
        Most that are remembered; of a larger batch only its end.
    """

    def __init__(
        self, answers: int = ANSWERS_REMEMBERED, size_bytes: int = BYTES_REMEMBERED
    ) -> None:
        self._most_answers = answers
        self._most_bytes = size_bytes
        self._batches: deque[tuple[list[Answer], int]] = deque()
        self._answers = 0
        self._bytes = 0

    def remember(self, batch: Batch) -> None:
        """Remember the answers of `batch`; costs next to nothing an answer."""
        if not batch.answers:
            return
        kept = batch.answers[-self._most_answers :]
        size = sum(len(answer.payload) for answer in kept)
        self._batches.append((kept, size))
        self._answers += len(kept)
        self._bytes += size
        while self._answers > self._most_answers or self._bytes > self._most_bytes:
            forgotten, size = self._batches.popleft()
            self._answers -= len(forgotten)
            self._bytes -= size

    def __len__(self) -> int:
        return self._answers

    def find(self, request_id: str) -> Answer | None:
        """Return the newest answer to `request_id` that is remembered."""
        newest_first = chain.from_iterable(reversed(batch) for batch, _ in reversed(self._batches))
        return next((answer for answer in newest_first if answer.request_id == request_id), None)


def trace_of(answer: Answer, states: Mapping[int, RolloutState]) -> Trace:
    """Return what `answer` says, and whether the rules say the same.

    Parameters
    ----------
    answer
        As it was remembered.
    states
        Rollout states by epoch, the latest ones.
    """
    response = decode(Response, answer.payload)
    request = answer.request
    epoch = response.provenance.rollout_epoch
    state = None if epoch is None else states.get(epoch)
    key = response.user_id if request is None else request.key
    explained = explain(key, state) if state is not None and key is not None else None
    why_not = _not_comparable(request, response, state)
    different: tuple[str, ...] = ()
    if why_not is None and explained is not None and state is not None:
        different = differences(explained, state, response)
    return Trace(
        request=request,
        response=response,
        requested_at=_time_of(answer.timestamp_ms),
        state=state,
        explanation=explained,
        matches=not different if why_not is None else None,
        differences=different if why_not is None else (why_not,),
    )


def _time_of(timestamp_ms: int) -> str | None:
    """Return the time that a producer wrote: any number, -1 where it wrote none."""
    if timestamp_ms < 0:
        return None
    try:
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return None


def _not_comparable(
    request: Request | None, response: Response, state: RolloutState | None
) -> str | None:
    """Return why the rules say nothing of this answer; None if they do."""
    if request is not None and request.model_version is not None:
        return f"the request pins {request.model_version}: no rule was applied"
    if response.status != "ok":
        return f"the answer has status {response.status}: no version produced it"
    if state is None:
        epoch = response.provenance.rollout_epoch
        return f"the state of epoch {epoch} is no longer known to this worker"
    return None
