"""Login: who sends a request, whether an endpoint is open to them, and sessions for browsers.

An edge: reads headers and cookies, asks `streams.http.admission.auth`, and answers. A browser
cannot send a token with every request: it sends it once, by a form, and gets a session in a cookie
that no script can read.
"""

from __future__ import annotations

import time
from typing import Final

from aiohttp import web

from registry.error_codes import HttpCode
from registry.settings import Settings
from streams.http.admission.api_tokens import Tokens, role_of
from streams.http.admission.auth import (
    Caller,
    Identity,
    ask_refusal,
    identify,
    issuer_of,
    read_refusal,
    write_refusal,
)
from streams.http.admission.sessions import SESSION_SECONDS, session_of
from streams.http.command_arguments import from_text, pairs
from streams.http.endpoint_arguments import LoginForm
from streams.http.endpoints import Endpoint
from streams.http.problems import Handler, Refused
from streams.page.render import POLICY, render_login

COOKIE: Final = "recstream-session"

IDENTITY: Final = web.RequestKey("identity", Identity)
ISSUER: Final = web.RequestKey("issuer", str)
"""Who wrote, for the audit trail; set where a write is allowed."""


class Login:
    """Guards the endpoints of one worker."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def _tokens(self) -> Tokens:
        settings = self._settings
        return Tokens(settings.api_token.get_secret_value(), settings.read_token.get_secret_value())

    def guard(self, endpoint: Endpoint, answer: Handler) -> Handler:
        """Return `answer` for those who may use `endpoint`; the others are refused."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            caller = Caller(
                request.method,
                request.remote,
                (request.version.major, request.version.minor),
                request.headers,
            )
            identity = self._identify(request)
            if identity is not None:
                request[IDENTITY] = identity
            refusal = None
            if endpoint.access == "write":
                refusal = write_refusal(caller, identity, self._tokens)
                request[ISSUER] = issuer_of(caller, identity)
            elif endpoint.access == "ask":
                refusal = ask_refusal(caller, identity, self._tokens)
            elif endpoint.access == "read":
                refusal = read_refusal(identity, self._tokens)
            if refusal is None:
                return await answer(request)
            if refusal.status == 401 and endpoint.name in ("page", "try_page"):
                return login_page("")
            headers = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else {}
            raise Refused(refusal.status, HttpCode.HTTP, refusal.detail, headers=headers)

        return guarded

    def may_read(self, request: web.Request) -> bool:
        """Tell whether the sender may read what an open endpoint keeps to itself otherwise."""
        return read_refusal(request.get(IDENTITY), self._tokens) is None

    async def login(self, request: web.Request) -> web.Response:
        """Take a token from the form, and give a session for it."""
        form = from_text(LoginForm, pairs((await request.read()).decode(errors="replace")))
        role = role_of(form.token, self._tokens)
        if role is None:
            return login_page("Unknown token.")
        answer = to_the_page()
        answer.set_cookie(
            COOKIE,
            session_of(role, self._tokens, time.time()),
            max_age=SESSION_SECONDS,
            path="",  # none: the folder of this address, whatever a proxy has put before it
            secure=request.headers.get("X-Forwarded-Proto") == "https",
            httponly=True,
            samesite="Strict",
        )
        return answer

    async def logout(self, request: web.Request) -> web.Response:
        """Let the browser forget its session."""
        answer = to_the_page()
        answer.set_cookie(COOKIE, "", max_age=0, path="", httponly=True, samesite="Strict")
        return answer

    def _identify(self, request: web.Request) -> Identity | None:
        authorization = request.headers.get("Authorization", "")
        session = request.cookies.get(COOKIE, "")
        return identify(authorization, session, self._tokens, time.time())


def login_page(complaint: str) -> web.Response:
    """Return the form that asks for a token."""
    return web.Response(
        text=render_login(complaint),
        status=401,
        content_type="text/html",
        headers={"WWW-Authenticate": "Bearer", **POLICY},
    )


def to_the_page() -> web.Response:
    """Send the browser to the status page, by a GET."""
    return web.Response(status=303, headers={"Location": "./"})
