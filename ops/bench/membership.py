"""``bench membership``: what users notice when workers come and go, and how soon one is ready.

The same events with a young rollout changelog and with aged ones, side by side, at steady traffic.
Knows the events and the bars; must not know how workers join, nor how traffic is sent.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from ops.bench.rig import aged_changelog, synthetic
from ops.bench.rig.bench_report import Cell
from ops.bench.rig.bench_run import Measured
from ops.bench.rig.figures import Claim, at_most
from ops.bench.rig.ground import Ground, fresh_topics, wait_until_ready, worker
from ops.bench.rig.steady_traffic import LEAD_SECONDS, drive
from registry.settings import Settings

PER_SECOND: Final = 100
EVENT_SECONDS: Final = 4.0
"""Traffic before and after each event; an event's own time comes on top."""

QUICK_EVENT_SECONDS: Final = 1.0

STEADY, ROLLING, JOIN, LEAVE, KILL = "steady", "rolling restart of both", "join", "leave", "SIGKILL"
READY: Final = "ready after exec"

STEADY_BAR: Final = 0.2
EVENT_BAR: Final = 1.0
READY_BAR: Final = 3.0
AFTER_SESSION_SECONDS: Final = 1.0
RATIO_BAR: Final = 1.1
NOISE_SECONDS: Final = 0.25
"""Two longest waits that are closer than this are the same: each is one request's."""

DAYS: Final = 30
COMMANDS_A_DAY: Final = 100


@dataclass(frozen=True, slots=True)
class MembershipSizes:
    """How long each event is watched, and how many records an old release left."""

    event_seconds: float = EVENT_SECONDS
    old_records: int = 20_000


@dataclass(slots=True)
class _TwoWorkers:
    """Two workers under traffic; `seconds` by what happened, the longest so far."""

    on: Ground
    settings: Settings
    sizes: MembershipSizes
    say: Callable[[str], None]
    workers: dict[str, Iterator[str]]
    started: int = 0

    def start(self) -> float:
        """Start one more worker; return its seconds from exec to ready."""
        self.started += 1
        name = f"worker-{self.started}"
        began = time.monotonic()
        running = _running(self.on, self.settings, name)
        url = next(running)
        wait_until_ready(self.on, url)
        self.workers[name] = running
        seconds = time.monotonic() - began
        self.say(f"{name} was ready after {seconds:.1f} s; {_stages(self.on, name)}")
        return seconds

    def stop(self, name: str) -> None:
        """SIGTERM; return when it has ended."""
        next(self.workers.pop(name), None)

    def kill(self, name: str) -> None:
        """SIGKILL."""
        os.kill(self.on.group.pid(name), signal.SIGKILL)
        self.stop(name)


def measure(on: Ground, sizes: MembershipSizes, say: Callable[[str], None]) -> Measured:
    """Measure all events, with a young changelog and with two aged ones."""
    version = synthetic.publish_model(on.registry, 1)
    ages = _ages(sizes.old_records)
    seen: dict[str, Mapping[str, float]] = {}
    session_seconds = 0.0
    for age, grow_old in ages.items():
        with fresh_topics(on, "membership", MODEL_VERSION=version) as settings:
            session_seconds = settings.session_timeout
            with _fleet(on, settings, sizes, say, workers=1):  # makes the changelog, and a state
                pass
            say(f"{age}: {grow_old(settings)}")
            with _fleet(on, settings, sizes, say, workers=2) as fleet:
                seen[age] = _events(fleet, age, say)
    rows: list[dict[str, Cell]] = [
        {"longest wait, s": event, **{age: round(seen[age][event], 2) for age in ages}}
        for event in seen["young"]
    ]
    return Measured(
        parameters={
            "traffic": f"{PER_SECOND} requests/s",
            "session timeout": f"{session_seconds:g} s",
            "partitions": settings.partitions,
        },
        rows=rows,
        bars=_bars(seen, session_seconds),
        notes=[
            "From when a request was due until a consumer saw its confirmed answer, the longest of "
            "each event. Ready: from exec to the first 200 of /readyz, the longest of all starts.",
            f"{DAYS} days: {COMMANDS_A_DAY} commands a day, as this release writes them. Old "
            "records: leases and heartbeats, as the previous release wrote them 2.5 times a "
            "second, "
            "after `recstream topics mend`.",
        ],
    )


def _events(fleet: _TwoWorkers, age: str, say: Callable[[str], None]) -> dict[str, float]:
    starts: list[float] = []

    def roll() -> None:
        for name in list(fleet.workers):
            fleet.stop(name)
            starts.append(fleet.start())

    events: dict[str, Callable[[], object]] = {
        STEADY: lambda: None,
        ROLLING: roll,
        JOIN: lambda: starts.append(fleet.start()),
        LEAVE: lambda: fleet.stop(list(fleet.workers)[-1]),
        KILL: lambda: fleet.kill(next(iter(fleet.workers))),
    }
    found = {}
    for event, act in events.items():
        found[event] = _longest_wait(fleet, act, event)
        say(f"{age}: {event}: the longest wait was {found[event]:.2f} s")
    found[READY] = max(starts)
    say(f"{age}: {READY}: {', '.join(f'{seconds:.1f} s' for seconds in starts)}")
    return found


def _longest_wait(fleet: _TwoWorkers, act: Callable[[], object], event: str) -> float:
    """Return the longest wait of a request, in seconds, while `act` is done."""
    margin = fleet.sizes.event_seconds
    extra = {ROLLING: 14.0, JOIN: 6.0, KILL: fleet.settings.session_timeout + 2.0}.get(event, 0.0)
    with ThreadPoolExecutor(1) as pool:
        traffic = pool.submit(drive, fleet.settings, PER_SECOND, 2 * margin + extra)
        time.sleep(LEAD_SECONDS + margin)
        act()
        return float(traffic.result().confirmed_ms.max()) / 1000


def _bars(seen: Mapping[str, Mapping[str, float]], session_seconds: float) -> list[Claim]:
    wanted = {
        STEADY: STEADY_BAR,
        ROLLING: EVENT_BAR,
        JOIN: EVENT_BAR,
        LEAVE: EVENT_BAR,
        KILL: session_seconds + AFTER_SESSION_SECONDS,
        READY: READY_BAR,
    }
    bars = [
        at_most(f"s, {event}, {age}", seconds, wanted[event])
        for age, events in seen.items()
        for event, seconds in events.items()
    ]
    young = seen["young"]
    return bars + [
        ratio_bar(f"{event}: {age} against young", seconds, young[event])
        for age, events in seen.items()
        if age != "young"
        for event, seconds in events.items()
    ]


def ratio_bar(claim: str, aged: float, young: float) -> Claim:
    """Return the bar of the ratio of two longest waits, in seconds.

    >>> ratio_bar("join", 0.31, 0.25).verdict
    'inconclusive'
    """
    bar = at_most(claim, round(aged / young, 2), RATIO_BAR)
    if bar.verdict == "fail" and aged - young < NOISE_SECONDS:
        return Claim(bar.claim, bar.seen, bar.wanted, "inconclusive")
    return bar


def _ages(old_records: int) -> dict[str, Callable[[Settings], str]]:
    """Return what ages a changelog, by the name of the age; each says what it did."""

    def by_days(settings: Settings) -> str:
        aged_changelog.write_log_records(settings, DAYS * COMMANDS_A_DAY)
        return f"{DAYS * COMMANDS_A_DAY:,} records were added to the rollout changelog"

    def by_old_release(settings: Settings) -> str:
        aged_changelog.leave_old_records(settings, old_records)
        left, seconds = aged_changelog.mend(settings)
        return f"{left:,} records were left {seconds:.0f} s after `topics mend`"

    ages = {"young": lambda _: "nothing was added", f"{DAYS} days": by_days}
    return ages | ({f"{old_records:,} old records": by_old_release} if old_records else {})


@contextmanager
def _fleet(
    on: Ground, settings: Settings, sizes: MembershipSizes, say: Callable[[str], None], workers: int
) -> Iterator[_TwoWorkers]:
    fleet = _TwoWorkers(on, settings, sizes, say, {})
    try:
        for _ in range(workers):
            fleet.start()
        yield fleet
    finally:
        for name in list(fleet.workers):
            fleet.stop(name)


def _stages(on: Ground, name: str) -> str:
    """Return what the worker's log says of its start."""
    lines = on.group.log(name).read_text(errors="replace").splitlines()
    return next((line for line in reversed(lines) if " answering after " in line), "").partition(
        "streams.timers: "
    )[2]


def _running(on: Ground, settings: Settings, name: str) -> Iterator[str]:
    with worker(on, settings, name) as (_, url):
        yield url
