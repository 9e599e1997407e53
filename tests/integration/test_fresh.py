"""What users did a second ago counts: through Kafka, in real workers, whatever happens to them."""

from __future__ import annotations

import json
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from harness.client import Answer, Client
from harness.fresh import OPEN_GATE, fresh_settings, publish_model
from harness.waiting import wait_until
from harness.workers import Worker

from ops.clients.fresh_arithmetic import recompute
from ops.clients.kafka_client import produce_all
from registry.connection.client_config import client_config
from registry.errors import TransportError
from registry.kafka.partition_growth import grow_topics
from registry.kafka.partitioner_look import look_at_partitioner
from registry.kafka.partitioners import crc32_partition, murmur2_partition
from registry.kafka.topic_admin import create_topics
from registry.kafka.topic_reader import ends_of
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.wire.codec import encode
from registry.wire.requests import Request
from registry.wire.responses import Item, Provenance, Response
from registry.wire.rollout_state import RolloutState
from registry.wire.training_records.interactions import Interaction
from streams.fresh.interaction_follower import InteractionFollower
from tests.unit.training.builders import checkerboard_events

Start = Callable[..., Worker]
ITEMS = 40
BAR_SECONDS = 1.0
JAVAS = {"partitioner": "murmur2_random"}


class Application:
    """Asks for recommendations and says what users do, both with Java's partitioner."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._topics = client.topics
        self._producer = Producer(client_config(client.settings) | JAVAS | {"linger.ms": 0})

    def request(self, user: int, k: int = ITEMS, **more: Any) -> str:
        name = uuid.uuid4().hex
        request = {"request_id": name, "user_id": user, "k": k} | more
        self._send(self._topics.requests.name, user, request)
        return name

    def ask(self, user: int, k: int = ITEMS, **more: Any) -> Answer:
        name = self.request(user, k, **more)
        (answer, *_) = self.client.wait_for([name], 30)[name]
        return answer

    def did(self, user: int, event: str, item: int | None = None, **more: Any) -> float:
        """Send an interaction; return when Kafka had it."""
        record = {"user_id": user, "event": event, "item_id": item} | more
        self._send(self._topics.interactions.name, user, record)
        return time.monotonic()

    def _send(self, topic: str, user: int, record: dict[str, Any]) -> None:
        self._producer.produce(topic, json.dumps(record), str(user))
        assert self._producer.flush(10) == 0


@pytest.fixture
def application(client: Client) -> Application:
    return Application(client)


def items_of(answer: Answer) -> list[int]:
    return [item["item_id"] for item in answer["items"]]


def wait_until_gone(application: Application, user: int, item: int, began: float) -> float:
    """Return how long the item was still recommended."""
    wait_until(lambda: item not in items_of(application.ask(user)), 10, f"item {item} to go")
    return time.monotonic() - began


def test_what_was_just_watched_is_gone_within_a_second_for_known_and_unknown_users(
    application: Application,
    topics_created: Settings,
    start_worker: Start,
    figure: Callable[[str], None],
) -> None:
    publish_model(topics_created)
    for _ in range(2):
        start_worker(topics_created).wait_ready()
    seconds = []
    for user in (*range(1, 11), *range(900, 910)):
        before = application.ask(user)
        first = items_of(before)[0]
        seconds.append(
            wait_until_gone(application, user, first, application.did(user, "watch", first))
        )
        after = application.ask(user)
        assert items_of(after) == items_of(before)[1:]
        assert after["source"] == before["source"]
        assert after["provenance"]["fresh"] == "followed"
        assert sum(after["provenance"]["fresh_offsets"].values()) >= 1
        assert first in items_of(application.ask(user, exclude_seen=False))
    figure(f"gone after {sorted(seconds)[len(seconds) // 2]:.2f} s, at most {max(seconds):.2f} s")
    assert max(seconds) < BAR_SECONDS


def test_a_forget_makes_a_user_nobody_within_a_second(
    application: Application, topics_created: Settings, start_worker: Start
) -> None:
    publish_model(topics_created)
    worker = start_worker(topics_created).wait_ready()
    known, nobody = application.ask(7), application.ask(999)
    assert known["source"] == "model"

    application.did(7, "watch", items_of(nobody)[0])
    since = application.did(7, "forget")

    def is_nobody() -> Answer | None:
        answer = application.ask(7)
        return answer if answer["source"] == "popular" else None

    forgotten = wait_until(is_nobody, 5, "user 7 to be nobody")
    assert time.monotonic() - since < BAR_SECONDS
    assert items_of(forgotten) == items_of(nobody)
    assert forgotten["fallback_reason"] == "unknown_user"
    new = items_of(nobody)[0]
    wait_until_gone(application, 7, new, application.did(7, "watch", new))
    wait_until(lambda: worker.get("/readyz")["fresh_lag"] == 0, 60, "nothing more to be read")


def crowd(settings: Settings, count: int) -> None:
    """Let people watch things, of whom no version knows."""
    records = (
        (user, b'{"user_id":%d,"item_id":%d,"event":"watch"}' % (user, user % ITEMS + 1))
        for user in range(10_000, 10_000 + count)
    )
    produce_all(settings, topics_of(settings).interactions, records)


def test_a_forget_before_a_takeover_counts_in_the_first_answer_of_the_new_owner(
    application: Application, topics_created: Settings, start_worker: Start
) -> None:
    patient = topics_created.model_copy(update={"fresh_wait_seconds": 5.0})
    publish_model(patient)
    before = start_worker(patient).wait_ready()
    nobody = items_of(application.ask(999))
    crowd(patient, 60_000)  # four partitions of 15,000, of which the newest 5,000 are read first
    application.did(7, "forget")
    number = partition_of(7, patient.partitions)
    end = ends_of(patient, topics_of(patient).interactions)[number]
    other = start_worker(patient).wait_ready()
    name = other.get("/rollout/status")["worker"]

    assert before.stop() == 0

    def by_the_other() -> Answer | None:
        answer = application.ask(7)
        if answer["provenance"]["worker"] != name:
            return None
        if answer["provenance"].get("fresh_offsets", {}).get(str(number), 0) >= end:
            return answer
        assert answer["provenance"]["fresh"] == "catching_up"  # on a starved machine
        return None

    answer = wait_until(by_the_other, 60, "an answer of the new owner")
    assert (answer["source"], items_of(answer)) == ("popular", nobody)


def test_a_swap_to_an_older_version_waits_until_its_forgets_are_read(
    application: Application, topics_created: Settings, start_worker: Start
) -> None:
    settings = topics_created.model_copy(update={"fresh_ready_seconds": 120.0})
    older = publish_model(settings, mergeable=True)
    application.did(7, "forget")
    crowd(settings, 60_000)
    ends = ends_of(settings, topics_of(settings).interactions)
    newer = publish_model(
        settings, seed=1, snapshot_ends={str(number): (0, end) for number, end in ends.items()}
    )
    worker = start_worker(settings).wait_ready()
    assert primary_of(worker) == newer
    assert application.ask(7)["source"] == "model"

    assert application.client.command(type="swap", model_version=older)["status"] == "applied"

    def answer_of_older() -> Answer | None:
        answer = application.ask(7)
        assert answer["provenance"]["fresh"] == "followed"
        return answer if answer["model_version"] == older else None

    answer = wait_until(answer_of_older, 60, "the older version")
    assert (answer["source"], answer["fallback_reason"]) == ("popular", "unknown_user")


def test_it_counts_on_whoever_takes_over_after_a_kill(
    application: Application, topics_created: Settings, start_worker: Start
) -> None:
    publish_model(topics_created)
    workers = [start_worker(topics_created).wait_ready() for _ in range(2)]
    watched = {}
    for user in range(1, 21):
        watched[user] = items_of(application.ask(user))[0]
        application.did(user, "watch", watched[user])
    for user, item in watched.items():
        wait_until_gone(application, user, item, time.monotonic())

    workers[0].kill()

    for user, item in watched.items():
        answer = application.ask(user)
        assert item not in items_of(answer) or answer["provenance"]["fresh"] == "catching_up"
    start_worker(topics_created).wait_ready()
    for user, item in watched.items():
        answer = application.ask(user)
        assert item not in items_of(answer) or answer["provenance"]["fresh"] == "catching_up"
        wait_until_gone(application, user, item, time.monotonic())


def test_an_interaction_is_fresh_for_the_versions_that_have_not_learned_from_it(
    application: Application, topics_created: Settings, start_worker: Start
) -> None:
    older = publish_model(topics_created)
    start_worker(topics_created).wait_ready()
    seen = items_of(application.ask(5))[0]
    application.did(5, "watch", seen)
    wait_until_gone(application, 5, seen, time.monotonic())
    everything = {str(number): (0, 1) for number in range(topics_created.partitions)}
    newer = publish_model(topics_created, seed=1, snapshot_ends=everything)
    assert application.client.command(type="swap", model_version=newer)["status"] == "applied"

    asked = {
        version: wait_until(
            lambda version=version: (
                application.ask(5, model_version=version).get("items")
                and application.ask(5, model_version=version)
            ),
            10,
            version,
        )
        for version in (older, newer)
    }

    assert seen not in items_of(asked[older])
    assert seen in items_of(asked[newer])  # it has learned from it, and does not list it as seen


def notices(worker: Worker) -> dict[str, str]:
    return {notice["code"]: notice["message"] for notice in worker.get("/readyz")["notices"]}


def partition_of(user: int, count: int) -> int:
    return murmur2_partition(str(user).encode(), count)


def test_producers_that_choose_partitions_differently_are_named_and_all_of_them_can_be_followed(
    application: Application, topics_created: Settings, start_worker: Start
) -> None:
    publish_model(topics_created)
    worker = start_worker(topics_created).wait_ready()
    default = Producer(client_config(topics_created))  # librdkafka's own partitioner: CRC32
    topics, users = topics_of(topics_created), range(1, 51)
    first = items_of(application.ask(1))[0]

    def act() -> None:
        for user in users:
            record = {"user_id": user, "event": "watch", "item_id": first}
            default.produce(topics.interactions.name, json.dumps(record), str(user))
        assert default.flush(10) == 0
        application.client.wait_for([application.request(user) for user in users])

    act()
    wait_until(lambda: "partitioners_differ" in notices(worker), 20, "the disagreement")
    assert f"{topics.interactions.name}: CRC32" in notices(worker)["partitioners_differ"]
    seen = [
        look_at_partitioner(topics_created, topic)
        for topic in (topics.requests, topics.interactions)
    ]
    assert [topic_seen.partitioner for topic_seen in seen] == ["murmur2", "crc32"]
    apart = [
        user for user in users
        if crc32_partition(str(user).encode(), 4) != partition_of(user, 4)
    ]  # fmt: skip
    assert apart

    all_and_outcomes = {"fresh": "all", "outcomes": "on"}
    other = start_worker(topics_created.model_copy(update=all_and_outcomes)).wait_ready()
    assert worker.stop() == 0

    for user in apart[:5]:
        wait_until_gone(application, user, first, time.monotonic())
    assert len(application.ask(apart[0])["provenance"]["fresh_offsets"]) == 4

    def names_outcomes() -> bool:
        act()  # of each batch, some records are looked at
        return "outcomes are missing" in notices(other).get("partitioners_differ", "")

    wait_until(names_outcomes, 60, "the disagreement, which still matters to outcomes")


def lose_two_of_three(application: Application, settings: Settings, user: int) -> int:
    """Let a user watch 1, 2 and 3, and the log lose 1 and 2; return the number of his partition."""
    number = partition_of(user, settings.partitions)
    for item in (1, 2, 3):
        application.did(user, "watch", item)
    admin = AdminClient(client_config(settings))
    place = TopicPartition(topics_of(settings).interactions.name, number, 2)
    admin.delete_records([place])[place].result(10)
    return number


def test_what_is_gone_from_the_log_is_named_and_the_rest_counts(
    application: Application, topics_created: Settings, start_worker: Start
) -> None:
    user = 7
    number = lose_two_of_three(application, topics_created, user)
    publish_model(topics_created)
    worker = start_worker(topics_created).wait_ready()

    wait_until_gone(application, user, 3, time.monotonic())

    answer = application.ask(user)
    assert answer["provenance"]["fresh"] == "incomplete"
    assert 1 in items_of(answer)
    wait_until(lambda: "fresh_incomplete" in notices(worker), 10, "the gap")
    assert f"partition {number} up to offset 0" in notices(worker)["fresh_incomplete"]
    elsewhere = next(n for n in range(1, 50) if partition_of(n, 4) != number)
    assert application.ask(elsewhere)["provenance"]["fresh"] == "followed"


@pytest.mark.parametrize("brand", ["kafka", "embedded"])
def test_a_log_that_ends_with_its_snapshot_has_no_gap_and_a_shorter_one_has(
    brand: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    settings = fresh_settings(request.getfixturevalue(brand), tmp_path)
    create_topics(settings)
    topic = topics_of(settings).interactions
    producer = Producer(client_config(settings) | {"linger.ms": 200})
    for number in range(30):  # one batch
        watch = Interaction(user_id=1, item_id=number, event="watch")
        producer.produce(topic.name, encode(watch), partition=0)
    assert producer.flush(30) == 0
    follower = InteractionFollower(settings, topic)
    follower.start()
    try:
        for start, apart in ((30, set()), (40, {0})):
            follower.follow({0: start})
            wait_until(lambda at=start: follower.reading.wanted == {0: at}, 60, "it to begin")
            assert follower.reading.gaps.keys() == apart
    finally:
        follower.stop()


def test_after_a_growth_of_the_topics_what_users_did_before_still_counts(
    application: Application, topics_created: Settings, start_worker: Start
) -> None:
    publish_model(topics_created)
    workers = [start_worker(topics_created).wait_ready() for _ in range(2)]
    moved = [user for user in range(1, 50) if partition_of(user, 4) != partition_of(user, 6)][:5]
    watched = {user: items_of(application.ask(user))[0] for user in moved}
    for user, item in watched.items():
        application.did(user, "watch", item)
        wait_until_gone(application, user, item, time.monotonic())

    grow_topics(topics_created, 6)
    application.client.follow_growth(6)

    newer = Application(application.client)  # a producer that knows of the growth
    assert {partition_of(user, 6) for user in moved} & {4, 5}

    def all_gone() -> bool:
        answers = {user: newer.ask(user) for user in moved}
        return all(
            watched[user] not in items_of(answer)
            and answer["provenance"]["fresh"] == "followed"
            and len(answer["provenance"]["fresh_offsets"]) > 1
            for user, answer in answers.items()
        )

    wait_until(all_gone, 40, "what was watched before the growth to count")
    for worker in workers:
        assert "fresh_incomplete" not in notices(worker)


def primary_of(worker: Worker) -> str | None:
    state = worker.get("/rollout/status")["state"]
    return state["primary_version"] if state else None


def test_an_interaction_in_the_midst_of_a_training_counts_as_learned_or_as_fresh(
    application: Application, topics_created: Settings, start_worker: Start
) -> None:
    watched: dict[int, set[int]] = defaultdict(set)

    def watch(user: int, item: int) -> None:
        watched[user].add(item)
        application.did(user, "watch", item)

    for event in checkerboard_events():
        watched[int(event.user_id)].add(int(event.item_id or 0))
        application.did(int(event.user_id), event.event, int(event.item_id or 0))
    worker = start_worker(topics_created.model_copy(update=OPEN_GATE))
    wait_until(lambda: is_without_a_version(worker), 60, "a worker")
    client = application.client
    assert client.command(type="retrain")["status"] == "applied"
    first = wait_until(lambda: primary_of(worker), 90, "the first version")
    items = sorted({item for several in watched.values() for item in several})
    newcomers = checkerboard_events(users=200)[len(checkerboard_events()) :]  # of the same tastes
    left = [(int(event.user_id), int(event.item_id or 0)) for event in newcomers]

    assert client.command(type="retrain")["status"] == "applied"
    while primary_of(worker) == first and left:
        watch(*left.pop(0))
    second = wait_until(lambda: primary_of(worker) != first and primary_of(worker), 90, "a second")
    for _ in range(min(5, len(left))):
        watch(*left.pop(0))

    wait_until_all_read(application, topics_created, watched)
    for user, seen in watched.items():
        for version in (first, second):
            answer = application.ask(user, k=len(items), model_version=version)
            assert answer["model_version"] == version
            assert not seen & set(items_of(answer)), (user, version)


def is_without_a_version(worker: Worker) -> bool:
    try:
        return [reason["code"] for reason in worker.get("/readyz")["reasons"]] == ["no_version"]
    except (OSError, HTTPException):
        return False


def wait_until_all_read(application: Application, settings: Settings, users: Iterable[int]) -> None:
    """Return when answers have seen the last interaction of each partition."""
    ends = ends_of(settings, topics_of(settings).interactions)
    asking = {partition_of(user, settings.partitions): user for user in users}

    def seen() -> bool:
        offsets = [application.ask(user)["provenance"]["fresh_offsets"] for user in asking.values()]
        return all(int(end) >= ends[int(n)] for offset in offsets for n, end in offset.items())

    wait_until(seen, 10, "all interactions to be read")


def test_a_list_is_not_recomputed_from_a_log_whose_beginning_is_gone(
    application: Application, topics_created: Settings
) -> None:
    user = 7
    number = lose_two_of_three(application, topics_created, user)
    version = publish_model(topics_created)
    sight = Provenance("production", "w1", fresh="followed", fresh_offsets={str(number): 3})
    answer = Response("r1", user, "ok", sight, [Item(4, 1.0)], version, source="model")
    state = RolloutState("production", 1, "fixed", version)

    with pytest.raises(TransportError, match="not readable"):
        recompute(topics_created, Request("r1", user), answer, state)
