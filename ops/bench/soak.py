"""The soak: a fleet under traffic and every kind of disturbance, for hours.

Knows what is measured on the processes meanwhile, and how it is judged. One worker is never
restarted: what grows in it, grows for ever. Run it by ``recstream bench soak`` or ``python -m
ops.bench.soak --minutes 60``.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from ops.bench.rig.bench_report import Cell
from ops.bench.rig.bench_run import Measured, say
from ops.bench.rig.figures import Claim, at_most
from ops.bench.rig.slopes import TimedFigure, judged, slope_of
from ops.bench.rig.soak_events import STEADY, WATCHED, Soaked, do, soaked_fleet
from ops.bench.rig.soak_plan import KINDS, Kind, PlannedEvent, planned
from ops.bench.rig.soak_traffic import SoakTraffic
from registry.errors import RecstreamError

SAMPLE_SECONDS: Final = 5.0
WARM_UP_SHARE: Final = 0.2
"""Of the run: imports that come late, caches, the allocator's arenas and what is remembered of the
latest answers fill up first."""

LONG_ENOUGH_SECONDS: Final = 1_500.0
"""After the warm-up, before a slope an hour may be concluded from what was read."""

MOST_MB_AN_HOUR: Final = 1.0
MOST_DESCRIPTORS_AN_HOUR: Final = 5.0
MOST_THREADS_AN_HOUR: Final = 1.0


class ProcessSample(NamedTuple):
    """One look at a process: seconds since the start, MB of its own memory, and counts."""

    at: float
    rss_anon_mb: float
    descriptors: int
    threads: int
    log_lines: int


def measure(
    seconds: float, seed: int, per_second: int, kinds: Sequence[Kind] = KINDS, brokers: int = 1
) -> Measured:
    """Soak a fleet of two workers on a Kafka of its own.

    Parameters
    ----------
    seconds
        How long.
    seed
        Of the plan.
    per_second
        Requests.
    kinds
        Of what happens.
    brokers
        One or three.
    """
    plan = planned(seconds, seed, kinds)
    with soaked_fleet(brokers) as soaked:
        with SoakTraffic(soaked.settings, per_second) as traffic, _sampled(soaked) as samples:
            _carry_out(soaked, plan, traffic, seconds)
        traffic.require_running()
        return _found(soaked, samples, traffic, seconds, seed, per_second)


def _carry_out(
    soaked: Soaked, plan: Sequence[PlannedEvent], traffic: SoakTraffic, seconds: float
) -> None:
    for event in (*plan, None):
        until = traffic.started + (seconds if event is None else event.at)
        time.sleep(max(0.0, until - time.monotonic()))
        traffic.require_running()
        if soaked.on.group.exit_code(STEADY) is not None:
            say(f"{STEADY} has ended: {soaked.on.group.tail(STEADY)}")
            return
        if event is None:
            return
        say(f"{time.monotonic() - traffic.started:7.1f} s  {event.kind}")
        try:
            do(soaked, event.kind)
        except RecstreamError as error:  # a command in mid-restart; the requests are what counts
            say(f"           {event.kind} failed: {str(error).splitlines()[0]}")


@contextmanager
def _sampled(soaked: Soaked) -> Iterator[Mapping[str, list[ProcessSample]]]:
    """Look at each worker every few seconds, in a thread, until the block ends."""
    ended, started = threading.Event(), time.monotonic()
    samples: dict[str, list[ProcessSample]] = {name: [] for name in WATCHED}

    def look() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            for name, seen in samples.items():
                with contextlib.suppress(OSError, KeyError, IndexError):  # it is being restarted
                    seen.append(_sample(soaked, name, time.monotonic() - started))

    thread = threading.Thread(target=look, name="soak-samples", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


def _sample(soaked: Soaked, name: str, at: float) -> ProcessSample:
    process = Path(f"/proc/{soaked.on.group.pid(name)}")
    status = dict(
        line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line
    )
    with soaked.on.group.log(name).open("rb") as log:
        lines = sum(block.count(b"\n") for block in iter(lambda: log.read(1 << 16), b""))
    return ProcessSample(
        at,
        int(status["RssAnon"].split()[0]) / 1024,
        len(list((process / "fd").iterdir())),
        int(status["Threads"]),
        lines,
    )


def _found(
    soaked: Soaked,
    samples: Mapping[str, Sequence[ProcessSample]],
    traffic: SoakTraffic,
    seconds: float,
    seed: int,
    per_second: int,
) -> Measured:
    lost = traffic.waiting
    ended = soaked.on.group.exit_code(STEADY) is not None
    bars = [
        at_most("requests without an answer", lost, 0),
        at_most(f"exits of the worker {STEADY}, which is never restarted", int(ended), 0),
    ]
    after = seconds * WARM_UP_SHARE
    rows: list[dict[str, Cell]] = []
    for name, seen in samples.items():
        later = [sample for sample in seen if sample.at >= after]
        row, judgements = _slopes(name, later, (seconds - after) >= LONG_ENOUGH_SECONDS)
        rows.append(row)
        bars += judgements if name == STEADY else []
    worst = "; ".join(f"{wait.seconds:.1f} s at {wait.sent_at:.0f} s" for wait in traffic.worst)
    counted = ", ".join(f"{count} {kind}" for kind, count in sorted(soaked.done.items()))
    return Measured(
        parameters={
            "seconds": seconds, "seed": seed, "requests/s": per_second,
            "asked": traffic.asked, "not taken by Kafka": traffic.refused,
            "answered": ", ".join(f"{n:,} {status}" for status, n in traffic.statuses.items()),
            "answered again": traffic.duplicates, "lost": lost,
            "own consumer stalled": traffic.stalls,
            "longest waits": worst, "events": counted,
        },
        rows=rows,
        bars=bars,
        notes=[
            f"slopes are Theil–Sen's with their 95 % interval, after a warm-up of {after:.0f} s",
            _verdict(bars),
        ],
    )  # fmt: skip


def _slopes(
    name: str, samples: Sequence[ProcessSample], long_enough: bool
) -> tuple[dict[str, Cell], list[Claim]]:
    """Return the row of a worker's figures, and how they are judged."""
    if len(samples) < 3:
        return {"worker": name}, []
    memory = slope_of([TimedFigure(sample.at, sample.rss_anon_mb) for sample in samples])
    descriptors = slope_of([TimedFigure(sample.at, sample.descriptors) for sample in samples])
    threads = slope_of([TimedFigure(sample.at, sample.threads) for sample in samples])
    first, last = samples[0], samples[-1]
    minutes = (last.at - first.at) / 60
    row: dict[str, Cell] = {
        "worker": name,
        "RssAnon MB": f"{first.rss_anon_mb:.1f} → {last.rss_anon_mb:.1f}",
        "MB": str(memory),
        "descriptors": f"{first.descriptors} → {last.descriptors}",
        "an hour": str(descriptors),
        "threads": f"{first.threads} → {last.threads}",
        "log lines/min": (last.log_lines - first.log_lines) / max(minutes, 1e-9),
    }
    return row, [
        judged(f"MB of {name}'s RssAnon", memory, MOST_MB_AN_HOUR, long_enough),
        judged(f"descriptors of {name}", descriptors, MOST_DESCRIPTORS_AN_HOUR, long_enough),
        judged(f"threads of {name}", threads, MOST_THREADS_AN_HOUR, long_enough),
    ]


def _verdict(bars: Sequence[Claim]) -> str:
    failed = [bar.claim for bar in bars if bar.verdict == "fail"]
    undecided = [bar.claim for bar in bars if bar.verdict == "inconclusive"]
    if failed:
        return f"failed: {', '.join(failed)}"
    if undecided:
        return f"nothing is lost; too short to judge: {', '.join(undecided)}"
    return "it lasts"


if __name__ == "__main__":
    from ops.bench import app

    app(args=["soak", *sys.argv[1:]], prog_name="python -m ops.bench")
