"""Problems: every refusal over HTTP in the form of RFC 9457, with our stable ``code``.

Knows which status belongs to which branch of the error tree. Must not know who refuses what.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web
from msgspec import Struct

from registry.error_codes import HttpCode
from registry.errors import (
    AnswerTimeout,
    ArtifactError,
    RecordError,
    RefusedRecord,
    TransportError,
)

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MEDIA_TYPE: Final = "application/problem+json"

STATUS_BY_BRANCH: Final = (
    (RecordError, 422),
    (AnswerTimeout, 504),
    (TransportError, 503),
    (RefusedRecord, 503),
    (ArtifactError, 503),
)
"""What an error of the tree means to a caller; others are bugs, 500."""

PASSED_ON: Final = ("Allow", "WWW-Authenticate")


class Problem(Struct, frozen=True, omit_defaults=True):
    """Why a request was refused; nothing has changed unless ``detail`` says so."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    command_id: str | None = None


class Refused(Exception):
    """Ends a request with a problem.

    Parameters
    ----------
    status
        The HTTP status, 4xx, 503 or 504.
    code
        Stable reason.
    detail
        What was seen and what is allowed.
    command_id
        Of the command that was refused.
    headers
        Further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        command_id: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.headers = dict(headers or {})
        title = HTTPStatus(status).phrase
        self.problem = Problem("about:blank", title, status, code, detail, command_id)

    def answer(self) -> web.Response:
        """Return it as an HTTP answer."""
        answer = web.Response(
            body=msgspec.json.encode(self.problem),
            status=self.problem.status,
            content_type=MEDIA_TYPE,
            headers=self.headers,
        )
        if self.headers.get("Connection") == "close":
            answer.force_close()
        return answer


@web.middleware
async def errors_as_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error with a problem; an unexpected one is logged and reveals no details."""
    try:
        return await handler(request)
    except Refused as refused:
        return refused.answer()
    except web.HTTPError as error:
        headers = {name: error.headers[name] for name in PASSED_ON if name in error.headers}
        detail = error.text or error.reason
        return Refused(error.status, HttpCode.HTTP, detail, headers=headers).answer()
    except web.RequestPayloadError as error:
        return Refused(400, HttpCode.HTTP, f"the body cannot be read: {error}").answer()
    except (RecordError, TransportError, RefusedRecord, ArtifactError) as error:
        status = next(status for branch, status in STATUS_BY_BRANCH if isinstance(error, branch))
        return Refused(status, error.code, str(error)).answer()
    except Exception:  # the outermost edge: a bug costs one answer, and is seen in the log
        logger.exception("%s %s", request.method, request.path)
        return Refused(500, HttpCode.INTERNAL, "an unexpected error; see the worker's log").answer()
