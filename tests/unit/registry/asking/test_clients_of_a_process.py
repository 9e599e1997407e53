from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from harness.cells import each_cell

from registry.asking.async_client import AsyncClient
from registry.asking.blocking_client import Client
from registry.asking.kafka_link import KafkaLink
from registry.errors import ClientClosed, ConfigurationError, TransportError


@each_cell("kind", [Client, AsyncClient])
def test_what_the_client_needs_for_itself_cannot_be_set(kind: type) -> None:
    with pytest.raises(ConfigurationError, match="partitioner cannot be set here: it is murmur2"):
        kind("127.0.0.1:1", config={"partitioner": "consistent"})


def test_a_setting_that_librdkafka_does_not_know_is_named_at_first_use() -> None:
    client = Client("127.0.0.1:1", config={"no.such.setting": "1"})

    with pytest.raises(ConfigurationError, match=r"no\.such\.setting"):
        client.connect()


def test_a_closed_client_says_so_and_may_be_closed_again() -> None:
    client = Client("127.0.0.1:1")
    client.close()
    client.close()

    with pytest.raises(ClientClosed, match="closed"):
        client.ask(42)


def test_a_client_that_another_process_has_used_says_so() -> None:
    link = KafkaLink("127.0.0.1:1", "reco", {}, 10)
    link._owner = os.getpid() + 1

    with pytest.raises(ClientClosed, match="forked"):
        link.connect(1.0)


def test_a_fork_of_a_process_that_was_connecting_may_close_its_copy() -> None:
    link = KafkaLink("127.0.0.1:1", "reco", {}, 10)
    link._owner = os.getpid() + 1
    closing = threading.Thread(target=link.close, daemon=True)
    with link._changing:  # as it was at the fork: whoever held it is not in the child
        closing.start()
        closing.join(60)

        assert not closing.is_alive()


def test_requests_that_wait_for_kafka_leave_the_loops_threads_to_others() -> None:
    async def story() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
        client = AsyncClient("127.0.0.1:1")
        asking = [asyncio.create_task(client.ask(user, deadline_seconds=300)) for user in range(20)]
        await asyncio.sleep(0)
        await asyncio.wait_for(asyncio.to_thread(int), 60)
        await client.close()
        found = await asyncio.gather(*asking, return_exceptions=True)
        assert {type(error) for error in found} == {ClientClosed}

    asyncio.run(story())


def test_closing_does_not_wait_for_a_client_that_connects() -> None:
    async def story() -> None:
        client = AsyncClient("127.0.0.1:1")
        asking = asyncio.create_task(client.ask(1, deadline_seconds=300))
        async with asyncio.timeout(60):
            while not client._link._changing.locked():
                await asyncio.sleep(0)
            await client.close()
            with pytest.raises(ClientClosed):
                await asking

    asyncio.run(story())


def test_who_waits_for_another_thread_that_connects_waits_no_longer_than_it_may() -> None:
    link = KafkaLink("127.0.0.1:1", "reco", {}, 10)
    link._started_sender()

    with link._changing, pytest.raises(TransportError, match="another thread was connecting"):
        link.connect(0.01)


def test_a_request_that_meets_the_close_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    link = KafkaLink("127.0.0.1:1", "reco", {}, 10)
    reader: Any = SimpleNamespace(close=lambda: None, expect=lambda _: None)
    link._reader, connected = reader, link._connected

    def connected_at_last(seconds: float) -> Any:
        found = connected(seconds)
        link.close()
        return found

    monkeypatch.setattr(link, "_connected", connected_at_last)
    with pytest.raises(ClientClosed):
        link.ask("r1", 1, b"{}", 60.0)
    assert link.in_flight == 0
