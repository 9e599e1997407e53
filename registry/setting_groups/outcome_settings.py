"""What users did with answers: whether workers join it, and what counts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from registry.setting_groups.setting_types import SettingGroup
from registry.wire.outcome_kinds import DEFAULT_KINDS, OutcomeKind, parse_outcome_kinds


def _require_outcome_kinds(text: str) -> str:
    parse_outcome_kinds(text)
    return text


class OutcomeSettings(SettingGroup):
    """Outcomes: interactions with items of recent answers."""

    outcomes: Literal["on", "off"] = Field(
        "off",
        alias="RECSTREAM_OUTCOMES",
        description="Whether workers join answers with interactions during a canary, an A/B test "
        "or an interleaving (`on`), into the outcome topic. Needs that topic (`recstream topics "
        "create`), and on a secured Kafka the ACLs that `recstream topics acls` then prints.",
    )
    outcome_events: Annotated[str, AfterValidator(_require_outcome_kinds)] = Field(
        DEFAULT_KINDS,
        alias="RECSTREAM_OUTCOME_EVENTS",
        description="Which interactions are outcomes, and what each counts: "
        "`KIND=VALUE[:floor=NUMBER]`, separated by commas. With a floor, only those count whose "
        "own value is at least that: `rate=1:floor=4`.",
    )
    attribution_seconds: float = Field(
        3600.0,
        alias="RECSTREAM_ATTRIBUTION_SECONDS",
        ge=1,
        le=86_400,
        description="The attribution window: how long after an answer an interaction with one of "
        "its items is its outcome, and how long after his first answer a user is counted.",
    )

    @property
    def outcome_kinds(self) -> dict[str, OutcomeKind]:
        """What counts as an outcome, by kind of interaction."""
        return parse_outcome_kinds(self.outcome_events)
