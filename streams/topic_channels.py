"""Channels: which message each topic carries, by what key, and an example of it.

Values only. What a topic is called and how it is configured: `registry.kafka.topics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final, Literal

import msgspec
import numpy as np
from msgspec import Struct

from registry.new_items.new_item_records import NewItemRecord, SolvedVector
from registry.wire.command_results import CommandResult
from registry.wire.commands import Command, Rollout
from registry.wire.counts import ArmCounts
from registry.wire.heartbeats import Heartbeat
from registry.wire.instants import Instant, write_instant
from registry.wire.outcome_records import CreditedAction, OutcomeRecord
from registry.wire.requests import Request
from registry.wire.responses import Item, Provenance, Response
from registry.wire.rollout_state import RolloutState
from registry.wire.shadow_comparisons import ShadowComparison
from registry.wire.training_records.catalogue_items import CatalogueItem
from registry.wire.training_records.interactions import Interaction


@dataclass(frozen=True, slots=True)
class Channel:
    """What one topic carries. ``action`` is what a worker does with it."""

    example: Struct | None
    key: str
    action: Literal["send", "receive"]

    @property
    def message(self) -> str:
        """The message's name."""
        if self.example is None:
            return "DeadLetter"
        return type_of(self.example).__name__


EXAMPLE_STATE: Final = RolloutState(
    environment="production",
    epoch=17,
    strategy="canary",
    primary_version="v0.3",
    canary_version="v0.4",
    canary_percentage=10.0,
    updated_at=Instant(2026, 11, 23, 12, tzinfo=UTC),
    updated_by="anna@laptop",
)
"""The state that the examples are about, here and in the OpenAPI document."""

_COMMAND: Final = Rollout(
    command_id="3f0c",
    issued_by="anna@laptop",
    strategy="canary",
    canary_version="v0.4",
    canary_percentage=10.0,
)

CHANNELS: Final[Mapping[str, Channel]] = {
    "requests": Channel(Request("r-1", 42, k=2), "user id", "receive"),
    "responses": Channel(
        Response(
            request_id="r-1",
            user_id=42,
            status="ok",
            provenance=Provenance(
                environment="production",
                worker="worker-1",
                latency_ms=2.4,
                strategy="canary",
                rollout_epoch=17,
                bucket=42,
                git_sha="4be2a10",
                data_snapshot="sha256:b3fbb1ab61e8bca3",
            ),
            items=[Item(356, 0.529, "Forrest Gump (1994)"), Item(527, 0.519)],
            model_version="v0.3",
            variant="primary",
            source="model",
        ),
        "user id, as the request's",
        "send",
    ),
    "interactions": Channel(
        Interaction(
            user_id=42,
            item_id=356,
            event="rate",
            value=4.5,
            timestamp=1_478_000_000.0,
            title="Forrest Gump (1994)",
        ),
        "user id",
        "receive",
    ),
    "control": Channel(_COMMAND, "environment", "receive"),
    "control_results": Channel(
        CommandResult(
            command_id="3f0c",
            type="rollout",
            environment="production",
            status="applied",
            epoch=17,
            issued_by="anna@laptop",
            at=Instant(2026, 11, 23, 12, tzinfo=UTC),
            after=EXAMPLE_STATE,
        ),
        "environment",
        "send",
    ),
    "shadow": Channel(
        ShadowComparison(
            request_id="r-1",
            user_id=42,
            environment="production",
            rollout_epoch=18,
            primary_version="v0.3",
            canary_version="v0.4",
            k=10,
            overlap=0.7,
            rank_biased_overlap=0.81,
            score_shift=0.02,
            primary_ms=0.12,
            canary_ms=0.14,
            worker="worker-1",
            at=Instant(2026, 11, 23, 12, tzinfo=UTC),
        ),
        "user id",
        "send",
    ),
    "outcomes": Channel(
        OutcomeRecord(
            "production",
            17,
            42,
            "primary",
            "v0.3",
            1_795_435_260.0,
            CreditedAction("r-1", 356, position=0, event="watch", value=1.0, delay_seconds=41.5),
        ),
        "user id",
        "send",
    ),
    "fleet": Channel(
        Heartbeat(
            worker="worker-1",
            instance="worker-1@2026-11-23T11:00:00.000+00:00#9f3c2a71",
            environment="production",
            at=1_795_435_200.0,
            epoch=17,
            ready=("v0.3", "v0.4"),
            lag=3,
            requests_per_second=120.5,
            owns_control=True,
            url="http://127.0.0.1:6066/",
            log_offset=17,
            arms=(
                ArmCounts("primary", "v0.3", requests=900, fallbacks=9, users=700),
                ArmCounts("canary", "v0.4", requests=100, fallbacks=1, users=80),
            ),
        ),
        "worker",
        "send",
    ),
    "new_items": Channel(
        NewItemRecord(
            "v0.3", solved=SolvedVector(193609, 14, np.array([0.25, -0.5], "<f4").tobytes())
        ),
        "what it is, version, partition, item id",
        "send",
    ),
    "items": Channel(
        CatalogueItem(
            item_id=356,
            title="Forrest Gump (1994)",
            labels={"genre": ["Comedy", "Drama"], "region": ["eu"]},
            available_until=1_798_675_200.0,
        ),
        "item id",
        "receive",
    ),
    "dead_letter": Channel(None, "as the source's", "send"),
}
"""By the topic's name in `registry.kafka.topics.Topics`."""


def type_of(example: Struct) -> type[Struct]:
    """Return the type of an example message; that of any command is `Command`."""
    return Command if isinstance(example, Command) else type(example)


def example_of(channel: Channel) -> Any:
    """Return the channel's example message as it goes over the wire."""
    return msgspec.json.decode(msgspec.json.encode(channel.example, enc_hook=write_instant))
