"""The requests that wait for their answers: which answer belongs to which, and how many may wait.

No I/O. Any thread may call. Must not know where answers come from, nor who waits.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Final

import msgspec
from msgspec import Struct

from registry.error_codes import RecordCode
from registry.errors import RecordError, TooManyRequests
from registry.wire.responses import Response


class _Head(Struct):
    """All that is read of other programs' answers, which are on the topic as well."""

    request_id: str


_head: Final = msgspec.json.Decoder(_Head)
_response: Final = msgspec.json.Decoder(Response)


class OpenRequests:
    """The requests of one program that are not answered yet, by request id.

    Parameters
    ----------
    most
        How many may wait at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[str, Future[Response]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._waiting)

    def open(self, request_id: str) -> Future[Response]:
        """Return the future that the answer to `request_id` completes.

        Raises
        ------
        TooManyRequests
            If as many wait already as may.
        RecordError
            If a request of this id waits already.
        """
        future: Future[Response] = Future()
        future.set_running_or_notify_cancel()  # who waits gives up by `close`, not by `cancel`
        with self._lock:
            if request_id in self._waiting:
                raise RecordError(
                    f"request_id {request_id!r} is in flight; each request needs an id of its own",
                    RecordCode.INVALID,
                )
            if len(self._waiting) >= self._most:
                raise TooManyRequests(
                    f"{len(self._waiting)} requests are in flight, {self._most} are allowed; wait "
                    "for answers, or raise max_in_flight"
                )
            self._waiting[request_id] = future
        return future

    def close(self, request_id: str) -> None:
        """Give up on `request_id`: an answer that still comes is dropped."""
        self._take(request_id)

    def answer(self, payload: bytes | None) -> None:
        """Complete the request that `payload` answers.

        Answers to others' requests, duplicates, late answers and what is not an answer are dropped.
        """
        try:
            future = self._take(_head.decode(payload or b"").request_id)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return  # no answer of a worker
        if future is None:
            return
        try:
            future.set_result(_response.decode(payload or b""))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            future.set_exception(
                RecordError(
                    f"the answer cannot be read by this release of the client: {error}",
                    RecordCode.INVALID,
                )
            )

    def fail(self, request_id: str, error: Exception) -> None:
        """Complete `request_id` with an error, if it still waits."""
        if future := self._take(request_id):
            future.set_exception(error)

    def fail_all(self, error: Exception) -> None:
        """Complete all that wait with an error."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            future.set_exception(error)

    def _take(self, request_id: str) -> Future[Response] | None:
        with self._lock:
            return self._waiting.pop(request_id, None)
