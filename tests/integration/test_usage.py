"""What environments use, read from real Kafka; garbage collection by it from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from harness.fresh import environment_of, publish_model, without

from ops.clients.kafka_client import produce_all
from registry.errors import TransportError
from registry.kafka.topics import topics_of
from registry.kafka.versions_in_use import versions_in_use
from registry.settings import Settings
from registry.versions.store import Store
from registry.wire.codec import encode
from registry.wire.command_results import CommandResult
from registry.wire.commands import Swap
from registry.wire.instants import Instant
from registry.wire.rollout_state import RolloutState

ROOT = Path(__file__).parents[2]


LONG_AGO = Instant(2020, 1, 1, tzinfo=UTC)
LATELY = Instant(2026, 1, 1, tzinfo=UTC)


def result(environment: str, epoch: int, at: Instant, **state: Any) -> bytes:
    after = RolloutState(environment, epoch, "fixed", **state)
    return encode(
        CommandResult(f"c{epoch}", "swap", environment, "applied", epoch, "anna", at, after=after)
    )


def say(settings: Settings, *results: bytes) -> None:
    produce_all(
        settings, topics_of(settings).control_results, [("x", result) for result in results]
    )


def test_states_history_and_waiting_commands_of_all_environments_name_versions(
    topics_created: Settings,
) -> None:
    settings = topics_created
    say(
        settings,
        result("eu", 1, LONG_AGO, primary_version="v0.1"),
        result("us", 2, LONG_AGO, primary_version="v0.2"),
        result(
            "eu",
            3,
            LATELY,
            primary_version="v0.4",
            canary_version="v0.5",
            previous_versions=("v0.3",),
        ),
    )
    waiting = Swap("later", "anna", "eu", model_version="v0.6")
    decided = Swap("c1", "anna", "eu", model_version="v0.9")
    control = topics_of(settings).control
    produce_all(
        settings, control, [("eu", encode(decided)), ("eu", b"{}"), ("eu", encode(waiting))]
    )
    assert versions_in_use(settings) == {
        "v0.1": ["history of eu"],
        "v0.2": ["state of us", "history of us"],
        "v0.3": ["state of eu", "history of eu"],
        "v0.4": ["state of eu", "history of eu"],
        "v0.5": ["state of eu", "history of eu"],
        "v0.6": ["command later, which is not decided yet"],
    }
    recent = versions_in_use(settings, datetime(2025, 1, 1, tzinfo=UTC))
    assert recent["v0.2"] == ["state of us"]  # its newest state counts, however old
    assert "v0.1" not in recent


def test_what_cannot_be_read_or_was_never_there_is_an_error(topics_created: Settings) -> None:
    with pytest.raises(TransportError, match="names no version"):
        versions_in_use(topics_created)
    say(topics_created, result("eu", 1, LATELY, primary_version="v0.1"), b"{}")
    with pytest.raises(TransportError, match="the record at offset 1 is not a result"):
        versions_in_use(topics_created)


def test_missing_topics_are_an_error(settings: Settings) -> None:
    with pytest.raises(TransportError, match="was not found"):
        versions_in_use(settings)


def collected(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "ops.cli.main",
            "registry",
            "gc",
            "--keep",
            "1",
            *arguments,
            "--json",
        ],
        cwd=ROOT,
        env=without(os.environ) | environment_of(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_gc_keeps_what_kafka_names_and_removes_nothing_without_kafka(
    topics_created: Settings,
) -> None:
    settings = topics_created
    for seed in range(4):
        publish_model(settings, seed=seed)
    say(settings, result("eu", 1, LATELY, primary_version="v0.2"))
    store = Store(settings.model_registry)

    refused = collected(settings, "--grace-hours", "0", "--remove", "--bootstrap", "127.0.0.1:1")
    assert refused.returncode == 1
    assert "does not answer" in refused.stderr
    assert store.versions() == ["v0.1", "v0.2", "v0.3", "v0.4"]

    expected = {"v0.1": "hiding", "v0.2": "kept", "v0.3": "hiding", "v0.4": "kept"}
    for arguments in (["--grace-hours", "0"], ["--grace-hours", "0", "--remove"]):
        done = json.loads(collected(settings, *arguments).stdout)
        assert {version["version"]: version["fate"] for version in done["versions"]} == expected
        assert done["dry_run"] == ("--remove" not in arguments)
    assert store.versions() == ["v0.2", "v0.4"]

    say(settings, result("eu", 2, LATELY + timedelta(days=1), primary_version="v0.1"))
    collected(settings, "--grace-hours", "0", "--remove")
    assert store.versions() == ["v0.1", "v0.2", "v0.4"]
    assert store.folders() == store.versions()
