"""Reading a worker's pages over HTTP.

Knows URLs, JSON and the token for reading. Must not know Kafka nor what is shown to people.
Proxies of the environment
are not asked: workers are inside.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from typing import TypeVar

import msgspec
from msgspec import Struct

from registry.errors import TransportError
from registry.wire.rollout_state import RolloutState
from registry.wire.training_messages import TrainingRun
from streams.http.documents import RampLook
from streams.watch.notices import Reason

Page = TypeVar("Page")

TIMEOUT_SECONDS = 3.0

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Readiness(Struct, frozen=True):
    """``GET /readyz``."""

    reasons: tuple[Reason, ...] = ()


class RolloutPage(Struct, frozen=True):
    """``GET /rollout/status``: the state, and the epoch that this worker acts on."""

    state: RolloutState | None = None
    acting_epoch: int | None = None


class FleetPage(Struct, frozen=True):
    """``GET /fleet``: the epoch, and what the guardrails say of a ramp under way."""

    epoch: int | None = None
    ramp: RampLook | None = None


def readiness(url: str) -> Readiness:
    """Return the readiness of the worker at `url`, whether it is ready or not."""
    return _read(url, "/readyz", Readiness)


def rollout(url: str) -> RolloutPage:
    """Return what the worker at `url` acts on."""
    return _read(url, "/rollout/status", RolloutPage)


def fleet(url: str) -> FleetPage:
    """Return what the worker at `url` says of the fleet."""
    return _read(url, "/fleet", FleetPage)


def training(url: str) -> TrainingRun | None:
    """Return the fleet's latest training run as the worker at `url` knows it."""
    return _read(url, "/training", TrainingRun | None)  # type: ignore[arg-type]


def _read(url: str, path: str, kind: type[Page]) -> Page:
    address = url.rstrip("/") + path
    token = os.environ.get("RECSTREAM_READ_TOKEN", "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        asked = urllib.request.Request(address, headers=headers)
        with _opener.open(asked, timeout=TIMEOUT_SECONDS) as response:
            payload = response.read()
    except urllib.error.HTTPError as error:
        if error.code != 503:  # "not ready" is an answer too
            hint = "; set RECSTREAM_READ_TOKEN to the worker's" if error.code == 401 else ""
            raise TransportError(f"{address}: HTTP {error.code}{hint}") from error
        payload = error.read()
    except (OSError, ValueError) as error:
        raise TransportError(f"{address}: no worker answers: {error}") from error
    try:
        return msgspec.json.decode(payload, type=kind)
    except msgspec.DecodeError as error:
        raise TransportError(f"{address}: not the page of a worker: {error}") from error
