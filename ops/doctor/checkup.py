"""The order of the checks, and which of them a fault makes pointless."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from confluent_kafka import KafkaException

from ops.doctor.clock_diagnoses import clocks
from ops.doctor.diagnosis import Diagnosis
from ops.doctor.fleet_diagnoses import rollout, workers
from ops.doctor.kafka_diagnoses import acls, contact, partitioners, topics
from ops.doctor.machine_diagnoses import disk, releases
from ops.doctor.registry_diagnoses import models, readable, writable
from registry.errors import ConfigurationError, RecstreamError
from registry.settings import Settings, read_settings

Check = Callable[[Settings], Iterator[Diagnosis]]

ON_KAFKA: Final[Mapping[str, Check]] = {
    "acls": acls,
    "topics": topics,
    "partitioners": partitioners,
    "clocks": clocks,
    "workers": workers,
    "rollout": rollout,
}
ON_REGISTRY: Final[Mapping[str, Check]] = {"registry writable": writable, "models": models}


def examine(environment: Mapping[str, str]) -> Iterator[Diagnosis]:
    """Yield what each check finds with the settings that `environment` has.

    A check whose ground is missing is skipped: nothing is asked of a Kafka that does not answer.
    """
    try:
        settings = read_settings(environment)
    except ConfigurationError as error:
        yield from (Diagnosis("settings", "failed", line) for line in str(error).splitlines())
        return
    yield Diagnosis("settings", "ok", f"environment {settings.environment}, no contradictions")
    yield from _made("releases", releases, settings)
    yield from _with_ground("kafka", contact, ON_KAFKA, settings)
    yield from _with_ground("registry readable", readable, ON_REGISTRY, settings)
    yield from _made("disk", disk, settings)


def _with_ground(
    name: str, ground: Check, checks: Mapping[str, Check], settings: Settings
) -> Iterator[Diagnosis]:
    found = list(_made(name, ground, settings))
    yield from found
    if any(diagnosis.verdict == "failed" for diagnosis in found):
        yield from (Diagnosis(each, "skipped", f"{name} failed") for each in checks)
        return
    for each, check in checks.items():
        yield from _made(each, check, settings)


def _made(name: str, check: Check, settings: Settings) -> Iterator[Diagnosis]:
    try:
        yield from check(settings)
    except RecstreamError as error:
        yield Diagnosis(name, "failed", str(error))
    except KafkaException as error:
        yield Diagnosis(name, "failed", f"Kafka: {error.args[0].str()}")
