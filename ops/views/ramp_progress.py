"""Watching: a ramp until it has ended, and anything else once a second until Ctrl-C.

Knows how often to look, and how the screen is drawn again. Must not know what is looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from rich.console import Console, RenderableType
from rich.live import Live
from rich.padding import Padding

from ops.clients.fleet_observer import Seen
from ops.views.rollout_tables import followed_ramp
from ops.views.terminal import Text
from registry.errors import TransportError
from registry.rollout.wording import ramp_words
from registry.wire.ramp_values import Outcome

LOOK_SECONDS: Final = 1.0
"""Between two looks: workers say something new once a second."""

BLIND_SECONDS: Final = 60.0
"""How long Kafka may be away while a ramp is followed."""


class RampDisplay:
    """Shows a ramp drawn anew at each look on a terminal, and a line for each change elsewhere."""

    def __init__(self, console: Console, *, hidden: bool = False) -> None:
        self._console = console
        self._lines = not hidden and not console.is_terminal
        self._live = Live(console=console, auto_refresh=False)
        self._draws = not hidden and console.is_terminal
        self._last_line = ""
        self._last_seen = Seen(None)

    def __enter__(self) -> RampDisplay:
        if self._draws:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        if self._lines:
            self._console.print(Padding(followed_ramp(self._last_seen), (0, 0, 0, 4)))

    def show(self, seen: Seen) -> None:
        """Show one look."""
        if self._draws:
            self._live.update(Padding(followed_ramp(seen), (0, 0, 0, 4)), refresh=True)
        line = _line(seen)
        if self._lines and line != self._last_line:
            self._console.print(Text(f"    {line}"), soft_wrap=True)
        self._last_line, self._last_seen = line, seen


def _line(seen: Seen) -> str:
    ramp = ramp_words(seen.state.ramp if seen.state else None)
    if seen.ramp is None:
        return f"ramp {ramp}"
    verdict = seen.ramp.verdict
    whose = [one.guardrail for one in seen.ramp.findings if one.verdict == verdict]
    return f"ramp {ramp}: {verdict}" + (f" ({', '.join(whose)})" if verdict != "pass" else "")


def follow_ramp(
    look: Callable[[], Seen],
    ramp_id: str,
    show: Callable[[Seen], None],
    check: Callable[[], None] = lambda: None,
    every_seconds: float = LOOK_SECONDS,
) -> Outcome:
    """Look at the ramp again and again until it has ended; return how.

    Parameters
    ----------
    look
        Returns what holds now, as `ops.clients.fleet_observer.observe` does.
    ramp_id
        Which one. If another command has taken its place meanwhile, it was cancelled.
    show
        Is given each look.
    check
        Called at each look; raises if waiting has become pointless.
    every_seconds
        Between two looks.

    Raises
    ------
    TransportError
        If looking fails for longer than `BLIND_SECONDS`; a broker that restarts ends no ramp.
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
            return "cancelled"
        if ramp.outcome is not None:
            return ramp.outcome
        time.sleep(every_seconds)


def redraw(
    console: Console,
    look: Callable[[], RenderableType],
    goes_on: Callable[[], bool] = lambda: True,
) -> None:
    """Show what `look` returns, once a second, while `goes_on` says so; Ctrl-C ends it, too."""
    with Live(console=console, auto_refresh=False) as live:
        while goes_on():
            live.update(look(), refresh=True)
            time.sleep(LOOK_SECONDS)
