"""Dead letters on real Kafka: what was put aside is found, replayed once, and dropped."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from harness.brokers import Broker
from harness.builders import a_record
from harness.client import Client
from harness.fresh import environment_of, publish_model, without
from harness.waiting import wait_until
from harness.workers import Worker

from ops.clients import dead_letter_replay
from registry.connection.client_config import client_config
from registry.error_codes import RecordCode
from registry.errors import RecordError, RefusedCommand
from registry.kafka.dead_letter_records import REPLAY_OF, Wanted
from registry.kafka.topic_reader import messages, reading
from registry.kafka.topics import Topic, topics_of
from registry.settings import Settings
from streams.delivery.dead_letters import dead_letter_record

ROOT = Path(__file__).parents[2]
Start = Callable[..., Worker]
OPEN = Wanted(states=("open",))
LETTERS = 3_000


@pytest.fixture(autouse=True)
def _needs_transactions(broker: Broker) -> None:
    if "NOT Apache Kafka" in broker.what:
        pytest.skip("the embedded broker has no transactions that can be relied on")


def recstream(settings: Settings, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ops.cli.main", "dead-letters", *map(str, words)],
        env=without(os.environ) | environment_of(settings) | {"COLUMNS": "200"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def document(settings: Settings, *words: object) -> Any:
    return json.loads(recstream(settings, *words, "--json").stdout)


def put_aside(settings: Settings, count: int) -> None:
    """Put `count` requests aside, as a worker does."""
    topics = topics_of(settings)
    producer = Producer(client_config(settings))
    error = RecordError("Request: too large", RecordCode.TOO_LARGE)
    for offset in range(count):
        request = json.dumps({"request_id": f"r{offset}", "user_id": offset % 50}).encode()
        record = a_record(request, topic=topics.requests.name, offset=offset, key=b"1")
        letter = dead_letter_record(topics.dead_letter.name, record, error, "w1")
        producer.produce(letter.topic, letter.value, letter.key, headers=letter.headers)
        producer.poll(0)
    assert producer.flush(30) == 0


def replays(settings: Settings, topic: Topic) -> Counter[bytes | None]:
    """Return how often each letter's record stands on `topic`, transactions that count only."""
    with reading(settings, topic, last=10 * LETTERS) as consumer:
        found = [dict(message.headers() or []) for message in messages(consumer, 30, to_end=True)]
    return Counter(headers[REPLAY_OF] for headers in found if REPLAY_OF in headers)  # type: ignore[misc]


def test_what_was_too_large_is_replayed_once_when_the_limit_is_raised(
    client: Client, start_worker: Start
) -> None:
    settings = client.settings
    publish_model(settings)
    small = {"RECSTREAM_MAX_REQUEST_BYTES": "100"}
    worker = start_worker(settings, variables=small)
    worker.wait_ready()
    large = {"request_id": "large", "user_id": 7, "exclude_items": list(range(50))}
    headers = {"traceparent": b"00-4bf9"}
    client.produce(client.topics.requests, json.dumps(large).encode(), b"7", headers)
    client.produce(client.topics.requests, b"{\x1b]52;", b"7")
    client.produce(client.topics.control, b"{", b"production")
    client.dead_letters(3)

    listed = document(settings, "list")
    assert Counter((letter["reason"], letter["state"]) for letter in listed) == {
        ("too_large", "open"): 1,
        ("malformed", "open"): 2,
    }
    assert len(document(settings, "list", "--since", "10m")) == 3
    assert document(settings, "list", "--until", "10m") == []
    (garbage,) = document(
        settings, "list", "--reason", "malformed", "--topic", client.topics.requests.name
    )
    shown = document(settings, "show", garbage["offset"])
    assert base64.b64decode(shown["value"]) == b"{\x1b]52;"
    for_people = recstream(settings, "show", garbage["offset"]).stdout
    assert "\\x1b]52;" in for_people
    assert "\x1b]52" not in for_people
    page = worker.fetch("/").text
    assert "1 too_large" in page
    assert "2 malformed" in page

    worker.end()
    start_worker(settings).wait_ready()
    chosen = ("replay", "--reason", "too_large")
    assert document(settings, *chosen, "--dry-run")["replayed"] == 1
    assert replays(settings, client.topics.requests).total() == 0
    assert document(settings, *chosen)["replayed"] == 1
    assert client.wait_for(["large"])["large"][0]["status"] == "ok"
    assert client.answer_headers["large"]["traceparent"] == b"00-4bf9"
    assert document(settings, *chosen)["replayed"] == 0
    assert len(client.answers["large"]) == 1
    assert document(settings, *chosen, "--again")["replayed"] == 1
    wait_until(lambda: len(client.answers["large"]) == 2, 15, "the second replay's answer")

    everything = recstream(settings, "replay", "--all")  # still no JSON, and a command
    assert everything.returncode == 1
    assert "1 letters replayed" in everything.stdout
    assert "1 not replayed: not requests" in everything.stderr
    source = f"{client.topics.requests.name}/{garbage['partition']}/{garbage['source_offset']}"
    wait_until(
        lambda: source in {row["replay_of"] for row in document(settings, "list")},
        15,
        "the vain replay to be put aside again",
    )
    assert document(settings, "drop", "--all", "--dry-run")["dropped"] == 2
    assert document(settings, "drop", "--reason", "malformed")["dropped"] == 2
    assert document(settings, "list") == []
    assert Counter(row["state"] for row in document(settings, "list", "--state", "any")) == {
        "replayed": 2,
        "dropped": 2,
    }


def test_a_replay_that_is_killed_is_gone_on_with_and_sends_nothing_twice(
    topics_created: Settings, figure: Callable[[str], None]
) -> None:
    requests = topics_of(topics_created).requests
    put_aside(topics_created, LETTERS)
    kill_at = [400, 1_000]
    for sent_before in kill_at:
        killed = subprocess.Popen(
            [sys.executable, "-c", f"{STOPPING}\nstop({sent_before})"],
            env=without(os.environ) | environment_of(topics_created),
            cwd=ROOT,
        )
        assert killed.wait(60) == -9
    done = dead_letter_replay.replay(topics_created, OPEN).done
    found = replays(topics_created, requests)
    assert (len(found), found.total()) == (LETTERS, LETTERS)
    figure(f"{LETTERS:,} letters, {done:,} after two kills, none twice")


STOPPING = """
import os, signal
from ops.clients import dead_letter_replay
from registry.kafka.dead_letter_records import Wanted
from registry.settings import read_settings

def stop(after):
    sent, again = 0, dead_letter_replay._Replayer._send_again
    def send(dealer, letter):
        nonlocal sent
        again(dealer, letter)
        sent += 1
        if sent == after + 50:  # in the middle of a transaction, some of which Kafka has
            dealer._producer.flush(10)
            os.kill(os.getpid(), signal.SIGKILL)
    dead_letter_replay._Replayer._send_again = send
    dead_letter_replay.replay(read_settings(os.environ), Wanted(states=("open",)))
"""


def test_of_two_replays_at_once_one_goes_on_and_nothing_is_sent_twice(
    topics_created: Settings,
) -> None:
    put_aside(topics_created, LETTERS)

    def attempt(_: int) -> str:
        try:
            return f"done {dead_letter_replay.replay(topics_created, OPEN).done}"
        except RefusedCommand as error:
            return error.code

    with ThreadPoolExecutor(3) as pool:
        ends = list(pool.map(attempt, range(3)))
    found = replays(topics_created, topics_of(topics_created).requests)
    assert (len(found), found.total()) == (LETTERS, LETTERS), ends
    assert any(end.startswith("done") for end in ends)


def test_a_replay_in_whose_midst_another_begins_ends_and_says_so(
    topics_created: Settings,
) -> None:
    put_aside(topics_created, 500)
    others: list[int] = []

    def begin_another(_: int) -> None:
        others.append(dead_letter_replay.replay(topics_created, OPEN).done)

    with pytest.raises(RefusedCommand, match="has started and replaced") as replaced:
        dead_letter_replay.replay(topics_created, OPEN, begin_another)

    assert replaced.value.code == "replaced"
    assert others == [500 - dead_letter_replay.LETTERS_AT_ONCE]
    found = replays(topics_created, topics_of(topics_created).requests)
    assert (len(found), found.total()) == (500, 500)


def test_whoever_means_all_letters_must_say_so(topics_created: Settings) -> None:
    for words in (("replay",), ("drop",), ("drop", "--all", "--reason", "empty")):
        ended = recstream(topics_created, *words)
        assert ended.returncode == 2, ended
        assert "--all" in ended.stderr
    unknown = recstream(topics_created, "show", 5)
    assert unknown.returncode == 1
    assert "no dead letter at offset" in unknown.stderr
