"""``bench load``: from a publication to workers that answer with it, and what memory mapping saves.

Two workers on real Kafka get a version by ``swap``. Then processes open it as workers do,
memory-mapped, and with their own copies of the arrays; :mod:`ops.bench.sides.load_sides` runs in
the child processes.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import msgspec

from ops.bench.rig.bench_report import Cell
from ops.bench.rig.bench_run import Measured
from ops.bench.rig.figures import Claim, at_most
from ops.bench.rig.ground import Ground, fresh_topics, wait_until, wait_until_ready, worker
from ops.bench.rig.synthetic import Shape, publish_model
from ops.bench.sides.load_sides import Memory, Opened, PublicationTimes, memory_of
from ops.bench.sides.side_process import prompt, read_value, run_side
from ops.clients import kafka_client as client
from ops.clients import worker_pages as pages
from registry.errors import TransportError
from registry.settings import Settings
from registry.storage.objects import Objects

SHAPE: Final = Shape(users=1_000_000, items=100_000)
QUICK: Final = Shape(users=100_000, items=10_000)
BEFORE: Final = Shape(users=100, items=100)
"""The version served before: tiny, so that the workers' growth is due to the new version."""

WORKERS: Final = 2
ROUNDS: Final = 3
MEMORY_BAR: Final = 1.3
LOOK_SECONDS: Final = 0.02
STEP_SECONDS: Final = 300.0
"""Deadline for each step: the command's result, and all workers' readiness."""

MEGABYTE: Final = 1024 * 1024
SIDES: Final = "ops.bench.sides.load_sides"
WAYS: Final = ("mapped", "copied")


@dataclass(frozen=True, slots=True)
class Arrived:
    """How a version reached the workers, in seconds after the command, and the memory it takes."""

    applied: float
    ready: Sequence[float]
    memory: Sequence[Memory]


@dataclass(frozen=True, slots=True)
class OpenedVersion:
    """A version opened by a single process."""

    opened: Opened
    seconds_by_part: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Side:
    """One way of opening: the median of the rounds, and `WORKERS` processes at once."""

    alone: OpenedVersion
    together: Sequence[Opened]

    @property
    def proportional(self) -> int:
        """Bytes of all processes together, shared pages counted once."""
        return sum(opened.memory.proportional for opened in self.together)


def measure(on: Ground, shape: Shape, registry: str | None, say: Callable[[str], None]) -> Measured:
    """Publish a version, have workers serve it, and open it both ways.

    Parameters
    ----------
    on
        A broker and a folder.
    shape
        The shape of the version.
    registry
        URL below which it is published and removed again; None: a folder of this benchmark.
    say
        Called with messages on the progress.
    """
    url = on.registry if registry is None else f"{registry.rstrip('/')}/{on.group.folder.name}"
    cache = str(on.group.folder / "cache")
    try:
        before = publish_model(url, 0, BEFORE)
        chosen = {"MODEL_REGISTRY": url, "RECSTREAM_MODEL_CACHE": cache, "MODEL_VERSION": before}
        with fresh_topics(on, "load", **chosen) as settings:
            published, arrived = _serve(on, settings, shape, say)
            sides = _sides((url, cache, published.version), say)
    finally:
        if registry is not None:
            _remove(url)
    return Measured(
        parameters={
            "version": f"{shape.users:,} users, {shape.items:,} items x {shape.factors} factors, "
            f"{shape.seen} items seen by each user",
            "factors MB": round(4 * shape.factors * (shape.users + shape.items) / MEGABYTE),
            "arrays MB": round(published.array_bytes / MEGABYTE),
            "files MB": round(published.file_bytes / MEGABYTE),
            "registry": "a local folder" if registry is None else registry,
        },
        rows=[*_rows(published, arrived, sides)],
        bars=_bars(published, arrived),
        notes=[*_notes(published, arrived, sides)],
    )


def _serve(
    on: Ground, settings: Settings, shape: Shape, say: Callable[[str], None]
) -> tuple[PublicationTimes, Arrived]:
    """Publish a version and swap it in on workers that serve another one."""
    with ExitStack() as workers:
        names = [f"worker-{number}" for number in range(1, WORKERS + 1)]
        running = [workers.enter_context(worker(on, settings, name)) for name in names]
        for _, url in running:
            wait_until_ready(on, url)
        before = [memory_of(pid) for pid, _ in running]
        say(f"publishing {shape.users:,} users")
        published = _publish(settings, shape)
        say(f"swap: {WORKERS} workers load {published.version}")
        applied, ready = _swap(on, settings, published.version, [url for _, url in running])
        memory = [
            memory_of(pid).grown_from(then) for (pid, _), then in zip(running, before, strict=True)
        ]
    return published, Arrived(applied, ready, memory)


def _swap(
    on: Ground, settings: Settings, version: str, urls: Sequence[str]
) -> tuple[float, list[float]]:
    """Return the seconds until the command's result, and until each worker acts on it, sorted."""
    started = time.perf_counter()
    command = client.new_command(settings, "swap", model_version=version)
    result = client.send_command(settings, command, STEP_SECONDS)
    if result.status != "applied":
        raise TransportError(f"swap was {result.status}: {result.error}")
    applied = time.perf_counter() - started
    ready: dict[str, float] = {}

    def all_ready() -> bool:
        for url in urls:
            if url not in ready and pages.rollout(url).acting_epoch == result.epoch:
                ready[url] = time.perf_counter() - started
        return len(ready) == len(urls)

    wait_until(on, all_ready, "the workers to be ready", STEP_SECONDS, LOOK_SECONDS)
    return applied, sorted(ready.values())


def _publish(settings: Settings, shape: Shape) -> PublicationTimes:
    words = ("publish", settings.model_registry, msgspec.json.encode(shape).decode())
    with run_side(SIDES, *words) as publisher:
        return read_value(publisher, PublicationTimes)


def _sides(what: Sequence[str], say: Callable[[str], None]) -> dict[str, Side]:
    """Open the version both ways, alternating; `what` is the registry's URL, cache and version."""
    rounds: dict[str, list[OpenedVersion]] = {way: [] for way in WAYS}
    for number in range(1, ROUNDS + 1):
        say(f"one process opens it, mapped, then copied: {number} of {ROUNDS}")
        for way in WAYS:
            rounds[way].append(_alone(way, what))
    say(f"{WORKERS} processes at once")
    return {way: Side(_middle(rounds[way]), open_together(way, what)) for way in WAYS}


def _middle(rounds: Sequence[OpenedVersion]) -> OpenedVersion:
    return sorted(rounds, key=lambda alone: alone.opened.seconds)[len(rounds) // 2]


def _alone(way: str, what: Sequence[str]) -> OpenedVersion:
    with run_side(SIDES, way, *what) as process:
        read_value(process, str)
        opened = read_value(prompt(process), Opened)
        return OpenedVersion(opened, read_value(prompt(process), dict[str, float]))


def open_together(way: str, what: Sequence[str]) -> list[Opened]:
    """Open a version in `WORKERS` processes; measure their memory while all of them hold it.

    Parameters
    ----------
    way
        ``mapped`` or ``copied``.
    what
        The registry's URL, the folder of its cache, and the version.
    """
    with ExitStack() as held:
        processes = [held.enter_context(run_side(SIDES, way, *what)) for _ in range(WORKERS)]
        for process in processes:
            read_value(process, str)
        return [read_value(prompt(process), Opened) for process in processes]


def _remove(url: str) -> None:
    objects = Objects(url)
    if objects.folder is not None:
        shutil.rmtree(objects.folder)
        return
    for entry in objects.found():
        objects.delete(entry.path)


def _rows(
    published: PublicationTimes, arrived: Arrived, sides: Mapping[str, Side]
) -> Iterator[dict[str, Cell]]:
    yield {"who": "publisher", "what": "published", "seconds": published.seconds}
    for part, seconds in published.seconds_by_part.items():
        yield {"who": "", "what": f"of it: {part}", "seconds": seconds}
    yield {"who": "workers", "what": "swap applied", "seconds": arrived.applied}
    for place, (seconds, memory) in enumerate(zip(arrived.ready, arrived.memory, strict=True), 1):
        what = f"ready, number {place}"
        yield {"who": "", "what": what, "seconds": seconds, **_sizes(memory, published)}
    for way, side in sides.items():
        sizes = _sizes(side.alone.opened.memory, published)
        yield {"who": way, "what": "opened", "seconds": side.alone.opened.seconds, **sizes}
        for part, seconds in side.alone.seconds_by_part.items():
            if way == WAYS[0]:
                yield {"who": "", "what": f"of it: {part}", "seconds": seconds}
        for opened in side.together:
            sizes = _sizes(opened.memory, published)
            what = f"opened, {WORKERS} at once"
            yield {"who": "", "what": what, "seconds": opened.seconds, **sizes}


def _sizes(memory: Memory, published: PublicationTimes) -> dict[str, Cell]:
    return {
        "resident MB": memory.resident / MEGABYTE,
        "times arrays": memory.resident / published.array_bytes,
        "own share MB": memory.proportional / MEGABYTE,
    }


def _bars(published: PublicationTimes, arrived: Arrived) -> list[Claim]:
    resident = max(memory.resident for memory in arrived.memory)
    together = sum(memory.proportional for memory in arrived.memory)
    return [
        at_most(
            "times the arrays, resident in a worker", resident / published.array_bytes, MEMORY_BAR
        ),
        at_most(
            f"times the arrays, {WORKERS} workers together",
            together / published.array_bytes,
            MEMORY_BAR,
        ),
    ]


def _notes(
    published: PublicationTimes, arrived: Arrived, sides: Mapping[str, Side]
) -> Iterator[str]:
    whole = published.seconds + arrived.ready[0]
    yield (
        f"From the start of the publication to the first worker: {whole:.1f} s, to the last "
        f"{published.seconds + arrived.ready[-1]:.1f} s; workers' seconds count from the command. "
        "All files were in the page cache."
    )
    mapped, copied = (sides[way] for way in WAYS)
    slower = copied.alone.opened.seconds / mapped.alone.opened.seconds
    yield (
        f"Copied against mapped: {slower:.2f} times the seconds of one process, and "
        f"{copied.proportional / mapped.proportional:.2f} times the memory of {WORKERS} together. "
        f"Seconds of one process are the median of {ROUNDS} rounds; parts are separate runs."
    )
