"""Server-sent events: who gets what, and when rendering stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from streams.http import sse as events
from streams.http.problems import errors_as_problems
from streams.http.sse import EventStream

Talk = Callable[[TestClient[Any, Any]], Coroutine[Any, Any, None]]


class Rendered:
    """Renders ``page 1``, ``page 2``, …; stays at the last of `pages`."""

    def __init__(self, pages: int = 10**9) -> None:
        self.calls = 0
        self._pages = pages

    def __call__(self) -> str:
        self.calls += 1
        return f"page {min(self.calls, self._pages)}"


PING = ": still here"


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "RENDER_SECONDS", 0.005)


def with_listeners(render: Callable[[], str], talk: Talk) -> None:
    made = EventStream(render)

    async def run() -> None:
        app = web.Application(middlewares=[errors_as_problems])
        app.router.add_get("/events", made.listen)
        app.on_shutdown.append(made.close)
        async with TestClient(TestServer(app)) as client:
            await talk(client)

    asyncio.run(run())


async def next_event(response: ClientResponse) -> list[str]:
    text = await response.content.readuntil(b"\n\n")
    return text.decode().strip().split("\n")


def listening(client: TestClient[Any, Any]) -> AbstractAsyncContextManager[ClientResponse]:
    return client.get("/events")


def test_a_listener_gets_each_change() -> None:
    async def talk(client: TestClient[Any, Any]) -> None:
        async with listening(client) as response:
            assert response.headers["Content-Type"] == "text/event-stream"
            assert await next_event(response) == ["retry: 2000"]
            for number in (1, 2, 3):
                assert await next_event(response) == [
                    "event: status", f"id: {number}", f"data: page {number}",
                ]  # fmt: skip

    with_listeners(Rendered(), talk)


def test_what_has_not_changed_is_not_sent_again_but_a_ping_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "PING_SECONDS", 0.02)

    async def talk(client: TestClient[Any, Any]) -> None:
        async with listening(client) as response:
            await next_event(response)
            while (event := await next_event(response)) == [PING]:
                pass  # a rendering that takes long on a loaded machine is pinged for as well
            assert event[-1] == "data: page 1"
            assert await next_event(response) == [PING]

    with_listeners(Rendered(pages=1), talk)


def test_all_listeners_share_one_rendering() -> None:
    render = Rendered(pages=1)

    async def talk(client: TestClient[Any, Any]) -> None:
        async with listening(client) as first, listening(client) as other:
            for response in (first, other):
                await next_event(response)
                assert (await next_event(response))[1] == "id: 1"

    with_listeners(render, talk)


def test_nothing_is_rendered_while_nobody_listens() -> None:
    render = Rendered()

    async def talk(client: TestClient[Any, Any]) -> None:
        async with client.head("/events") as response:
            assert response.status == 200

    with_listeners(render, talk)
    assert render.calls == 0


def test_a_rendering_that_fails_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def render() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("a bug in the page")
        return "page"

    async def talk(client: TestClient[Any, Any]) -> None:
        async with listening(client) as response:
            await next_event(response)
            assert (await next_event(response))[-1] == "data: page"

    with_listeners(render, talk)
    assert "a bug in the page" in caplog.text


def test_more_listeners_than_allowed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_LISTENERS", 1)

    async def talk(client: TestClient[Any, Any]) -> None:
        async with listening(client) as first:
            await next_event(first)
            async with listening(client) as second:
                assert second.status == 503
                assert (await second.json(content_type=None))["code"] == "too_many_listeners"

    with_listeners(Rendered(), talk)


def test_a_worker_that_stops_ends_its_streams() -> None:
    async def run() -> None:
        made = EventStream(Rendered())
        app = web.Application()
        app.router.add_get("/events", made.listen)
        app.on_shutdown.append(made.close)
        client = TestClient(TestServer(app))
        await client.start_server()
        async with listening(client) as response:
            await next_event(response)
            async with asyncio.timeout(60):
                await asyncio.gather(client.server.close(), response.read())
        await client.close()
        assert made._listeners == set()

    asyncio.run(run())
