"""Who may read and write: every cell."""

from __future__ import annotations

from typing import Any

import pytest
from harness.cells import each_cell
from multidict import CIMultiDict

from streams.http.admission.api_tokens import Tokens, role_of
from streams.http.admission.auth import (
    Caller,
    Identity,
    identify,
    is_local_host,
    issuer_of,
    read_refusal,
    write_refusal,
)
from streams.http.admission.sessions import SESSION_SECONDS, session_of

NOW = 1_700_000_000.0
OPEN = Tokens()
COMMAND = Tokens(command="sesame")
BOTH = Tokens(command="sesame", read="peek")


def a_caller(
    method: str = "POST",
    remote: str | None = "127.0.0.1",
    http: tuple[int, int] = (1, 1),
    **headers: str,
) -> Caller:
    given = {"Host": "127.0.0.1:6066"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return Caller(method, remote, http, CIMultiDict(given))


def refused(caller: Caller, tokens: Tokens = OPEN, identity: Identity | None = None) -> Any:
    refusal = write_refusal(caller, identity, tokens)
    return refusal and refusal.status


# Without a token


@each_cell("remote", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
@each_cell(
    "host", ["127.0.0.1", "127.0.0.1:6066", "127.1.2.3:1", "localhost", "LocalHost:6066", "[::1]:1"]
)
def test_a_program_on_this_machine_writes(remote: str, host: str) -> None:
    assert refused(a_caller(remote=remote, Host=host)) is None


@each_cell("remote", ["203.0.113.5", "10.0.0.1", "2001:db8::1", None])
def test_nobody_elsewhere_writes(remote: str | None) -> None:
    assert refused(a_caller(remote=remote)) == 403


@each_cell(
    "host",
    [
        "0.0.0.0:6066", "[::ffff:127.0.0.1]:6066", "[::]:6066", "10.0.0.1", "2130706433", "127.1",
        "0x7f.1", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "localhost.",
        "[::", "", "localhost@evil.example",
    ],
)  # fmt: skip
def test_a_host_that_another_site_can_use_is_foreign(host: str) -> None:
    assert not is_local_host(host)
    assert refused(a_caller(Host=host)) == 403


@each_cell("method", ["GET", "HEAD", "PUT"])
def test_only_post_writes(method: str) -> None:
    assert refused(a_caller(method)) == 403


@each_cell(
    "header",
    [
        "Forwarded", "Via", "X-Real-IP", "X-Forwarded-For", "X-Forwarded-Host",
        "X-Forwarded-Proto", "x-forwarded-prefix",
    ],
)  # fmt: skip
def test_a_proxy_that_says_so_passes_nothing_on(header: str) -> None:
    assert refused(a_caller(**{header: "203.0.113.5"})) == 403


def test_http_1_0_is_taken_for_a_proxy() -> None:
    assert refused(a_caller(http=(1, 0))) == 403


@each_cell(
    ("headers", "status"),
    [
        ({}, None),
        ({"Sec_Fetch_Site": "same-origin"}, None),
        ({"Origin": "http://127.0.0.1:6066"}, None),
        ({"Sec_Fetch_Site": "same-origin", "Origin": "http://127.0.0.1:6066"}, None),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "none"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:6067"}, 403),
        ({"Origin": "https://127.0.0.1:6066"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec_Fetch_Site": "same-origin", "Origin": "http://evil.example"}, 403),
    ],
)
def test_of_browsers_only_our_own_page_writes(headers: dict[str, str], status: int | None) -> None:
    assert refused(a_caller(**headers)) == status


# With tokens


@each_cell(
    ("authorization", "role"),
    [
        ("Bearer sesame", "command"),
        ("Bearer peek", "read"),
        ("", None),
        ("sesame", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Bearer sesamex", None),
        ("bearer sesame", None),
        ("Bearer ä", None),
        ("Bearer \udcff", None),
        ("Basic sesame", None),
    ],
)
def test_a_token_proves_its_role(authorization: str, role: str | None) -> None:
    identity = identify(authorization, "", BOTH, NOW)
    assert (identity and identity.role) == role


@each_cell("tokens", [OPEN, COMMAND, Tokens(read="peek")])
def test_a_token_that_is_not_set_proves_nothing(tokens: Tokens) -> None:
    assert role_of("", tokens) is None
    assert identify("Bearer ", "", tokens, NOW) is None


@each_cell(
    ("tokens", "role", "status"),
    [
        (OPEN, None, None),
        (COMMAND, None, None),
        (COMMAND, "command", None),
        (BOTH, None, 401),
        (BOTH, "read", None),
        (BOTH, "command", None),
    ],
)
def test_reading_needs_a_token_only_where_a_read_token_is_set(
    tokens: Tokens, role: Any, status: int | None
) -> None:
    refusal = read_refusal(Identity(role) if role else None, tokens)
    assert (refusal and refusal.status) == status


@each_cell("tokens", [COMMAND, BOTH])
@each_cell(("role", "status"), [(None, 401), ("read", 403), ("command", None)])
@each_cell("method", ["GET", "POST"])
def test_with_a_command_token_its_holder_writes_from_anywhere_and_nobody_else(
    tokens: Tokens, role: Any, status: int | None, method: str
) -> None:
    for caller in (
        a_caller(method),
        a_caller(method, "203.0.113.5", Host="fleet.example", X_Forwarded_For="10.0.0.1"),
    ):
        assert refused(caller, tokens, Identity(role) if role else None) == status


@each_cell(
    ("headers", "status"),
    [
        ({"Sec_Fetch_Site": "same-origin"}, None),
        ({"Sec_Fetch_Site": "none"}, None),
        ({"Origin": "http://127.0.0.1:6066"}, None),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_a_token_that_a_proxy_adds_is_of_no_use_to_a_page_of_another_site(
    headers: dict[str, str], status: int | None
) -> None:
    assert refused(a_caller(**headers), COMMAND, Identity("command")) == status


def test_the_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr(
        "streams.http.admission.api_tokens.hmac.compare_digest",
        lambda *pair: bool(compared.append(pair)),
    )
    assert role_of("wrong", BOTH) is None
    assert compared == [(b"wrong", b"sesame"), (b"wrong", b"peek")]


# Sessions


@each_cell("role", ["command", "read"])
def test_a_session_proves_its_role_until_it_expires(role: Any) -> None:
    session = session_of(role, BOTH, NOW)
    assert "sesame" not in session
    assert "peek" not in session
    assert identify("", session, BOTH, NOW + 1) == Identity(role, by_session=True)
    assert identify("", session, BOTH, NOW + SESSION_SECONDS) is None


def test_a_session_ends_with_its_token_and_cannot_be_made_up() -> None:
    session = session_of("read", BOTH, NOW)
    _, expires, signature = session.split(".")
    wrong = [
        "", "read", "read..", f"command.{expires}.{signature}", f"read.{expires}9.{signature}",
        f"read.{expires}.", f"read.{expires}.{signature[:-1]}", f"other.{expires}.{signature}",
        "read.x.y", f"read.\udcff.{signature}", f"read.{expires}.ä",
    ]  # fmt: skip
    for token in wrong:
        assert identify("", token, BOTH, NOW) is None, token
    assert identify("", session, Tokens("sesame", "other"), NOW) is None
    assert identify("", session, COMMAND, NOW) is None


def test_a_wrong_token_is_not_made_good_by_a_session() -> None:
    assert identify("Bearer wrong", session_of("command", BOTH, NOW), BOTH, NOW) is None


@each_cell(
    ("method", "headers", "status"),
    [
        ("POST", {"Sec_Fetch_Site": "same-origin"}, None),
        ("POST", {"Sec_Fetch_Site": "same-origin", "Origin": "https://fleet.example"}, None),
        ("POST", {"Origin": "http://127.0.0.1:6066"}, None),
        ("POST", {"Origin": "http://fleet.lan", "X_Forwarded_Host": "fleet.lan"}, None),
        ("POST", {"Origin": "http://fleet.lan", "Host": "fleet.lan"}, None),
        ("POST", {}, 403),
        ("POST", {"Origin": "null"}, 403),
        ("POST", {"Origin": "http://127.0.0.1:6067"}, 403),
        ("POST", {"Sec_Fetch_Site": "same-site", "Origin": "http://127.0.0.1:6066"}, 403),
        ("POST", {"Sec_Fetch_Site": "cross-site"}, 403),
        ("GET", {"Sec_Fetch_Site": "same-origin"}, 403),
        ("GET", {}, 403),
    ],
)
def test_with_a_session_only_our_own_page_writes(
    method: str, headers: dict[str, str], status: int | None
) -> None:
    session = Identity("command", by_session=True)
    assert refused(a_caller(method, **headers), COMMAND, session) == status


def test_the_trail_shows_whether_a_token_was_sent() -> None:
    assert issuer_of(a_caller(remote="10.0.0.1"), Identity("command")) == "http:token"
    assert issuer_of(a_caller(), None) == "http:127.0.0.1"
