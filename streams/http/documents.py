"""The answers of the HTTP endpoints: one type for each JSON document. Values only.

The OpenAPI document is generated from these types, and the answers are instances of them.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from registry.interleaving.preference import Preference
from registry.outcomes.conclusion import Conclusion
from registry.rollout.ramp_decision import Action, Moment
from registry.rollout.trail_wording import Change
from registry.wire.command_results import CommandResult
from registry.wire.ramp_values import Finding, StageKind, Verdict
from registry.wire.rollout_state import RolloutState
from streams.page.status import ArmTraffic, FleetWorker, ShadowSummary
from streams.watch.notices import Notice, Reason


class Health(Struct, frozen=True):
    """Liveness: ``stuck``: needs a restart. ``version`` is the primary that is acted on."""

    status: Literal["ok", "stuck"]
    version: str | None = None
    rollout: RolloutState | None = None


class Readiness(Struct, frozen=True):
    """Whether a worker answers from the current state with loaded versions, and why not.

    ``notices`` are what an operator should act on though the worker is ready. ``fresh_lag`` is how
    many interactions it has still to read; null: it follows none.
    """

    ready: bool
    reasons: tuple[Reason, ...]
    worker: str = ""
    notices: tuple[Notice, ...] = ()
    fresh_lag: int | None = None


class RolloutStatus(Struct, frozen=True):
    """The rollout as one worker sees it.

    ``state`` is the newest; the worker acts on it once its primary version is loaded, which is when
    ``acting_epoch`` equals ``state.epoch``. ``kernels`` says how each version in memory is scored,
    and how much of its catalogue is read for that.
    """

    worker: str
    state: RolloutState | None
    acting_epoch: int | None
    active_version: str | None
    resident_versions: tuple[str, ...]
    kernels: dict[str, str]
    owns_control: bool
    last_command_offset: int


class HistoryEntry(CommandResult, frozen=True, omit_defaults=True, kw_only=True):
    """The outcome of one command, and what it changed, in words."""

    changes: tuple[Change, ...] = ()


class RampLook(Struct, frozen=True):
    """What the guardrails say now of the ramp in progress, and what it does next.

    ``due_in_seconds`` is until the stage's hold ends, 0 once it has.
    """

    stage: StageKind
    percentage: float
    moment: Moment
    verdict: Verdict
    action: Action
    due_in_seconds: float
    findings: tuple[Finding, ...]


class Fleet(Struct, frozen=True):
    """All workers of the environment, and their summed counts under the current state.

    ``split`` says whether users were split as a canary or an A/B test wants it. ``experiment`` is
    what may be concluded from their outcomes; null where workers do not join them
    (``RECSTREAM_OUTCOMES``), or all users are in one arm. ``interleaving`` is which of two
    interleaved versions users prefer; null where none are, or workers do not join outcomes.
    """

    environment: str
    epoch: int | None
    workers: tuple[FleetWorker, ...]
    arms: tuple[ArmTraffic, ...]
    shadow: ShadowSummary | None
    split: Finding | None
    ramp: RampLook | None
    experiment: Conclusion | None = None
    interleaving: Preference | None = None


class Decided(Struct, frozen=True):
    """A command that was applied, now or earlier; ``state`` is the state after it."""

    status: Literal["applied", "duplicate"]
    command_id: str
    epoch: int | None
    state: RolloutState | None


class Pending(Struct, frozen=True):
    """A command that is on the control topic and not decided yet; the history will have it."""

    status: Literal["pending"]
    command_id: str
