"""Sessions of browsers: a signed cookie that stands for a token, for a working day."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from streams.http.admission.api_tokens import Tokens, is_same, known_roles
from streams.roles import Role

SESSION_SECONDS: Final = 12 * 3600
"""A working day: afterwards the token is asked for again."""


def session_of(role: Role, tokens: Tokens, now: float) -> str:
    """Return a session for `role`, for a cookie.

    Every worker with the same token knows it, after restarts too; another token ends it. The token
    itself cannot be found from it.
    """
    expires = str(int(now) + SESSION_SECONDS)
    return f"{role}.{expires}.{_signature(role, expires, dict(known_roles(tokens))[role])}"


def role_of_session(session: str, tokens: Tokens, now: float) -> Role | None:
    """Return what the holder of a session may do; None if it is over, or nobody gave it."""
    claimed, _, rest = session.partition(".")
    expires, _, signature = rest.partition(".")
    for role, token in known_roles(tokens):
        if role == claimed and is_same(signature, _signature(role, expires, token)):
            return role if now < int(expires) else None
    return None


def _signature(role: Role, expires: str, token: str) -> str:
    message = f"recstream session {role} {expires}".encode(errors="surrogatepass")
    return hmac.new(token.encode(), message, hashlib.sha256).hexdigest()
