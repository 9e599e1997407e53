"""Every answer is what the slow twin makes of topic and version, whatever happens to the fleet."""

from __future__ import annotations

import csv
import gzip
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from confluent_kafka import Producer
from harness.client import Answer, Client
from harness.fresh import OPEN_GATE
from harness.slow_twin import Expected, SlowTwin, read_interactions
from harness.waiting import wait_until
from harness.workers import Worker

from ops.demo.demo_fleet import RATINGS
from registry.catalogue.item_keys import key_of
from registry.connection.client_config import client_config
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.versions.store import store_of
from registry.wire.training_records.event_weights import DEFAULT

Start = Callable[..., Worker]
Record = dict[str, Any]

USERS = 1_000
SAME_SCORE = 1e-6
"""Closer than this, float32 and float64 may disagree on which is first."""
PARITY = ("even", "odd")
"""Values of a label that items have, by their ids."""
JAVAS = {"partitioner": "murmur2_random", "linger.ms": 5}


def shipped_log() -> list[Record]:
    """Return the shipped ratings in an order of no time, with newcomers up to 1,000 at the end.

    One user in seven of the real ones comes late, too: no version that is trained on the first
    80 % knows him. A newcomer does what a real user did, 30 times at most.
    """
    with gzip.open(RATINGS, "rt") as file:
        ratings = [
            {
                "user_id": int(line["userId"]),
                "event": "rate",
                "item_id": int(line["movieId"]),
                "value": float(line["rating"]),
                "timestamp": float(line["timestamp"]),
            }
            for line in csv.DictReader(file)
        ]
    shuffled = random.Random(12)
    shuffled.shuffle(ratings)
    real = max(rating["user_id"] for rating in ratings)
    early = [rating for rating in ratings if rating["user_id"] % 7]
    late = [rating for rating in ratings if not rating["user_id"] % 7]
    counts: Counter[int] = Counter()
    for rating in ratings:
        newcomer = real + rating["user_id"]
        counts[newcomer] += newcomer <= USERS
        if 0 < counts[newcomer] <= 30:
            late.append(rating | {"user_id": newcomer})
    cut = int(0.8 * len(ratings))
    rest = early[cut:] + late
    shuffled.shuffle(rest)
    return early[:cut] + rest


def with_second_thoughts(ratings: list[Record]) -> Iterator[Record]:
    """Yield ratings, a watch after some, and now and then a `forget` or a withdrawn rating.

    Of those that are withdrawn, every other one arrives after its withdrawal.
    """
    for number, rating in enumerate(ratings):
        undo = {**rating, "event": "unrate", "timestamp": rating["timestamp"] + 1}
        if number % 20 == 5:
            yield undo
        yield rating
        if number % 20 == 15:
            yield undo
        if number % 20 == 0:
            yield {"user_id": rating["user_id"], "event": "watch", "item_id": rating["item_id"]}
        if number % 300 == 299:
            forget = {"user_id": rating["user_id"], "event": "forget"}
            yield forget | {"timestamp": rating["timestamp"]}


class Crowd:
    """Users who do things and ask, at steady rates, until the block ends."""

    def __init__(self, client: Client, records: Iterator[Record], log: Sequence[Record]) -> None:
        self.client = client
        self.items = sorted({record["item_id"] for record in log})
        self.asked: dict[str, Record] = {}
        self.ids: list[str] = []
        self._records = records
        self._done = threading.Event()
        self._producer = Producer(client_config(client.settings) | JAVAS)
        self._thread = threading.Thread(target=self._act, name="crowd", daemon=True)

    def __enter__(self) -> Crowd:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def send_all(self, records: list[Record]) -> None:
        """Send what users did, and what the items are."""
        topics = topics_of(self.client.settings)
        for record in records:
            self._send(topics.interactions.name, record, str(record["user_id"]))
        for item in self.items:
            labels = {"parity": [PARITY[item % 2]]}
            self._send(topics.items.name, {"item_id": item, "labels": labels}, key_of(item))
        assert self._producer.flush(60) == 0

    def wait_for_answers(self, count: int) -> None:
        """Return when so many of the requests from now on have an answer."""
        first = len(self.ids)
        wait_until(lambda: len(self.ids) >= first + count, 60, f"{count} requests")
        self.client.wait_for(self.ids[first : first + count], 60)

    def _act(self) -> None:
        topics, asking = topics_of(self.client.settings), random.Random(7)
        began, acted = time.monotonic(), 0
        while not self._done.is_set():
            while acted < (time.monotonic() - began) * 100:
                acted += 1
                for record in (next(self._records, None) for _ in range(4)):
                    if record is not None:
                        self._send(topics.interactions.name, record, str(record["user_id"]))
                request = self._next_request(asking)
                key = str(request["user_id"] or request["session_id"])
                self._send(topics.requests.name, request, key)
                self.asked[request["request_id"]] = request
                self.ids.append(request["request_id"])
            self._done.wait(0.02)
        assert self._producer.flush(30) == 0

    def _next_request(self, asking: random.Random) -> Record:
        """Return a request: every other one is plain, the rest ask for more in turn."""
        number = len(self.ids)
        request: Record = {"request_id": f"asked-{number}", "user_id": asking.randint(1, USERS)}
        session = [{"item_id": asking.choice(self.items)} for _ in range(3)]
        match number % 8:
            case 1:
                request |= {"user_id": None, "session_id": f"s-{number}", "items": session}
            case 3:
                request |= {"items": session}
            case 5:
                request |= {"allow": {"parity": [PARITY[number // 8 % 2]]}}
            case 7:
                request |= {"explain": True}
        return request

    def _send(self, topic: str, record: Mapping[str, Any], key: str | bytes) -> None:
        while True:
            try:
                self._producer.produce(topic, json.dumps(record), key)
                self._producer.poll(0)
                return
            except BufferError:
                self._producer.poll(0.1)


def kind_of(request: Record) -> str:
    if request["user_id"] is None:
        return "anonymous"
    asked = {"items": "context", "allow": "label", "explain": "explain"}
    return next((kind for field, kind in asked.items() if field in request), "plain")


def shown_by(request: Record) -> Callable[[int], bool] | None:
    """Return which items a request allows; None: all."""
    if "allow" not in request:
        return None
    (parity,) = request["allow"]["parity"]
    return lambda item: PARITY[item % 2] == parity


def unexplained(item: Record, shares: Mapping[int, float]) -> str | None:
    """Return what is wrong with an item's `because`: the three largest shares above 0."""
    best = sorted((share for share in shares.values() if share > 0), reverse=True)[:3]
    named = item.get("because", [])
    if len(named) != len(best):
        return f"{item} instead of {best}"
    for part, share in zip(named, best, strict=True):
        own = shares.get(part["item_id"])
        if own is None or max(abs(part["contribution"] - x) for x in (own, share)) > 1e-4:
            return f"{item} instead of {best}"
    return None


def difference(answer: Answer, expected: Expected) -> str | None:
    """Return what is not as expected; None: all is."""
    if answer["source"] != expected.source:
        return f"{answer['source']} instead of {expected.source}"
    found = [item["item_id"] for item in answer["items"]]
    if len(found) != len(expected.ranked):
        return f"{len(found)} items instead of {len(expected.ranked)}"
    for item, other in zip(answer["items"], expected.ranked, strict=True):
        score = expected.score_of.get(item["item_id"])
        if score is None:
            return f"{item['item_id']} has been seen, or is far from the best"
        if abs(item["score"] - score) > 1e-4:
            return f"{item['item_id']} has {item['score']} instead of {score}"
        if item["item_id"] != other and abs(score - expected.score_of[other]) > SAME_SCORE:
            return f"{item['item_id']} instead of {other}"
        shares = expected.shares.get(item["item_id"])
        if shares is not None and (why := unexplained(item, shares)):
            return why
    return None


@pytest.fixture
def tuned(topics_created: Settings) -> Settings:
    """Settings of a quick fit, whose weights decay; the gate judges nothing here."""
    return topics_created.model_copy(
        update=OPEN_GATE
        | {
            "retrain_factors": 16,
            "retrain_iterations": 4,
            "retrain_regularization": 5.0,
            "retrain_half_life_days": 1000.0,
            "retrain_event_weights": f"{DEFAULT},unrate=undo:rate",
        }
    )


def test_every_answer_is_what_the_slow_twin_makes_of_topic_and_version(
    client: Client, tuned: Settings, start_worker: Start, figure: Callable[[str], None]
) -> None:
    log = shipped_log()
    cut = int(0.8 * len(log))
    crowd = Crowd(client, with_second_thoughts(log[cut:]), log)
    crowd.send_all(log[:cut])
    workers = [start_worker(tuned) for _ in range(2)]
    for worker in workers:
        wait_until(lambda worker=worker: is_up(worker), 60, str(worker))
    first = trained(client)
    for worker in workers:  # one that has not heard of it yet answers `no_version`
        worker.wait_ready()
    with crowd:
        crowd.wait_for_answers(200)
        second = trained(client)  # in mid-stream
        fields = {"strategy": "ab_test", "canary_version": first, "bucketing": "hash"}
        assert client.command(type="rollout", **fields)["status"] == "applied"
        crowd.wait_for_answers(300)
        start_worker(tuned).wait_ready()
        crowd.wait_for_answers(300)
        workers[0].kill()
        crowd.wait_for_answers(1_000)
        assert client.command(type="promote")["status"] == "applied"
        crowd.wait_for_answers(300)
    answers = [answer for several in client.wait_for(crowd.ids, 60).values() for answer in several]

    done = read_interactions(tuned)
    store = store_of(tuned)
    twins = {version: SlowTwin(store.open(version), tuned) for version in (first, second)}
    named = {
        result["after"]["epoch"]: {
            result["after"]["primary_version"],
            result["after"].get("canary_version"),
        }
        for result in client.trail
        if result.get("after")
    }
    wrong, seen = [], Counter[str]()
    for answer in answers:
        if answer["status"] != "ok":
            wrong.append(f"{answer}: not answered")
            continue
        provenance, version = answer["provenance"], answer["model_version"]
        request = crowd.asked[answer["request_id"]]
        others = named[provenance["rollout_epoch"]] - {version, None}
        expected = twins[version].answer(
            done[answer["user_id"]] if answer["user_id"] is not None else [],
            provenance.get("fresh_offsets", {}),
            10,
            [twins[other] for other in others],
            answer["user_id"],
            provenance.get("fresh_from"),
            [item["item_id"] for item in request.get("items", ())],
            shown_by(request),
            explain=request.get("explain", False),
        )
        seen.update((version, answer["source"], provenance.get("fresh", "off"), kind_of(request)))
        if found := difference(answer, expected):
            wrong.append(f"{provenance} {version} {request}: {found}")
    figure(f"{len(answers)} answers, {len(wrong)} of them not the twin's: {dict(seen)}")
    assert not wrong, f"{len(wrong)} of {len(answers)}: {wrong[:20]}"
    assert {"model", "recomputed", "fold_in", "popular", first, second} <= set(seen)
    assert {"plain", "anonymous", "context", "label", "explain"} <= set(seen)
    assert seen["followed"] > 0.9 * len(answers)


def is_up(worker: Worker) -> bool:
    try:
        return [reason["code"] for reason in worker.get("/readyz")["reasons"]] == ["no_version"]
    except OSError:
        return False


def trained(client: Client) -> str:
    """Train, and return the version once it is primary."""
    count = len(client.trail)
    assert client.command(60, type="retrain")["status"] == "applied"

    def swapped() -> str | None:
        for result in client.trail[count:]:
            assert result["type"] != "training", result  # it tells of those that failed
            if result["type"] == "swap" and result["status"] == "applied":
                return str(result["after"]["primary_version"])
        return None

    return wait_until(swapped, 240, "a version to be trained")
