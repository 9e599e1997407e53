"""Notices and reasons: what an operator should act on. Values only."""

from __future__ import annotations

from msgspec import Struct


class Reason(Struct, frozen=True):
    """Why a worker is not ready: a stable code and a sentence that says what to do."""

    code: str
    message: str


class Notice(Struct, frozen=True):
    """Something an operator should act on although the worker serves; like a :class:`Reason`."""

    code: str
    message: str
