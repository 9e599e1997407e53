"""What a run is told that has lost the training lock; the lock itself needs a broker."""

from __future__ import annotations

import pytest

from registry.error_codes import TrainingCode
from registry.errors import TrainingFailed
from registry.settings import Settings
from training.runs.training_lock import TrainingLock


def test_a_lost_lock_names_how_long_kafka_was_not_reached() -> None:
    lock = TrainingLock(Settings(kafka_bootstrap_servers="127.0.0.1:1"), "control")
    try:
        with pytest.raises(TrainingFailed, match=r"no contact with Kafka for 15 s,") as lost:
            lock.require()
    finally:
        lock._release()
    assert lost.value.code == TrainingCode.LOST_LOCK
