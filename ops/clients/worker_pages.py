"""Reads a worker's HTTP pages, with the read token if there is one.

The environment's proxy settings are ignored: workers are on the internal network.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from typing import Final, TypeVar

import msgspec
from msgspec import Struct
from msgspec.json import Decoder

from registry.errors import TransportError
from registry.wire.instants import read_instant
from registry.wire.requests import Request
from registry.wire.responses import Response
from registry.wire.rollout_state import RolloutState
from registry.wire.training_records.training_messages import TrainingRun
from streams.http.documents import RampLook
from streams.http.problems import Problem
from streams.watch.notices import Notice, Reason

Page = TypeVar("Page")

TIMEOUT_SECONDS = 3.0

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ReadinessPage(Struct, frozen=True):
    """``GET /readyz``: why the worker is not ready, and what to act on though it is."""

    reasons: tuple[Reason, ...] = ()
    worker: str = ""
    notices: tuple[Notice, ...] = ()


class RolloutPage(Struct, frozen=True):
    """``GET /rollout/status``: the state, and the epoch that this worker acts on."""

    state: RolloutState | None = None
    acting_epoch: int | None = None
    resident_versions: tuple[str, ...] = ()


class FleetPage(Struct, frozen=True):
    """``GET /fleet``: the epoch, and the guardrails' verdicts on a running ramp."""

    epoch: int | None = None
    ramp: RampLook | None = None


LATEST_RUN: Final[Decoder[TrainingRun | None]] = Decoder(TrainingRun | None, dec_hook=read_instant)
"""``GET /training``."""


def readiness(url: str) -> ReadinessPage:
    """Return why the worker at `url` is not ready (no reasons if it is), and its notices."""
    return _read(url, "/readyz", Decoder(ReadinessPage))


def rollout(url: str) -> RolloutPage:
    """Return the rollout state that the worker at `url` acts on."""
    return _read(url, "/rollout/status", Decoder(RolloutPage, dec_hook=read_instant))


def fleet(url: str) -> FleetPage:
    """Return what the worker at `url` knows about the fleet."""
    return _read(url, "/fleet", Decoder(FleetPage, dec_hook=read_instant))


def training(url: str) -> TrainingRun | None:
    """Return the fleet's latest training run as the worker at `url` knows it."""
    return _read(url, "/training", LATEST_RUN)


def recommend(url: str, request: Request, seconds: float) -> Response:
    """Return the answer to `request` by the way of the worker at `url`; waits `seconds` at most.

    Raises
    ------
    TransportError
        If there is none; the message has the worker's reason.
    """
    address = url.rstrip("/") + "/recommend"
    fields = msgspec.to_builtins(request) | {"deadline_ms": round(seconds * 1000)}
    sent = urllib.request.Request(
        address,
        msgspec.json.encode({name: value for name, value in fields.items() if value is not None}),
        _authorization() | {"Content-Type": "application/json"},
    )
    try:
        with _opener.open(sent, timeout=seconds + TIMEOUT_SECONDS) as response:
            return msgspec.json.decode(response.read(), type=Response)
    except urllib.error.HTTPError as error:
        raise TransportError(f"{address}: HTTP {error.code}: {_detail(error.read())}") from error
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise TransportError(f"{address}: no answer from a worker: {error}") from error


def _detail(body: bytes) -> str:
    """Return what a problem says; whatever else answered, its beginning."""
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except msgspec.DecodeError:
        return body[:200].decode(errors="replace")
    return f"{problem.code}: {problem.detail}"


def _authorization() -> dict[str, str]:
    token = os.environ.get("RECSTREAM_READ_TOKEN", "")
    return {"Authorization": f"Bearer {token}"} if token else {}


def metric(url: str, name: str) -> float | None:
    """Return a gauge without labels of the worker at `url`; None if it shows none."""
    for line in _fetch(url, "/metrics").decode().splitlines():
        shown, _, value = line.partition(" ")
        if shown == name:
            return float(value)
    return None


def _read(url: str, path: str, decoder: Decoder[Page]) -> Page:
    payload = _fetch(url, path)
    try:
        return decoder.decode(payload)
    except msgspec.DecodeError as error:
        address = url.rstrip("/") + path
        raise TransportError(f"{address}: not a worker's page: {error}") from error


def _fetch(url: str, path: str) -> bytes:
    address = url.rstrip("/") + path
    try:
        request = urllib.request.Request(address, headers=_authorization())
        with _opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            payload: bytes = response.read()
    except urllib.error.HTTPError as error:
        if error.code != 503:  # "not ready" is an answer too
            hint = "; set RECSTREAM_READ_TOKEN to the worker's token" if error.code == 401 else ""
            raise TransportError(f"{address}: HTTP {error.code}{hint}") from error
        payload = error.read()
    except (OSError, ValueError) as error:
        raise TransportError(f"{address}: no answer from a worker: {error}") from error
    return payload
