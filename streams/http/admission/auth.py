"""Who may read, ask and write over HTTP: token holders, loopback, never another site's page."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from streams.http.admission.api_tokens import Tokens, role_of
from streams.http.admission.sessions import role_of_session
from streams.roles import Role

PROXY_HEADERS: Final = ("forwarded", "via", "x-real-ip")
PROXY_PREFIX: Final = "x-forwarded-"
"""Signs that somebody else's request was passed on, so that its sender is not on this machine."""


class Caller(NamedTuple):
    """What a request says of its sender.

    Parameters
    ----------
    remote
        Address of the connection's other end.
    http
        Version of HTTP, like (1, 1).
    headers
        Looked up without regard to case.
    """

    method: str
    remote: str | None
    http: tuple[int, int]
    headers: Mapping[str, str]


class Identity(NamedTuple):
    """The identity that a token or a session proves."""

    role: Role
    by_session: bool = False


class NotAdmitted(NamedTuple):
    """Why not: an HTTP status and a sentence that says what to do."""

    status: int
    detail: str


def identify(authorization: str, session: str, tokens: Tokens, now: float) -> Identity | None:
    """Return who sends this ``Authorization`` header, or this session cookie; None if nobody known.

    An ``Authorization`` header that is wrong is not made good by a session.

    >>> identify("Bearer sesame", "", Tokens(command="sesame"), 0.0)
    Identity(role='command', by_session=False)
    """
    if authorization:
        role = role_of(authorization.removeprefix("Bearer "), tokens)
        known = role is not None and authorization.startswith("Bearer ")
        return Identity(role) if role and known else None
    role = role_of_session(session, tokens, now)
    return Identity(role, by_session=True) if role else None


def read_refusal(identity: Identity | None, tokens: Tokens) -> NotAdmitted | None:
    """Return why the sender may not read; None if it may."""
    if not tokens.read or identity is not None:
        return None
    return NotAdmitted(
        401, "Authorization: Bearer and RECSTREAM_READ_TOKEN (or RECSTREAM_API_TOKEN) are required"
    )


def ask_refusal(caller: Caller, identity: Identity | None, tokens: Tokens) -> NotAdmitted | None:
    """Return why the sender may not ask for recommendations; None if it may.

    Whoever may read may ask, but for a browser that acts for another site: what it asks is counted.
    """
    if caller.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        return NotAdmitted(403, "pages of other sites may not send requests")
    return read_refusal(identity, tokens)


def write_refusal(caller: Caller, identity: Identity | None, tokens: Tokens) -> NotAdmitted | None:
    """Return why the sender may not write; None if it may."""
    if not tokens.command:
        return _without_token(caller)
    if identity is None:
        return NotAdmitted(401, "Authorization: Bearer $RECSTREAM_API_TOKEN is required")
    if identity.role != "command":
        return NotAdmitted(403, "this token may only read; commands need RECSTREAM_API_TOKEN")
    return _with_token(caller, identity)


def issuer_of(caller: Caller, identity: Identity | None) -> str:
    """Return who wrote, for the audit trail, where the request does not say so itself."""
    return "http:token" if identity else f"http:{caller.remote}"


def _without_token(caller: Caller) -> NotAdmitted | None:
    """Only a program on this machine, or our own page in its browser, may write."""
    host = caller.headers.get("Host", "")
    if not _is_loopback(caller.remote) or _is_forwarded(caller):
        return NotAdmitted(
            403, "writes are accepted from loopback only; set RECSTREAM_API_TOKEN to allow others"
        )
    if not is_local_host(host):
        return NotAdmitted(
            403,
            f"Host {host[:200]!r}: without RECSTREAM_API_TOKEN, writes must be sent to "
            "127.0.0.1, [::1] or localhost",
        )
    if caller.method != "POST":
        return NotAdmitted(
            403, f"{caller.method} without a token may not write: use POST, or RECSTREAM_API_TOKEN"
        )
    site = caller.headers.get("Sec-Fetch-Site", "same-origin")
    origin = caller.headers.get("Origin", f"http://{host}")
    if site != "same-origin" or origin != f"http://{host}":
        return NotAdmitted(403, "pages of other sites may not send commands")
    return None


def _with_token(caller: Caller, identity: Identity) -> NotAdmitted | None:
    """A page of another site can use neither a login nor a token that a proxy adds.

    A browser sends the cookie for any page of this host, so it must say that the page was ours;
    a sender with a token need not be a browser.
    """
    if identity.by_session and caller.method != "POST":
        return NotAdmitted(403, f"{caller.method} with a login may not write: use POST")
    site, origin = caller.headers.get("Sec-Fetch-Site"), caller.headers.get("Origin")
    if site is not None:
        is_ours = site == "same-origin" or (site == "none" and not identity.by_session)
    elif origin is not None:
        hosts = (caller.headers.get("Host"), caller.headers.get("X-Forwarded-Host"))
        is_ours = origin.partition("://")[2] in hosts
    else:
        is_ours = not identity.by_session
    if is_ours:
        return None
    return NotAdmitted(
        403,
        "pages of other sites may not send commands; if this is our page behind a proxy, "
        "the proxy must pass on the Host header",
    )


def is_local_host(host: str) -> bool:
    """Tell whether a ``Host`` header names this machine in a way that no other site can.

    A name may be anybody's, who lets it lead here (DNS rebinding); ``0.0.0.0`` and IPv4 addresses
    in IPv6 form lead here too, but browsers do not treat them as loopback.

    >>> [is_local_host(one) for one in ("127.0.0.1:6066", "[::1]", "0.0.0.0", "evil.example")]
    [True, True, False, False]
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name == "localhost":
            return True
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback and getattr(address, "ipv4_mapped", None) is None


def _is_loopback(remote: str | None) -> bool:
    if remote is None:
        return False
    address = ipaddress.ip_address(remote)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _is_forwarded(caller: Caller) -> bool:
    """Tell whether a proxy forwarded this; nginx uses HTTP/1.0 by default."""
    names = [name.lower() for name in caller.headers]
    return caller.http < (1, 1) or any(
        name in PROXY_HEADERS or name.startswith(PROXY_PREFIX) for name in names
    )
