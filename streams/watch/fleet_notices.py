"""Notices about the whole fleet: too many workers, several workers with one name.

Pure: heartbeats and the time in, notices out. Must not know where heartbeats come from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from registry.error_codes import NoticeCode
from registry.guardrails.live_workers import WORKERS_NAMED, live
from registry.wire.heartbeats import Heartbeat
from streams.watch.notices import Notice

HEARD_SECONDS: Final = 2.5
"""A worker that beats is never silent for as long, and no process is back under its name so soon
after it was killed: two that were heard within it are two."""


def fleet_notices(fleet: Iterable[Heartbeat], now: float, partitions: int) -> tuple[Notice, ...]:
    """Return what an operator should know of the fleet as a whole.

    Parameters
    ----------
    fleet
        The latest heartbeat of each process.
    now
        Seconds since the epoch.
    partitions
        Of the request topic.
    """
    beating = live(fleet, now)
    found = (_too_many(beating, partitions), _of_one_name(beating, now))
    return tuple(notice for notice in found if notice is not None)


def _too_many(beating: tuple[Heartbeat, ...], partitions: int) -> Notice | None:
    idle = [heartbeat.worker for heartbeat in beating if heartbeat.partitions == 0]
    if len(beating) <= partitions or not idle:
        return None
    return Notice(
        NoticeCode.IDLE_WORKERS,
        f"{len(beating)} workers share {partitions} request partitions, so {len(idle)} have none "
        f"and answer nothing: {_listed(idle)}; stop them, or add partitions "
        "(`recstream topics grow`)",
    )


def _of_one_name(beating: tuple[Heartbeat, ...], now: float) -> Notice | None:
    names = Counter(
        heartbeat.worker for heartbeat in beating if now - heartbeat.at <= HEARD_SECONDS
    )
    doubled = sorted(name for name, count in names.items() if count > 1)
    if not doubled:
        return None
    return Notice(
        NoticeCode.SAME_NAME,
        f"more than one worker is called {_listed(doubled)}; set a different RECSTREAM_WORKER for "
        f"each, so that their answers and metrics can be told apart",
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - WORKERS_NAMED} more" if len(names) > WORKERS_NAMED else ""
    return ", ".join(names[:WORKERS_NAMED]) + more
