"""A worker's pages: put together from its parts, and served."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from aiohttp import web

from registry.errors import ConfigurationError
from registry.kafka.audit_trail import Trail, TrailQuery, trail_of
from registry.settings import Settings
from streams.http.admission.connections import BACKLOG, BoundedRunner
from streams.http.admission.login import Login
from streams.http.command_endpoints import Writes
from streams.http.probes import Probes
from streams.http.reading_endpoints import Reads
from streams.http.recommend_endpoints import Recommendations
from streams.http.server import Pages
from streams.http.try_endpoints import Trying
from streams.observers import Observers
from streams.page.registry_listing import RegistryListing
from streams.page.status import ItemsFollowed
from streams.page.status_collector import StatusCollector
from streams.parts import Parts

logger = logging.getLogger(__name__)

LAST_ANSWERS_SECONDS: Final = 1.0
"""How long HTTP requests in flight may take at a stop; aiohttp itself waits a minute."""


def build_pages(
    parts: Parts,
    observers: Observers,
    read_trail: Callable[[Settings, TrailQuery], Trail] = trail_of,
) -> Pages:
    """Put the pages together; `read_trail` returns the audit trail, from Kafka."""
    settings, node, table = parts.settings, parts.node, parts.table
    listing = RegistryListing(node.store, node.view)
    login = Login(settings)
    return Pages(
        collector_of(parts, observers, listing).collect,
        Probes(
            node.worker,
            lambda: node.view.state,
            lambda: node.acting,
            parts.metrics,
            observers.readiness,
            observers.liveness,
            observers.notices,
            observers.progress,
            parts.topics.requests.name,
            lambda: parts.fresh.behind,
            login.may_read,
        ),
        Reads(
            settings,
            node,
            table,
            parts.traces,
            listing,
            parts.ramp.seen,
            parts.experiment.conclusion,
            read_trail,
        ),
        Trying(node.answering, lambda: parts.watch.request_partitions or 0),
        Recommendations(settings),
        Writes(
            node.view,
            lambda: node.recovered_once,
            parts.watch,
            parts.delivery,
            settings.environment,
            parts.topics.control.name,
        ),
        login,
    )


def collector_of(parts: Parts, observers: Observers, listing: RegistryListing) -> StatusCollector:
    """Return the collector of the status of the worker with these `parts`."""
    items = parts.items
    return StatusCollector(
        parts.settings,
        parts.node,
        parts.table,
        parts.metrics,
        readiness=observers.readiness,
        notices=observers.notices,
        progress=observers.progress,
        listing=listing,
        requests_per_second=lambda: parts.fleet.requests_per_second,
        look=parts.ramp.seen,
        experiment=parts.experiment.status,
        items=lambda: ItemsFollowed(items.known, items.withdrawn, items.offset, items.lag),
        fresh=parts.fresh.status,
    )


async def serve_pages(parts: Parts, pages: Pages) -> list[web.AppRunner]:
    """Serve the pages, and the metrics on a port of their own if they are to have one."""
    settings = parts.settings
    host, port = settings.http_host, settings.http_port
    runners = [await _serve(pages.application(), "RECSTREAM_HTTP", host, port)]
    parts.fleet.url = "http://{}:{}/".format(*runners[0].addresses[0][:2])
    logger.info("pages at %s", parts.fleet.url)
    if settings.metrics_port is not None:
        host, port = settings.metrics_host or host, settings.metrics_port
        alone = await _serve(pages.metrics_alone(), "RECSTREAM_METRICS", host, port)
        runners.append(alone)
        logger.info("metrics at http://%s:%s/metrics", *alone.addresses[0][:2])
    return runners


async def _serve(app: web.Application, setting: str, host: str, port: int) -> web.AppRunner:
    runner = BoundedRunner(app, access_log=None, shutdown_timeout=LAST_ANSWERS_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
    except OSError as error:
        raise ConfigurationError(
            f"{setting}_HOST={host} {setting}_PORT={port}: {error.strerror or error}; "
            "must be a local address and a free port, or 0 for any"
        ) from error
    return runner
