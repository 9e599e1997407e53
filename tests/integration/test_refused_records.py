"""A record that Kafka refuses for good costs itself, and neither the worker nor the stream."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

from harness.client import Client
from harness.configuring import configure
from harness.fresh import publish_model, random_arrays
from harness.waiting import wait_until
from harness.workers import Worker

from registry.kafka.topics import Topic
from registry.settings import Settings

Start = Callable[..., Worker]

LONG = "\x01" * 500
"""A title of the most characters that an interaction may bring; each is six bytes in JSON."""


def lower_limit(settings: Settings, topic: Topic, largest: int) -> None:
    """Let the broker take no larger batch of records into `topic` any more."""
    configure(settings, topic, "max.message.bytes", str(largest))


def publish_long_titles(settings: Settings) -> None:
    """Publish a version whose ids and titles are so long that a thousand do not fit anywhere."""
    arrays = random_arrays(50, 1000, 4, 0)
    ids = ["\x02" * 190 + f"{number:04}" for number in range(1000)]
    long = dataclasses.replace(arrays, item_ids=ids, titles=[LONG] * 1000)
    publish_model(settings, arrays=long)


def series(worker: Worker, name: str) -> dict[str, float]:
    """Return the values of a counter above 0, by its labels as they are written."""
    lines = [line for line in worker.fetch("/metrics").text.splitlines() if line.startswith(name)]
    found = (line.removeprefix(name).rsplit(" ", 1) for line in lines)
    return {labels: float(value) for labels, value in found if float(value)}


def test_an_answer_that_fits_nowhere_becomes_an_error_answer_and_the_stream_goes_on(
    client: Client, topics_created: Settings, start_worker: Start
) -> None:
    publish_long_titles(topics_created)
    worker = start_worker(topics_created).wait_ready()
    large, small = [f"large{n}" for n in range(3)], [f"small{n}" for n in range(200)]
    for number, request_id in enumerate(large):
        client.send(
            {"request_id": request_id, "user_id": 7, "k": 1} for request_id in small[number::3]
        )
        client.send([{"request_id": request_id, "user_id": 7, "k": 1000, "exclude_seen": False}])
    answers = client.wait_for([*large, *small])
    assert {answers[request_id][0]["status"] for request_id in small} == {"ok"}
    for request_id in large:
        (answer,) = answers[request_id]
        assert (answer["status"], answer["error"]["code"]) == ("error", "answer_too_large")
        for named in (request_id, client.topics.responses.name, "key 7", "bytes"):
            assert named in answer["error"]["message"]
        assert "items" not in answer
    assert worker.process.poll() is None
    assert sum(series(worker, "records_refused_total").values()) == 3
    errors = series(worker, 'recommend_requests_total{model_version="v0.1"')
    assert errors[',status="error",variant="primary"}'] == 3


def test_a_limit_that_is_lowered_harms_only_the_answers_that_are_too_large(
    client: Client, topics_created: Settings, start_worker: Start
) -> None:
    """Many answers travel together: their neighbours must not be refused with the large one."""
    publish_model(topics_created, items=1000)
    worker = start_worker(topics_created).wait_ready()
    lower_limit(topics_created, client.topics.responses, 20_000)
    large, small = [f"large{n}" for n in range(5)], [f"small{n}" for n in range(400)]
    client.send(
        [
            *({"request_id": request_id, "user_id": 7, "k": 5} for request_id in small[:200]),
            *({"request_id": request_id, "user_id": 7, "k": 1000} for request_id in large),
            *({"request_id": request_id, "user_id": 7, "k": 5} for request_id in small[200:]),
        ]
    )
    answers = client.wait_for([*large, *small])
    assert {answers[request_id][0]["status"] for request_id in small} == {"ok"}
    assert {answers[request_id][0]["error"]["code"] for request_id in large} == {"answer_too_large"}
    lower_limit(topics_created, client.topics.responses, 100)  # nothing fits, errors neither
    client.send([{"request_id": "gone", "user_id": 7}])
    (letter,) = client.dead_letters(1)
    assert letter.headers["reason"] == b"answer_too_large"
    assert b'"gone"' in (letter.value or b"")
    lower_limit(topics_created, client.topics.responses, 1_000_000)
    client.send([{"request_id": "after", "user_id": 7, "k": 1000}])
    client.wait_for(["after"])
    assert worker.process.poll() is None


def test_dead_letters_results_comparisons_and_heartbeats_that_are_refused_stop_nothing(
    client: Client, topics_created: Settings, start_worker: Start
) -> None:
    for seed in range(2):
        publish_model(topics_created, seed=seed)
    worker = start_worker(topics_created).wait_ready()
    topics = client.topics
    lower_limit(topics_created, topics.dead_letter, 5_000)
    lower_limit(topics_created, topics.control_results, 900)
    lower_limit(topics_created, topics.shadow, 100)
    lower_limit(topics_created, topics.fleet, 100)
    poison = b'{"request_id": "p", "user_id": [1], "x": "' + b"x" * 50_000 + b'"}'
    client.produce(topics.requests, poison, key=b"7")
    (letter,) = client.dead_letters(1)
    assert (letter.key, letter.value) == (b"7", None)
    assert letter.headers["reason"] == b"invalid"
    assert letter.headers["value_bytes"] == str(len(poison)).encode()
    assert letter.headers["value_left_out"] == b"too_large"
    result = client.command(
        type="rollout", strategy="shadow", canary_version="v0.1", reason="r" * 300
    )
    assert (result["status"], "after" in result) == ("applied", False)
    wait_until(
        lambda: worker.get("/rollout/status")["state"]["strategy"] == "shadow", 10, "the command"
    )
    sent = [f"s{number}" for number in range(100)]
    client.send({"request_id": request_id, "user_id": 7} for request_id in sent)
    client.wait_for(sent)
    wait_until(
        lambda: any("delivery" in sample for sample in series(worker, "shadow_failures_total")),
        10,
        "the refused comparisons to be counted",
    )
    lowered = {topics.dead_letter.name, topics.control_results.name, topics.fleet.name}

    def refused() -> set[str]:
        return {
            sample.split('topic="')[1].split('"')[0]
            for sample in series(worker, "records_refused_total")
        }

    wait_until(lambda: lowered <= refused(), 10, "a heartbeat to be refused too")
    client.send([{"request_id": "after", "user_id": 7}])
    client.wait_for(["after"])
    assert worker.process.poll() is None
    assert "Traceback" not in worker.log.read_text()


def test_an_answer_that_the_topics_policy_forbids_costs_its_request_alone(
    client: Client, topics_created: Settings, start_worker: Start
) -> None:
    """A compacted topic takes no record without a key, and an answer has its request's key."""
    publish_model(topics_created)
    worker = start_worker(topics_created).wait_ready()
    configure(topics_created, client.topics.responses, "cleanup.policy", "compact")
    keyed, without_key = [f"k{n}" for n in range(200)], [f"n{n}" for n in range(5)]
    client.send(
        [
            *({"request_id": request_id, "user_id": 7} for request_id in keyed[:100]),
            *(
                b'{"request_id": "%s", "user_id": 7}' % request_id.encode()
                for request_id in without_key
            ),
            *({"request_id": request_id, "user_id": 7} for request_id in keyed[100:]),
        ]
    )
    answers = client.wait_for(keyed)
    assert {answers[request_id][0]["status"] for request_id in keyed} == {"ok"}
    letters = client.dead_letters(len(without_key))
    assert {letter.headers["reason"] for letter in letters} == {b"answer_invalid"}
    assert {json.loads(letter.value or b"")["request_id"] for letter in letters} == {*without_key}
    assert not client.answers.keys() & set(without_key)
    errors = series(worker, 'recommend_requests_total{model_version="v0.1"')
    assert errors[',status="error",variant="primary"}'] == len(without_key)
    configure(topics_created, client.topics.responses, "cleanup.policy", "delete")
    client.send([b'{"request_id": "after", "user_id": 7}'])
    client.wait_for(["after"])
    assert worker.process.poll() is None
