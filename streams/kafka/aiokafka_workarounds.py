"""Behaviour of aiokafka 0.14: a client only asks brokers that it knows, and waits long for each.

It reads the bootstrap list once. When all brokers that it has learned of since are gone, it never
finds the others; and it asks a frozen broker repeatedly, each time until the request times out.
Here the bootstrap list is used when all known brokers fail, and a broker that did not answer is
asked last. Knows aiokafka's client; must not know who uses it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from aiokafka.client import ConnectionGroup
from aiokafka.conn import CloseReason, create_conn
from aiokafka.errors import KafkaError, NodeNotReadyError, RequestTimedOutError
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest

logger = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 3.0
"""How long a broker may take to say what the cluster looks like, which it has in memory."""

REQUEST_SECONDS: Final = 8.0
"""How long a broker may leave a request unanswered that needs nobody but itself. Longer: the client
follows later when a broker freezes and another leads, which Kafka takes 9 s for."""

CONNECT_SECONDS: Final = 5.0
"""How long a connection may take, handshakes included."""

AVOID_SECONDS: Final = 30.0
"""How long a broker that did not answer is asked only after the others."""

NodeId: TypeAlias = Any
AskLast: TypeAlias = dict[NodeId, float]
"""Until when each broker that did not answer is asked last, by the monotonic clock."""


def in_order_of_hope(
    nodes: Iterable[NodeId], ask_last: AskLast, now: float, draw: random.Random
) -> list[NodeId]:
    """Return `nodes` in the order in which to ask them: at random, those that failed at last."""
    shuffled = list(nodes)
    draw.shuffle(shuffled)
    return sorted(shuffled, key=lambda node: now < ask_last.get(node, now))


def patience(request: Any, group: ConnectionGroup) -> float | None:
    """Return how long `request` may take; None where it, or one before it, waits for others.

    A join waits for the other members, and whatever is sent on its connection waits behind it; a
    record that is produced waits for the other replicas.
    """
    waits = group != ConnectionGroup.DEFAULT or isinstance(request, ProduceRequest)
    return None if waits else REQUEST_SECONDS


class BrokerSearch:
    """Finds a broker that answers, for one client. Made by :func:`search_all_brokers`."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._ask_last: AskLast = {}
        self._draw = random.Random()
        self._send, self._connect = client.send, client._get_conn
        client._metadata_update = self.update
        client.get_random_node = self.random_node
        client.send, client._get_conn = self.send, self.connection

    def random_node(self) -> NodeId | None:
        """Return the broker to ask what any of them knows; None if none is known."""
        known = [broker.nodeId for broker in self._client.cluster.brokers()]
        return next(iter(self._in_order(known)), None)

    async def connection(self, node: NodeId, **more: Any) -> Any:
        """Return a connection to `node`, as the client does; None if it cannot be had in time.

        A frozen broker's kernel takes connections, and all others would wait for that one.
        """
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                found = await self._connect(node, **more)
        except TimeoutError:
            found = None
            self._client.force_metadata_update()
        if found is None:
            self._avoid(node)
        return found

    async def send(
        self, node: NodeId, request: Any, *, group: ConnectionGroup = ConnectionGroup.DEFAULT
    ) -> Any:
        """Send `request` as the client does, and remember a broker that does not answer."""
        try:
            async with asyncio.timeout(patience(request, group)):
                return await self._send(node, request, group=group)
        except (NodeNotReadyError, RequestTimedOutError):
            self._avoid(node)
            raise
        except TimeoutError as error:
            self._avoid(node)
            connection = self._client._conns.get((node, group))
            if connection is not None:
                connection.close(reason=CloseReason.CONNECTION_TIMEOUT)
            raise RequestTimedOutError from error

    async def update(self, cluster: Any, topics: Iterable[str] | None) -> bool:
        """Bring `cluster` up to date; tell whether any broker has answered."""
        request = MetadataRequest(list(topics) if topics else None)
        for node in self._in_order([broker.nodeId for broker in self._client.cluster.brokers()]):
            connection = await self.connection(node)
            if connection is not None and await self._ask(connection, request, cluster):
                self._ask_last.pop(node, None)
                return True
            self._avoid(node)
        for host, port, _ in self._client.hosts:
            if await self._ask_at(host, port, request, cluster):
                logger.info("reached Kafka again through its bootstrap address %s:%s", host, port)
                return True
        cluster.failed_update(None)
        return False

    def _in_order(self, nodes: Iterable[NodeId]) -> list[NodeId]:
        return in_order_of_hope(nodes, self._ask_last, time.monotonic(), self._draw)

    def _avoid(self, node: NodeId) -> None:
        self._ask_last[node] = time.monotonic() + AVOID_SECONDS

    async def _ask_at(self, host: str, port: int, request: Any, cluster: Any) -> bool:
        client = self._client
        try:
            connection = await create_conn(
                host,
                port,
                client_id=client._client_id,
                request_timeout_ms=int(ANSWER_SECONDS * 1000),
                ssl_context=client._ssl_context,
                security_protocol=client._security_protocol,
                max_idle_ms=client._connections_max_idle_ms,
                sasl_mechanism=client._sasl_mechanism,
                sasl_plain_username=client._sasl_plain_username,
                sasl_plain_password=client._sasl_plain_password,
                sasl_kerberos_service_name=client._sasl_kerberos_service_name,
                sasl_kerberos_domain_name=client._sasl_kerberos_domain_name,
                sasl_oauth_token_provider=client._sasl_oauth_token_provider,
            )
        except (OSError, KafkaError, TimeoutError) as error:
            logger.debug("%s:%s: %s", host, port, error)
            return False
        try:
            return await self._ask(connection, request, cluster)
        finally:
            connection.close()

    async def _ask(self, connection: Any, request: Any, cluster: Any) -> bool:
        try:
            answer = await asyncio.wait_for(connection.send(request), ANSWER_SECONDS)
        except (KafkaError, TimeoutError) as error:
            logger.debug("%s:%s: %r", connection.host, connection.port, error)
            return False
        if not answer.brokers:
            return False
        cluster.update_metadata(answer)
        return True


def search_all_brokers(client: Any) -> None:
    """Let `client`, aiokafka's, look for brokers as :class:`BrokerSearch` does."""
    BrokerSearch(client)
