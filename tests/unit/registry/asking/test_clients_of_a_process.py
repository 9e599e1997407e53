from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.cells import each_cell

from registry.asking.async_client import AsyncClient
from registry.asking.blocking_client import Client
from registry.asking.kafka_link import KafkaLink
from registry.errors import AnswerTimeout, ClientClosed, ConfigurationError, TransportError


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


def test_requests_that_wait_for_kafka_leave_the_loops_threads_to_others() -> None:
    async def story() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
        client = AsyncClient("127.0.0.1:1")
        asking = [asyncio.create_task(client.ask(user, deadline_seconds=1)) for user in range(20)]
        await asyncio.sleep(0)
        await asyncio.wait_for(asyncio.to_thread(int), 0.5)
        found = await asyncio.gather(*asking, return_exceptions=True)
        assert {type(error) for error in found} <= {AnswerTimeout, TransportError}
        await client.close()

    asyncio.run(story())


def test_closing_does_not_wait_for_a_client_that_connects() -> None:
    async def story() -> None:
        client = AsyncClient("127.0.0.1:1")
        asking = asyncio.create_task(client.ask(1, deadline_seconds=30))
        async with asyncio.timeout(60):
            while not client._link._changing.locked():
                await asyncio.sleep(0)
            await client.close()
            with pytest.raises(ClientClosed):
                await asking

    asyncio.run(story())
