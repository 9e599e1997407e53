"""Every request is answered at least once, whatever happens to workers and is in records."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from harness.client import Client
from harness.configuring import configure
from harness.fresh import publish_model
from harness.waiting import wait_until
from harness.workers import Worker

from registry.settings import Settings

Start = Callable[..., Worker]
REQUESTS = 12_000
PER_SECOND = 1_000
UNCOMMITTED_SECONDS = 3
"""Of traffic: more than a kill, a pause and a stop together may leave uncommitted, so that it is
answered again."""
ANY_TIME = str(2**63 - 1)

MALFORMED = b'{"request_id": '
POISON = {
    "malformed": MALFORMED,
    "empty": b"",
    "too_large": b'{"request_id": "big", "user_id": 1, "x": "' + b"x" * 1_000_000 + b'"}',
    "invalid": b'{"request_id": "no-user", "user_id": [1]}',
}


@pytest.fixture
def fleet_settings(topics_created: Settings) -> Settings:
    publish_model(topics_created)
    return topics_created.model_copy(update={"session_timeout": 6.0})


def test_kills_joins_and_stops_lose_no_request(
    client: Client, fleet_settings: Settings, start_worker: Start, figure: Callable[[str], None]
) -> None:
    first, second = start_worker(fleet_settings), start_worker(fleet_settings)
    first.wait_ready()
    second.wait_ready()
    ids = [f"r{number}" for number in range(REQUESTS)]
    events = {
        REQUESTS // 6: first.kill,
        REQUESTS // 3: lambda: start_worker(fleet_settings),
        REQUESTS // 2: second.pause,
        REQUESTS * 3 // 4: second.resume,
        REQUESTS * 7 // 8: second.process.terminate,
    }
    started = time.monotonic()
    for start in range(0, REQUESTS, 100):
        if start in events:
            events[start]()
        client.send(
            {"request_id": ids[number], "user_id": number % 50 + 1}
            for number in range(start, start + 100)
        )
        time.sleep(max(0.0, start / PER_SECOND - (time.monotonic() - started)))
    answers = client.wait_for(ids, 90)
    twice = sum(len(several) - 1 for several in answers.values())
    figure(f"{REQUESTS} requests: none lost, {twice} answered more than once")
    assert {answer["status"] for several in answers.values() for answer in several} == {"ok"}
    assert twice < UNCOMMITTED_SECONDS * PER_SECOND


def test_each_record_that_cannot_be_used_is_put_aside_and_the_stream_goes_on(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    start_worker(fleet_settings).wait_ready()
    good = [f"good{number}" for number in range(200)]
    for number, payload in enumerate(POISON.values()):
        client.send(
            {"request_id": request_id, "user_id": 7} for request_id in good[number * 50 :][:50]
        )
        client.produce(client.topics.requests, payload, b"7", {"traceparent": b"00-4bf9"})
    client.send([{"request_id": "pinned", "user_id": 7, "model_version": "v9.9"}])
    answers = client.wait_for([*good, "pinned"])
    assert {answers[request_id][0]["status"] for request_id in good} == {"ok"}
    refused = answers["pinned"][0]
    assert (refused["status"], refused["error"]["code"]) == ("error", "unknown_version")
    assert "v0.1" in refused["error"]["message"]
    letters = client.dead_letters(len(POISON))
    assert {letter.headers["reason"]: letter.value or b"" for letter in letters} == {
        reason.encode(): payload for reason, payload in POISON.items()
    }
    for letter in letters:
        assert letter.key == b"7"
        assert letter.headers["traceparent"] == b"00-4bf9"
        assert letter.headers["source_topic"] == client.topics.requests.name.encode()
        assert int(letter.headers["source_offset"] or -1) >= 0


def test_an_answer_carries_the_headers_of_its_request(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    start_worker(fleet_settings).wait_ready()
    headers = {"traceparent": b"00-4bf9", "correlation-id": b"\xff\x00"}
    request = b'{"request_id": "traced", "user_id": 7}'
    client.produce(client.topics.requests, request, b"7", headers)
    client.send([{"request_id": "plain", "user_id": 7}])
    client.wait_for(["traced", "plain"])
    assert client.answer_headers["traced"] == headers
    assert client.answer_headers["plain"] == {}


def test_the_latency_of_a_request_from_the_future_is_absent_and_counted(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    worker = start_worker(fleet_settings).wait_ready()
    ahead = int(time.time() * 1000) + 3_500_000
    client.produce(
        client.topics.requests, b'{"request_id": "ahead", "user_id": 7}', b"7", timestamp=ahead
    )
    (answer,) = client.wait_for(["ahead"])["ahead"]
    assert answer["status"] == "ok"
    assert "latency_ms" not in answer["provenance"]
    metrics = worker.fetch("/metrics").text
    assert 'negative_durations_total{duration="latency"} 1.0' in metrics


def test_a_time_that_is_none_is_absent_from_traces_and_harms_no_page(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    worker = start_worker(fleet_settings).wait_ready()
    configure(fleet_settings, client.topics.requests, "message.timestamp.after.max.ms", ANY_TIME)
    stamps = {"year-36000000": 2**60, "tomorrow": int(time.time() * 1000) + 86_400_000, "1970": 1}
    for request_id, stamp in stamps.items():
        request = {"request_id": request_id, "user_id": 7, "deadline_ms": 60_000}
        value = json.dumps(request).encode()
        client.produce(client.topics.requests, value, b"7", timestamp=stamp)
    answers = client.wait_for(stamps)
    assert {request_id: answers[request_id][0]["status"] for request_id in stamps} == {
        "year-36000000": "ok",
        "tomorrow": "ok",
        "1970": "expired",
    }
    assert "latency_ms" not in answers["year-36000000"][0]["provenance"]
    assert "latency_ms" not in answers["tomorrow"][0]["provenance"]

    assert worker.get("/trace/year-36000000")["requested_at"] is None
    assert worker.get("/trace/1970")["requested_at"].startswith("1970-01-01")
    assert worker.fetch("/").status == 200
    assert 'negative_durations_total{duration="latency"} 2.0' in worker.fetch("/metrics").text
    worker.wait_ready()


def test_deadlines_count_from_the_brokers_time_where_the_topic_has_it(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    """An hour ahead, an hour behind: what the producer's clock says does not matter any more."""
    topic = client.topics.requests
    configure(fleet_settings, topic, "message.timestamp.type", "LogAppendTime")
    worker = start_worker(fleet_settings).wait_ready()
    worker.pause()
    now = int(time.time() * 1000)
    for request_id, deadline_ms in (("late", 1_000), ("in-time", 3_600_000)):
        for clock, stamp in (("ahead", now + 3_500_000), ("behind", now - 3_500_000)):
            request = {"user_id": 7, "deadline_ms": deadline_ms}
            value = json.dumps(request | {"request_id": f"{request_id}-{clock}"}).encode()
            client.produce(topic, value, b"7", timestamp=stamp)
    wait_until(lambda: time.time() * 1000 > now + 1_500, 5, "a deadline to pass")
    worker.resume()
    sent = [f"{name}-{clock}" for name in ("late", "in-time") for clock in ("ahead", "behind")]

    answers = client.wait_for(sent, 60)

    assert [answers[request_id][0]["status"] for request_id in sent] == [
        "expired",
        "expired",
        "ok",
        "ok",
    ]
    latencies = [answers[request_id][0]["provenance"]["latency_ms"] for request_id in sent]
    assert all(500 < latency < 60_000 for latency in latencies), latencies
    assert 'negative_durations_total{duration="latency"} 0.0' in worker.fetch("/metrics").text


def test_a_malformed_command_is_put_aside_refused_and_changes_nothing(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    worker = start_worker(fleet_settings).wait_ready()
    before = worker.get("/rollout/status")["state"]
    client.produce(client.topics.control, MALFORMED, b"production", {"traceparent": b"00-4bf9"})
    client.produce(client.topics.control, b'{"command_id": "x", "type": "explode"}')
    letters = client.dead_letters(2)
    assert [letter.headers["reason"] for letter in letters] == [b"malformed", b"invalid"]
    assert letters[0].headers["traceparent"] == b"00-4bf9"
    result = client.command(type="swap", model_version="v9.9")
    assert (result["status"], result["error"]["code"]) == ("rejected", "unusable_version")
    assert worker.get("/rollout/status")["state"] == before
