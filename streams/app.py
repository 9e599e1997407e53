"""Where the worker is assembled: `build_app` wires the parts, and decides nothing.

Besides the agents, the only place that imports Faust.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import faust
from faust.auth import OAuthCredentials, SASLCredentials, SSLCredentials
from faust.types.auth import SASLMechanism

from registry.client_passthrough import faust_settings
from registry.connection.reachability import find_cause
from registry.connection.tls_files import tls_context
from registry.kafka.outcome_terms import outcome_terms
from registry.kafka.permissions import serving_group
from registry.kafka.topics import Topics, topics_of
from registry.policy_reading import read_training_ramp
from registry.settings import Settings, to_environment
from streams.catalogue.item_follower import ItemFollower
from streams.comparing.shadow import Shadow
from streams.control.command_agent import ControlAgent
from streams.control.fleet_agent import FleetAgent
from streams.control.heartbeat_follower import HeartbeatFollower
from streams.control.ramp_agent import RampAgent
from streams.control.seed_agent import SeedAgent
from streams.delivery.producer import Delivery
from streams.delivery.refused_records import RefusedRecords
from streams.fresh.fresh_parts import build_fresh
from streams.kafka.assignor import BalancedAssignor
from streams.kafka.faust_workarounds import FolderlessApp
from streams.kafka.oauth_tokens import ClientCredentials
from streams.kafka.request_progress import RequestProgress
from streams.kafka.slice_transport import SliceTransport
from streams.kafka.table_recovery import PromptTableManager
from streams.metrics import Metrics
from streams.new_items.new_item_parts import build_new_items
from streams.outcomes.compared_arms import joined
from streams.outcomes.experiment_watch import ExperimentWatch
from streams.outcomes.outcome_follower import OutcomeFollower
from streams.outcomes.report_writer import ReportWriter
from streams.parts import Parts
from streams.retraining.retrain_agent import RetrainAgent
from streams.serving.arm_counts import Exposures
from streams.serving.pipeline import Pipeline
from streams.serving.traces import Traces
from streams.state.group_entry import Entry
from streams.state.metric_series import begin_at_zero
from streams.state.rollout_table import RolloutTable
from streams.state.worker_node import Node
from streams.watch.kafka_access import AccessCheck
from streams.watch.kafka_contact import Contact
from streams.watch.open_transactions import OpenTransactions
from streams.watch.registry_writable import PublishingCheck
from streams.watch.requests_cut_off import Losses
from streams.watch.topic_watch import TopicWatch

COMMIT_SECONDS: Final = 1.0
"""Between two commits; what was answered since the last one is answered again after a crash."""

REQUEST_SECONDS: Final = 15.0
"""How long a broker may leave a request unanswered, a join of the group among them. Longer (Faust
waits for 90 s): the fleet does not follow when a broker freezes and another leads."""

METADATA_SECONDS: Final = 5
"""Between two looks at which partitions there are: new ones are read this long after they came, and
a rebalance. The client's own default of 5 minutes would leave them unread for as long."""

GROUP_HEARTBEAT_SECONDS: Final = 0.25
"""Between two heartbeats to the group's coordinator. A worker learns of a rebalance at its next
one, and until the last worker has learned of it, those before it answer nothing. Shorter than a
tenth of a second only costs the broker: a rebalance takes about as long by itself."""

MAX_POLL_SECONDS: Final = 3600.0
"""A worker without an active partition leaves its group after this time and does not come back."""


def build_app(
    settings: Settings,
    on_failure: Callable[[Exception], None],
    table_options: dict[str, Any] | None = None,
) -> Parts:
    """Assemble one worker.

    Parameters
    ----------
    settings
        Its settings.
    on_failure
        Called when Kafka did not take a record in time: the worker must end.
    table_options
        Of the rollout table; only the negative control of the propagation test passes any.
    """
    worker = settings.worker or f"{socket.gethostname()}-{os.getpid()}"
    topics = topics_of(settings)
    app = _faust_app(settings, topics)
    metrics = Metrics()
    begin_at_zero(metrics, topics)
    watch = TopicWatch(settings, topics)
    progress = RequestProgress(app, topics.requests.name)
    fresh = build_fresh(
        settings, topics, metrics, progress.served,
        lambda: (watch.request_partitions or 0, watch.interaction_partitions or 0),
    )  # fmt: skip
    node = Node(settings, worker, metrics, fresh.freshness)
    contact, access = Contact(settings.outage_seconds), AccessCheck(partial(find_cause, settings))
    delivery = Delivery(settings, RefusedRecords(metrics).note, contact, access.note)
    table = RolloutTable(app, topics.control.name, node.view, node.refresh, table_options)
    training = RetrainAgent(
        settings,
        topics,
        worker,
        node.view,
        table,
        delivery,
        metrics,
        to_environment(settings),
        ramp=read_training_ramp(settings),
    )
    exposures, traces = Exposures(), Traces()
    pipeline = Pipeline(
        topics,
        delivery,
        metrics,
        node.answering,
        settings.batch_requests,
        on_failure,
        listeners=(
            lambda batch: exposures.count(batch, time.time() * 1000),
            lambda batch: shadow.offer(batch.shadowed),
            traces.remember,
            lambda batch: fresh.partitioners.note_requests(batch.records),
        ),
    )
    shadow = Shadow(
        topics,
        delivery,
        metrics,
        models=lambda: node.ready,
        is_busy=lambda: pipeline.is_busy,
        origin=node.origin,
        queue_size=settings.shadow_queue,
    )
    pipeline.agent(app, _raw(app, topics.requests.name))
    control = ControlAgent(
        topics,
        node.origin,
        node.view,
        node.residency,
        table,
        delivery,
        training,
        metrics,
        on_failure,
        *(watch.control_topic_id, partial(outcome_terms, settings)),
        ReportWriter(settings, node.store.objects, node.view),
    )
    control.agent(app, _raw(app, topics.control.name))
    seeds = SeedAgent(settings, topics.control, node.view, node.store, delivery, watch.is_foreign)
    is_followed = settings.fresh != "off"  # else nobody has seen the interactions' keys
    outcomes = OutcomeFollower(
        settings, topics, lambda: (joined(node.acting), progress.served()), delivery,
        (lambda _: None) if is_followed else fresh.partitioners.note_interactions,
    )  # fmt: skip
    reported = lambda: seeds.is_settled, lambda: outcomes.progress.sums
    fleet = FleetAgent(topics, node, table, delivery, exposures, shadow, *reported)
    items = _items(settings, topics, node)
    return Parts(
        settings=settings,
        worker=worker,
        topics=topics,
        app=app,
        node=node,
        table=table,
        entry=Entry(settings, node, table, items.reason),
        pipeline=pipeline,
        delivery=delivery,
        contact=contact,
        training=training,
        fleet=fleet,
        follower=_follower(settings, topics, node),
        interactions=fresh.interactions,
        fresh=fresh.watch,
        progress=progress,
        items=items,
        outcomes=outcomes,
        new_items=build_new_items(settings, topics, delivery, fresh.freshness, node, table),
        experiment=ExperimentWatch(settings, node.view, outcomes, metrics),
        ramp=RampAgent(settings, topics, node.view, delivery, metrics),
        seeds=seeds,
        shadow=shadow,
        traces=traces,
        metrics=metrics,
        transactions=OpenTransactions(topics.requests.name),
        watch=watch,
        losses=Losses(topics.requests.name),
        access=access,
        publishing=PublishingCheck(
            node.store, writes=bool(settings.retrain_interval or settings.retrain_cron)
        ),
    )


def _follower(settings: Settings, topics: Topics, node: Node) -> HeartbeatFollower:
    view, fleet = node.view, topics.fleet

    def note_start(since: float) -> None:
        view.heard_since = since

    return HeartbeatFollower(
        settings,
        fleet,
        hear=lambda heartbeats: view.hear(heartbeats, time.time()),
        note_start=note_start,
        note_end=lambda: view.note_end(time.time()),
        count_refused=lambda code: node.metrics.dead_letters.labels(fleet.name, code).inc(),
    )


def _items(settings: Settings, topics: Topics, node: Node) -> ItemFollower:
    return ItemFollower(
        settings,
        topics.items,
        hear=node.residency.withdraw,
        count_refused=lambda code: node.metrics.dead_letters.labels(topics.items.name, code).inc(),
    )


def _faust_app(settings: Settings, topics: Topics) -> faust.App:
    app = FolderlessApp(
        serving_group(settings),
        broker=[
            f"kafka://{address.strip()}" for address in settings.kafka_bootstrap_servers.split(",")
        ],
        broker_credentials=_credentials(settings),
        broker_session_timeout=settings.session_timeout,
        broker_heartbeat_interval=GROUP_HEARTBEAT_SECONDS,
        broker_commit_interval=COMMIT_SECONDS,
        broker_max_poll_records=settings.batch_requests,
        broker_max_poll_interval=MAX_POLL_SECONDS,
        consumer_auto_offset_reset="earliest",
        broker_request_timeout=max(REQUEST_SECONDS, settings.session_timeout + 5),  # a join waits
        producer_request_timeout=REQUEST_SECONDS,
        consumer_metadata_max_age_ms=METADATA_SECONDS * 1000,
        stream_wait_empty=False,
        store="memory://",
        topic_partitions=settings.partitions,
        topic_replication_factor=settings.replication_factor,
        topic_disable_leader=True,
        web_enabled=False,
        autodiscover=False,
        TableManager=PromptTableManager,
        PartitionAssignor=BalancedAssignor,
        **faust_settings(settings),
    )
    app.transport = SliceTransport(
        app.conf.broker_consumer,
        app,
        sliced_topics=frozenset({topics.requests.name}),
        in_flight_records=settings.in_flight_requests,
        outage_seconds=settings.outage_seconds,
    )
    return app


def _raw(app: faust.App, name: str) -> Any:
    """Return the topic with undecoded values: what does not decode must not kill an agent."""
    return app.topic(
        name,
        internal=True,
        key_type=bytes,
        key_serializer="raw",
        value_type=bytes,
        value_serializer="raw",
    )


def _credentials(settings: Settings) -> Any:
    protocol = settings.kafka_security_protocol
    if protocol == "PLAINTEXT":
        return None
    context = tls_context(settings) if protocol.endswith("SSL") else None
    if protocol == "SSL":
        return SSLCredentials(context)
    if settings.kafka_sasl_mechanism == "OAUTHBEARER":
        return OAuthCredentials(oauth_cb=ClientCredentials(settings), ssl_context=context)
    return SASLCredentials(
        username=settings.kafka_sasl_username,
        password=settings.kafka_sasl_password.get_secret_value(),
        ssl_context=context,
        mechanism=SASLMechanism(settings.kafka_sasl_mechanism),
    )
