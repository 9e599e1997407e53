"""Recommendations over HTTP: from real workers, and where none answers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, TCPConnector, web
from aiohttp.test_utils import TestClient, TestServer
from harness.fresh import environment_of, fresh_settings, publish_model, without
from harness.waiting import wait_until
from harness.workers import ROOT, Worker

from registry.kafka.topic_admin import check_topics, create_topics
from registry.settings import Settings
from streams.http.admission.request_limits import MOST_WAITING
from streams.http.problems import errors_as_problems
from streams.http.recommend_endpoints import Recommendations

PEEK = {"Authorization": "Bearer peek"}


@pytest.fixture(scope="module")
def settings_of_fleet(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = fresh_settings(
        kafka,
        tmp_path_factory.mktemp("fleet"),
        RECSTREAM_READ_TOKEN="peek",
        RECSTREAM_API_TOKEN="sesame",
    )
    create_topics(settings)
    wait_until(lambda: not check_topics(settings), 60, "the topics to be there")
    publish_model(settings)
    return settings


@pytest.fixture(scope="module")
def worker(
    settings_of_fleet: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    running = Worker(settings_of_fleet, "w1", tmp_path_factory.mktemp("worker"))
    try:
        yield running.wait_ready()
    finally:
        running.end()


def ask(worker: Worker, path: str, status: int = 200, **more: Any) -> Any:
    page = worker.fetch(path, **{"headers": PEEK} | more)
    assert page.status == status, page.text
    return page.json() if page.text else None


def test_an_answer_is_the_one_of_the_topic(worker: Worker) -> None:
    answer = ask(worker, "/recommend/42?k=3")

    assert (answer["user_id"], answer["status"], answer["source"]) == (42, "ok", "model")
    assert len(answer["items"]) == 3
    path = f"/trace/{answer['request_id']}"  # there once the answer is confirmed
    wait_until(lambda: worker.fetch(path, headers=PEEK).status == 200, 60, "the answer's trace")
    trace = ask(worker, path)
    assert trace["response"]["model_version"] == answer["model_version"] == "v0.1"


def test_the_type_of_an_id_is_read_as_everywhere_and_may_be_given(worker: Worker) -> None:
    assert ask(worker, "/recommend/-5")["user_id"] == -5
    assert ask(worker, "/recommend/042")["user_id"] == "042"
    assert ask(worker, "/recommend/42?string_id=true")["user_id"] == "42"
    assert ask(worker, "/recommend/a%2Fb%20c")["user_id"] == "a/b c"
    assert ask(worker, "/recommend", method="POST", body={"user_id": "42"})["user_id"] == "42"


def test_a_body_may_hold_all_that_a_request_may(worker: Worker) -> None:
    best = ask(worker, "/recommend/42?k=1")["items"][0]["item_id"]
    body = {"request_id": "mine", "user_id": 42, "k": 5, "exclude_items": [best]}

    answer = ask(worker, "/recommend", method="POST", body=body)

    assert answer["request_id"] == "mine"
    assert best not in [item["item_id"] for item in answer["items"]]


@pytest.mark.parametrize(
    ("path", "more", "status", "code"),
    [
        ("/recommend/42?k=0", {}, 422, "invalid"),
        ("/recommend/42?kk=3", {}, 422, "invalid"),
        ("/recommend/42?deadline_ms=30001", {}, 422, "invalid"),
        ("/recommend/" + "x" * 201, {}, 422, "invalid"),
        ("/recommend/42?model_version=v9.9", {}, 404, "unknown_version"),
        ("/recommend", {"method": "POST", "body": {"k": 3}}, 422, "invalid"),
        ("/recommend", {"method": "POST", "body": {"user_id": 1, "kk": 3}}, 422, "invalid"),
        ("/recommend", {"method": "POST", "body": {"user_id": 2**63}}, 422, "out_of_range"),
        (
            "/recommend",
            {"method": "POST", "body": {"user_id": 1, "like": [2], "explain": True}},
            422,
            "invalid",
        ),
        (
            "/recommend",
            {"method": "POST", "body": {"user_id": 1, "allow": {"mood": ["dark"]}}},
            422,
            "unknown_label",
        ),
        ("/recommend", {"method": "POST"}, 415, "http"),
        ("/recommend/42", {"headers": {}}, 401, "http"),
        ("/recommend/42", {"headers": PEEK | {"Sec-Fetch-Site": "cross-site"}}, 403, "http"),
        ("/recommend/42", {"method": "HEAD"}, 405, None),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_reason(
    worker: Worker, path: str, more: dict[str, Any], status: int, code: str | None
) -> None:
    problem = ask(worker, path, status, **more)

    assert code is None or problem["code"] == code


def test_nobody_by_name_may_ask_too(worker: Worker) -> None:
    near = ask(worker, "/recommend", method="POST", body={"like": [7], "session_id": "s-1", "k": 3})

    assert (near["source"], near["user_id"], near["session_id"]) == ("similar", None, "s-1")
    assert len(near["items"]) == 3


def test_a_hundred_callers_get_their_own_answers(worker: Worker) -> None:
    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(lambda user: ask(worker, f"/recommend/{user}"), range(1, 101)))

    assert [answer["user_id"] for answer in answers] == list(range(1, 101))


def test_the_command_asks_over_http(worker: Worker, settings_of_fleet: Settings) -> None:
    def request(*more: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        url = f"http://127.0.0.1:{worker.port}"
        command = [sys.executable, "-m", "ops.cli.main", "request", "42", "--json", "--http", url]
        environment = without(dict(ENVIRONMENT)) | environment_of(settings_of_fleet)
        done = subprocess.run(
            [*command, *more],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    assert json.loads(request("-k", "3").stdout)["source"] == "model"
    assert "unknown_version" in request("--model-version", "v9.9", code=1).stderr


def test_a_worker_refuses_more_callers_than_may_wait_and_answers_those_that_do(
    worker: Worker, settings_of_fleet: Settings, start_worker: Callable[..., Worker]
) -> None:
    """They ask for users of another worker, which is paused for less than its session."""
    patient = {"RECSTREAM_SESSION_TIMEOUT": "120", "RECSTREAM_LEASE_SECONDS": "240"}
    other = start_worker(settings_of_fleet, "w2", variables=patient).wait_ready()
    worker.wait_ready()  # again: partitions have moved
    users = wait_until(lambda: users_of(other, worker), 60, "users of the other worker")
    refusals = 20

    async def scenario() -> tuple[tuple[int, str], list[tuple[int, str]], list[tuple[int, str]]]:
        async with ClientSession(headers=PEEK, connector=TCPConnector(limit=0)) as session:

            async def get(deadline_ms: int) -> tuple[int, str]:
                url = f"http://127.0.0.1:{worker.port}/recommend/{users[0]}"
                async with session.get(url, params={"deadline_ms": deadline_ms}) as answer:
                    found = await answer.json()
                    return answer.status, found.get("code") or found["provenance"]["worker"]

            late = await get(500)
            asked = [asyncio.create_task(get(30_000)) for _ in range(MOST_WAITING + refusals)]
            refused = [await request for request in islice(asyncio.as_completed(asked), refusals)]
            other.resume()
            return late, refused, await asyncio.gather(*asked)

    other.pause()
    try:
        late, refused, found = asyncio.run(scenario())
    finally:
        other.resume()

    assert late == (504, "answer_timeout")
    assert Counter(refused) == {(429, "too_many_requests"): refusals}
    assert Counter(found) - Counter(refused) == {(200, "w2"): MOST_WAITING}


def users_of(answering: Worker, asked: Worker) -> list[int]:
    """Return the users whose requests `answering` answers, when `asked` is asked over HTTP."""
    pages = {user: asked.fetch(f"/recommend/{user}", headers=PEEK) for user in range(1, 21)}
    return [
        user
        for user, page in pages.items()
        if page.status == 200 and page.json()["provenance"]["worker"] == answering.name
    ]


class TestWithoutAWorker:
    def test_a_deadline_ends_the_waiting_and_too_many_callers_are_told(
        self, topics_created: Settings
    ) -> None:
        async def scenario() -> tuple[tuple[int, Any], tuple[int, Any]]:
            recommendations = Recommendations(topics_created, most_waiting=1)
            app = web.Application(middlewares=[errors_as_problems])
            app.router.add_get("/recommend/{user_id}", recommendations.recommend)
            app.on_cleanup.append(recommendations.close)
            async with TestClient(TestServer(app)) as client:

                async def get(path: str) -> tuple[int, Any]:
                    async with client.get(path) as answer:
                        return answer.status, await answer.json()

                await get("/recommend/1?deadline_ms=500")  # has connected
                waiting = asyncio.create_task(get("/recommend/2?deadline_ms=8000"))
                async with asyncio.timeout(8):
                    while recommendations.in_flight == 0:  # the test server shares this loop
                        await asyncio.sleep(0.001)
                refused = await get("/recommend/3")
                return await waiting, refused

        (late, problem), (refused, reason) = asyncio.run(scenario())

        assert (late, problem["code"]) == (504, "answer_timeout")
        assert (refused, reason["code"]) == (429, "too_many_requests")


ENVIRONMENT = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(Path.home())}
