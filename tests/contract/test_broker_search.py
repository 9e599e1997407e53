"""aiokafka's client, as it is and with our search, against librdkafka's mock brokers."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

from aiokafka.client import AIOKafkaClient
from confluent_kafka import Producer

from streams.kafka.aiokafka_workarounds import search_all_brokers


class MockCluster:
    """One broker inside of a librdkafka client; it dies with :meth:`end`."""

    def __init__(self) -> None:
        self._producer: Producer | None = Producer({"test.mock.num.brokers": 1, "log_level": 0})
        (broker,) = self._producer.list_topics(timeout=10).brokers.values()
        self.address = f"{broker.host}:{broker.port}"
        self.port = broker.port

    def end(self) -> None:
        self._producer = None
        gc.collect()


def finds_the_other_broker(prepare: Callable[[AIOKafkaClient], None]) -> bool:
    """Tell whether a client that knows one broker, which dies, finds the other on its list."""
    clusters = [MockCluster(), MockCluster()]

    async def story() -> bool:
        client = AIOKafkaClient(bootstrap_servers=[cluster.address for cluster in clusters])
        prepare(client)
        await client.bootstrap()
        known = ports_of(client)
        (dying,) = [cluster for cluster in clusters if cluster.port in known]
        (other,) = [cluster for cluster in clusters if cluster.port not in known]
        await asyncio.to_thread(dying.end)
        found = await client.force_metadata_update()
        ports = ports_of(client)
        await client.close()
        other.end()
        return bool(found) and ports == {other.port}

    return asyncio.run(story())


def ports_of(client: AIOKafkaClient) -> set[int]:
    return {broker.port for broker in client.cluster.brokers()}


def test_a_client_whose_brokers_are_all_gone_goes_back_to_its_bootstrap_list() -> None:
    assert finds_the_other_broker(search_all_brokers)


def test_without_our_search_it_never_does() -> None:
    assert not finds_the_other_broker(lambda client: None)
