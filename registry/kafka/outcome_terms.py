"""What settings and topics make of outcomes: joined or not, by which window, and kept for how long.

An edge: asks the broker. Which ramps that rules out is in `registry.ramp_plans.ramp_validation`.
"""

from __future__ import annotations

import math
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from registry.connection.client_config import client_config
from registry.kafka.topics import Topic, topics_of
from registry.ramp_plans.outcome_requirements import OutcomeTerms
from registry.settings import Settings

RETENTION: Final = "retention.ms"
ASK_SECONDS: Final = 5.0
"""A command waits for it; a broker that is well answers in milliseconds."""


def outcome_terms(settings: Settings) -> OutcomeTerms:
    """Return what a ramp that is decided by outcomes can rely on.

    Where the broker does not say how long a topic keeps its records (it may not be asked, has no
    such topic, or is silent for `ASK_SECONDS`), that is what ``recstream topics create`` sets.
    """
    topics = topics_of(settings)
    admin = AdminClient(client_config(settings))
    return OutcomeTerms(
        settings.outcomes == "on",
        settings.attribution_seconds,
        _kept_seconds(admin, topics.outcomes),
        _kept_seconds(admin, topics.responses),
    )


def _kept_seconds(admin: AdminClient, topic: Topic) -> float:
    resource = ConfigResource(ResourceType.TOPIC, topic.name)
    future = admin.describe_configs([resource], request_timeout=ASK_SECONDS)[resource]
    try:
        kept = int(future.result(ASK_SECONDS)[RETENTION].value)
    except (KafkaException, KeyError, TimeoutError):
        kept = int(topic.configs[RETENTION])
    return math.inf if kept < 0 else kept / 1000
