"""What the doctor says of clocks: those of workers and of this machine, by the brokers'.

A heartbeat has the time of its worker's clock, and its record that of the broker's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from ops.doctor.diagnosis import Diagnosis
from registry.errors import RecordError
from registry.kafka.topic_reader import messages, reading
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.wire.codec import decode
from registry.wire.heartbeats import Heartbeat

SAMPLE: Final = 200
"""Latest heartbeats whose two times are compared."""

READ_SECONDS: Final = 10.0
CLOCK_SECONDS: Final = 1.0
"""A clock that is off by more deserves a look; by the lease, workers take news for stale."""


def clocks(settings: Settings) -> Iterator[Diagnosis]:
    """Say whether the clocks of workers, brokers and this machine agree."""
    ahead: dict[str, float] = {}
    newest = 0.0
    with reading(settings, topics_of(settings).fleet, last=SAMPLE) as consumer:
        for message in messages(consumer, READ_SECONDS, to_end=True):
            stamped = message.timestamp()[1] / 1000
            try:
                heartbeat = decode(Heartbeat, message.value())
            except RecordError:
                continue  # the workers report it
            if heartbeat.heard_at is None:
                ahead[heartbeat.worker] = heartbeat.at - stamped
                newest = max(newest, stamped)
    if newest:
        ahead["this machine"] = min(0.0, time.time() - newest)  # how far ahead, nobody can tell
    yield from clock_diagnoses(ahead, settings.lease_seconds)


def clock_diagnoses(ahead: dict[str, float], lease_seconds: float) -> Iterator[Diagnosis]:
    """Say which clocks are off.

    Parameters
    ----------
    ahead
        Seconds by which each clock is ahead of the brokers', by whose it is.
    lease_seconds
        What workers bear.

    >>> [seen.verdict for seen in clock_diagnoses({"w1": 0.1, "w2": -3.0, "w3": 30.0}, 20.0)]
    ['warning', 'failed']
    """
    if not ahead:
        yield Diagnosis("clocks", "skipped", "no heartbeats to compare")
        return
    wrong = {name: seconds for name, seconds in ahead.items() if abs(seconds) > CLOCK_SECONDS}
    for name, seconds in wrong.items():
        yield Diagnosis(
            "clocks",
            "failed" if abs(seconds) >= lease_seconds else "warning",
            f"the clock of {name} is {abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'}"
            f" the brokers'; RECSTREAM_LEASE_SECONDS={lease_seconds:g}",
            "synchronize the clocks (NTP)",
        )
    if not wrong:
        most = max(map(abs, ahead.values()))
        yield Diagnosis("clocks", "ok", f"all agree with the brokers' within {most:.1f} s")
