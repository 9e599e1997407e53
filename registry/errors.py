"""The error tree: one branch per remedy, one stable code per error.

Knows which remedy belongs to which failure. Must not know who raises or catches an error.

==========================  =======================================================
branch                      what the catcher does
==========================  =======================================================
:class:`ConfigurationError` stops the start, exit code 2
:class:`RecordError`        dead-letters the record and goes on
:class:`TransportError`     retries, then exits with code 1
:class:`RefusedRecord`      reports it, sends a substitute where there is one, goes on
:class:`ArtifactError`      keeps serving what is served
:class:`RefusedCommand`     changes nothing and reports the reason
:class:`ShapeError`         a bug: stops what was being done
==========================  =======================================================
"""

from __future__ import annotations


class RecstreamError(Exception):
    """Base of all errors that this project raises on purpose."""

    code: str = "error"


class ConfigurationError(RecstreamError):
    """A setting or an argument is wrong; the message names it, its value and what is allowed."""

    code = "configuration"


class RecordError(RecstreamError):
    """A record cannot be used as it is. ``code`` becomes the dead letter's reason.

    Parameters
    ----------
    message
        What was seen and what is allowed.
    code
        One of ``malformed``, ``empty``, ``too_large``, ``invalid``.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class TransportError(RecstreamError):
    """Kafka could not be reached, or did not confirm in time."""

    code = "transport"


class AccessRefused(TransportError):
    """Kafka does not let this user in, or do something: waiting does not help.

    The message names the setting that is wrong, or the ACL that is missing.
    """

    code = "access_refused"


class RefusedRecord(RecstreamError):
    """Kafka refuses a record for good: no outage, and asking again changes nothing.

    Parameters
    ----------
    message
        Which record it is, and what Kafka said.
    code
        One of ``too_large``, ``invalid``, ``unauthorized``.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class ArtifactError(RecstreamError):
    """A model version is missing, damaged or not what its manifest says."""

    code = "artifact"


class UnknownVersion(ArtifactError):
    """The registry holds no such version."""

    code = "unknown_version"


class DamagedVersion(ArtifactError):
    """The version's files do not match its manifest, or hold what must never be served."""

    code = "damaged_version"


class RefusedCommand(RecstreamError):
    """A control command is refused whole; nothing has changed.

    Parameters
    ----------
    message
        What was seen and what is allowed.
    code
        Stable reason, e.g. ``stale_epoch``, ``unknown_version``, ``bad_percentage``.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class ShapeError(RecstreamError):
    """Arrays do not fit together: a bug in the caller, never a matter of input."""

    code = "shape"


class TrainingFailed(RecstreamError):
    """A training run ended without a version; ``code`` says at which stage or why."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code
