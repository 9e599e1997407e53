"""Reads over HTTP: the rollout, its history, the fleet, traces, the training run, the versions.

An edge. Must not know the rules, nor who may read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import msgspec
from aiohttp import web

from registry.error_codes import HttpCode
from registry.errors import UnknownVersion
from registry.guardrails.live_workers import live
from registry.kafka.audit_trail import Trail, TrailQuery
from registry.outcomes.conclusion import Conclusion
from registry.rollout.ramp_decision import Look
from registry.rollout.trail_wording import diff
from registry.settings import Settings
from registry.wire.command_results import report_folder
from streams import asyncapi
from streams.http.documents import Fleet, HistoryEntry, RampLook, RolloutStatus
from streams.http.endpoints import HTML
from streams.http.history_query import asked_of
from streams.http.problems import Refused
from streams.http.responses_as_json import json_response
from streams.outcomes.compared_arms import preference_of
from streams.page.fleet_overview import overview_of
from streams.page.page_headers import REPORT_POLICY
from streams.page.registry_listing import RegistryListing
from streams.serving.traces import Traces, trace_of
from streams.state.rollout_table import RolloutTable
from streams.state.worker_node import Node

REPORT: Final = "report.html"

EPOCH_DIGITS: Final = 20
"""Of the largest one."""

READINGS: Final = 2
"""Readings of the trail at once; each has a consumer and a thread, of which there are few."""


class Reads:
    """The reading endpoints of one worker.

    Parameters
    ----------
    settings, node, table, traces, listing
        What is known of the worker.
    look
        Returns what the guardrails say of a ramp at a time, in seconds since the epoch.
    experiment
        Returns what may be concluded from outcomes.
    read_trail
        Returns the audit trail; reads Kafka.
    """

    def __init__(
        self,
        settings: Settings,
        node: Node,
        table: RolloutTable,
        traces: Traces,
        listing: RegistryListing,
        look: Callable[[float], Look | None],
        experiment: Callable[[], Conclusion | None],
        read_trail: Callable[[Settings, TrailQuery], Trail],
    ) -> None:
        self._settings = settings
        self._node = node
        self._table = table
        self._traces = traces
        self._listing = listing
        self._look = look
        self._experiment = experiment
        self._read = read_trail
        self._reading = asyncio.Semaphore(READINGS)

    async def rollout_status(self, request: web.Request) -> web.Response:
        """Return the rollout state, what is acted on, and what is in memory."""
        node, ready = self._node, self._node.residency.ready
        return json_response(
            RolloutStatus(
                worker=self._node.worker,
                state=node.view.state,
                acting_epoch=node.acting.epoch if node.acting else None,
                active_version=node.acting.primary_version if node.acting else None,
                resident_versions=tuple(sorted(ready)),
                kernels={version: str(model.kernel) for version, model in sorted(ready.items())},
                owns_control=self._table.is_owner,
                last_command_offset=node.view.log.last_offset,
            )
        )

    async def history(self, request: web.Request) -> web.Response:
        """Return the commands' results from Kafka, newest first."""
        asked = asked_of(request.rel_url.raw_query_string, self._settings.environment)
        async with self._reading:
            trail = await asyncio.to_thread(self._read, self._settings, asked)
        entries = [
            HistoryEntry(**msgspec.structs.asdict(result), changes=diff(result))
            for result in trail.results
        ]
        answer = json_response(entries)
        answer.headers["X-Unreadable-Records"] = str(trail.unreadable)
        return answer

    async def fleet(self, request: web.Request) -> web.Response:
        """Return all workers, their counts and the guardrails' findings."""
        return json_response(self._fleet(time.time()))

    async def trace(self, request: web.Request) -> web.Response:
        """Return why a recent answer of this worker is what it is."""
        request_id = request.match_info["request_id"]
        traces, view = self._traces, self._node.view
        answer = traces.find(request_id)
        if answer is None:
            others = [
                heartbeat.url
                for heartbeat in live(view.fleet, time.time())
                if heartbeat.worker != self._node.worker and heartbeat.url
            ]
            asked = (
                f"another worker may have answered it: {', '.join(others) or 'no other is live'}"
            )
            raise Refused(
                404,
                HttpCode.NOT_TRACED,
                f"request {request_id[:200]!r} is not among the last {len(traces)} answers of "
                f"{self._node.worker}; {asked}",
            )
        return json_response(trace_of(answer, view.states))

    async def training(self, request: web.Request) -> web.Response:
        """Return the fleet's latest training run, or null."""
        return json_response(self._node.view.training)

    async def models(self, request: web.Request) -> web.Response:
        """Return the registry's manifests, newest first."""
        return json_response(await asyncio.to_thread(self._listing.manifests))

    async def model_report(self, request: web.Request) -> web.Response:
        """Return a version's report."""
        version, store = request.match_info["version"], self._node.store
        try:
            manifest = await asyncio.to_thread(store.manifest, version)
        except UnknownVersion as error:
            raise Refused(404, error.code, str(error)) from error
        if REPORT not in manifest.files:
            raise Refused(404, HttpCode.NO_REPORT, f"version {version} has no report")
        page = await asyncio.to_thread(store.read, version, REPORT)
        return _report(page)

    async def experiment_report(self, request: web.Request) -> web.Response:
        """Return the report of an experiment that has ended."""
        epoch, objects = request.match_info["epoch"], self._node.store.objects
        page = None
        if epoch.isascii() and epoch.isdecimal() and len(epoch) <= EPOCH_DIGITS:
            folder = report_folder(self._settings.environment, int(epoch))
            page = await asyncio.to_thread(objects.read_if_there, f"{folder}/{REPORT}")
        if page is None:
            raise Refused(
                404,
                HttpCode.NO_REPORT,
                f"no experiment of epoch {epoch[:EPOCH_DIGITS]!r} has a report; the history names "
                "those that have one (`reported_experiment`)",
            )
        return _report(page)

    async def asyncapi(self, request: web.Request) -> web.Response:
        """Return the topics and messages as this fleet has them."""
        return json_response(asyncapi.document(self._settings))

    def _fleet(self, now: float) -> Fleet:
        """Return the fleet as this worker knows it at `now`, in seconds since the epoch."""
        view = self._node.view
        state, seen = view.state, self._look(now)
        overview = overview_of(state, view.fleet, now)
        return Fleet(
            environment=self._settings.environment,
            epoch=state.epoch if state else None,
            workers=overview.workers,
            arms=overview.arms,
            shadow=overview.shadow,
            split=overview.split,
            ramp=None
            if seen is None
            else RampLook(
                stage=seen.stage.kind,
                percentage=seen.stage.percentage,
                moment=seen.moment,
                verdict=seen.verdict,
                action=seen.action,
                due_in_seconds=seen.due_in_seconds,
                findings=seen.findings,
            ),
            experiment=self._experiment(),
            interleaving=preference_of(state, view.fleet)
            if self._settings.outcomes == "on"
            else None,
        )


def _report(page: bytes) -> web.Response:
    """Return a stored report. It is made of data, so nothing in it may run."""
    return web.Response(
        body=page, content_type=HTML, headers={"Content-Security-Policy": REPORT_POLICY}
    )
