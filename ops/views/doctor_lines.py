"""How a line of `recstream doctor` looks on a terminal."""

from __future__ import annotations

from typing import Final

from ops.doctor.diagnosis import Diagnosis, Verdict
from ops.views.terminal import Text

STYLES: Final[dict[Verdict, str]] = {
    "ok": "green",
    "warning": "yellow",
    "failed": "bold red",
    "skipped": "dim",
}
CHECK_COLUMNS: Final = 18


def lines_of(diagnosis: Diagnosis) -> Text:
    """Return the line of `diagnosis`, and below it what to do.

    >>> print(lines_of(Diagnosis("kafka", "failed", "no answer", "start it")))
    failed   kafka             no answer
                               do: start it
    """
    shown = Text(f"{diagnosis.verdict:9}", STYLES[diagnosis.verdict])
    shown.append(f"{diagnosis.check:{CHECK_COLUMNS}}", "bold")
    indent = "\n" + " " * (9 + CHECK_COLUMNS)
    shown.append(diagnosis.detail.replace("\n", indent), "none")
    if diagnosis.remedy:
        shown.append(f"{indent}do: {diagnosis.remedy}", "dim")
    return shown
