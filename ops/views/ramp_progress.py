"""Follows a ramp until it ends; redraws any other view once a second until Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from rich.console import Console, RenderableType
from rich.live import Live
from rich.padding import Padding

from ops.clients.fleet_observer import Observation
from ops.views.rollout_tables import followed_ramp
from ops.views.terminal import Text
from registry.errors import TransportError
from registry.rollout.trail_wording import end_words, ramp_words
from registry.wire.ramp_values import Outcome

LOOK_SECONDS: Final = 1.0
"""Time between two looks: workers send a heartbeat once a second."""

BLIND_SECONDS: Final = 60.0
"""How long Kafka may be unreachable while a ramp is followed."""


class Ended(NamedTuple):
    """How a ramp ended, and by whose command and why."""

    outcome: Outcome
    reason: str


class RampDisplay:
    """Redraws the ramp at each look on a terminal; prints a line per change elsewhere."""

    def __init__(self, console: Console, *, hidden: bool = False) -> None:
        self._console = console
        self._lines = not hidden and not console.is_terminal
        self._live = Live(console=console, auto_refresh=False)
        self._draws = not hidden and console.is_terminal
        self._last_line = ""
        self._last_seen = Observation(None)

    def __enter__(self) -> RampDisplay:
        if self._draws:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        if self._lines:
            self._console.print(Padding(followed_ramp(self._last_seen), (0, 0, 0, 4)))

    def show(self, seen: Observation) -> None:
        """Show one observation."""
        if self._draws:
            self._live.update(Padding(followed_ramp(seen), (0, 0, 0, 4)), refresh=True)
        line = _line(seen)
        if self._lines and line != self._last_line:
            self._console.print(Text(f"    {line}"), soft_wrap=True)
        self._last_line, self._last_seen = line, seen


def _line(seen: Observation) -> str:
    ramp = ramp_words(seen.state.ramp if seen.state else None)
    if seen.ramp is None:
        return f"ramp {ramp}"
    verdict = seen.ramp.verdict
    guardrails = [each.guardrail for each in seen.ramp.findings if each.verdict == verdict]
    return f"ramp {ramp}: {verdict}" + (f" ({', '.join(guardrails)})" if verdict != "pass" else "")


def follow_ramp(
    look: Callable[[], Observation],
    ramp_id: str,
    show: Callable[[Observation], None],
    check: Callable[[], None] = lambda: None,
    every_seconds: float = LOOK_SECONDS,
) -> Ended:
    """Observe the ramp until it ends; return how it ended, and why.

    Parameters
    ----------
    look
        Returns the current state, as `ops.clients.fleet_observer.observe` does.
    ramp_id
        The ramp to follow. If another command has replaced it meanwhile, it was cancelled.
    show
        Called with each observation.
    check
        Called before each look; raises if waiting has become pointless.
    every_seconds
        Time between two looks.

    Raises
    ------
    TransportError
        If looking fails for longer than `BLIND_SECONDS`: a broker may restart meanwhile.
    """
    looked_at = time.monotonic()
    while True:
        check()
        try:
            seen = look()
        except TransportError:
            if time.monotonic() - looked_at > BLIND_SECONDS:
                raise
            time.sleep(every_seconds)
            continue
        looked_at = time.monotonic()
        show(seen)
        ramp = seen.state.ramp if seen.state else None
        if ramp is None or ramp.ramp_id != ramp_id:
            return Ended("cancelled", end_words(seen.state, ramp_id))
        if ramp.outcome is not None:
            return Ended(ramp.outcome, end_words(seen.state, ramp_id))
        time.sleep(every_seconds)


def redraw(
    console: Console,
    look: Callable[[], RenderableType],
    is_running: Callable[[], bool] = lambda: True,
) -> None:
    """Show what `look` returns once a second, while `is_running`, or until Ctrl-C."""
    with Live(console=console, auto_refresh=False) as live:
        while is_running():
            live.update(look(), refresh=True)
            time.sleep(LOOK_SECONDS)
