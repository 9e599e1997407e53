"""The client of recstream: asks for recommendations through Kafka, and sends what users do.

In a few lines::

    from recstream_client import Client

    with Client("localhost:9092") as client:
        answer = client.ask(42, k=3)
"""

from __future__ import annotations

from registry.asking.async_client import AsyncClient
from registry.asking.blocking_client import Client
from registry.errors import (
    AccessRefused,
    AnswerTimeout,
    ClientClosed,
    ConfigurationError,
    RecordError,
    RecstreamError,
    TooManyRequests,
    TransportError,
)
from registry.ids import ItemId, UserId, parse_id
from registry.wire.field_types import AnswerError
from registry.wire.requests import MAX_K, Request, SessionItem
from registry.wire.responses import Item, Provenance, Response
from registry.wire.training_records.interactions import Interaction

__all__ = [
    "MAX_K",
    "AccessRefused",
    "AnswerError",
    "AnswerTimeout",
    "AsyncClient",
    "Client",
    "ClientClosed",
    "ConfigurationError",
    "Interaction",
    "Item",
    "ItemId",
    "Provenance",
    "RecordError",
    "RecstreamError",
    "Request",
    "Response",
    "SessionItem",
    "TooManyRequests",
    "TransportError",
    "UserId",
    "parse_id",
]
