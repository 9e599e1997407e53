"""The parts of one worker, as `streams.app` has wired them. A value."""

from __future__ import annotations

from dataclasses import dataclass

import faust

from registry.kafka.topics import Topics
from registry.settings import Settings
from streams.catalogue.item_follower import ItemFollower
from streams.comparing.shadow import Shadow
from streams.control.fleet_agent import FleetAgent
from streams.control.heartbeat_follower import HeartbeatFollower
from streams.control.ramp_agent import RampAgent
from streams.control.seed_agent import SeedAgent
from streams.delivery.producer import Delivery
from streams.fresh.fresh_watch import FreshWatch
from streams.fresh.interaction_follower import InteractionFollower
from streams.kafka.request_progress import RequestProgress
from streams.metrics import Metrics
from streams.new_items.new_item_follower import NewItemFollower
from streams.outcomes.experiment_watch import ExperimentWatch
from streams.outcomes.outcome_follower import OutcomeFollower
from streams.retraining.retrain_agent import RetrainAgent
from streams.serving.pipeline import Pipeline
from streams.serving.traces import Traces
from streams.state.group_entry import Entry
from streams.state.rollout_table import RolloutTable
from streams.state.worker_node import Node
from streams.watch.kafka_access import AccessCheck
from streams.watch.kafka_contact import Contact
from streams.watch.open_transactions import OpenTransactions
from streams.watch.registry_writable import PublishingCheck
from streams.watch.requests_cut_off import Losses
from streams.watch.topic_watch import TopicWatch


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one worker, as `build_app` has wired them."""

    settings: Settings
    worker: str
    topics: Topics
    app: faust.App
    node: Node
    table: RolloutTable
    entry: Entry
    pipeline: Pipeline
    delivery: Delivery
    contact: Contact
    training: RetrainAgent
    fleet: FleetAgent
    follower: HeartbeatFollower
    interactions: InteractionFollower
    fresh: FreshWatch
    progress: RequestProgress
    items: ItemFollower
    outcomes: OutcomeFollower
    new_items: NewItemFollower
    experiment: ExperimentWatch
    ramp: RampAgent
    seeds: SeedAgent
    shadow: Shadow
    traces: Traces
    metrics: Metrics
    transactions: OpenTransactions
    watch: TopicWatch
    losses: Losses
    publishing: PublishingCheck
    access: AccessCheck
