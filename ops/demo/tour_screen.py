"""What the demo's tour prints: numbered steps with their durations, lines and tables."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console, RenderableType
from rich.padding import Padding

from ops.views.terminal import Text

STEPS: Final = 15


class Screen:
    """Prints the tour; knows when it started."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._started = time.monotonic()
        self._step = 0

    @property
    def elapsed_seconds(self) -> float:
        """Seconds since the tour started."""
        return time.monotonic() - self._started

    def say(self, line: str) -> None:
        """Print one line of a step without wrapping it, so that addresses can be copied."""
        self.console.print(Text("    " + line), soft_wrap=True)

    def show(self, tables: Iterable[RenderableType]) -> None:
        """Print tables, indented."""
        for table in tables:
            self.console.print(Padding(table, (0, 0, 0, 4)))

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Print the number and the title of a step, and how long it took."""
        self._step += 1
        self.console.print()
        self.console.print(
            Text(f"{self._step}/{STEPS} ", "bold cyan"), Text(title, "bold"), sep="", soft_wrap=True
        )
        started = time.monotonic()
        yield
        self.console.print(Text(f"    done in {time.monotonic() - started:.1f} s", "green"))
