"""The HTTP surface: who may write, what becomes of a request's fields, how refusals look."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from aiohttp import CookieJar
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from harness.builders import (
    DecidedLater,
    NeverDecided,
    OutOfReach,
    an_answering,
    some_parts,
    some_rules,
)
from pydantic import SecretStr

from registry.errors import TransportError
from registry.kafka.audit_trail import Trail, TrailQuery
from registry.settings import Settings
from registry.versions.model import Model
from registry.wire.codec import encode
from registry.wire.command_results import CommandResult
from registry.wire.counts import ArmCounts
from registry.wire.heartbeats import Heartbeat
from registry.wire.instants import Instant, read_instant
from registry.wire.responses import Provenance, Response
from registry.wire.rollout_state import RolloutState
from streams.http.admission.login import Login
from streams.http.endpoints import ENDPOINTS
from streams.http.problems import Refused
from streams.http.server import Pages
from streams.kafka.request_progress import RequestProgress
from streams.observers import build_observers
from streams.page.render import POLICY
from streams.page_serving import build_pages
from streams.serving.batch_results import Answer as SentAnswer
from streams.serving.batch_results import Batch
from tests.unit.registry.builders import (
    a_canary_state,
    a_description,
    a_manifest,
    a_state,
    some_arrays,
)

TOKEN = "sesame"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PEEK = {"Authorization": "Bearer peek"}
FIXED = a_state(epoch=0, previous_versions=("v0.0",))
SWAPPED = CommandResult(
    "c1", "swap", "production", "rejected", 7, "bert", Instant.read("2026-01-01T12:00:00Z")
)
RAISED = CommandResult(
    "c2", "rollout", "production", "applied", 8, "anna", Instant.read("2026-01-02T12:00:00Z"),
    before=a_canary_state(), after=a_canary_state(epoch=8, canary_percentage=25.0),
)  # fmt: skip


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


@pytest.fixture
def closed(tmp_path: Path) -> Any:
    """The same worker with a token for reading as well."""
    tokens = {"api_token": SecretStr(TOKEN), "read_token": SecretStr("peek")}
    return some_parts(tmp_path, FIXED, **tokens)


def pages(parts: Any, *results: CommandResult) -> Pages:
    """The pages of a worker, and `results` on a Kafka that is not there."""

    def read(_: Settings, asked: TrailQuery) -> Trail:
        return Trail([result for result in results if asked.includes(result)][: asked.limit], 3)

    return build_pages(parts, build_observers(parts), read)


def ask(parts: Any, method: str, path: str, *results: CommandResult, **options: Any) -> Answer:
    async def talk() -> Answer:
        async with (
            TestClient(TestServer(pages(parts, *results).application())) as client,
            client.request(method, path, **options) as response,
        ):
            body = await response.read()
            is_json = "json" in response.content_type
            document = msgspec.json.decode(body) if is_json and body else body.decode()
            return Answer(response.status, response.headers, document)

    return asyncio.run(talk())


def post(parts: Any, path: str, **options: Any) -> Answer:
    return ask(parts, "POST", path, **options)


def problem(answer: Answer) -> tuple[int, str]:
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.document["status"] == answer.status
    return answer.status, answer.document["code"]


def an_answer(request_id: str, epoch: int) -> SentAnswer:
    """An answer by the rules of `FIXED`."""
    provenance = Provenance("production", "w1", 2.0, "fixed", epoch)
    response = Response(
        request_id, 1, "ok", provenance, model_version="v0.1", variant="primary", source="model"
    )
    return SentAnswer(b"1", encode(response), request_id, "v0.1", 1_700_000_000_000)


# Who may write


def test_a_write_from_loopback_needs_no_token_where_none_is_set(parts: Any) -> None:
    assert post(parts, "/rollout/rollback").status == 200


def test_without_a_token_writes_from_elsewhere_are_forbidden(parts: Any) -> None:
    async def write() -> None:
        with pytest.raises(Refused, match="loopback only; set RECSTREAM_API_TOKEN") as refused:
            await rolled_back(parts, "203.0.113.5")
        assert refused.value.problem.status == 403

    asyncio.run(write())
    assert parts.delivery.commands == []


def rolled_back(parts: Any, remote: str, **headers: str) -> Any:
    """Send a write as if from `remote`, through the guard."""
    (endpoint,) = [endpoint for endpoint in ENDPOINTS if endpoint.kind == "rollback"]
    guarded = Login(parts.settings).guard(endpoint, pages(parts)._writes.endpoint("rollback"))
    return guarded(make_mocked_request("POST", "/", headers=headers).clone(remote=remote))


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


def test_with_the_token_a_write_is_accepted_from_anywhere_and_the_trail_shows_it(
    guarded: Any,
) -> None:
    async def write() -> Any:
        return await rolled_back(guarded, "203.0.113.5", Authorization=f"Bearer {TOKEN}")

    assert asyncio.run(write()).status == 200
    assert guarded.delivery.commands[0].issued_by == "http:token"


@pytest.mark.parametrize("path", ["/healthz", "/rollout/status", "/rollout/history", "/models"])
def test_reading_needs_no_token_where_none_is_set_for_it(path: str, guarded: Any) -> None:
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


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Host": "0.0.0.0:6066"},
        {"Host": "[::ffff:127.0.0.1]:6066"},
        {"Host": "evil.example:6066"},
        {"Host": "evil.example", "Origin": "http://evil.example"},
        {"Host": "[::"},
        {"X-Forwarded-For": "203.0.113.5"},
        {"Forwarded": "for=203.0.113.5"},
        {"X-Real-IP": "203.0.113.5"},
        {"Via": "1.1 proxy"},
        {"X-Forwarded-Proto": "https"},
    ],
)
def test_a_page_of_another_site_or_a_proxy_may_not_write_without_a_token(
    headers: dict[str, str], parts: Any
) -> None:
    assert problem(post(parts, "/rollout/rollback", headers=headers)) == (403, "http")
    assert parts.delivery.commands == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin", "Host": "localhost", "Origin": "http://localhost"},
        {"Host": "[::1]:6066", "Origin": "http://[::1]:6066"},
    ],
)
def test_our_own_page_may_write(headers: dict[str, str], parts: Any) -> None:
    assert post(parts, "/rollout/rollback", headers=headers).status == 200


def test_who_may_not_write_is_told_so_whatever_the_body(guarded: Any) -> None:
    headers = {"Content-Type": "application/json"}
    assert post(guarded, "/rollout/update", data=b"{", headers=headers).status == 401


# Who may read

READ = [endpoint for endpoint in ENDPOINTS if endpoint.access == "read"]


@pytest.mark.parametrize("endpoint", READ, ids=[endpoint.name for endpoint in READ])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_with_a_read_token_reading_needs_it_or_the_other(
    endpoint: Any, method: str, closed: Any
) -> None:
    path = endpoint.path.format(version="v0.1", request_id="r1", epoch="7")
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        answer = ask(closed, method, path, headers=headers)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    for headers in (PEEK, BEARER):
        if endpoint.name != "events" or method == "HEAD":
            assert ask(closed, method, path, headers=headers).status != 401


def test_who_may_read_only_may_not_write(closed: Any) -> None:
    answer = post(closed, "/rollout/rollback", headers=PEEK)
    assert problem(answer) == (403, "http")
    assert "may only read" in answer.document["detail"]
    assert closed.delivery.commands == []


def test_probes_need_no_token_and_keep_what_they_know_to_themselves(closed: Any) -> None:
    alive, ready = ask(closed, "GET", "/healthz"), ask(closed, "GET", "/readyz")
    assert (alive.status, alive.document) == (
        200, {"status": "ok", "version": None, "rollout": None},
    )  # fmt: skip
    assert (ready.status, ready.document["worker"]) == (503, "")
    assert {reason["code"] for reason in ready.document["reasons"]} == {
        "rollout_lease_expired", "version_not_ready",
    }  # fmt: skip
    assert "v0.1" not in str(ready.document)
    shown = ask(closed, "GET", "/readyz", headers=PEEK).document
    assert (shown["worker"], shown["fresh_lag"]) == ("w1", None)  # nothing is followed here
    assert ask(closed, "GET", "/healthz", headers=PEEK).document["rollout"]["epoch"] == 0


def test_the_metrics_on_a_port_of_their_own_need_no_token_and_nothing_else_is_there(
    closed: Any,
) -> None:
    async def talk() -> list[int]:
        app = pages(closed).metrics_alone()
        async with TestClient(TestServer(app)) as client:
            return [(await client.get(path)).status for path in ("/metrics", "/", "/healthz")]

    assert asyncio.run(talk()) == [200, 404, 404]


# The login


def test_a_browser_without_a_session_gets_a_form(closed: Any) -> None:
    answer = ask(closed, "GET", "/")
    assert answer.status == 401
    assert '<form class="door" method="post" action="login">' in answer.document
    assert "w1" not in answer.document
    assert answer.headers["Content-Security-Policy"] == POLICY["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("token", "reads", "writes"), [("peek", 200, 403), (TOKEN, 200, 200), ("wrong", 401, 401)]
)
def test_a_login_is_a_session_for_what_its_token_allows(
    token: str, reads: int, writes: int, closed: Any
) -> None:
    async def talk() -> tuple[Any, int, int, int]:
        server, jar = TestServer(pages(closed).application()), CookieJar(unsafe=True)
        async with TestClient(server, cookie_jar=jar) as client:
            login = await client.post("/login", data={"token": token}, allow_redirects=False)
            own = {"Sec-Fetch-Site": "same-origin"}
            read = await client.get("/rollout/status")
            written = await client.post("/rollout/rollback", headers=own)
            await client.post("/logout")
            return login, read.status, written.status, (await client.get("/fleet")).status

    login, read, written, afterwards = asyncio.run(talk())
    assert (read, written, afterwards) == (reads, writes, 401)
    if token == "wrong":
        assert (login.status, "Set-Cookie" in login.headers) == (401, False)
        return
    assert (login.status, login.headers["Location"]) == (303, "./")
    cookie = login.headers["Set-Cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Max-Age=43200"))
    assert "Path" not in cookie, "the browser's default is the folder, also behind a proxy"
    assert "Secure" not in cookie
    assert token not in cookie


def test_a_session_that_came_by_https_is_not_sent_without(closed: Any) -> None:
    headers = {"X-Forwarded-Proto": "https"}
    answer = post(closed, "/login", data={"token": "peek"}, headers=headers, allow_redirects=False)
    assert "Secure" in answer.headers["Set-Cookie"]


def test_without_any_token_nobody_logs_in(parts: Any) -> None:
    assert post(parts, "/login", data={"token": ""}, allow_redirects=False).status == 401


# What becomes of a request's fields


def test_an_applied_command_is_answered_with_the_new_state(parts: Any) -> None:
    answer = post(parts, "/rollout/update?strategy=canary&canary_version=v0.4&canary_percentage=10")
    (command,) = parts.delivery.commands
    assert (answer.status, answer.document["status"]) == (200, "applied")
    assert (answer.document["epoch"], answer.document["command_id"]) == (1, command.command_id)
    assert (
        msgspec.convert(answer.document["state"], RolloutState, dec_hook=read_instant)
        == parts.node.view.state
    )
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
def test_a_switch_is_a_swap(method: str, name: str, guarded: Any) -> None:
    assert ask(guarded, method, f"/switch?{name}=v0.4", headers=BEARER).status == 200
    assert guarded.node.view.state.primary_version == "v0.4"


def test_a_switch_by_get_needs_the_token(parts: Any) -> None:
    answer = ask(parts, "GET", "/switch?model=v0.4")
    assert problem(answer) == (403, "http")
    assert "use POST, or RECSTREAM_API_TOKEN" in answer.document["detail"]
    assert parts.delivery.commands == []


@pytest.mark.parametrize(
    "name", ["ramp", "environment", "timer@w1", "retrain@w1", "http:token", "http:10.0.0.1"]
)
def test_nobody_writes_under_a_name_of_the_fleet_itself(name: str, parts: Any) -> None:
    answer = post(parts, f"/rollout/rollback?issued_by={name}")
    assert problem(answer) == (422, "reserved_name")
    assert parts.delivery.commands == []


def test_what_comes_by_http_is_an_operators_and_cannot_claim_anything_else(parts: Any) -> None:
    assert post(parts, "/switch?model=v0.3&issued_by=ramper").status == 200
    assert parts.delivery.commands[0].origin == "operator"
    for claim in ("origin=ramp", "ramp_id=deploy"):
        answer = post(parts, f"/rollout/update?canary_version=v0.4&{claim}")
        assert problem(answer) == (422, "invalid")
    assert len(parts.delivery.commands) == 1


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/rollout/promote", "no_canary"),
        ("/rollout/update", "nothing_given"),
        ("/rollout/update?strategy=shadow", "no_canary"),
        ("/rollout/update?strategy=sideways", "bad_strategy"),
        ("/rollout/pause", "no_ramp"),
        ("/rollout/resume", "no_ramp"),
        ("/rollout/begin-era", "same_control_topic"),
        ("/rollout/update?canary_percentage=101", "bad_percentage"),
        ("/rollout/update?canary_percentage=many", "invalid"),
        ("/rollout/update?canary_percentage=nan", "invalid"),
        ("/rollout/update?canary_percentage=1e99", "bad_percentage"),
        ("/rollout/update?canary_percentge=5", "invalid"),
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


@pytest.mark.parametrize(("body", "code"), [(b"{", "malformed"), (b"[]", "invalid")])
def test_a_body_that_is_no_json_object_of_arguments_is_refused(
    body: bytes, code: str, parts: Any
) -> None:
    headers = {"Content-Type": "application/json"}
    assert problem(post(parts, "/rollout/update", data=body, headers=headers)) == (422, code)
    assert parts.delivery.commands == []


def test_a_form_that_is_not_utf_8_is_refused(parts: Any) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = post(parts, "/rollout/update", data=b"reason=\xff", headers=headers)
    assert problem(answer) == (422, "malformed")


def test_a_form_that_leaves_a_field_empty_does_not_give_it(parts: Any) -> None:
    form = {"strategy": "canary", "canary_version": "v0.4", "canary_percentage": "", "salt": ""}
    assert post(parts, "/rollout/update", data=form).status == 200
    (command,) = parts.delivery.commands
    assert (command.canary_percentage, command.salt) == (msgspec.UNSET, msgspec.UNSET)


@pytest.mark.parametrize("how", ["JSON", "query", "form"])
def test_a_ramp_comes_as_an_object_or_as_text(how: str, parts: Any) -> None:
    ramp = {"steps": [5, 100], "hold_seconds": 60}
    text = {"canary_version": "v0.4", "ramp": msgspec.json.encode(ramp).decode()}
    parts.delivery.traffic = 10_000.0
    given: dict[str, dict[str, Any]] = {
        "JSON": {"json": {"canary_version": "v0.4", "ramp": ramp, "environments": ["production"]}},
        "query": {"params": text | {"environments": '["production"]'}},
        "form": {"data": text},
    }
    assert post(parts, "/rollout/update", **given[how]).status == 200
    started = parts.node.view.state.ramp
    assert (started.plan.steps, started.plan.hold_seconds) == ((5.0, 100.0), 60)


def test_a_ramp_that_the_traffic_does_not_suffice_for_is_refused_with_the_numbers_or_fitted(
    parts: Any,
) -> None:
    ramp = {"steps": [10, 100], "hold_seconds": 60}
    body = {"canary_version": "v0.4", "ramp": ramp}
    refused = post(parts, "/rollout/update", json=body)
    assert (refused.status, refused.document["code"]) == (409, "no_traffic")
    parts.delivery.traffic = 100.0
    refused = post(parts, "/rollout/update", json=body)
    assert (refused.status, refused.document["code"]) == (409, "too_little_traffic")
    assert "at 100/s × 10 % that takes 111 s, the hold is 60 s" in refused.document["detail"]
    fitted = post(parts, "/rollout/update", json=body | {"fit": True}).document["state"]["ramp"]
    assert (fitted["plan"]["hold_seconds"], fitted["asked"]["hold_seconds"]) == (111, 60)
    for params in ({"fit": "true"}, {"fit": "null"}):
        text = {"canary_version": "v0.4", "ramp": msgspec.json.encode(ramp).decode()}
        answer = post(parts, "/rollout/update", params=text | params)
        hold = answer.document["state"]["ramp"]["plan"]["hold_seconds"]
        assert hold == (111 if params["fit"] == "true" else 60)


def test_a_ramp_is_paused_and_resumed(parts: Any) -> None:
    ramp = {"steps": [5, 100], "hold_seconds": 60}
    parts.delivery.traffic = 10_000.0
    post(parts, "/rollout/update", json={"canary_version": "v0.4", "ramp": ramp})
    assert post(parts, "/rollout/pause").document["state"]["ramp"]["paused"]
    assert "paused" not in post(parts, "/rollout/resume").document["state"]["ramp"]


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "multipart/form-data; boundary=x", "application/json; charset=utf-16", "x"],
)
def test_a_body_of_another_type_is_refused(kind: str, parts: Any) -> None:
    answer = post(parts, "/rollout/update", data=b"{}", headers={"Content-Type": kind})
    assert problem(answer) == (415, "http")
    assert (
        "must be application/json or application/x-www-form-urlencoded"
        in (answer.document["detail"])
    )


@pytest.mark.parametrize("path", ["/healthz", "/rollout/rollback", "/unknown"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "x-gzip", "identity, gzip"])
def test_a_compressed_body_is_refused_everywhere_and_not_unpacked(
    path: str, method: str, encoding: str, guarded: Any
) -> None:
    bomb = gzip.compress(b" " * 1_000_000)
    headers = {"Content-Encoding": encoding} | BEARER
    answer = ask(guarded, method, path, data=bomb, headers=headers)
    assert problem(answer) == (415, "http")
    assert answer.headers["Accept-Encoding"] == "identity"
    assert guarded.delivery.commands == []


@pytest.mark.parametrize("path", ["/healthz", "/rollout/rollback", "/unknown"])
def test_no_endpoint_takes_a_body_that_is_too_large(path: str, parts: Any) -> None:
    assert problem(ask(parts, "GET", path, data=b"x" * 70_000)) == (413, "http")

    async def chunks() -> Any:
        for _ in range(70):
            yield b"x" * 1_000

    assert problem(ask(parts, "POST", path, data=chunks())) == (413, "http")


def test_a_body_that_is_too_large_is_refused(parts: Any) -> None:
    answer = post(parts, "/rollout/update", json={"reason": "x" * 70_000})
    assert problem(answer) == (413, "http")


def test_a_command_for_another_environment_is_not_decided_for_this_one(parts: Any) -> None:
    answer = post(parts, "/rollout/rollback?environment=staging")
    assert problem(answer) == (422, "other_environment")
    assert parts.node.view.state == FIXED


def test_a_write_is_answered_as_soon_as_its_command_is_decided(tmp_path: Path) -> None:
    parts = some_parts(tmp_path, FIXED, DecidedLater)
    answer = post(parts, "/switch?model=v0.4")
    assert (answer.status, answer.document["status"]) == (200, "applied")
    assert parts.node.view.state.primary_version == "v0.4"


def test_a_command_that_nobody_decides_in_time_is_pending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.http.command_endpoints.RESULT_SECONDS", 0.0)
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


def test_a_refused_command_that_comes_again_is_refused_as_before(parts: Any) -> None:
    assert problem(post(parts, "/rollout/promote?command_id=c9")) == (422, "no_canary")
    assert problem(post(parts, "/rollout/rollback?command_id=c9")) == (422, "no_canary")


# What is shown


def test_the_history_comes_from_kafka_with_what_each_command_changed(parts: Any) -> None:
    answer = ask(parts, "GET", "/rollout/history", RAISED, SWAPPED)
    raised, swapped = answer.document
    assert (raised["command_id"], swapped["command_id"]) == ("c2", "c1")
    assert raised["changes"] == [{"field": "canary percentage", "before": "10 %", "after": "25 %"}]
    assert raised["after"]["canary_percentage"] == 25.0
    assert "changes" not in swapped
    assert answer.headers["X-Unreadable-Records"] == "3"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["c2", "c1"]),
        ("limit=1", ["c2"]),
        ("type=swap", ["c1"]),
        ("type=swap,rollout", ["c2", "c1"]),
        ("issued_by=anna", ["c2"]),
        ("issued_by=ann", []),
        ("since=2026-01-02T00:00:00Z", ["c2"]),
        ("since=2026-01-02", ["c2"]),
        ("until=2026-01-02T01:00:00%2B01:00", ["c1"]),
    ],
)
def test_the_history_is_filtered(query: str, found: list[str], parts: Any) -> None:
    answer = ask(parts, "GET", f"/rollout/history?{query}", RAISED, SWAPPED)
    assert [entry["command_id"] for entry in answer.document] == found


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=0", ">= 1"),
        ("limit=1001", "<= 1000"),
        ("limit=many", "int"),
        ("type=swop", "must be one of swap, rollout"),
        ("since=yesterday", "must be a time like 2026-01-05T12:00:00Z"),
        ("since=2026-01-02&until=2026-01-01", "must be before"),
        ("issuer=anna", "issuer: unknown; known are limit"),
        ("limit=1&limit=2", "limit: given more than once"),
    ],
)
def test_a_wrong_filter_of_the_history_is_refused(query: str, message: str, parts: Any) -> None:
    answer = ask(parts, "GET", f"/rollout/history?{query}")
    assert problem(answer)[0] == 422
    assert message in answer.document["detail"]


def test_a_history_that_kafka_does_not_give_is_unavailable(parts: Any) -> None:
    def read(settings: Settings, asked: TrailQuery) -> Trail:
        raise TransportError("Kafka does not answer")

    async def talk() -> tuple[int, Any]:
        app = build_pages(parts, build_observers(parts), read).application()
        async with (
            TestClient(TestServer(app)) as client,
            client.get("/rollout/history") as response,
        ):
            return response.status, await response.json(content_type=None)

    status, document = asyncio.run(talk())
    assert (status, document["code"]) == (503, "transport")


def test_the_fleet_is_shown_with_ages_and_what_it_counted(parts: Any) -> None:
    view, now = parts.node.view, time.time()
    counts = ArmCounts("primary", "v0.1", requests=7, errors=1, users=5)
    for worker, age in (("w1", 0.5), ("w2", 30.0)):
        heartbeat = Heartbeat(
            worker, f"{worker}@1", "production", now - age, 0, ("v0.1",), arms=(counts,)
        )
        view.hear([heartbeat], now)
    document = ask(parts, "GET", "/fleet").document
    assert [worker["presence"] for worker in document["workers"]] == ["live", "silent"]
    assert [worker["heartbeat"]["worker"] for worker in document["workers"]] == ["w1", "w2"]
    assert document["workers"][1]["age_seconds"] == pytest.approx(30, abs=5)
    assert document["arms"][0]["requests"] == 14
    assert (document["epoch"], document["ramp"], document["split"]) == (0, None, None)


def test_a_ramp_under_way_is_shown_with_its_findings(parts: Any) -> None:
    ramp = {"steps": [5, 100], "hold_seconds": 60}
    fields = {"canary_version": "v0.4", "ramp": ramp, "fit": None}
    post(parts, "/rollout/update", json=fields)
    document = ask(parts, "GET", "/fleet").document["ramp"]
    assert (document["stage"], document["percentage"]) == ("preparing", 0.0)
    assert (document["verdict"], document["findings"][0]["guardrail"]) == ("error", "readiness")


def test_a_recent_answer_is_traced(parts: Any) -> None:
    parts.traces.remember(Batch(answers=[an_answer("a/b", epoch=0)]))
    document = ask(parts, "GET", "/trace/a/b").document
    assert (document["matches"], document["response"]["request_id"]) == (True, "a/b")


def test_an_answer_that_is_not_remembered_is_not_found_and_others_may_have_it(parts: Any) -> None:
    beat = Heartbeat("w2", "w2@1", "production", time.time(), url="http://w2:6066/")
    parts.node.view.hear([beat], time.time())
    answer = ask(parts, "GET", "/trace/r9")
    assert problem(answer) == (404, "not_traced")
    assert answer.document["detail"] == (
        "request 'r9' is not among the last 0 answers of w1; another worker may have answered it: "
        "http://w2:6066/"
    )


def test_a_worker_that_has_not_read_the_table_takes_no_writes(parts: Any) -> None:
    parts.node.recovered_once = False
    answer = post(parts, "/rollout/rollback")
    assert problem(answer) == (503, "recovering")
    assert answer.headers["Retry-After"] == "1"
    assert parts.delivery.commands == []


def test_the_rollout_status_tells_the_state_and_what_is_acted_on(parts: Any) -> None:
    document = ask(parts, "GET", "/rollout/status").document
    assert msgspec.convert(document["state"], RolloutState, dec_hook=read_instant) == FIXED
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


def test_a_worker_whose_faust_crashed_asks_for_no_restart_it_begins_again_by_itself(
    parts: Any,
) -> None:
    parts.app.crashed = True
    assert ask(parts, "GET", "/healthz").status == 200


def test_the_metrics_are_prometheus_text(parts: Any) -> None:
    answer = ask(parts, "GET", "/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert "# TYPE recommend_latency_seconds histogram" in answer.document


def test_the_lag_of_a_partition_that_another_worker_took_over_is_not_told_any_more(
    parts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for assigned in (1, 2):
        monkeypatch.setattr(RequestProgress, "lags", lambda _, lags={assigned: 7}: lags)
        page = ask(parts, "GET", "/metrics").document
    assert 'partition="2"' in page
    assert 'partition="1"' not in page


def test_an_unknown_page_is_a_problem(parts: Any) -> None:
    assert problem(ask(parts, "GET", "/unknown")) == (404, "http")


def test_a_wrong_method_is_a_problem_that_names_the_right_one(parts: Any) -> None:
    answer = ask(parts, "GET", "/rollout/update")
    assert problem(answer) == (405, "http")
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/rollout/status", "/events"])
def test_what_is_read_has_a_head(path: str, parts: Any) -> None:
    answer = ask(parts, "HEAD", path)
    assert (answer.status, answer.document) == (200, "")


def test_a_head_never_writes(parts: Any) -> None:
    assert ask(parts, "HEAD", "/switch?model=v0.4").status == 405
    assert parts.delivery.commands == []


def test_headers_and_paths_that_are_too_large_are_refused(parts: Any) -> None:
    assert problem(ask(parts, "GET", "/healthz", headers={"X": "x" * 17_000})) == (431, "http")
    assert problem(ask(parts, "GET", "/healthz?" + "x" * 9_000)) == (414, "http")


def test_no_answer_may_be_framed_kept_run_or_guessed_at(parts: Any) -> None:
    for path in ("/", "/healthz", "/unknown", "/metrics", "/openapi.json", "/rollout/status"):
        headers = ask(parts, "GET", path).headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["Referrer-Policy"] in ("no-referrer", "same-origin")
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_bug_is_a_problem_that_tells_nothing(
    parts: Any, caplog: pytest.LogCaptureFixture
) -> None:
    parts.node.view.training = object()
    answer = ask(parts, "GET", "/training")
    assert problem(answer) == (500, "internal")
    assert "GET /training" in caplog.text


def test_a_versions_report_is_shown_and_nothing_in_it_may_run(tmp_path: Path) -> None:
    parts = some_parts(tmp_path)
    store = parts.node.store
    store.publish(
        some_arrays(),
        a_description(),
        {"report.html": lambda version: f"<h1>{version}</h1>".encode()},
    )
    store.publish(some_arrays(), a_description())
    report = ask(parts, "GET", "/models/v0.1/report")
    assert (report.status, report.document) == (200, "<h1>v0.1</h1>")
    assert report.headers["Content-Type"].startswith("text/html")
    assert "script-src" not in report.headers["Content-Security-Policy"]
    assert "default-src 'none'" in report.headers["Content-Security-Policy"]
    assert problem(ask(parts, "GET", "/models/v0.2/report")) == (404, "no_report")
    assert problem(ask(parts, "GET", "/models/v9.9/report")) == (404, "unknown_version")


def test_an_experiments_report_is_shown_by_its_epoch(parts: Any) -> None:
    parts.node.store.objects.create("experiments/production/7/report.html", b"<h1>7</h1>")
    report = ask(parts, "GET", "/experiments/7/report")
    assert (report.status, report.document) == (200, "<h1>7</h1>")
    assert "default-src 'none'" in report.headers["Content-Security-Policy"]
    for epoch in ("8", "07x", "-7", "9" * 30):
        assert problem(ask(parts, "GET", f"/experiments/{epoch}/report")) == (404, "no_report")


# Trying a user


def trying(parts: Any, path: str, **options: Any) -> Answer:
    """Ask the pages of a worker with two versions in memory."""
    models = {name: Model(a_manifest(name), some_arrays()) for name in ("v0.1", "v0.2")}
    acting = a_canary_state(primary_version="v0.1", canary_version="v0.2")
    using = an_answering(models, some_rules(acting, models))
    parts.node.answering = lambda: using
    return ask(parts, "GET", path, **options)


def test_each_version_in_memory_answers_a_user_who_is_tried(parts: Any) -> None:
    answer = trying(parts, "/try.json?user_id=1&k=2")
    assert answer.status == 200
    versions = answer.document["versions"]
    shown = [(version["version"], version["role"]) for version in versions]
    assert shown == [("v0.1", "primary"), ("v0.2", "canary")]
    assert all(len(version["items"]) == 2 and version["own"] for version in versions)
    assert answer.document["user_id"] == 1
    assert parts.delivery.commands == []


def test_an_id_is_read_by_the_rule_for_untyped_ids_or_taken_as_a_text(parts: Any) -> None:
    assert trying(parts, "/try.json?user_id=%201.0").document["user_id"] == 1
    assert trying(parts, "/try.json?user_id=01").document["user_id"] == "01"
    text = trying(parts, "/try.json?user_id=1&string_id=true").document
    assert text["user_id"] == "1"
    assert all(version["other_type"] for version in text["versions"])


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "user_id"),
        ("?user_id=", "user_id"),
        ("?user_id=%20", "blank"),
        ("?user_id=1&k=0", "k"),
        ("?user_id=1&k=101", "k"),
        ("?user=1", "user"),
    ],
)
def test_a_user_who_cannot_be_tried_is_refused(query: str, message: str, parts: Any) -> None:
    answer = trying(parts, f"/try.json{query}")
    assert problem(answer)[0] == 422
    assert message in answer.document["detail"]


def test_the_page_shows_the_answers_and_runs_nothing(parts: Any) -> None:
    answer = trying(parts, "/try?user_id=1")
    assert answer.status == 200
    assert answer.headers["Content-Security-Policy"] == POLICY["Content-Security-Policy"]
    assert "<script" not in answer.document
    assert "v0.2" in answer.document
    assert "try.json?user_id=1&amp;string_id=false" in answer.document


def test_the_page_is_a_form_until_a_user_is_named_and_escapes_his_name(parts: Any) -> None:
    assert 'name="user_id"' in trying(parts, "/try").document
    assert trying(parts, "/try?user_id=").status == 200
    hostile = trying(parts, "/try?user_id=%22%3E%3Cscript%3E").document
    assert "<script" not in hostile
    assert "&#34;&gt;&lt;script&gt;" in hostile


@pytest.mark.parametrize(("path", "kind"), [("/try", "html"), ("/try.json", "problem+json")])
def test_a_worker_that_cannot_answer_yet_says_so(path: str, kind: str, parts: Any) -> None:
    answer = ask(parts, "GET", f"{path}?user_id=1")
    assert answer.status == 503
    assert kind in answer.headers["Content-Type"]
    assert "cannot answer yet" in str(answer.document)


def test_who_may_not_read_gets_the_form_that_asks_for_a_token_instead(closed: Any) -> None:
    answer = trying(closed, "/try?user_id=1")
    assert (answer.status, 'name="token"' in answer.document) == (401, True)
    assert trying(closed, "/try?user_id=1", headers=PEEK).status == 200
