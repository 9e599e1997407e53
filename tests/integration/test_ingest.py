"""Ingestion: what was sent once is not sent again, and a run that was cut off is gone on with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.brokers import Broker
from harness.fresh import fresh_settings

from ops.ingest import send_once as ingesting
from ops.ingest.send_once import SentCounts, fingerprint, send_once
from registry.kafka.topic_admin import create_topics
from registry.settings import Settings
from registry.wire.codec import encode
from tests.integration.test_snapshot import make_again
from tests.unit.training.builders import watch
from training.data.snapshot import read_snapshot


def records(count: int, fail_at: int | None = None) -> Iterator[tuple[int, bytes]]:
    for user in range(count):
        if user == fail_at:
            raise KeyboardInterrupt
        yield user, encode(watch(user, 1))


def on_topic(settings: Settings) -> int:
    return read_snapshot(settings, lambda _done, _total: None).records


def test_a_file_that_was_sent_is_not_sent_again_unless_that_is_asked_for(
    topics_created: Settings,
) -> None:
    runs = [send_once(topics_created, "abc", records(50)) for _ in range(2)]
    assert runs == [SentCounts(50, 0), SentCounts(0, 50)]
    assert on_topic(topics_created) == 50

    assert send_once(topics_created, "abc", records(50), again=True) == SentCounts(50, 0)
    assert on_topic(topics_created) == 100


def test_another_file_is_sent_whole(topics_created: Settings) -> None:
    send_once(topics_created, "abc", records(50))

    assert send_once(topics_created, "def", records(20)) == SentCounts(20, 0)


def test_a_run_that_is_cut_off_is_gone_on_with_from_its_last_note(
    topics_created: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingesting, "NOTE_RECORDS", 20)
    advances: list[int] = []

    with pytest.raises(KeyboardInterrupt):
        send_once(topics_created, "abc", records(50, fail_at=45))

    assert send_once(topics_created, "abc", records(50), on_sent=advances.append) == SentCounts(
        10, 40
    )
    assert (advances[0], advances[-1]) == (40, 50)


def test_the_note_goes_with_its_topic(topics_created: Settings, broker: Broker) -> None:
    if "NOT Apache Kafka" in broker.what:
        pytest.skip("the embedded broker keeps a deleted topic's notes")
    send_once(topics_created, "abc", records(50))
    make_again(topics_created)

    assert send_once(topics_created, "abc", records(50)) == SentCounts(50, 0)


def test_notes_work_on_the_embedded_broker_too(embedded: str, tmp_path: Path) -> None:
    settings = fresh_settings(embedded, tmp_path)
    create_topics(settings)

    assert [send_once(settings, "abc", records(50)).now for _ in range(2)] == [50, 0]


def test_a_file_is_known_by_its_bytes_not_by_its_name(tmp_path: Path) -> None:
    original, same, other = (tmp_path / name for name in ("a", "b", "c"))
    original.write_bytes(b"x")
    same.write_bytes(b"x")
    other.write_bytes(b"y")

    assert fingerprint(original) == fingerprint(same) != fingerprint(other)
    assert fingerprint(original, other) != fingerprint(other, original)
