"""Training against a real broker: what is read, what is refused, and what a killed run leaves."""

from __future__ import annotations

import signal
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from confluent_kafka import Producer
from harness.brokers import Broker
from harness.fresh import fresh_settings
from harness.training_children import child, lines, until_it_fits
from harness.waiting import wait_until
from msgspec import structs

from registry.connection.client_config import client_config
from registry.errors import TrainingFailed
from registry.kafka.topic_admin import check_topics, create_topics
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.versions.manifest import Parameters
from registry.versions.store import Store
from registry.wire.codec import encode
from registry.wire.requests import Request
from registry.wire.training_records.event_weights import parse_event_weights
from registry.wire.training_records.interactions import Interaction
from registry.wire.training_records.training_messages import (
    TrainingProgress,
    TrainingResult,
)
from tests.unit.training.builders import checkerboard_events, parameters, play_counts, watch
from training.data.matrix import Csr, Factors
from training.data.snapshot import Snapshot, read_snapshot
from training.fitting.als import Fit, fit_als
from training.runs import training_lock as lock_module
from training.runs.run_rules import parameters_of
from training.runs.run_stages import train
from training.runs.training_lock import training_lock

ROOT = Path(__file__).resolve().parents[2]
TAKEOVER_SECONDS = 45.0

HOLD_THE_LOCK = """
import os, sys
from registry.errors import TrainingFailed
from registry.settings import read_settings
from training.runs.training_lock import training_lock
with training_lock(read_settings(os.environ)) as lock:
    print("held", flush=True)
    sys.stdin.readline()
    try:
        lock.confirm()
        print("confirmed", flush=True)
    except TrainingFailed as error:
        print(error.code, flush=True)
"""


def produce(settings: Settings, values: Iterable[bytes | None], **more: Any) -> None:
    producer = Producer(client_config(settings) | {"linger.ms": 5})
    for value in values:
        producer.produce(topics_of(settings).interactions.name, value, **more)
    assert producer.flush(30) == 0


def produce_events(settings: Settings, events: Iterable[Interaction]) -> None:
    produce(settings, (encode(event) for event in events))


def snapshot_of(settings: Settings) -> Snapshot:
    return read_snapshot(settings, lambda _done, _total: None)


def run(
    settings: Settings,
    hyperparameters: Parameters | None = None,
    incumbent: str | None = None,
    **more: Any,
) -> TrainingResult:
    given: dict[str, Any] = {"report": lambda _line: None, "created_by": "test", **more}
    return train(
        settings,
        hyperparameters or parameters(),
        run_id=uuid.uuid4().hex,
        incumbent=incumbent,
        **given,
    )


def long_run(*more: str) -> Sequence[str]:
    return ("-m", "training", "--iterations", "1000", "--factors", "1024", *more)


@pytest.fixture(params=["best", "embedded"])
def settings_on_each_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings with topics, on the best broker and on the embedded one."""
    fixture = "kafka" if request.param == "best" else "embedded"
    settings = fresh_settings(request.getfixturevalue(fixture), tmp_path)
    create_topics(settings)
    wait_until(lambda: not check_topics(settings), 60, "the topics to be there")
    return settings


@pytest.fixture
def checkerboard(topics_created: Settings) -> Settings:
    """Settings whose interaction topic holds a training set with an obvious answer."""
    produce_events(topics_created, checkerboard_events())
    return topics_created


# --- the run ---


def test_a_good_model_is_published_and_its_manifest_tells_how_it_was_made(
    checkerboard: Settings,
) -> None:
    result = run(checkerboard)

    assert (result.status, result.version, result.reason) == ("published", "v0.1", None)
    manifest = Store(checkerboard.model_registry).verify("v0.1")
    assert manifest.gate.passed
    assert manifest.metrics == result.metrics
    assert manifest.parameters == parameters()
    assert manifest.data_snapshot == result.snapshot
    assert manifest.data_snapshot.interactions == len(checkerboard_events())
    assert manifest.created_by == "test"
    assert set(result.stage_seconds) == {
        *("lock", "snapshot", "fit", "evaluate", "gate", "publish")
    }


def test_the_published_model_answers_with_what_the_user_has_not_seen(
    checkerboard: Settings,
) -> None:
    run(checkerboard)
    model = Store(checkerboard.model_registry).open("v0.1")

    (answer,) = model.recommend([Request("r", 6, k=1)])

    assert answer.source == "model"
    assert [item.item_id for item in answer.items] == [8]  # the one of its colour that it left out


@pytest.mark.parametrize(("factors", "status"), [(3, "published"), (6, "refused")])
def test_a_second_run_is_compared_with_the_incumbents_recipe(
    checkerboard: Settings, factors: int, status: str
) -> None:
    # NDCG@10 on this data: 3 factors 0.84, 4 factors 0.79, 6 factors 0.69, 10 % are tolerated
    run(checkerboard, parameters(factors=4))

    result = run(checkerboard, parameters(factors=factors), incumbent="v0.1")

    assert result.status == status
    assert result.metrics["incumbent_ndcg_at_10"] == pytest.approx(0.79, abs=0.01)
    assert ("not_worse_than_incumbent: " in str(result.reason)) == (status == "refused")
    assert len(Store(checkerboard.model_registry).versions()) == 1 + (status == "published")


def test_progress_passes_through_the_stages_in_order(checkerboard: Settings) -> None:
    reported: list[TrainingProgress] = []
    run(checkerboard, report=reported.append)

    stages = list(dict.fromkeys(line.stage for line in reported))
    assert stages == ["lock", "snapshot", "fit", "evaluate", "gate", "publish"]


# --- a bad model cannot get in ---


def refused_checks(settings: Settings, **more: Any) -> dict[str, str]:
    """Run, require a refusal and an empty registry; return the checks that did not pass."""
    result = run(settings, **more)
    assert result.status == "refused", result
    assert result.version is None
    assert result.gate is not None
    assert result.reason
    assert Store(settings.model_registry).versions() == []
    assert Store(settings.model_registry).latest() is None
    return {check.name: check.verdict for check in result.gate.checks if check.verdict != "pass"}


def spoiled(change: Callable[[Factors], Factors]) -> Fit:
    def fit(
        weights: Csr, hyperparameters: Parameters, threads: int, advance: Callable[[int], None]
    ) -> Factors:
        return change(fit_als(weights, hyperparameters, threads, advance))

    return fit


def test_no_data_is_refused(topics_created: Settings) -> None:
    assert refused_checks(topics_created)["interactions"] == "inconclusive"


def test_one_user_is_refused(topics_created: Settings) -> None:
    produce_events(topics_created, (watch(1, item, at=item) for item in range(300)))

    assert refused_checks(topics_created)["users"] == "fail"


def test_factors_that_are_not_numbers_are_refused(checkerboard: Settings) -> None:
    def poison(factors: Factors) -> Factors:
        return Factors(np.full_like(factors.users, np.nan), factors.items)

    assert refused_checks(checkerboard, fit=spoiled(poison))["finite_factors"] == "fail"


def test_swapped_matrices_are_refused(topics_created: Settings) -> None:
    produce_events(topics_created, checkerboard_events(users=26))
    swap = spoiled(lambda right: Factors(right.items, right.users))

    assert refused_checks(topics_created, fit=swap)["factor_shapes"] == "fail"


def test_swapped_square_matrices_are_refused_for_their_quality(topics_created: Settings) -> None:
    # as many users as items: the shapes fit, so only the evaluation can tell. The colours of the
    # items lie in two blocks, or else the board would look the same from both sides
    blocks = [*range(0, 24, 2), *range(1, 24, 2)]
    produce_events(
        topics_created,
        (
            msgspec.structs.replace(event, item_id=blocks.index(int(event.item_id)))
            for event in checkerboard_events()
        ),
    )
    swap = spoiled(lambda right: Factors(right.items, right.users))

    assert refused_checks(topics_created, fit=swap) == {
        "better_than_popularity": "inconclusive",
        "plausible": "inconclusive",
    }
    assert run(topics_created).status == "published"  # not swapped, it is good


def test_a_run_that_is_killed_half_way_leaves_the_registry_clean_and_the_next_one_publishes(
    checkerboard: Settings,
) -> None:
    store = Store(checkerboard.model_registry)
    with child(checkerboard, *long_run()) as running:
        until_it_fits(lines(running))
        running.send_signal(signal.SIGKILL)
        assert running.wait(10) == -signal.SIGKILL
    assert store.versions() == []

    assert run(checkerboard).version == "v0.1"


@pytest.mark.parametrize("fault", ["unreadable latest.txt", "not writable"])
def test_a_registry_that_cannot_be_published_to_ends_a_run_before_it_reads_anything(
    checkerboard: Settings, fault: str, tmp_path: Path
) -> None:
    registry = tmp_path / "faulty"
    if fault == "not writable":
        registry.touch()  # the tests may run as root, who may write everywhere but below a file
    else:
        registry.mkdir()
        (registry / "latest.txt").write_text("garbage")
    result = run(checkerboard.model_copy(update={"model_registry": str(registry / "")}))
    assert (result.status, result.code) in {("failed", "artifact"), ("failed", "damaged_version")}
    assert "nothing can be published" in str(result.reason)
    assert set(result.stage_seconds) <= {"lock"}


def test_a_run_that_was_stopped_for_too_long_does_not_publish(checkerboard: Settings) -> None:
    with child(checkerboard, *long_run()) as running:
        printed = lines(running)
        until_it_fits(printed)
        running.send_signal(signal.SIGSTOP)
        with training_lock(checkerboard, TAKEOVER_SECONDS):
            running.send_signal(signal.SIGCONT)
            *_, last = printed
            assert running.wait(30) == 1
    assert isinstance(last, TrainingResult)
    assert (last.status, last.code) == ("failed", "lost_lock")
    assert Store(checkerboard.model_registry).versions() == []


def test_a_run_ends_with_its_parent(checkerboard: Settings) -> None:
    with child(checkerboard, *long_run("--end-with-parent")) as running:
        until_it_fits(lines(running))
        assert running.stdin is not None
        running.stdin.close()
        assert running.wait(10) == 3


def test_a_wrong_setting_ends_the_process_with_code_2(settings: Settings) -> None:
    with child(settings, "-m", "training", "--factors", "0") as running:
        assert running.wait(30) == 2


def test_an_unknown_incumbent_fails_the_run(checkerboard: Settings) -> None:
    result = run(checkerboard, incumbent="v9.9")

    assert (result.status, result.code) == ("failed", "unknown_version")


def test_missing_topics_fail_the_run_and_the_reason_says_what_to_do(settings: Settings) -> None:
    result = run(settings)

    assert (result.status, result.code) == ("failed", "configuration")
    assert "recstream topics create" in str(result.reason)


def test_a_broker_that_does_not_answer_fails_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_module, "WAIT_SECONDS", 0.5)

    result = run(fresh_settings("127.0.0.1:1", tmp_path))

    assert (result.status, result.code) == ("failed", "transport")
    assert "KAFKA_BOOTSTRAP_SERVERS" in str(result.reason)


# --- the snapshot ---


def test_a_snapshot_has_every_record_of_a_batch(settings_on_each_broker: Settings) -> None:
    # the embedded broker lists the first offset of the last batch plus one as the end
    produce_events(settings_on_each_broker, checkerboard_events())

    described = snapshot_of(settings_on_each_broker).described

    assert described.interactions == len(checkerboard_events())


def test_the_same_ranges_give_the_same_snapshot(checkerboard: Settings) -> None:
    first, other = snapshot_of(checkerboard), snapshot_of(checkerboard)

    assert first.described == other.described
    assert first.cells.values["watch"].tobytes() == other.cells.values["watch"].tobytes()


def test_what_is_produced_after_the_start_belongs_to_the_next_snapshot(
    checkerboard: Settings,
) -> None:
    size = len(checkerboard_events())
    late = threading.Event()

    def produce_once(_done: int, _total: int) -> None:
        if not late.is_set():
            late.set()
            produce_events(checkerboard, (watch(99, item) for item in range(50)))

    first = read_snapshot(checkerboard, produce_once)
    second = snapshot_of(checkerboard)

    assert late.is_set()
    assert first.described.interactions == size
    assert second.described.interactions == size + 50
    assert first.described.id != second.described.id


def test_records_that_cannot_be_used_are_counted_by_reason_and_told(
    checkerboard: Settings,
) -> None:
    bad = [b"{not json", b'"a string"', b'{"user_id": 1}', None, b'{"user_id":1.5,"item_id":1}']
    produce(checkerboard, [*bad, b'{"user_id": 1, "item_id": 2, "event": "view"}'])
    produce_events(
        checkerboard, [watch(1, 2, value=1e300), Interaction(user_id=1, item_id=2, event="rate")]
    )
    stages: list[TrainingProgress] = []

    result = run(checkerboard, report=stages.append)

    assert result.status == "published"
    assert result.snapshot is not None
    assert result.snapshot.interactions == len(checkerboard_events())
    (message,) = (line.message for line in stages if line.message and line.stage == "snapshot")
    assert message is not None
    assert message.endswith(
        "8 records could not be used: 3 invalid, 1 empty, 1 malformed, 1 no_rating, 1 no_weight, "
        "1 out_of_range"
    )
    assert sum(result.snapshot.unusable.values()) == 8


def test_an_empty_topic_is_an_empty_snapshot(topics_created: Settings) -> None:
    described = snapshot_of(topics_created).described

    assert (described.interactions, described.users, described.items) == (0, 0, 0)
    assert set(described.partitions.values()) == {(0, 0)}


def test_ranges_that_end_in_records_nobody_may_read_are_passed(
    topics_created: Settings, broker: Broker
) -> None:
    if "NOT Apache Kafka" in broker.what:
        pytest.skip("the embedded broker has no transactions that can be relied on")
    producer = Producer(client_config(topics_created) | {"transactional.id": uuid.uuid4().hex})
    producer.init_transactions(30)
    topic = topics_of(topics_created).interactions.name
    for user, end in ((1, producer.commit_transaction), (2, producer.abort_transaction)):
        producer.begin_transaction()
        producer.produce(topic, encode(watch(user, 7)), partition=0)
        producer.flush(30)
        end(30)

    snapshot = snapshot_of(topics_created)

    assert snapshot.cells.user_ids == (1,)
    assert snapshot.described.partitions["0"] == (0, 4)  # two records, two markers


# --- the lock ---


def test_a_second_run_is_told_so_and_the_first_keeps_the_lock(
    settings_on_each_broker: Settings,
) -> None:
    with training_lock(settings_on_each_broker) as first:
        with pytest.raises(TrainingFailed) as failure, training_lock(settings_on_each_broker, 8):
            raise AssertionError("two runs at once")
        assert failure.value.code == "already_running"
        first.confirm()


def test_the_lock_is_free_again_when_its_run_ends(settings_on_each_broker: Settings) -> None:
    for _ in range(2):
        with training_lock(settings_on_each_broker) as lock:
            lock.confirm()


def test_environments_do_not_wait_for_each_other(settings_on_each_broker: Settings) -> None:
    staging = settings_on_each_broker.model_copy(update={"environment": "staging"})

    with training_lock(settings_on_each_broker) as first, training_lock(staging) as other:
        first.confirm()
        other.confirm()


def test_a_killed_run_gives_the_lock_up(settings_on_each_broker: Settings) -> None:
    with child(settings_on_each_broker, "-c", HOLD_THE_LOCK) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"held\n"
        running.send_signal(signal.SIGKILL)
        with training_lock(settings_on_each_broker) as lock:
            lock.confirm()


def test_a_run_that_wakes_up_after_its_session_learns_that_the_lock_is_gone(
    settings_on_each_broker: Settings,
) -> None:
    with child(settings_on_each_broker, "-c", HOLD_THE_LOCK) as running:
        assert running.stdout is not None
        assert running.stdin is not None
        assert running.stdout.readline() == b"held\n"
        running.send_signal(signal.SIGSTOP)
        with training_lock(settings_on_each_broker, TAKEOVER_SECONDS) as successor:
            running.stdin.write(b"\n")  # asks it to confirm as the first thing on waking
            running.stdin.flush()
            running.send_signal(signal.SIGCONT)
            assert running.stdout.readline() == b"lost_lock\n"
            successor.confirm()


def test_a_run_that_wakes_up_with_nobody_in_its_place_has_lost_the_lock_all_the_same(
    settings_on_each_broker: Settings,
) -> None:
    # another run may have come and gone meanwhile
    with child(settings_on_each_broker, "-c", HOLD_THE_LOCK) as running:
        assert running.stdout is not None
        assert running.stdin is not None
        assert running.stdout.readline() == b"held\n"
        running.send_signal(signal.SIGSTOP)
        with training_lock(settings_on_each_broker, TAKEOVER_SECONDS):
            pass
        running.stdin.write(b"\n")
        running.stdin.flush()
        running.send_signal(signal.SIGCONT)
        assert running.stdout.readline() == b"lost_lock\n"


def test_play_counts_are_right_by_default_and_warned_of(topics_created: Settings) -> None:
    settings = topics_created.model_copy(update={"retrain_factors": 16})
    produce_events(settings, play_counts())

    result = run(settings, parameters_of(settings))

    assert result.status == "published", result.reason
    assert {warning.code for warning in result.warnings} == {"wide_values", "no_times"}
    manifest = Store(settings.model_registry).manifest(str(result.version))
    assert manifest.parameters.event_weights["watch"].transform == "log"
    assert manifest.data_report is not None
    assert manifest.data_report.warnings == result.warnings
    assert manifest.data_report.values["watch"].largest > 300_000
    assert manifest.metrics["ndcg_at_10"] > 2 * manifest.metrics["popularity_ndcg_at_10"]


def test_a_custom_kind_counts_once_it_has_a_weight(topics_created: Settings) -> None:
    played = [structs.replace(event, event="play") for event in checkerboard_events()]
    produce_events(topics_created, played)

    ignored = run(topics_created)
    weighted = run(topics_created, parameters(event_weights=parse_event_weights("play=2:binary")))

    assert (ignored.status, {warning.code for warning in ignored.warnings}) == (
        "refused",
        {"no_weight"},
    )
    assert weighted.status == "published", weighted.reason
