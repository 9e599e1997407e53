"""The Python client: what applications rely on, and its examples, run as they run them."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message, Producer
from harness.application import (
    EXAMPLES,
    environment_of_application,
    installed_client,
    installed_node_modules,
)
from harness.fresh import fresh_settings, publish_model
from harness.waiting import wait_until
from harness.workers import ROOT, Worker

from ops.local.kafka_cluster import running_cluster
from ops.local.kafka_jars import fetched_jars, java_command
from ops.local.ports import free_port
from registry.asking.async_client import AsyncClient
from registry.asking.blocking_client import Client
from registry.errors import (
    AnswerTimeout,
    ClientClosed,
    RecordError,
    TooManyRequests,
    TransportError,
)
from registry.kafka.partition_growth import grow_topics
from registry.kafka.topic_admin import check_topics, create_topics
from registry.kafka.topic_reader import messages, reading
from registry.kafka.topics import Topic, topics_of
from registry.settings import Settings
from registry.wire.codec import encode
from registry.wire.requests import Request
from registry.wire.responses import Provenance, Response
from registry.wire.training_records.interactions import Interaction

Start = Callable[..., Worker]

PAGE = ROOT / "docs" / "how-to" / "call-it-from-your-application.md"

PERSONAL = ("model", "recomputed")
"""Sources of answers to a user who was in the training, and may have clicked since."""


def a_client(settings: Settings, **more: Any) -> Client:
    return Client(settings.kafka_bootstrap_servers, topic_prefix=settings.topic_prefix, **more)


def an_async_client(settings: Settings, **more: Any) -> AsyncClient:
    return AsyncClient(settings.kafka_bootstrap_servers, topic_prefix=settings.topic_prefix, **more)


@pytest.fixture(scope="module")
def fleet(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A fleet of one worker, for all tests that do it no harm."""
    folder = tmp_path_factory.mktemp("fleet")
    settings = fresh_settings(kafka, folder)
    create_topics(settings)
    wait_until(lambda: not check_topics(settings), 60, "the topics to be there")
    publish_model(settings)
    worker = Worker(settings, "w1", folder)
    try:
        worker.wait_ready()
        yield settings
    finally:
        worker.end()


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an application."""
    return installed_client(tmp_path_factory.mktemp("application"))


@pytest.fixture(scope="module")
def node_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Node example, beside the modules that it needs."""
    return installed_node_modules(tmp_path_factory.mktemp("node"))


class TestAsking:
    def test_answers_come_to_who_asked(self, fleet: Settings) -> None:
        async def ask_all() -> list[Response]:
            async with an_async_client(fleet) as client:
                asked = [client.ask(user, k=3) for user in (*range(1, 201), "anna", 2**60)]
                return await asyncio.gather(*asked)

        answers = asyncio.run(ask_all())

        assert [answer.user_id for answer in answers] == [*range(1, 201), "anna", 2**60]
        assert {len(answer.items) for answer in answers} == {3}
        assert {answer.status for answer in answers} == {"ok"}

    def test_threads_share_a_client(self, fleet: Settings) -> None:
        found: dict[int, Response] = {}
        with a_client(fleet) as client:

            def ask(user: int) -> None:
                found[user] = client.ask(user)

            threads = [threading.Thread(target=ask, args=(user,)) for user in range(1, 21)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            running = [thread.name for thread in threading.enumerate()]

        assert running.count("recstream-reader") == 1  # one consumer for all of them
        assert {user: answer.user_id for user, answer in found.items()} == {
            user: user for user in range(1, 21)
        }

    def test_an_error_is_an_answer(self, fleet: Settings) -> None:
        with a_client(fleet) as client:
            answer = client.ask(1, model_version="v9.9")

        assert answer.status == "error"
        assert answer.error is not None
        assert answer.error.code == "unknown_version"

    def test_who_gives_up_waits_no_longer_and_the_client_goes_on(self, fleet: Settings) -> None:
        async def scenario() -> None:
            async with an_async_client(fleet) as client:
                with pytest.raises(AnswerTimeout, match=r"not answered within 0\.0005 s"):
                    await client.ask(1, deadline_seconds=0.0005)
                task = asyncio.create_task(client.ask(2))
                await asyncio.sleep(0)  # it has sent its request
                assert client.in_flight == 1
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert client.in_flight == 0
                assert (await client.ask(3)).user_id == 3

        asyncio.run(scenario())

    def test_no_more_are_in_flight_than_may_be(self, fleet: Settings) -> None:
        async def scenario() -> list[object]:
            async with an_async_client(fleet, max_in_flight=2) as client:
                asked = [client.ask(user) for user in (1, 2, 3)]
                return list(await asyncio.gather(*asked, return_exceptions=True))

        first, second, third = asyncio.run(scenario())

        assert isinstance(first, Response)
        assert isinstance(second, Response)
        assert isinstance(third, TooManyRequests)

    def test_a_request_that_no_worker_could_use_is_not_sent(self, fleet: Settings) -> None:
        with a_client(fleet) as client, pytest.raises(RecordError, match=r"\$\.k"):
            client.ask(1, k=1001)

    def test_what_a_user_does_goes_to_the_partition_of_their_requests(
        self, fleet: Settings
    ) -> None:
        topics, users = topics_of(fleet), [42, 2**63 - 1, "anna", "日本"]
        with a_client(fleet) as client:
            answered = {user: client.ask(user) for user in users}
            for user in users:
                client.send_interaction(Interaction(user_id=user, item_id=1, event="watch"))
                client.forget(user)
        sent, requests = all_of(fleet, topics.interactions), all_of(fleet, topics.requests)

        assert len(answered) == len(users)
        partitions = {message.key(): message.partition() for message in requests}
        assert [partitions[message.key()] for message in sent] == [
            message.partition() for message in sent
        ]
        events = [json.loads(message.value() or b"") for message in sent]
        for user in users:
            own = [event["event"] for event in events if event["user_id"] == user]
            assert own == ["watch", "forget"]


class TestWithoutAWorker:
    """Topics that nobody reads: what the client does by itself."""

    def test_duplicates_and_garbage_on_the_response_topic_change_nothing(
        self, topics_created: Settings
    ) -> None:
        request = Request("r-1", 42)
        answer = Response("r-1", 42, "ok", Provenance("production", "w1"), model_version="v0.1")

        async def scenario() -> Response:
            async with an_async_client(topics_created) as client:
                task = asyncio.create_task(client.send_request(request))
                await asyncio.sleep(0)
                producer = Producer({"bootstrap.servers": topics_created.kafka_bootstrap_servers})
                for payload in (b"garbage", b"{}", encode(answer), encode(answer)):
                    producer.produce(topics_of(topics_created).responses.name, payload, b"42")
                await asyncio.to_thread(producer.flush, 15)
                found = await task
                assert client.in_flight == 0
                return found

        assert asyncio.run(scenario()) == answer

    def test_closing_fails_what_is_in_flight(self, topics_created: Settings) -> None:
        async def scenario() -> None:
            client = an_async_client(topics_created)
            await client.connect()
            task = asyncio.create_task(client.ask(42))
            await asyncio.sleep(0)
            await client.close()
            with pytest.raises(ClientClosed, match="before the answer came"):
                await task

        asyncio.run(scenario())

    def test_threads_that_wait_are_bounded_time_out_and_are_freed_by_closing(
        self, topics_created: Settings
    ) -> None:
        with (
            a_client(topics_created, max_in_flight=1) as client,
            ThreadPoolExecutor(1) as threads,
        ):
            with pytest.raises(AnswerTimeout, match=r"not answered within 0\.5 s"):
                client.ask(1, deadline_seconds=0.5)
            waiting = threads.submit(client.ask, 2, deadline_seconds=60)
            wait_until(lambda: client.in_flight == 1, 30, "the request to be in flight")
            with pytest.raises(TooManyRequests, match="1 requests are in flight, 1 are allowed"):
                client.ask(3)
            client.close()
            with pytest.raises(ClientClosed, match="before the answer came"):
                waiting.result(30)

    def test_partitions_that_the_topics_get_later_are_read(self, topics_created: Settings) -> None:
        """Requests wait for their producer's next look at the topic, at most 10 s here."""
        topics, users = topics_of(topics_created), range(1, 60)
        refreshed = {"topic.metadata.refresh.interval.ms": 1000}
        with a_client(topics_created, config=refreshed, deadline_seconds=30) as client:
            stop = threading.Event()
            answering = threading.Thread(target=answer_all, args=(topics_created, stop))
            answering.start()
            try:
                assert client.ask(1).user_id == 1
                grow_topics(topics_created, 8, lambda _: None)

                def reaches_new_partitions() -> bool:
                    for user in users:
                        assert client.ask(user).user_id == user
                    seen = all_of(topics_created, topics.requests)
                    return any((message.partition() or 0) >= 4 for message in seen)

                wait_until(reaches_new_partitions, 30, "requests to go to new partitions")
            finally:
                stop.set()
                answering.join()

    def test_missing_topics_are_named(self, settings: Settings) -> None:
        with pytest.raises(TransportError, match=rf"{settings.topic_prefix}\.responses not found"):
            a_client(settings).connect()

    def test_a_kafka_that_is_not_there_is_named(self) -> None:
        with pytest.raises(TransportError, match=r"Kafka does not answer \(127\.0\.0\.1:1\)"):
            Client("127.0.0.1:1", deadline_seconds=1).connect()

    def test_an_interaction_that_kafka_does_not_confirm_waits_no_longer_than_its_deadline(
        self,
    ) -> None:
        click = Interaction(user_id=42, item_id=1, event="click")
        unconfirmed = r"not confirmed within 0\.3 s by Kafka at 127\.0\.0\.1:1; it may still"

        with pytest.raises(TransportError, match=unconfirmed):
            Client("127.0.0.1:1").send_interaction(click, deadline_seconds=0.3)
        with pytest.raises(TransportError, match=unconfirmed):
            asyncio.run(AsyncClient("127.0.0.1:1").forget(42, deadline_seconds=0.3))


def all_of(settings: Settings, topic: Topic) -> list[Message]:
    with reading(settings, topic, last=10_000) as consumer:
        return list(messages(consumer, 15, to_end=True))


def answer_all(settings: Settings, stop: threading.Event) -> None:
    """Answer each request, on whatever partition it comes, until `stop`."""
    topics = topics_of(settings)
    seen: set[tuple[int | None, int | None]] = set()
    while not stop.is_set():
        producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
        with reading(settings, topics.requests, last=100) as consumer:  # of all partitions by now
            for message in messages(consumer, 0.5):
                place = message.partition(), message.offset()
                if place in seen:
                    continue
                seen.add(place)
                request = json.loads(message.value() or b"")
                provenance = Provenance("production", "w1")
                answer = Response(request["request_id"], request["user_id"], "ok", provenance)
                producer.produce(
                    topics.responses.name, encode(answer), message.key(), message.partition() or 0
                )
                producer.flush(15)
                if stop.is_set():
                    return


def test_a_client_outlives_a_workers_death_and_a_brokers_restart(
    tmp_path: Path, start_worker: Start, figure: Callable[[str], None]
) -> None:
    with running_cluster(tmp_path, size=1) as cluster:
        settings = fresh_settings(cluster.bootstrap, tmp_path)
        create_topics(settings)
        publish_model(settings)
        doomed = start_worker(settings).wait_ready()
        start_worker(settings).wait_ready()

        async def scenario() -> tuple[int, float]:
            loop = asyncio.get_running_loop()
            asked, longest, happened = 0, 0.0, asyncio.Event()
            async with an_async_client(settings, deadline_seconds=60) as client:

                async def keep_asking(user: int) -> None:
                    nonlocal asked, longest
                    while not happened.is_set():
                        began = loop.time()
                        answer = await client.ask(user)
                        assert (answer.user_id, answer.status) == (user, "ok")
                        asked, longest = asked + 1, max(longest, loop.time() - began)
                        await client.send_interaction(
                            Interaction(user_id=user, item_id=1, event="watch")
                        )

                asking = [asyncio.create_task(keep_asking(user)) for user in range(1, 21)]
                await asyncio.to_thread(doomed.kill)
                await asyncio.to_thread(cluster.restart, 0)
                await asyncio.gather(*(client.ask(user) for user in range(1, 41)))
                happened.set()
                await asyncio.gather(*asking)
                return asked, longest

        asked, longest = asyncio.run(scenario())

    figure(f"none of {asked} requests lost; the longest waited {longest:.1f} s")


class TestExamples:
    """Each example of the documentation, run with the wheel and without this project."""

    def test_the_wheel_brings_neither_this_project_nor_faust(self, python: Path) -> None:
        script = "import recstream_client, sys; print(sorted(sys.modules))"
        done = run(python, "-c", script)
        foreign = (
            "import importlib.util as u; print([name for name in "
            "('ops', 'registry', 'streams', 'training', 'faust') if u.find_spec(name)])"
        )

        (wheel,) = (python.parents[2] / "dist").iterdir()
        assert PAGE.read_text("utf-8").count(f"dist/{wheel.name}") == 2  # both commands for pip
        assert "'recstream_client.wire.requests'" in done.stdout
        assert "'asyncio'" in done.stdout
        assert run(python, "-c", foreign).stdout.strip() == "[]"

    def test_the_script(self, python: Path, fleet: Settings) -> None:
        with a_click_that_names_its_answer(fleet):
            done = run(python, EXAMPLES / "python" / "ask.py", settings=fleet)

        require_three_cases(done.stdout)
        assert "no answer in time" in done.stdout
        assert done.stderr == ""

    def test_the_lines_on_the_page(self, python: Path, fleet: Settings) -> None:
        there = f"deadline_seconds=30, topic_prefix={fleet.topic_prefix!r}"
        lines = lines_on_the_page("python", {"deadline_seconds=2": there})

        with a_click_that_names_its_answer(fleet):
            done = run(python, "-c", lines, settings=fleet).stdout.splitlines()

        assert len(done) == 4, done
        assert done[-1].split()[0::2] == ["ok", "None"]

    def test_the_java_lines_on_the_page(self, fleet: Settings, tmp_path: Path) -> None:
        there = {'"reco"': f'"{fleet.topic_prefix}"', ", 2)": ", 30)"}
        example = (EXAMPLES / "java" / "AskRecstream.java").read_text("utf-8")
        head, main, _ = example.partition("main(String[] arguments) throws Exception {\n")
        program = tmp_path / "AskRecstream.java"
        program.write_text(f"{head}{main}{lines_on_the_page('java', there)}}} }}\n", "utf-8")

        with a_click_that_names_its_answer(fleet):
            printed = run_java(program, fleet)

        require_three_films(printed)

    def test_the_node_lines_on_the_page(self, node_script: Path, fleet: Settings) -> None:
        example = node_script.read_text("utf-8")
        head, connect, _ = example.partition("\nawait connect()\n")
        program = node_script.with_name("page.js")
        program.write_text(f"{head}{connect}{lines_on_the_page('js', {', 2)': ', 30)'})}", "utf-8")

        with a_click_that_names_its_answer(fleet):
            printed = run("node", program, settings=fleet).stdout

        require_three_films(printed)

    def test_what_python_may_ask_for_beside_a_users_list(
        self, python: Path, fleet: Settings
    ) -> None:
        candidates = "Request(str(uuid4()), 42, candidates=[1, 356])"
        nobody = 'Request(str(uuid4()), items=[SessionItem(item_id=356)], session_id="s1")'
        page = " ".join(PAGE.read_text("utf-8").split())
        assert f"`client.send_request({candidates})`" in page
        assert f"`{nobody}`" in page
        of_another = candidates.replace("42", "47")  # who has clicked on nothing
        program = ASKS_FOR_MORE.format(of_another, nobody)

        printed = run(python, "-c", program, settings=fleet).stdout.splitlines()

        assert printed == ["ok [1] 1", "ok None s1"]

    def test_processes_that_a_server_forks_each_ask_by_a_client_made_before(
        self, python: Path, fleet: Settings, tmp_path: Path
    ) -> None:
        program = tmp_path / "forks.py"
        program.write_text(FORKS)

        printed = run(python, program, settings=fleet).stdout.splitlines()

        assert sorted(printed) == ["child 0 ok", "child 1 ok", "used before: client_closed"]

    def test_java(self, fleet: Settings) -> None:
        source = EXAMPLES / "java" / "AskRecstream.java"
        with a_click_that_names_its_answer(fleet):
            printed = run_java(source, fleet)

        require_three_cases(printed)
        require_one_partition_for_each_user(fleet)

    def test_node(self, node_script: Path, fleet: Settings) -> None:
        with a_click_that_names_its_answer(fleet):
            done = run("node", node_script, settings=fleet)

        require_three_cases(done.stdout)
        require_one_partition_for_each_user(fleet)

    def test_the_tests_of_an_application_without_kafka(self, python: Path, tmp_path: Path) -> None:
        shop = shutil.copy(EXAMPLES / "python" / "test_shop.py", tmp_path)
        _, conftest, test, *_ = blocks_on_the_page("python")
        (tmp_path / "conftest.py").write_text(conftest)
        page = tmp_path / "test_page.py"
        page.write_text(test)
        quiet = ["-q", "-p", "no:cacheprovider"]

        done = run(python, "-m", "pytest", *quiet, shop, page, folder=tmp_path)

        assert "3 passed" in done.stdout

    def test_the_fastapi_application(self, python: Path, fleet: Settings) -> None:
        folder = EXAMPLES / "python"
        command = ["-m", "uvicorn", "--app-dir", folder, "fastapi_app:app", "--port", "{port}"]
        with served(python, command, fleet) as ask:
            assert ask("GET", "/films/43?k=3")["why"] in PERSONAL
            shown = ask("GET", "/films/42?k=3")
            assert len(shown["films"]) == 3
            assert ask("GET", "/films/anna")["why"] == "popular"
            assert ask("GET", "/films/42?k=1001")["why"] == "invalid"
            with a_click_that_names_its_answer(fleet):
                ask("POST", f"/clicks/42/7?answer={shown['answer']}", 201)

    def test_the_django_view(self, python: Path, fleet: Settings) -> None:
        script = EXAMPLES / "python" / "django_view.py"
        with served(python, [script, "runserver", "--noreload", "{port}"], fleet) as ask:
            assert ask("GET", "/films/43")["why"] in PERSONAL
            shown = ask("GET", "/films/42")
            assert len(shown["films"]) == 3
            with a_click_that_names_its_answer(fleet):
                ask("POST", f"/clicks/42/7?answer={shown['answer']}", 201)


FORKS = """
import os
from recstream_client import Client, RecstreamError

client = Client(
    os.environ["KAFKA_BOOTSTRAP_SERVERS"], topic_prefix=os.environ["RECSTREAM_TOPIC_PREFIX"]
)
for number in range(2):
    if (child := os.fork()) == 0:
        print("child", number, client.ask(42).status, flush=True)
        client.close()
        os._exit(0)
    os.waitpid(child, 0)
client.connect()
if (child := os.fork()) == 0:
    try:
        client.ask(42)
    except RecstreamError as error:
        print("used before:", error.code, flush=True)
    os._exit(0)
os.waitpid(child, 0)
client.close()
"""
"""What gunicorn and uWSGI do: the application is loaded, and forked then."""


ASKS_FOR_MORE = """
import os
from uuid import uuid4
from recstream_client import Client, Request, SessionItem

servers, prefix = os.environ["KAFKA_BOOTSTRAP_SERVERS"], os.environ["RECSTREAM_TOPIC_PREFIX"]
with Client(servers, topic_prefix=prefix, deadline_seconds=30) as client:
    answer = client.send_request({})
    items = [item.item_id for item in answer.items]
    print(answer.status, items, answer.provenance.unknown_items)
    answer = client.send_request({})
    print(answer.status, answer.user_id, answer.session_id)
"""


def blocks_on_the_page(language: str) -> list[str]:
    text = PAGE.read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def lines_on_the_page(language: str, there: Mapping[str, str]) -> str:
    """Return the first lines in this language, with what is otherwise in this fleet."""
    lines = blocks_on_the_page(language)[0]
    for words, instead in there.items():
        assert lines.count(words) == 1, words
        lines = lines.replace(words, instead)
    return lines


def require_three_films(printed: str) -> None:
    lines = printed.splitlines()
    assert len(lines) == 3, printed
    for line in lines:
        assert re.fullmatch(r"(\d+) Film \1", line), printed


def require_three_cases(printed: str) -> None:
    """Check that an example asked, sent an interaction, and met an error answer."""
    lines = printed.splitlines()
    assert [line.split()[0] for line in lines[:5]] == ["item"] * 3 + ["sent", "error"], printed
    assert lines[4].startswith("error unknown_version"), printed
    assert {"answered 9007199254740993", "answered 日本"} <= set(lines), printed


@contextmanager
def a_click_that_names_its_answer(settings: Settings) -> Iterator[None]:
    """Check that what runs in the block sends one: that answer's version gets the credit."""
    topics = topics_of(settings)

    def credited() -> int:
        sent = [json.loads(message.value() or b"") for message in all_of(settings, topics.requests)]
        done = [json.loads(found.value() or b"") for found in all_of(settings, topics.interactions)]
        asked = {request["request_id"] for request in sent}
        return sum(event.get("request_id") in asked for event in done)

    before = credited()
    yield
    assert credited() == before + 1


def require_one_partition_for_each_user(settings: Settings) -> None:
    """Check that records of a user, whichever language sent them, are on one partition."""
    topics = topics_of(settings)
    with a_client(settings) as client:  # ours chooses as a worker expects
        for user in (42, 2**53 + 1, "日本"):
            client.ask(user)
    sent = [*all_of(settings, topics.requests), *all_of(settings, topics.interactions)]
    places = {(message.key(), message.partition()) for message in sent}
    assert len(places) == len({key for key, _ in places})


def run(
    python: Path | str,
    *arguments: object,
    settings: Settings | None = None,
    code: int = 0,
    folder: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [python, *map(str, arguments)],
        env=environment_of_application(settings or Settings()),
        cwd=folder or EXAMPLES,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def run_java(source: Path, settings: Settings) -> str:
    """Run a source file with Kafka's jars; return what it printed."""
    jars = fetched_jars() / "*"
    return run(java_command(), "-cp", jars, source, settings=settings).stdout


@contextmanager
def served(python: Path, arguments: list[Any], settings: Settings) -> Iterator[Callable[..., Any]]:
    """Run a web application; yield what asks it for JSON."""
    port = free_port()
    command = [str(python), *(str(word).format(port=port) for word in arguments)]
    with subprocess.Popen(
        command, env=environment_of_application(settings), stderr=subprocess.PIPE
    ) as server:

        def ask(method: str, path: str, status: int = 200) -> Any:
            with closing(HTTPConnection("127.0.0.1", port, timeout=15)) as connection:
                connection.request(method, path)
                answer = connection.getresponse()
                body = answer.read()
                assert answer.status == status, body
                return json.loads(body or b"null")

        def answers() -> bool:
            assert server.poll() is None
            try:
                ask("GET", "/films/1")
            except (OSError, HTTPException):
                return False
            return True

        try:
            wait_until(answers, 20, "the application to answer")
            yield ask
        finally:
            server.terminate()
            server.wait(15)
            assert server.stderr is not None
            sys.stderr.write(server.stderr.read().decode())
