"""The error tree: one branch per remedy, one stable code per error.

The codes are in `registry/error_codes.py`. Must not know who raises or catches an error.

==========================  =======================================================
branch                      what the catcher does
==========================  =======================================================
:class:`ConfigurationError` stops the start, exit code 2
:class:`RecordError`        dead-letters the record and continues
:class:`TransportError`     retries, then exits with code 1
:class:`TooManyRequests`    waits for answers, or does without
:class:`RefusedRecord`      reports it, sends a substitute where there is one, continues
:class:`ArtifactError`      keeps serving what is served
:class:`RefusedCommand`     changes nothing and reports the reason
:class:`ShapeError`         a bug: stops what was being done
==========================  =======================================================
"""

from __future__ import annotations

from typing import TypeVar

from registry.error_codes import (
    CommandCode,
    ErrorCode,
    RecordCode,
    RefusalCause,
    RefusedAnswerCode,
    TrainingCode,
)

Kept = TypeVar("Kept", bound=Exception)


class RecstreamError(Exception):
    """Base of all errors that this project raises on purpose."""

    code: str = ErrorCode.ERROR


class ConfigurationError(RecstreamError):
    """A setting or an argument is wrong; the message names it, its value and what is allowed."""

    code = ErrorCode.CONFIGURATION


class RecordError(RecstreamError, ValueError):
    """A record cannot be used as it is. ``code`` becomes the dead letter's reason.

    Also a ValueError: msgspec turns one that a record's constructor raises into its own error.

    Parameters
    ----------
    message
        What was seen and what is allowed.
    code
        Why; of an answer that Kafka refuses, why it does.
    """

    def __init__(self, message: str, code: RecordCode | RefusedAnswerCode) -> None:
        super().__init__(message)
        self.code = code


class TransportError(RecstreamError):
    """Kafka could not be reached, or did not confirm in time."""

    code = ErrorCode.TRANSPORT


class AccessRefused(TransportError):
    """Kafka does not let this user in, or do something: waiting does not help.

    The message names the setting that is wrong, or the ACL that is missing.
    """

    code = ErrorCode.ACCESS_REFUSED


class AnswerTimeout(TransportError):
    """A request was not answered in time. It may still be: ask again, or do without."""

    code = ErrorCode.ANSWER_TIMEOUT


class ClientClosed(TransportError):
    """The client was closed before the answer came, or has been since."""

    code = ErrorCode.CLIENT_CLOSED


class TooManyRequests(RecstreamError):
    """As many requests wait for answers as may; nothing was sent."""

    code = ErrorCode.TOO_MANY_REQUESTS


class RefusedRecord(RecstreamError):
    """Kafka refuses a record for good: no outage, and asking again changes nothing.

    Parameters
    ----------
    message
        Which record it is, and what Kafka said.
    code
        Why.
    """

    def __init__(self, message: str, code: RefusalCause) -> None:
        super().__init__(message)
        self.code = code


class ArtifactError(RecstreamError):
    """A model version is missing, damaged or not what its manifest says."""

    code = ErrorCode.ARTIFACT


class UnknownVersion(ArtifactError):
    """The registry holds no such version."""

    code = ErrorCode.UNKNOWN_VERSION


class DamagedVersion(ArtifactError):
    """The version's files do not match its manifest, or hold what must never be served."""

    code = ErrorCode.DAMAGED_VERSION


class RefusedCommand(RecstreamError):
    """A control command is refused whole; nothing has changed.

    Parameters
    ----------
    message
        What was seen and what is allowed.
    code
        Why.
    """

    def __init__(self, message: str, code: CommandCode) -> None:
        super().__init__(message)
        self.code = code


class ShapeError(RecstreamError):
    """Arrays do not fit together: a bug in the caller, never a matter of input."""

    code = ErrorCode.SHAPE


class TrainingFailed(RecstreamError):
    """A training run ended without a version; ``code`` says at which stage or why."""

    def __init__(self, message: str, code: TrainingCode) -> None:
        super().__init__(message)
        self.code = code


def without_frames(error: Kept) -> Kept:
    """Return `error` without its traceback and causes, so that it can be kept like a value.

    A traceback refers to the variables of all callers: a kept one holds the models that they use,
    and forever, if a variable among them holds the error.
    """
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
