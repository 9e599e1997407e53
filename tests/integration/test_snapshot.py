"""Snapshots of a real topic: read once, kept in the registry, and the same whoever reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from harness.brokers import Broker
from harness.waiting import wait_until

from registry.connection.client_config import client_config
from registry.errors import ConfigurationError, TrainingFailed
from registry.kafka.topic_admin import check_topics, create_topics
from registry.kafka.topics import topics_of
from registry.settings import Settings, read_settings, to_environment
from registry.storage.objects import Objects
from registry.wire.codec import encode
from registry.wire.training_records.event_weights import DEFAULT, parse_event_weights
from registry.wire.training_records.interactions import Interaction
from tests.unit.training.builders import checkerboard_events, forget, parameters, same_cells, watch
from training.data.cell_weights import weights
from training.data.matrix import csr
from training.data.snapshot import Snapshot, read_again, read_snapshot
from training.fitting.als import fit_als
from training.log.offset_ranges import Span
from training.log.segments import Segments


def produce(settings: Settings, events: Iterable[Interaction], partition: int = -1) -> None:
    producer = Producer(client_config(settings) | {"linger.ms": 5})
    topic = topics_of(settings).interactions.name
    for event in events:
        producer.produce(topic, encode(event), str(event.user_id).encode(), partition)
    assert producer.flush(30) == 0


def snapshot_of(
    settings: Settings, advance: Callable[[int, int], None] = lambda _done, _total: None
) -> Snapshot:
    return read_snapshot(settings, advance)


def changed(settings: Settings, **variables: str) -> Settings:
    return read_settings(to_environment(settings) | variables)


def elsewhere(settings: Settings, folder: Path) -> Settings:
    """Return settings with an empty registry."""
    return changed(settings, MODEL_REGISTRY=str(folder / "another_registry"))


def segments_of(settings: Settings) -> Segments:
    return Segments(Objects(settings.model_registry), topics_of(settings).interactions.name)


def delete_records(settings: Settings, broker: Broker, before: int, partition: int = 0) -> None:
    """Have Kafka drop what stands before an offset, as retention does."""
    if "NOT Apache Kafka" in broker.what:
        pytest.skip("the embedded broker deletes no records")
    topic = topics_of(settings).interactions.name
    admin = AdminClient(client_config(settings))
    for future in admin.delete_records([TopicPartition(topic, partition, before)]).values():
        assert future.result().low_watermark == before


def make_again(settings: Settings) -> None:
    """Delete the interaction topic and make it again, empty."""
    topic = topics_of(settings).interactions.name
    admin = AdminClient(client_config(settings))
    for future in admin.delete_topics([topic]).values():
        future.result()
    wait_until(lambda: topic not in admin.list_topics(timeout=5).topics, 15, "the topic to go")
    create_topics(settings)
    wait_until(lambda: not check_topics(settings), 60, "the topics to be there")


def test_a_second_snapshot_reads_from_kafka_only_what_is_new(topics_created: Settings) -> None:
    produce(topics_created, checkerboard_events())
    size = len(checkerboard_events())

    first = snapshot_of(topics_created)
    produce(topics_created, [watch(99, 1), watch(98, 1)])
    second = snapshot_of(topics_created)
    third = snapshot_of(topics_created)

    assert [(snapshot.fresh, snapshot.records) for snapshot in (first, second, third)] == [
        (size, size),
        (2, size + 2),
        (0, size + 2),
    ]
    assert second.described == third.described
    assert same_cells(second.cells, third.cells)


def test_the_same_ranges_train_the_same_factors_however_they_were_read(
    topics_created: Settings, tmp_path: Path
) -> None:
    events = checkerboard_events()
    for start in range(0, len(events), 40):
        produce(topics_created, events[start : start + 40])
        in_parts = snapshot_of(topics_created)
    at_once = snapshot_of(elsewhere(topics_created, tmp_path))

    def factors(snapshot: Snapshot) -> list[bytes]:
        weight = weights(snapshot.cells, parameters())
        fitted = fit_als(
            csr(snapshot.cells, weight > 0, weight), parameters(), 1, lambda _done: None
        )
        return [factors.tobytes() for factors in fitted]

    assert in_parts.described == at_once.described
    assert same_cells(in_parts.cells, at_once.cells)
    assert factors(in_parts) == factors(at_once)


def test_a_snapshot_is_read_again_by_its_manifest_without_kafka(
    topics_created: Settings,
) -> None:
    produce(topics_created, checkerboard_events())
    before = snapshot_of(topics_created)
    produce(topics_created, [watch(99, 1)] * 5)
    snapshot_of(topics_created)

    again = read_again(
        changed(topics_created, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1"),
        before.described,
        parse_event_weights(DEFAULT),
    )

    assert again.described == before.described
    assert same_cells(again.cells, before.cells)


def test_what_the_registry_holds_survives_the_topics_retention(
    topics_created: Settings, broker: Broker
) -> None:
    produce(topics_created, (watch(user, 1) for user in range(10)), partition=0)
    before = snapshot_of(topics_created)
    produce(topics_created, [watch(99, 1)], partition=0)
    delete_records(topics_created, broker, before=10)

    after = snapshot_of(topics_created)

    assert after.fresh == 1
    assert after.described.partitions["0"] == (0, 11)
    assert after.described.users == before.described.users + 1


def test_records_that_are_gone_before_anyone_read_them_are_named_and_end_the_run(
    topics_created: Settings, broker: Broker
) -> None:
    produce(topics_created, (watch(user, 1) for user in range(10)), partition=0)
    snapshot_of(topics_created)
    produce(topics_created, (watch(user, 2) for user in range(10)), partition=0)
    delete_records(topics_created, broker, before=13)

    with pytest.raises(TrainingFailed, match=r"partition 0: offsets \[10, 13\) are gone") as lost:
        snapshot_of(topics_created)

    assert lost.value.code == "lost_range"
    assert "RETRAIN_LOST_RANGES=accept" in str(lost.value)


def test_a_loss_that_is_accepted_is_in_the_manifest_and_is_not_asked_about_again(
    topics_created: Settings, broker: Broker
) -> None:
    produce(topics_created, (watch(user, 1) for user in range(10)), partition=0)
    before = snapshot_of(topics_created)
    produce(topics_created, (watch(user, 2) for user in range(10)), partition=0)
    delete_records(topics_created, broker, before=13)

    accepted = snapshot_of(changed(topics_created, RETRAIN_LOST_RANGES="accept"))
    afterwards = snapshot_of(topics_created)

    assert before.described.lost == {}
    assert accepted.described.partitions["0"] == (0, 20)
    assert accepted.described.lost == {"0": ((10, 13),)}
    assert accepted.described.interactions == 10 + 7
    assert afterwards.described == accepted.described


def test_a_fresh_registry_begins_where_kafka_begins(
    topics_created: Settings, broker: Broker
) -> None:
    produce(topics_created, (watch(user, 1) for user in range(10)), partition=0)
    delete_records(topics_created, broker, before=4)

    assert snapshot_of(topics_created).described.partitions["0"] == (4, 10)


@pytest.mark.parametrize("later", [5, 10, 30])
def test_a_topic_that_was_made_again_is_not_taken_for_the_old_one(
    topics_created: Settings, broker: Broker, later: int
) -> None:
    if "NOT Apache Kafka" in broker.what:
        pytest.skip("the embedded broker keeps a deleted topic's end")
    produce(topics_created, (watch(user, 1) for user in range(10)), partition=0)
    snapshot_of(topics_created)
    make_again(topics_created)
    produce(topics_created, (watch(user, 2) for user in range(later)), partition=0)

    with pytest.raises(ConfigurationError, match=r"partition 0: .* recreated"):
        snapshot_of(topics_created)


def test_a_run_that_ends_half_way_has_not_read_for_nothing(
    topics_created: Settings,
) -> None:
    for partition in (0, 1):
        produce(topics_created, (watch(user, 1) for user in range(10)), partition=partition)

    def stop(done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        snapshot_of(topics_created, stop)

    assert snapshot_of(topics_created).fresh < 20


def test_two_runs_at_once_get_the_same_snapshot(topics_created: Settings) -> None:
    produce(topics_created, checkerboard_events())

    with ThreadPoolExecutor(3) as pool:
        snapshot, *others = pool.map(lambda _: snapshot_of(topics_created), range(3))

    for other in [*others, snapshot_of(topics_created)]:
        assert other.described == snapshot.described
        assert same_cells(other.cells, snapshot.cells)


def test_a_forgotten_user_is_gone_from_the_next_snapshot_and_from_the_segments(
    topics_created: Settings,
) -> None:
    produce(topics_created, [watch(1, 7, title="Heat"), watch(2, 7), watch("anna", 8)])
    before = snapshot_of(topics_created)
    produce(topics_created, [forget("anna", at=1.0), watch(1, 9, at=2.0)])

    after, again = snapshot_of(topics_created), snapshot_of(topics_created)

    assert before.cells.user_ids == (1, 2, "anna")
    assert after.cells.user_ids == (1, 2)
    assert after.cells.item_ids == (7, 9)
    assert after.described.unusable == again.described.unusable == {"forgotten": 1}
    assert after.described == again.described
    assert same_cells(after.cells, again.cells)
    rows = [
        row
        for partition, span in after.described.partitions.items()
        for _, table in segments_of(topics_created).read(int(partition), Span(*span))
        for row in table.to_pylist()
        if row["user_text"] == "anna"
    ]
    assert [row["event"] for row in rows] == ["forget"]
    produce(topics_created, [forget("anna", at=3.0), forget("bob", at=4.0)])
    later = snapshot_of(topics_created)
    assert later.described.unusable == {"forgotten": 1, "forget_of_nobody": 1}  # bob's


def test_many_small_runs_leave_few_segments(topics_created: Settings) -> None:
    for number in range(20):
        produce(topics_created, [watch(number, 1)], partition=0)
        snapshot = snapshot_of(topics_created)

    assert snapshot.fresh == 1
    assert np.array_equal(snapshot.cells.user_ids, range(20))
    assert len(segments_of(topics_created).held(0)) <= 5
