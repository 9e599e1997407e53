"""`recstream doctor` names the cause of each broken set-up, and finds a good one good."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from harness.doctor_findings import doctor_findings
from harness.fresh import environment_of, fresh_settings, publish_model, without
from harness.secured import secured_broker
from harness.waiting import wait_until
from harness.workers import ROOT, Worker

from ops.clients.kafka_client import produce_all
from registry.kafka.partitioners import crc32_partition, murmur2_partition
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.wire.codec import encode
from registry.wire.heartbeats import Heartbeat
from registry.wire.requests import Request

Start = Callable[..., Worker]
Found = dict[str, list[dict[str, Any]]]


def doctor(settings: Settings, code: int = 1, **more: str) -> Found:
    """Run the command; return what it found, by check."""
    done = run_doctor(settings, "--json", **more)
    assert done.returncode == code, done.stdout + done.stderr
    found: Found = {}
    for diagnosis in json.loads(done.stdout):
        found.setdefault(diagnosis["check"], []).append(diagnosis)
    return found


def run_doctor(settings: Settings, *options: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ops.cli.main", "doctor", *options],
        env=without(os.environ) | environment_of(settings) | {"PYTHONPATH": str(ROOT)} | more,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def crc32_of(user: int) -> int:
    return crc32_partition(str(user).encode(), 4)


def murmur2_of(user: int) -> int:
    return murmur2_partition(str(user).encode(), 4)


def failures(found: Found) -> dict[str, str]:
    return {
        check: diagnosis["detail"]
        for check, diagnoses in found.items()
        for diagnosis in diagnoses
        if diagnosis["verdict"] == "failed"
    }


def test_a_healthy_fleet_then_strays_then_a_damaged_version(
    topics_created: Settings, start_worker: Start
) -> None:
    settings = topics_created
    publish_model(settings)
    start_worker(settings).wait_ready()
    requests = [(user, encode(Request(f"r-{user}", user))) for user in range(1, 30)]
    produce_all(settings, topics_of(settings).requests, requests)
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    stray = next(user for user in range(30, 99) if crc32_of(user) != murmur2_of(user))
    producer.produce(
        topics_of(settings).requests.name, encode(Request("stray", stray)), str(stray).encode()
    )
    assert producer.flush(15) == 0

    healthy = doctor(settings, code=0)

    verdicts = {
        (check, diagnosis["verdict"]) for check, found in healthy.items() for diagnosis in found
    }
    not_ok = {(check, verdict) for check, verdict in verdicts if verdict != "ok"}
    assert not_ok == {("acls", "skipped")}, healthy  # on a Kafka that has none
    assert "w1 is ready" in healthy["workers"][0]["detail"]
    assert "v0.1 loads: 50 users, 40 items" in healthy["models"][0]["detail"]

    for user in range(1, 30):  # librdkafka's default partitioner is another
        producer.produce(topics_of(settings).interactions.name, b"{}", str(user).encode())
    assert producer.flush(15) == 0
    strayed = doctor(settings, code=0)
    (partitioners,) = strayed["partitioners"]
    assert partitioners["verdict"] == "warning"
    assert "murmur2_random" in partitioners["remedy"]
    (partitioners,) = doctor(settings, code=0, RECSTREAM_FRESH="all")["partitioners"]
    assert partitioners["verdict"] == "ok"

    (factors,) = Path(settings.model_registry).glob("v0.1/als/*item*factors*")
    factors.chmod(0o644)
    factors.write_bytes(factors.read_bytes()[:-1] + b"\x7f")
    assert factors.name in failures(doctor(settings))["models"]


def test_missing_topics_and_an_unreadable_registry_are_both_named(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")

    found = failures(doctor(settings, MODEL_REGISTRY=str(tmp_path / "file" / "registry")))

    assert "was not found" in found["topics"]
    assert "file" in (found.get("registry readable") or found["registry writable"])


def test_a_fleet_without_workers_is_named(topics_created: Settings) -> None:
    found = failures(doctor(topics_created))

    assert "no worker of environment production" in found["workers"]
    assert "no version is deployed" in found["rollout"]
    printed = run_doctor(topics_created)
    assert printed.returncode == 1
    words = " ".join(printed.stdout.split())
    assert "failed workers no worker of environment production has sent a heartbeat" in words
    assert "do: recstream worker; are ENVIRONMENT and RECSTREAM_TOPIC_PREFIX the workers'?" in words


def test_a_clock_that_is_off_and_requests_that_wait_are_named(topics_created: Settings) -> None:
    producer = Producer({"bootstrap.servers": topics_created.kafka_bootstrap_servers})
    fleet = topics_of(topics_created).fleet.name

    def found_after_a_heartbeat() -> dict[str, str] | None:
        """Return what is found; None if it took longer than a heartbeat counts."""
        ahead = time.time() + 3_600
        late = Heartbeat("w9", "w9@1", topics_created.environment, ahead, lag=5_000)
        producer.produce(fleet, encode(late), b"w9")
        assert producer.flush(15) == 0
        found = doctor_findings(topics_created)
        return found if "w9" in found["workers"] else None

    found = wait_until(found_after_a_heartbeat, 60, "the heartbeat to be found in time")

    assert found["workers"].startswith("warning: w9: 5000 requests are waiting start more workers")
    off = (
        r"failed: the clock of w9 is 3[56]\d\d\.\d s ahead of the brokers'; RECSTREAM_LEASE_SECONDS"
    )
    assert re.match(off, found["clocks"])
    assert "synchronize the clocks" in found["clocks"]


def test_a_kafka_that_is_not_there_is_named_and_asked_nothing_more(settings: Settings) -> None:
    found = doctor(settings, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")

    assert "nothing listens there" in failures(found)["kafka"]
    assert {found[check][0]["verdict"] for check in ("topics", "workers")} == {"skipped"}
    done = run_doctor(settings, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert done.returncode == 1
    assert "failed   kafka             Kafka does not answer on 127.0.0.1:1: nothing" in done.stdout
    assert "skipped  topics            kafka failed" in done.stdout


def test_settings_that_contradict_each_other_are_named(settings: Settings) -> None:
    found = doctor(settings, ROLLOUT_STRATEGY="canary")

    assert "needs CANARY_VERSION" in failures(found)["settings"]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with secured_broker(tmp_path_factory.mktemp("secured")) as broker:
        yield broker


def test_a_wrong_password_and_missing_acls_are_named(secured: Any, tmp_path: Path) -> None:
    wrong = fresh_settings(
        secured.scram, tmp_path, **secured.variables() | {"KAFKA_SASL_PASSWORD": "another"}
    )
    assert "does not accept KAFKA_SASL_USERNAME" in failures(doctor(wrong))["kafka"]

    secured.set_password("nobody")
    nobody = fresh_settings(secured.scram, tmp_path, **secured.variables(user="nobody"))
    assert "does not allow this user" in failures(doctor(nobody))["acls"]
