"""The HTTP surface: who may write, what becomes of a request's fields, how refusals look."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from harness.builders import NeverDecided, OutOfReach, some_parts
from pydantic import SecretStr

from registry.records import RolloutState
from streams.http import Pages
from streams.report import Report
from tests.unit.registry.builders import a_canary_state, a_state

TOKEN = "sesame"
FIXED = a_state(epoch=0, previous_versions=("v0.0",))


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    document: Any


@pytest.fixture
def parts(tmp_path: Path) -> Any:
    """A worker whose state is `FIXED`; its commands are decided at once."""
    return some_parts(tmp_path, FIXED)


@pytest.fixture
def guarded(tmp_path: Path) -> Any:
    """The same worker with an API token."""
    return some_parts(tmp_path, FIXED, api_token=SecretStr(TOKEN))


def pages(parts: Any) -> Pages:
    return Pages(parts, Report(parts))


def ask(parts: Any, method: str, path: str, **options: Any) -> Answer:
    async def talk() -> Answer:
        async with (
            TestClient(TestServer(pages(parts).application())) as client,
            client.request(method, path, **options) as response,
        ):
            body = await response.read()
            is_json = "json" in response.content_type
            document = msgspec.json.decode(body) if is_json else body.decode()
            return Answer(response.status, response.headers, document)

    return asyncio.run(talk())


def post(parts: Any, path: str, **options: Any) -> Answer:
    return ask(parts, "POST", path, **options)


def problem(answer: Answer) -> tuple[int, str]:
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.document["status"] == answer.status
    return answer.status, answer.document["code"]


# Who may write


def test_a_write_from_loopback_needs_no_token_where_none_is_set(parts: Any) -> None:
    assert post(parts, "/rollout/rollback").status == 200


@pytest.mark.parametrize("remote", ["203.0.113.5", "10.0.0.1", "2001:db8::1", None])
def test_without_a_token_writes_from_elsewhere_are_forbidden(remote: Any, parts: Any) -> None:
    request = make_mocked_request("POST", "/rollout/rollback").clone(remote=remote)

    async def write() -> None:
        with pytest.raises(web.HTTPForbidden) as refused:
            await pages(parts).write("rollback")(request)
        assert "loopback only; set RECSTREAM_API_TOKEN" in str(refused.value.text)

    asyncio.run(write())
    assert parts.delivery.commands == []


@pytest.mark.parametrize("remote", ["127.0.0.1", "127.8.8.8", "::1"])
def test_each_loopback_address_may_write(remote: str, parts: Any) -> None:
    request = make_mocked_request("POST", "/rollout/rollback").clone(remote=remote)
    answer = asyncio.run(_called(pages(parts).write("rollback"), request))
    assert answer.status == 200


async def _called(handler: Any, request: web.BaseRequest) -> web.Response:
    response: web.Response = await handler(request)
    return response


@pytest.mark.parametrize(
    "given",
    [None, "", TOKEN, "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"bearer {TOKEN}", "Bearer ä"],
)
def test_with_a_token_a_write_without_it_is_unauthorized_even_from_loopback(
    given: str | None, guarded: Any
) -> None:
    headers = {} if given is None else {"Authorization": given}
    answer = post(guarded, "/rollout/rollback", headers=headers)
    assert problem(answer) == (401, "http")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert TOKEN not in answer.document["detail"]
    assert guarded.delivery.commands == []


def test_with_the_token_a_write_is_accepted_from_anywhere(guarded: Any) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    request = make_mocked_request("POST", "/", headers=headers).clone(remote="203.0.113.5")
    assert asyncio.run(_called(pages(guarded).write("rollback"), request)).status == 200


def test_the_token_is_compared_in_constant_time(
    guarded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest
    monkeypatch.setattr(
        "streams.http.hmac.compare_digest", lambda *pair: compared.append(pair) or real(*pair)
    )
    post(guarded, "/rollout/rollback", headers={"Authorization": "Bearer wrong"})
    assert compared == [(b"Bearer wrong", f"Bearer {TOKEN}".encode())]


@pytest.mark.parametrize("path", ["/healthz", "/rollout/status", "/rollout/history", "/models"])
def test_reading_needs_no_token(path: str, guarded: Any) -> None:
    assert ask(guarded, "GET", path).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/switch?model=v0.9"), ("POST", "/switch?model=v0.9"), ("POST", "/retrain")]
    + [("POST", f"/rollout/{kind}") for kind in ("update", "promote", "rollback", "abort")],
)
def test_every_write_needs_the_token(method: str, path: str, guarded: Any) -> None:
    assert ask(guarded, method, path).status == 401


def test_a_token_that_is_not_even_text_is_unauthorized(guarded: Any) -> None:
    async def status_line() -> bytes:
        async with TestServer(pages(guarded).application()) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(
                b"POST /rollout/rollback HTTP/1.1\r\nHost: w1\r\nContent-Length: 0\r\n"
                b"Authorization: Bearer \xff\r\nConnection: close\r\n\r\n"
            )
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer.splitlines()[0]

    assert asyncio.run(status_line()) == b"HTTP/1.1 401 Unauthorized"


def test_who_may_not_write_is_told_so_whatever_the_body(guarded: Any) -> None:
    headers = {"Content-Type": "application/json"}
    assert post(guarded, "/rollout/update", data=b"{", headers=headers).status == 401


# What becomes of a request's fields


def test_an_applied_command_is_answered_with_the_new_state(parts: Any) -> None:
    answer = post(parts, "/rollout/update?strategy=canary&canary_version=v0.4&canary_percentage=10")
    (command,) = parts.delivery.commands
    assert (answer.status, answer.document["status"]) == (200, "applied")
    assert (answer.document["epoch"], answer.document["command_id"]) == (1, command.command_id)
    assert msgspec.convert(answer.document["state"], RolloutState) == parts.node.view.state
    assert parts.node.view.state.canary_version == "v0.4"


def test_only_the_fields_given_change(tmp_path: Path) -> None:
    parts = some_parts(tmp_path, a_canary_state(epoch=0))
    post(parts, "/rollout/update?canary_percentage=25&reason=so+far+so+good&expected_epoch=0")
    state = parts.node.view.state
    assert state == a_canary_state(
        epoch=1, canary_percentage=25.0, reason="so far so good", updated_at=state.updated_at,
        updated_by="http:127.0.0.1",
    )  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        {"params": {"canary_version": "v0.4", "canary_percentage": "5"}},
        {"data": {"canary_version": "v0.4", "canary_percentage": "5"}},
        {"json": {"canary_version": "v0.4", "canary_percentage": 5}},
        {
            "params": {"canary_version": "v0.1"},
            "json": {"canary_version": "v0.4", "canary_percentage": 5},
        },
    ],
    ids=["query", "form", "JSON", "JSON before query"],
)  # fmt: skip
def test_fields_come_as_query_form_or_json(options: dict[str, Any], parts: Any) -> None:
    assert post(parts, "/rollout/update?strategy=canary", **options).status == 200
    state = parts.node.view.state
    assert (state.strategy, state.canary_version, state.canary_percentage) == ("canary", "v0.4", 5)


def test_the_parameters_of_a_training_are_numbers(parts: Any) -> None:
    query = "factors=8&iterations=3&regularization=0.1&alpha=2&deploy=none&command_id=c9"
    assert post(parts, f"/retrain?{query}&issued_by=anna").status == 200
    (command,) = parts.delivery.commands
    assert (command.type, command.command_id, command.issued_by) == ("retrain", "c9", "anna")
    assert (command.factors, command.iterations) == (8, 3)
    assert (command.regularization, command.alpha, command.deploy) == (0.1, 2.0, "none")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", ["model", "version"])
def test_a_switch_is_a_swap(method: str, name: str, parts: Any) -> None:
    assert ask(parts, method, f"/switch?{name}=v0.4").status == 200
    assert parts.node.view.state.primary_version == "v0.4"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/rollout/promote", "no_canary"),
        ("/rollout/update", "nothing_given"),
        ("/rollout/update?strategy=shadow", "bad_strategy"),
        ("/rollout/update?canary_percentage=101", "bad_percentage"),
        ("/rollout/update?canary_percentage=many", "invalid"),
        ("/rollout/update?canary_percentage=nan", "invalid"),
        ("/rollout/update?expected_epoch=1.5", "invalid"),
        ("/rollout/update?command_id=", "invalid"),
        ("/switch?model=latest", "bad_version"),
        ("/switch", "missing_version"),
    ],
)
def test_a_refused_write_is_a_problem_with_its_code_and_changes_nothing(
    path: str, code: str, parts: Any
) -> None:
    assert problem(post(parts, path)) == (422, code)
    assert parts.node.view.state == FIXED


def test_a_stale_epoch_is_a_conflict(parts: Any) -> None:
    answer = post(parts, "/rollout/rollback?expected_epoch=5&command_id=c9")
    assert problem(answer) == (409, "stale_epoch")
    assert answer.document["command_id"] == "c9"
    assert "the epoch is now 0" in answer.document["detail"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'"text"', b"null"])
def test_a_body_that_is_no_json_object_is_refused(body: bytes, parts: Any) -> None:
    headers = {"Content-Type": "application/json"}
    assert problem(post(parts, "/rollout/update", data=body, headers=headers)) == (422, "http")
    assert parts.delivery.commands == []


@pytest.mark.parametrize("body", [b'{"reason": "\xff"}', b'{"x": ' + b"[" * 5_000])
def test_a_body_that_cannot_be_read_at_all_is_refused(body: bytes, parts: Any) -> None:
    headers = {"Content-Type": "application/json"}
    assert problem(post(parts, "/rollout/update", data=body, headers=headers)) == (422, "http")


def test_a_field_that_is_a_file_is_refused(parts: Any) -> None:
    form = aiohttp.FormData()
    form.add_field("reason", b"why", filename="reason.txt")
    assert problem(post(parts, "/rollout/update", data=form))[0] == 422


def test_a_body_that_is_too_large_is_refused(parts: Any) -> None:
    answer = post(parts, "/rollout/update", json={"reason": "x" * 70_000})
    assert problem(answer) == (413, "http")


def test_a_command_for_another_environment_is_not_decided_for_this_one(parts: Any) -> None:
    answer = post(parts, "/rollout/rollback?environment=staging")
    assert problem(answer) == (422, "other_environment")
    assert parts.node.view.state == FIXED


def test_a_command_that_nobody_decides_in_time_is_pending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.http.RESULT_SECONDS", 0.0)
    answer = post(some_parts(tmp_path, FIXED, NeverDecided), "/rollout/rollback?command_id=c9")
    assert answer.status == 202
    assert answer.document == {"status": "pending", "command_id": "c9"}


def test_a_command_that_kafka_does_not_take_is_unavailable(tmp_path: Path) -> None:
    answer = post(some_parts(tmp_path, FIXED, OutOfReach), "/rollout/rollback")
    assert problem(answer) == (503, "transport")


def test_a_command_that_comes_twice_is_answered_as_a_duplicate(parts: Any) -> None:
    post(parts, "/switch?model=v0.4&command_id=c9")
    answer = post(parts, "/switch?model=v0.5&command_id=c9")
    assert (answer.status, answer.document["status"]) == (200, "duplicate")
    assert parts.node.view.state.primary_version == "v0.4"


# What is shown


def test_the_history_is_newest_first(parts: Any) -> None:
    for version in ("v0.4", "v0.5"):
        post(parts, f"/switch?model={version}&command_id={version}")
    history = ask(parts, "GET", "/rollout/history").document
    assert [one["command_id"] for one in history] == ["v0.5", "v0.4"]


def test_the_rollout_status_tells_the_state_and_what_is_acted_on(parts: Any) -> None:
    document = ask(parts, "GET", "/rollout/status").document
    assert msgspec.convert(document["state"], RolloutState) == FIXED
    assert (document["acting_epoch"], document["active_version"]) == (None, None)
    assert (document["resident_versions"], document["owns_control"]) == ([], True)


def test_a_worker_that_is_not_ready_answers_503_with_the_reasons(parts: Any) -> None:
    answer = ask(parts, "GET", "/readyz")
    assert (answer.status, answer.document["ready"]) == (503, False)
    codes = [reason["code"] for reason in answer.document["reasons"]]
    assert codes == ["rollout_lease_expired", "version_not_ready"]


def test_a_worker_that_is_not_ready_is_alive(parts: Any) -> None:
    answer = ask(parts, "GET", "/healthz")
    assert (answer.status, answer.document["status"]) == (200, "ok")


def test_a_crashed_worker_is_stuck(parts: Any) -> None:
    parts.app.crashed = True
    assert ask(parts, "GET", "/healthz").status == 503


def test_the_metrics_are_prometheus_text(parts: Any) -> None:
    answer = ask(parts, "GET", "/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert "# TYPE recommend_latency_seconds histogram" in answer.document


def test_an_unknown_page_is_a_problem(parts: Any) -> None:
    assert problem(ask(parts, "GET", "/unknown")) == (404, "http")


def test_a_wrong_method_is_a_problem_that_names_the_right_one(parts: Any) -> None:
    answer = ask(parts, "GET", "/rollout/update")
    assert problem(answer) == (405, "http")
    assert answer.headers["Allow"] == "POST"
