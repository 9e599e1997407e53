"""The tokens of a worker, compared in constant time, and what their holders may do."""

from __future__ import annotations

import hmac
from typing import NamedTuple

from streams.roles import Role


class Tokens(NamedTuple):
    """The tokens of a worker; an empty one is not set."""

    command: str = ""
    read: str = ""


def role_of(token: str, tokens: Tokens) -> Role | None:
    """Return what the holder of `token` may do; compared in constant time."""
    same = [role for role, known in known_roles(tokens) if is_same(token, known)]
    return same[0] if same else None


def known_roles(tokens: Tokens) -> list[tuple[Role, str]]:
    """Return the tokens that are set, by what their holders may do."""
    roles: list[tuple[Role, str]] = [("command", tokens.command), ("read", tokens.read)]
    return [(role, token) for role, token in roles if token]


def is_same(given: str, known: str) -> bool:
    """Compare in constant time; `given` may be anything that a header can hold."""
    return hmac.compare_digest(given.encode(errors="surrogatepass"), known.encode())
