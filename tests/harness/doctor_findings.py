"""What `recstream doctor` finds wrong, asked in the test's own process."""

from __future__ import annotations

from harness.fresh import environment_of

from ops.doctor.checkup import examine
from registry.settings import Settings


def doctor_findings(settings: Settings) -> dict[str, str]:
    """Return what failed or deserves a look, one text by check; skipped checks are left out."""
    found: dict[str, list[str]] = {}
    for seen in examine(environment_of(settings)):
        if seen.verdict in ("failed", "warning"):
            found.setdefault(seen.check, []).append(f"{seen.verdict}: {seen.detail} {seen.remedy}")
    return {check: "\n".join(lines) for check, lines in found.items()}
