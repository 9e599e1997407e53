"""The probes over HTTP: liveness, readiness and metrics. An edge; must not know the rules."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from registry.wire.rollout_state import RolloutState
from streams.http.documents import Health, Readiness
from streams.http.responses_as_json import json_response
from streams.kafka.request_progress import RequestProgress
from streams.metrics import Metrics
from streams.state.liveness import LivenessCheck
from streams.state.readiness import ReadinessCheck
from streams.watch.notice_board import NoticeBoard
from streams.watch.notices import Reason


class Probes:
    """Answers what machines ask of one worker.

    Parameters
    ----------
    worker
        Its name.
    state, acting
        Return the newest rollout state, and the one that is acted on.
    metrics, readiness, liveness, notices, progress
        What is known of the worker.
    request_topic
        Labels the lag.
    fresh_lag
        Returns how many interactions wait to be read; None: none are followed.
    may_read
        Tells whether the sender of a request may read more than the status alone.
    """

    def __init__(
        self,
        worker: str,
        state: Callable[[], RolloutState | None],
        acting: Callable[[], RolloutState | None],
        metrics: Metrics,
        readiness: ReadinessCheck,
        liveness: LivenessCheck,
        notices: NoticeBoard,
        progress: RequestProgress,
        request_topic: str,
        fresh_lag: Callable[[], int | None],
        may_read: Callable[[web.Request], bool],
    ) -> None:
        self._worker = worker
        self._state = state
        self._acting = acting
        self._metrics = metrics
        self._readiness = readiness
        self._liveness = liveness
        self._notices = notices
        self._progress = progress
        self._request_topic = request_topic
        self._fresh_lag = fresh_lag
        self._may_read = may_read

    async def healthz(self, request: web.Request) -> web.Response:
        """Tell whether the process should live; with 503 it needs a restart."""
        alive, acting = self._liveness.is_alive(), self._acting()
        version = acting.primary_version if acting else None
        health = Health("ok" if alive else "stuck", version, self._state())
        shown = health if self._may_read(request) else Health(health.status)
        return json_response(shown, 200 if alive else 503)

    async def readyz(self, request: web.Request) -> web.Response:
        """Tell whether the worker answers from the current state; 503 with the reasons if not."""
        reasons = self._readiness.reasons()
        status = 503 if reasons else 200
        if not self._may_read(request):
            codes = tuple(map(_code_alone, reasons))
            return json_response(Readiness(not reasons, codes), status)
        notices = self._notices.notices()
        readiness = Readiness(not reasons, reasons, self._worker, notices, self._fresh_lag())
        return json_response(readiness, status)

    async def metrics(self, request: web.Request) -> web.Response:
        """Expose the metrics as Prometheus text."""
        metrics = self._metrics
        metrics.consumer_lag.clear()  # partitions that another worker took over are shown there
        for partition, lag in self._progress.lags().items():
            metrics.consumer_lag.labels(self._request_topic, str(partition)).set(lag)
        metrics.requests_in_flight.set(self._progress.requests_in_flight())
        text = generate_latest(metrics.registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _code_alone(reason: Reason) -> Reason:
    return Reason(reason.code, "send the read token for details")
