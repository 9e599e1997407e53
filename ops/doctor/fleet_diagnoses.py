"""What the doctor reads of the fleet: workers and their lag, the rollout state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from ops.clients import fleet_observer, kafka_client, worker_pages
from ops.clients.worker_pages import ReadinessPage
from ops.doctor.diagnosis import Diagnosis
from registry.errors import TransportError
from registry.settings import Settings
from registry.wire.heartbeats import Heartbeat

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

LAG_SECONDS: Final = 10.0
"""Of traffic at the present rate: more waiting than that is worth a warning."""


def workers(settings: Settings) -> Iterator[Diagnosis]:
    """Say whether workers run, are ready, and keep up."""
    fleet = fleet_observer.heartbeats(settings)
    pages = {heartbeat.instance: page for heartbeat in fleet if (page := _page(heartbeat))}
    yield from worker_diagnoses(fleet, settings, pages)


def _page(heartbeat: Heartbeat) -> ReadinessPage | None:
    """Return what a local worker reports, which is more than its heartbeats do.

    Others are not asked: a heartbeat's address is anybody's who may write to the topic.
    """
    if urlsplit(heartbeat.url).hostname not in LOOPBACK:
        return None
    try:
        page = worker_pages.readiness(heartbeat.url)
    except TransportError:
        return None
    return page if page.worker == heartbeat.worker else None


def worker_diagnoses(
    fleet: Iterable[Heartbeat], settings: Settings, pages: Mapping[str, ReadinessPage]
) -> Iterator[Diagnosis]:
    """Say of each live worker whether it is ready and keeps up, and which notices it has.

    Parameters
    ----------
    fleet
        The latest heartbeat of each.
    settings
        Of this command.
    pages
        What workers say of themselves, by instance, of those that were asked.
    """
    live = [heartbeat for heartbeat in fleet if not heartbeat.stopping]
    if not live:
        yield Diagnosis(
            "workers",
            "failed",
            f"no worker of environment {settings.environment} has sent a heartbeat on prefix "
            f"{settings.topic_prefix} in the last {fleet_observer.HEARD_SECONDS:g} s",
            "recstream worker; are ENVIRONMENT and RECSTREAM_TOPIC_PREFIX the workers'?",
        )
    for worker in live:
        page = pages.get(worker.instance, ReadinessPage())
        if worker.reasons:
            why = {code: code for code in worker.reasons}
            why |= {reason.code: f"{reason.code}: {reason.message}" for reason in page.reasons}
            detail = f"{worker.worker} is not ready: {'; '.join(why.values())}"
            remedy = "docs/how-to/when-something-is-wrong.md has each code"
            yield Diagnosis("workers", "failed", detail, remedy)
        elif worker.failures:
            shown = "; ".join(f"{name}: {why}" for name, why in worker.failures.items())
            detail = f"{worker.worker} could not load {shown}"
            yield Diagnosis("workers", "failed", detail, "recstream registry verify")
        elif worker.lag > LAG_SECONDS * max(1.0, worker.requests_per_second):
            detail = f"{worker.worker}: {worker.lag} requests are waiting"
            yield Diagnosis("workers", "warning", detail, "start more workers, if it lasts")
        else:
            detail = f"{worker.worker} is ready, {worker.lag} requests are waiting"
            yield Diagnosis("workers", "ok", detail)
        for notice in page.notices:
            detail = f"{worker.worker}: {notice.code}: {notice.message}"
            yield Diagnosis("workers", "warning", detail)


def rollout(settings: Settings) -> Iterator[Diagnosis]:
    """Say whether a version is deployed."""
    state = kafka_client.rollout_state(settings)
    if state is None:
        yield Diagnosis(
            "rollout",
            "failed",
            f"environment {settings.environment} has no rollout state: no version is deployed",
            "recstream ingest, then recstream retrain; or recstream swap VERSION",
        )
        return
    versions = [state.primary_version, *([state.canary_version] if state.canary_version else [])]
    detail = f"{state.strategy}, epoch {state.epoch}, {' and '.join(versions)}"
    yield Diagnosis("rollout", "ok", detail)
