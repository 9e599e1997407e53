"""Outcomes joined to answers by real workers on real Kafka, and what they let one conclude."""

from __future__ import annotations

import asyncio
import html
import json
import os
import random
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import pytest
from confluent_kafka import Producer
from harness.client import Client
from harness.configuring import configure
from harness.fresh import environment_of, publish_model
from harness.outcome_following import EPOCH, an_answer, following_outcomes, until_closed
from harness.ramps import start_ramp
from harness.waiting import wait_until
from harness.workers import ROOT, Worker

from ops.cli.explain_commands import CheckedAnswer, _explain_and_check
from ops.clients.fresh_arithmetic import MixedArithmetic
from ops.clients.recorded_traffic import (
    interactions_from,
    learned_until,
    recorded_requests,
    snapshot_ends,
)
from ops.clients.traffic_replay import Replay
from registry.connection.client_config import client_config
from registry.interleaving.team_draft import coins_of, draft
from registry.kafka.topic_reader import ALL, ends_of, messages, reading
from registry.kafka.topics import Topic, topics_of
from registry.rollout.policy_file import RolloutFile, parse_policy
from registry.settings import Settings
from registry.versions.store import store_of
from registry.wire.codec import encode
from registry.wire.requests import Request

GUIDE = (ROOT / "docs" / "ROLLOUT_GUIDE.md").read_text("utf-8")
(LIKED,) = re.findall(r"^```yaml\n(# liked.yaml\n.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
"""The file of the guide's worked example."""

WINDOW_SECONDS = 5.0
USERS = 400
CONVERSION = {"A": 0.2, "B": 0.6}
JAVAS = {"partitioner": "murmur2_random"}
EARLIER = range(1, 101)
EARLIER_SET = frozenset(EARLIER)
"""Users of an experiment before."""

VALUES = {"click": 1.0, "watch": 0.5, "rate": 2.0}
FLOOR = 4
"""What outcomes count; a rating from here on."""

LATE_MS = 300
"""Half of the clicks reach Kafka by up to so much later than others of their time."""


def test_the_join_is_that_of_a_slow_twin_through_kills_and_the_verdict_names_the_better_version(
    client: Client,
    topics_created: Settings,
    start_worker: Callable[..., Worker],
    figure: Callable[[str], None],
) -> None:
    """A swap, a kill, a worker that joins, a second kill; duplicates, late and unordered events."""
    settings = topics_created.model_copy(
        update={
            "outcomes": "on",
            "attribution_seconds": WINDOW_SECONDS,
            "outcome_events": ",".join(f"{kind}={value}" for kind, value in VALUES.items())
            + f":floor={FLOOR}",
        }
    )
    publish_model(settings)
    workers = [start_worker(settings).wait_ready() for _ in range(2)]
    other, better = (publish_model(settings, seed=seed) for seed in (2, 1))
    before = compare_with(client, other, workers)
    rng = random.Random(15)
    earlier = Application(client, rng, CONVERSION, "earlier-", kinds=tuple(VALUES))
    earlier.show_and_act(EARLIER)
    wait_until(
        lambda: closed_users(settings, client.topics.outcomes, before).keys() >= EARLIER_SET,
        60,
        "the earlier users to close",
    )
    earlier.show_and_act(range(101, 141))  # the swap finds their windows open
    epoch = compare_with(client, better, workers)
    application = Application(client, rng, CONVERSION, kinds=tuple(VALUES))

    application.show_and_act(range(1, 141))
    workers[0].kill()
    workers[0] = start_worker(settings)  # its share moves while users are answered
    application.show_and_act(range(141, 281))
    workers[0].wait_ready()
    workers[1].kill()
    application.show_and_act(range(281, USERS + 1))

    found = wait_until(
        lambda: full(closed_users(settings, client.topics.outcomes, epoch)), 60, "all to close"
    )
    twin, credits = slow_twin(settings, client, epoch)
    assert sums_in(found) == twin
    assert {user: record["variant"] for user, record in found.items()} == {
        user: "B" if user % 2 else "A" for user in range(1, USERS + 1)
    }
    outcomes = wait_until(
        lambda: at_least(len(credits), credited(settings, client.topics.outcomes, epoch)),
        60,
        "all outcomes",
    )
    assert outcomes == credits
    until_swap = sums_in(closed_users(settings, client.topics.outcomes, before))
    twin_before, credits_before = slow_twin(settings, client, before)
    assert until_swap.items() <= twin_before.items()
    found_before = credited(settings, client.topics.outcomes, before)
    assert found_before.items() <= credits_before.items()
    assert {name for name in credits_before if name[0] in EARLIER_SET} <= found_before.keys()
    figure(f"{len(twin)} users and {len(credits)} outcomes, as the slow twin has them")

    def concluded() -> Any:
        experiment = workers[0].get("/fleet")["experiment"]
        users = sum(experiment[arm]["sums"].get("users", 0) for arm in ("primary", "canary"))
        return experiment if users == USERS else None

    experiment = wait_until(concluded, 60, "heartbeats to have all users")
    for name, variant in (("primary", "A"), ("canary", "B")):
        sums = experiment[name]["sums"]
        own = [x for user, (x, _) in twin.items() if ("B" if user % 2 else "A") == variant]
        assert (sums["users"], sums["converted"], sums["x"]) == (
            len(own), sum(x > 0 for x in own), sum(own),
        )  # fmt: skip
    assert experiment["verdict"] == "better"
    assert experiment["words"].startswith(f"B ({better}) is better than A (v0.1): conversion ")
    figure(experiment["words"])
    shown = command_line(settings, "experiment", "show", "--json")
    assert shown.returncode == 0, shown.stderr
    document = json.loads(shown.stdout)
    for name in ("primary", "canary", "conversion", "outcomes_per_exposure", "verdict", "words"):
        assert document[name] == experiment[name], name
    options = ("--baseline", "0.2", "--better-by", "2", "--json")
    plan = command_line(settings, "experiment", "plan", *options)
    assert 0 < json.loads(plan.stdout)["one_look"] < json.loads(plan.stdout)["anytime"] < USERS
    shown = command_line(settings, "experiment", "positions", "--json")
    places = json.loads(shown.stdout)
    assert sum(place["outcomes"] for place in places) == len(outcomes)
    assert sum(place["value"] for place in places) >= sum(x for x, _ in twin.values())
    assert {place["position"] for place in places} == set(range(1, 6))
    assert_replay_repeats_what_was_answered(settings, better)
    ended = client.command(type="abort", reason="known enough")
    folder = f"experiments/production/{epoch}"
    assert ended["reported_experiment"] == epoch
    page = wait_until(lambda: report_of(workers[0], epoch), 60, "the report")
    assert html.escape(experiment["words"].split(":")[0]) in page
    report = store_of(settings).objects.read(f"{folder}/report.md").decode()
    assert f"| B | {better} | {experiment['canary']['sums']['users']} |" in report
    assert "| reason | known enough |" in report
    shown = command_line(settings, "rollout", "history", "--limit", "1")
    assert folder in shown.stdout, shown


def report_of(worker: Worker, epoch: int) -> str | None:
    answer = worker.fetch(f"/experiments/{epoch}/report")
    return answer.text if answer.status == 200 else None


def compare_with(client: Client, version: str, workers: list[Worker]) -> int:
    """Begin an A/B test of `version`; return its epoch once all workers act on it."""
    result = client.command(type="rollout", strategy="ab_test", canary_version=version)
    assert result["status"] == "applied", result
    epoch: int = result["epoch"]
    wait_until(
        lambda: all(worker.get("/rollout/status")["acting_epoch"] == epoch for worker in workers),
        60,
        "all workers to act on the experiment",
    )
    return epoch


def assert_replay_repeats_what_was_answered(settings: Settings, better: str) -> None:
    """Each version, replayed, answers its own requests as it did, and the command keeps limits."""
    recorded = recorded_requests(settings, 0.0, time.time())
    assert len(recorded) >= USERS
    store = store_of(settings)
    for version in ("v0.1", better):
        ends = snapshot_ends(settings, store.manifest(version))
        assert learned_until(settings, ends) == 0.0
        own = [single for single in recorded if single.answer.model_version == version]
        complete = [single for single in own if single.answer.provenance.fresh == "followed"]
        replay = Replay(settings, store, version, interactions_from(settings, ends))
        assert complete
        for single in replay.run(complete):
            assert [item.item_id for item in single.candidate] == [
                item.item_id for item in single.recorded
            ]
    for limit, code in (("0", 0), ("1", 1)):
        done = command_line(
            settings, "replay", better, "--from", "1h", "--json", "--min-overlap", limit
        )
        assert done.returncode == code, done.stderr
        document = json.loads(done.stdout)
        assert document["figures"]["compared"] == len(recorded)
        assert document["figures"]["chosen"]["items"] > 0
        assert len(document["unmet"]) == code
    all_ends = ends_of(settings, topics_of(settings).interactions)
    learned = {str(number): (0, end) for number, end in all_ends.items()}
    later = publish_model(settings, snapshot_ends=learned)
    done = command_line(settings, "replay", later, "--from", "1h", "--json")
    assert (done.returncode, "replay: none of" in done.stderr) == (1, True), done.stderr


def command_line(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ops.cli.main", *arguments],
        env=os.environ | environment_of(settings),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


ASKING = range(1, 121)
PREFERRED = {0: None, 5: "primary"}
"""By the last digit of the user's id: of whose items he clicks the first; else the canary's."""


def test_interleaved_answers_can_be_drawn_again_and_their_users_name_the_better_version(
    client: Client,
    topics_created: Settings,
    start_worker: Callable[..., Worker],
    figure: Callable[[str], None],
) -> None:
    settings = topics_created.model_copy(
        update={"outcomes": "on", "attribution_seconds": 3 * WINDOW_SECONDS}
    )
    primary = publish_model(settings, users=len(ASKING))
    workers = [start_worker(settings).wait_ready() for _ in range(2)]
    better = publish_model(settings, users=len(ASKING), seed=1)
    result = client.command(
        type="rollout", strategy="interleave", canary_version=better, salt="coins"
    )
    assert result["status"] == "applied", result
    epoch = result["epoch"]
    wait_until(
        lambda: all(
            worker.get("/rollout/status")["acting_epoch"] == epoch
            and better in worker.get("/rollout/status")["resident_versions"]
            for worker in workers
        ),
        60,
        "both workers to have both versions",
    )
    application = Application(client, random.Random(15), CONVERSION)
    answers = application.show(ASKING)
    application.click_by_taste(answers)  # at once: a click after the window is none

    assert {answer["provenance"]["worker"] for answer in answers.values()} <= {
        worker.name for worker in workers
    }
    models = {name: store_of(settings).open(name) for name in (primary, better)}
    for user, answer in answers.items():
        assert answer["versions"] == {"primary": primary, "canary": better}
        assert "model_version" not in answer
        request = Request(answer["request_id"], user, k=5)
        lists = [
            [item.item_id for item in models[name].recommend([request])[0].items]
            for name in (primary, better)
        ]
        drawn = draft(*lists, 5, coins_of(answer["request_id"], "coins"))
        assert [(item["item_id"], item["variant"]) for item in answer["items"]] == drawn

    found = wait_until(
        lambda: (
            known
            if len(known := closed_users(settings, client.topics.outcomes, epoch)) == len(ASKING)
            else None
        ),
        60,
        "all to close",
    )
    assert {user: record["variant"] for user, record in found.items()} == {
        user: PREFERRED.get(user % 10, "canary") for user in ASKING
    }

    def concluded() -> Any:
        known = workers[1].get("/fleet")["interleaving"]
        return known if known["wins"] + known["losses"] + known["ties"] == len(ASKING) else None

    preference = wait_until(concluded, 60, "heartbeats to have all users")
    assert (preference["wins"], preference["losses"], preference["ties"]) == (96, 12, 12)
    assert preference["verdict"] == "better"
    assert preference["words"].startswith(
        f"Users prefer canary ({better}) to primary ({primary}): 96 against 12 users, 12 ties "
    )
    figure(preference["words"])
    shown = command_line(settings, "experiment", "show")
    assert shown.returncode == 0, shown.stderr
    assert "Users prefer canary" in shown.stdout

    def recomputed() -> CheckedAnswer | None:
        check = _explain_and_check(settings, 1, True)  # he has clicked: his list is another now
        return check if check.arithmetic is not None else None

    check = wait_until(recomputed, 60, "a worker that has read all clicks")
    assert isinstance(check.arithmetic, MixedArithmetic)
    assert check.differences == ()


def test_a_ramp_promotes_what_users_like_and_rolls_back_what_they_do_not_though_it_is_fine(
    client: Client,
    topics_created: Settings,
    start_worker: Callable[..., Worker],
    figure: Callable[[str], None],
) -> None:
    settings = topics_created.model_copy(update={"outcomes": "on", "attribution_seconds": 5.0})
    publish_model(settings)
    workers = [start_worker(settings).wait_ready() for _ in range(2)]
    policy = parse_policy(RolloutFile, LIKED, "liked.yaml")
    plan = json.loads(encode(policy.ramp))
    for canary, end, words in ((0.1, "rolled_back", "fail; goal: "), (0.9, "promoted", "is met: ")):
        version = publish_model(settings, seed=1)
        began = time.monotonic()
        start_ramp(client, version, plan)

        def ramp_of(worker: Worker) -> Any:
            return worker.get("/rollout/status")["state"]["ramp"]

        def is_stepping(wanted: str = version) -> bool:
            shown = [worker.get("/rollout/status") for worker in workers]
            epochs = {each["acting_epoch"] for each in shown} | {
                each["state"]["epoch"] for each in shown
            }
            return len(epochs) == 1 and all(
                (each["state"]["ramp"]["version"], each["state"]["ramp"]["stage"]) == (wanted, 1)
                for each in shown
            )

        wait_until(is_stepping, 90, "both workers to act on the step")
        tastes = {"primary": 0.5, "canary": canary}
        application = Application(client, random.Random(15), tastes, f"{version}-")
        until, first = time.monotonic() + 180, 1
        while not (ramp := ramp_of(workers[0])).get("outcome"):
            assert time.monotonic() < until, workers[0].get("/fleet")["ramp"]
            # New users each time: what comes too late for a window is made up for. So few that
            # clicks come long before windows close.
            application.show_and_act(range(first, first + 40))
            first += 40
        state = workers[0].get("/rollout/status")["state"]
        assert (ramp["outcome"], ramp["version"]) == (end, version), state["reason"]
        assert words in state["reason"]
        verdicts = {each["guardrail"]: each["verdict"] for each in ramp["findings"]}
        assert verdicts.pop("goal") == ("pass" if end == "promoted" else "fail")
        assert "fail" not in verdicts.values()
        figure(f"{end} {time.monotonic() - began:.1f} s after its start: {state['reason']}")


MANY = 4_000
"""Users that both versions know."""


def test_a_ramp_interleaves_before_its_steps_unless_users_prefer_the_primary(
    client: Client, topics_created: Settings, start_worker: Callable[..., Worker]
) -> None:
    settings = topics_created.model_copy(update={"outcomes": "on", "attribution_seconds": 5.0})
    publish_model(settings, users=MANY)
    workers = [start_worker(settings).wait_ready() for _ in range(2)]
    plan = {
        "steps": [50],
        "hold_seconds": 1,
        "interleave": {"hold_seconds": 1, "min_users": 40},
        "patience_seconds": 300,
    }

    def state_of(worker: Worker) -> Any:
        return worker.get("/rollout/status")["state"]

    for preferred, ended in (("primary", True), ("canary", False)):
        version = publish_model(settings, users=MANY, seed=1)
        start_ramp(client, version, plan)

        def is_interleaving(wanted: str = version) -> bool:
            pages = [worker.get("/rollout/status") for worker in workers]
            return all(
                page["state"]["strategy"] == "interleave"
                and page["acting_epoch"] == page["state"]["epoch"]
                and page["state"]["canary_version"] == wanted
                and wanted in page["resident_versions"]
                for page in pages
            )

        wait_until(is_interleaving, 90, "both workers to interleave")
        assert state_of(workers[0])["ramp"]["stage"] == 1
        application = Application(client, random.Random(15), CONVERSION, f"{version}-")
        until, first = time.monotonic() + 120, 1
        while (state := state_of(workers[0]))["strategy"] == "interleave":
            assert time.monotonic() < until, workers[0].get("/fleet")["ramp"]
            # New users each time: what comes too late for a window is made up for.
            application.click_on(application.show(range(first, min(first + 40, MANY))), preferred)
            first += 40
        verdicts = {each["guardrail"]: each for each in state["ramp"]["findings"]}
        assert verdicts["preference"]["verdict"] == ("fail" if ended else "pass"), state["reason"]
        if ended:
            assert state["ramp"]["outcome"] == "rolled_back"
            assert "interleaving: fail; preference: 0 users prefer canary, " in state["reason"]
        else:
            assert (state["strategy"], state["ramp"]["stage"]) == ("canary", 2)
            assert state["reason"] == "interleaving: all guardrails pass"
            assert verdicts["min_users"]["figures"]["seen"] >= 40


HOUR_MS = 3_600_000
OFF_MS = {1: 0, 2: HOUR_MS, 3: -HOUR_MS, 4: HOUR_MS, 5: 0}
"""By user: how far the clock of the client is off that sends his click. The others click late."""


def test_with_the_brokers_time_a_client_whose_clock_is_an_hour_off_moves_no_window(
    topics_created: Settings,
) -> None:
    settings = topics_created.model_copy(update={"attribution_seconds": WINDOW_SECONDS})
    topics = topics_of(settings)
    for topic in (topics.responses, topics.interactions):
        configure(settings, topic, "message.timestamp.type", "LogAppendTime")
    producer = Producer(client_config(settings))
    users, late = [*OFF_MS, 6, 7], {6: -HOUR_MS, 7: HOUR_MS}

    def click(off_by_user: dict[int, int]) -> None:
        for user, off in off_by_user.items():
            at = round(time.time() * 1000) + off
            event = json.dumps({"user_id": user, "item_id": 7, "event": "click"})
            producer.produce(topics.interactions.name, event, partition=0, timestamp=at)
        assert producer.flush(10) == 0

    async def scenario() -> None:
        async with following_outcomes(settings) as follower:
            for user in users:
                answer = encode(an_answer(user, items=(7, 8)))
                producer.produce(topics.responses.name, answer, partition=0)
            assert producer.flush(10) == 0
            click(OFF_MS)
            await until_closed(follower, len(users), 60)
            click(late)
            assert follower.notice() is None

    before = time.time()
    asyncio.run(scenario())
    found = closed_users(settings, topics.outcomes, EPOCH)
    answered = {
        record["user_id"]: at / 1000 for at, record in records_of(settings, topics.responses)[0]
    }
    assert sums_in(found) == {user: (float(user in OFF_MS), 1) for user in users}
    for user, record in found.items():
        since = record["closed"]["since"]
        assert (since, record["at"]) == (answered[user], pytest.approx(since + WINDOW_SECONDS))
        assert before - 1 < since < time.time()
    clicked = {record["user_id"]: at for at, record in records_of(settings, topics.interactions)[0]}
    assert max(clicked.values()) < time.time() * 1000 + 1_000  # as the broker has stamped them


def full(found: dict[Any, Any]) -> dict[Any, Any] | None:
    return found if len(found) == USERS else None


def at_least(count: int, found: Credits) -> Credits | None:
    return found if len(found) >= count else None


class Application:
    """Asks for users, some of whom then click; sends some records twice."""

    def __init__(
        self,
        client: Client,
        rng: random.Random,
        conversion: Mapping[str, float],
        prefix: str = "",
        kinds: Sequence[str] = ("click", "watch"),
    ) -> None:
        self._prefix = prefix
        self._kinds = kinds
        self._client = client
        self._rng = rng
        self._conversion = conversion
        self._producer = Producer(client_config(client.settings) | JAVAS | {"linger.ms": 5})

    def show_and_act(self, users: range) -> None:
        """Ask once or twice for each user, await the answers, and have some users click."""
        asked = [
            (f"{self._prefix}{user}-{turn}", user)
            for user in users
            for turn in range(self._rng.choice([1, 1, 2]))
        ]
        for name, user in asked:
            request = {"request_id": name, "user_id": user, "k": 5}
            for _ in range(self._rng.choice([1, 1, 1, 2])):
                self._send(self._client.topics.requests.name, user, request)
        self._producer.flush(10)
        answers = self._client.wait_for([name for name, _ in asked], 60)
        answered_ms = round(time.time() * 1000)
        clicks = []
        for user in users:
            (answer, *_) = answers[f"{self._prefix}{user}-0"]
            if "items" in answer and self._rng.random() < self._conversion[answer["variant"]]:
                click = {
                    "user_id": user,
                    "item_id": self._rng.choice(answer["items"])["item_id"],
                    "event": self._rng.choice(self._kinds),
                }
                if click["event"] == "rate":
                    click["value"] = self._rng.randrange(1, 6)
                if self._rng.random() < 0.3:
                    click["request_id"] = answer["request_id"]
                at = answered_ms - self._rng.choice([0, self._rng.randrange(LATE_MS)])
                clicks += [(user, click, at)] * self._rng.choice([1, 1, 2])
        self._rng.shuffle(clicks)
        for user, click, at in clicks:
            self._send(self._client.topics.interactions.name, user, click, at)
        self._producer.flush(10)

    def show(self, users: range) -> dict[int, dict[str, Any]]:
        """Ask for each user, some requests twice, and return an answer to each."""
        for user in users:
            for _ in range(1 + user % 2):
                request = {"request_id": f"{self._prefix}{user}-0", "user_id": user, "k": 5}
                self._send(self._client.topics.requests.name, user, request)
        self._producer.flush(10)
        answers = self._client.wait_for([f"{self._prefix}{user}-0" for user in users], 60)
        return {user: answers[f"{self._prefix}{user}-0"][0] for user in users}

    def click_by_taste(self, answers: dict[int, dict[str, Any]]) -> None:
        """Have each user click on items of the version that he prefers."""
        for user, answer in answers.items():
            self.click_on({user: answer}, PREFERRED.get(user % 10, "canary"))

    def click_on(self, answers: dict[int, dict[str, Any]], whose: str | None) -> None:
        """Have all users click, twice, on the first item of a version."""
        for user, answer in answers.items():
            for item in [item for item in answer["items"] if item.get("variant") == whose][:1]:
                click = {"user_id": user, "item_id": item["item_id"], "event": "click"}
                for _ in range(2):
                    self._send(self._client.topics.interactions.name, user, click)
        self._producer.flush(10)

    def _send(self, topic: str, user: int, record: dict[str, Any], at: int = 0) -> None:
        self._producer.produce(topic, json.dumps(record), str(user), timestamp=at)  # 0: now


def records_of(settings: Settings, topic: Topic) -> dict[int, list[tuple[float, dict[str, Any]]]]:
    """Return all records of a topic with their times, by partition."""
    found = defaultdict(list)
    with reading(settings, topic, ALL) as consumer:
        for message in messages(consumer, 60, to_end=True):
            at = message.timestamp()[1]
            found[message.partition()].append((at, json.loads(message.value())))
    return found


def closed_users(settings: Settings, topic: Topic, epoch: int) -> dict[Any, dict[str, Any]]:
    """Return the first record of each closed user."""
    found: dict[Any, dict[str, Any]] = {}
    for records in records_of(settings, topic).values():
        for _, record in records:
            if record["epoch"] == epoch and "closed" in record:
                found.setdefault(record["user_id"], record)
    return found


def sums_in(closed: dict[Any, dict[str, Any]]) -> dict[Any, tuple[float, int]]:
    """Return outcomes and exposures of closed users."""
    return {
        user: (record["closed"]["outcomes"], record["closed"]["exposures"])
        for user, record in closed.items()
    }


Credits = dict[tuple[int, str, int, str], tuple[int, str]]
"""By user, request, item and event: the item's position, and the arm."""


def credited(settings: Settings, topic: Topic, epoch: int) -> Credits:
    """Return the outcomes on their topic."""
    found: Credits = {}
    for records in records_of(settings, topic).values():
        for _, record in records:
            if record["epoch"] == epoch and "credit" in record:
                credit = record["credit"]
                name = record["user_id"], credit["request_id"], credit["item_id"], credit["event"]
                found.setdefault(name, (credit["position"], record["variant"]))
    return found


def slow_twin(
    settings: Settings, client: Client, epoch: int
) -> tuple[dict[int, tuple[float, int]], Credits]:
    """Return outcomes and exposures of each user, and each outcome, by looking at everything."""
    answers, events = (
        records_of(settings, topic)
        for topic in (client.topics.responses, client.topics.interactions)
    )
    found: dict[int, tuple[float, int]] = {}
    credits: Credits = {}
    for number, log in answers.items():
        for user, shown in exposures_in(log, epoch).items():
            first, at_by_name = shown[0][0], {}
            for at, event in timed(events.get(number, [])):
                if event["user_id"] != user or event.get("value", FLOOR) < FLOOR:
                    continue
                credit = credit_of(event, at, shown)
                if credit is not None and credit[0] not in at_by_name:
                    at_by_name[credit[0]] = at
                    credits.setdefault(*credit)
            found[user] = (
                sum(VALUES[name[3]] for name, at in at_by_name.items() if is_open(first, at)),
                sum(is_open(first, at) for at, _ in shown),
            )
    return found, credits


def exposures_in(
    log: list[tuple[float, dict[str, Any]]], epoch: int
) -> dict[int, list[tuple[float, dict[str, Any]]]]:
    """Return the answers of an epoch with their times, by user; one that was sent again once."""
    found: dict[int, list[tuple[float, dict[str, Any]]]] = defaultdict(list)
    for at, answer in timed(log):
        if answer["provenance"]["rollout_epoch"] != epoch:
            continue
        own = found[answer["user_id"]]
        if not any(
            answer["request_id"] == old["request_id"] and is_open(shown_at, at)
            for shown_at, old in own
        ):
            own.append((at, answer))
    return found


def credit_of(
    event: dict[str, Any], at: float, shown: list[tuple[float, dict[str, Any]]]
) -> tuple[tuple[int, str, int, str], tuple[int, str]] | None:
    """Return what the latest of a user's answers that showed an item gets the credit for."""
    for shown_at, answer in reversed(shown):
        items = [item["item_id"] for item in answer["items"]]
        is_named = event.get("request_id") in (None, answer["request_id"])
        if is_open(shown_at, at) and is_named and event["item_id"] in items:
            user, item = event["user_id"], event["item_id"]
            arm = "B" if user % 2 else "A"
            return (user, answer["request_id"], item, event["event"]), (items.index(item), arm)
    return None


def is_open(since: float, at: float) -> bool:
    return since <= at < since + WINDOW_SECONDS * 1000


def timed(log: list[tuple[float, dict[str, Any]]]) -> list[tuple[float, dict[str, Any]]]:
    times = accumulate((at for at, _ in log), max)
    return [(at, record) for at, (_, record) in zip(times, log, strict=True)]
