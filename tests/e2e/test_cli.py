"""The command line as a user meets it: real processes, real Kafka, exit codes and output."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from harness.fresh import environment_of, fresh_settings, publish_model, without
from harness.waiting import wait_until
from harness.workers import Worker

from ops.clients.kafka_client import produce_all
from ops.clients.traffic_generator import GeneratedTraffic, TimedAnswer
from ops.local.ports import free_port
from registry.kafka.topic_admin import create_topics
from registry.kafka.topics import changelog_name, topics_of
from registry.settings import Settings
from training.data.snapshot import read_snapshot

ROOT = Path(__file__).parents[2]
RATINGS = "userId,movieId,rating,timestamp\n" + "".join(f"{u},{u % 7},4.5,{u}\n" for u in range(50))

RAMP = """
canary_version: {version}
ramp:
  steps: [50, 100]
  hold_seconds: 0.5
  min_requests: 20
  guardrails:
    {{error_rate: 0.4, fallback_rate: null, empty_rate: null, latency_ratio: null,
     sample_ratio: false}}
"""


def environment(settings: Settings, **more: str) -> dict[str, str]:
    return without(os.environ) | environment_of(settings) | {"COLUMNS": "200"} | more


def recstream(settings: Settings, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ops.cli.main", *(str(word) for word in words)]
    return subprocess.run(
        command,
        env=environment(settings),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def document(settings: Settings, *words: object) -> Any:
    ended = recstream(settings, *words, "--json")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def is_gone(pid: int) -> bool:
    """A zombie counts: whoever adopted it may be slow to look."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text("utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return True


def members(group: int) -> set[int]:
    """Return the live processes of a process group."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text("utf-8").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


def child_of(pid: int) -> int | None:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()
    return int(children[0]) if children else None


def has_recovered(worker: Worker) -> bool:
    """Tell whether the worker only waits for a first version."""
    with contextlib.suppress(OSError):
        codes = [reason["code"] for reason in worker.get("/readyz")["reasons"]]
        return codes in ([], ["no_version"])
    return False


def acting_epoch(worker: Worker) -> int | None:
    return worker.get("/rollout/status")["acting_epoch"]


def test_topics_are_created_once_and_then_found_right(settings: Settings) -> None:
    before = recstream(settings, "topics", "check", "--json")
    assert before.returncode == 1
    names = {topic.name for topic in topics_of(settings)}
    assert len(json.loads(before.stdout)["wrong"]) == len(names)
    created = set(document(settings, "topics", "create")["created"])
    assert created == names | {changelog_name(settings)}
    wait_until(lambda: recstream(settings, "topics", "check").returncode == 0, 30, "right topics")
    assert document(settings, "topics", "create") == {"created": []}


def test_without_a_broker_a_command_says_so_and_ends_with_1(tmp_path: Path) -> None:
    nobody = fresh_settings(f"127.0.0.1:{free_port()}", tmp_path)
    ended = recstream(nobody, "topics", "create")
    assert ended.returncode == 1
    assert "KAFKA_BOOTSTRAP_SERVERS" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "rdkafka" not in ended.stderr


def test_ingest_sends_every_good_line(topics_created: Settings, tmp_path: Path) -> None:
    file = tmp_path / "ratings.csv"
    file.write_text(RATINGS)
    assert document(topics_created, "ingest", file)["sent"] == 50


def test_ingest_sends_nothing_when_there_are_too_many_bad_lines(
    topics_created: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "ratings.csv"
    file.write_text(RATINGS + "1,2,good,3\n")
    refused = recstream(topics_created, "ingest", file)
    assert refused.returncode == 1
    assert "line 52" in refused.stderr
    assert "nothing was sent" in refused.stderr
    summary = document(topics_created, "ingest", file, "--max-bad", 1)
    assert (summary["sent"], summary["bad_lines"]) == (50, 1)


def test_the_rollout_status_without_a_state_ends_with_1(topics_created: Settings) -> None:
    ended = recstream(topics_created, "rollout", "status")
    assert ended.returncode == 1
    assert "no rollout state yet" in ended.stderr


def test_a_version_is_swapped_in_asked_and_put_on_trial(
    topics_created: Settings, start_worker: Callable[..., Worker]
) -> None:
    settings = topics_created
    first, second = publish_model(settings), publish_model(settings, seed=1)
    listed = document(settings, "registry", "list")
    assert [version["version"] for version in listed["versions"]] == [first, second]
    assert recstream(settings, "registry", "verify").returncode == 0
    worker = start_worker(settings)
    wait_until(lambda: has_recovered(worker), 60, "the worker to have recovered")

    swapped = document(settings, "swap", first, "--reason", "first")
    assert swapped["after"]["primary_version"] == first
    stale = recstream(
        settings, "rollout", "set", "--percentage", 5, "--expected-epoch", swapped["epoch"] + 9
    )
    assert stale.returncode == 1
    assert "stale_epoch" in stale.stderr

    words = ["--strategy", "canary", "--canary-version", second, "--percentage", 10]
    document(settings, "rollout", "set", *words)
    state = document(settings, "rollout", "status")
    assert (state["primary_version"], state["canary_version"]) == (first, second)
    wait_until(lambda: acting_epoch(worker) == state["epoch"], 15, "the worker to act on it")
    url = f"http://127.0.0.1:{worker.port}"
    assert document(settings, "rollout", "status", "--url", url) == state

    answer = document(settings, "request", "7", "-k", 3)
    assert (answer["user_id"], len(answer["items"])) == (7, 3)
    assert answer["model_version"] == second
    shown = recstream(settings, "request", "42")
    assert "Film" in shown.stdout
    assert f"{first} · primary · model" in shown.stdout

    assert document(settings, "rollout", "promote")["after"]["primary_version"] == second
    assert document(settings, "rollout", "rollback")["after"]["primary_version"] == first
    refused = recstream(settings, "rollout", "abort", "--json")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["error"]["code"] == "no_canary"


def test_a_ramp_is_planned_applied_followed_and_read_in_the_trail(
    topics_created: Settings, start_worker: Callable[..., Worker], tmp_path: Path
) -> None:
    settings = topics_created
    first, second = publish_model(settings, users=100), publish_model(settings, users=100, seed=1)
    file = tmp_path / "ramp.yaml"
    file.write_text(RAMP.format(version=second))
    plan = document(settings, "rollout", "apply", file, "--dry-run")
    assert [stage["users"] for stage in plan["stages"]] == [0, 50, 100]
    worker = start_worker(settings).wait_ready()
    document(settings, "swap", first)
    assert recstream(settings, "rollout", "pause").returncode == 1
    assert recstream(settings, "rollout", "status", "--follow").returncode == 1

    answers: list[TimedAnswer] = []
    with GeneratedTraffic(settings, range(1, 101), 100, answers.append) as traffic:
        started = document(settings, "rollout", "apply", file, "--ignore-traffic")
        paused = document(settings, "rollout", "pause")
        assert paused["after"]["ramp"]["paused"]
        document(settings, "rollout", "resume", "--reason", "go on")
        followed = recstream(settings, "rollout", "status", "--follow")
    assert followed.returncode == 0, followed.stderr
    assert "ramp promoted" in followed.stdout
    assert traffic.unanswered == 0
    assert len(answers) == traffic.asked
    assert second in {answer.response.model_version for answer in answers}

    trail = document(settings, "rollout", "history", "--since", "1h", "--issued-by", "ramp")
    applied = [entry["type"] for entry in trail if entry["status"] == "applied"]
    assert applied == ["promote", "step", "step"]  # a step that met the pause was refused
    assert recstream(settings, "rollout", "history", "--type", "party").returncode == 2
    shown = recstream(settings, "rollout", "history", "--limit", "1").stdout
    assert f"primary: {first} → {second}" in shown
    by_environment = document(settings, "rollout", "status", "--all-environments")
    assert by_environment["production"]["primary_version"] == second
    assert started["epoch"] < by_environment["production"]["epoch"]
    (heartbeat,) = document(settings, "fleet")
    assert (heartbeat["worker"], heartbeat["owns_control"]) == (worker.name, True)
    assert worker.name in recstream(settings, "fleet").stdout


def test_an_assignment_is_explained_and_the_answer_matches(
    topics_created: Settings, start_worker: Callable[..., Worker]
) -> None:
    settings = topics_created
    first, second = (publish_model(settings, seed=seed, mergeable=True) for seed in (0, 1))
    start_worker(settings).wait_ready()
    wait_until(
        lambda: recstream(settings, "rollout", "status").returncode == 0, 15, "the seeded state"
    )
    words = ["--strategy", "ab_test", "--canary-version", first, "--bucketing", "hash"]
    document(settings, "rollout", "set", *words)
    for user, is_integer in (("7", True), ("anna", False)):
        explained = document(settings, "explain", user)
        assert explained["matches"], explained
        assert explained["explanation"]["user_id"] == (int(user) if is_integer else user)
        assert explained["explanation"]["version"] in (first, second)
        assert explained["explanation"]["buckets"] == 10_000
    shown = recstream(settings, "explain", "7")
    assert shown.returncode == 0
    assert "murmur3(':7') % 10000" in shown.stdout
    assert "matches" in shown.stdout
    assert "ranked by model: the stored vector; 2 items learned by" in shown.stdout
    assert document(settings, "explain", "7", "--no-ask")["answer"] is None

    watched = b'{"user_id":7,"item_id":30,"event":"watch"}'
    produce_all(settings, topics_of(settings).interactions, [(7, watched)])

    def with_fresh() -> dict[str, Any] | None:
        explained: dict[str, Any] = document(settings, "explain", "7")
        assert explained["matches"], explained
        return explained if explained["answer"]["source"] == "recomputed" else None

    arithmetic = wait_until(with_fresh, 15, "the interaction to count")["arithmetic"]
    assert (arithmetic["learned_items"], arithmetic["fresh_items"]) == (2, 1)
    assert arithmetic["weighted_items"] == 3
    assert 1 in arithmetic["offsets"].values()


def test_a_fleet_that_nobody_heard_of_ends_with_1(topics_created: Settings) -> None:
    produce_all(topics_created, topics_of(topics_created).fleet, [("w1", b"no heartbeat")])
    assert document(topics_created, "fleet") == []
    ended = recstream(topics_created, "fleet")
    assert ended.returncode == 1
    assert topics_created.topic_prefix in ended.stderr


def test_training_on_too_little_is_refused_and_publishes_nothing(
    topics_created: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "ratings.csv"
    file.write_text(RATINGS)
    recstream(topics_created, "ingest", file)
    ended = recstream(topics_created, "train", "--factors", 4, "--json")
    assert ended.returncode == 1, ended.stderr
    assert json.loads(ended.stdout)["training"]["status"] != "published"
    assert document(topics_created, "registry", "list")["versions"] == []


def test_the_embedded_broker_counts_the_last_batch_as_one_record_when_asked_for_the_end(
    embedded: str, tmp_path: Path
) -> None:
    """Pins what `ops.local.embedded_broker` says of it; when this fails, the test below passes."""
    settings = ingested(embedded, tmp_path)
    topic = topics_of(settings).interactions.name
    consumer = Consumer({"bootstrap.servers": embedded, "group.id": "pin"})
    try:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
    finally:
        consumer.close()
    assert 0 < end < 50


def test_training_sees_every_interaction_that_went_into_the_embedded_broker(
    embedded: str, tmp_path: Path
) -> None:
    snapshot = read_snapshot(ingested(embedded, tmp_path), lambda _done, _total: None)
    assert snapshot.described.interactions == 50


def ingested(bootstrap: str, folder: Path) -> Settings:
    settings = fresh_settings(bootstrap, folder, RECSTREAM_PARTITIONS="1")
    create_topics(settings)
    file = folder / "ratings.csv"
    file.write_text(RATINGS)
    assert document(settings, "ingest", file)["sent"] == 50
    return settings


def start_broker(settings: Settings, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ops.cli.main", "broker", "--port", "0", "--json"]
    return subprocess.Popen(
        command,
        env=environment(settings, TMPDIR=str(folder)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_broker_stops_at_ctrl_c_and_leaves_nothing(tmp_path: Path) -> None:
    with start_broker(fresh_settings("127.0.0.1:1", tmp_path), tmp_path) as broker:
        assert broker.stdout is not None
        wait_until(lambda: '"bootstrap"' in broker.stdout.readline(), 20, "the address")
        guardian = wait_until(lambda: child_of(broker.pid), 5, "the guardian")
        broker.send_signal(signal.SIGINT)
        assert broker.wait(5) == 0
    wait_until(lambda: not members(guardian), 5, "the end of all children")
    assert list(tmp_path.glob("recstream-*")) == []


def test_a_killed_broker_command_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    with start_broker(fresh_settings("127.0.0.1:1", tmp_path), tmp_path) as broker:
        assert broker.stdout is not None
        wait_until(lambda: '"bootstrap"' in broker.stdout.readline(), 20, "the address")
        guardian = wait_until(lambda: child_of(broker.pid), 5, "the guardian")
        assert len(members(guardian)) == 2
        broker.kill()
    wait_until(lambda: not members(guardian), 10, "the end of all children")
    assert is_gone(guardian)
    assert list(tmp_path.glob("recstream-*")) == []


def test_the_demo_goes_from_nothing_to_ramps_that_end_by_themselves_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    settings = fresh_settings("127.0.0.1:1", tmp_path)
    command = [sys.executable, "-m", "ops.cli.main", "demo", "--exit", "--json"]
    ended = subprocess.run(
        command,
        env=environment(settings, TMPDIR=str(tmp_path)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)
    assert figures["canary_users"] == 100, ended.stderr  # user_id % 100 < 10 of 1..1000
    assert figures["same_users_on_second_pass"]
    assert figures["versions"] == ["v0.1", "v0.2", "v0.3", "v0.4"]
    assert figures["fresh"]["fold_in"]["sources"] == ["popular", "fold_in", "popular"]
    assert figures["fresh"]["fold_in"]["same_as_before"]
    assert figures["fresh"]["watched_is_gone"]
    assert figures["good_ramp"]["outcome"] == "promoted", ended.stderr
    assert figures["bad_ramp"]["outcome"] == "rolled_back", ended.stderr
    assert 0 < figures["bad_ramp"]["first_to_last_bad_answer_seconds"] < 10
    # Chance decides nothing here: see `ops.demo.liked_steps`.
    assert figures["disliked_ramp"]["outcome"] == "rolled_back", ended.stderr
    assert "conversion: conversion" in figures["disliked_ramp"]["reason"], ended.stderr
    assert figures["interleaving"]["verdict"] == "worse", ended.stderr
    assert list(tmp_path.iterdir()) == []
