"""Raising a percentage moves users only from the primary to the canary: 10,000 through Kafka."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from harness.client import Client
from harness.fresh import publish_model
from harness.waiting import wait_until
from harness.workers import Worker

from registry.settings import Settings

Start = Callable[..., Worker]
USERS = range(1, 10_001)
PERCENTAGES = (5, 20, 60)


@pytest.fixture
def asking(client: Client, topics_created: Settings, start_worker: Start) -> Client:
    """The client, once two workers serve a primary version and another one lies ready."""
    for seed in (0, 1):
        publish_model(topics_created, users=len(USERS), seed=seed)
    seeded = topics_created.model_copy(update={"model_version": "v0.1"})
    for worker in [start_worker(seeded) for _ in range(2)]:
        worker.wait_ready()
    return client


def canary_users(client: Client, percentage: float, **rollout: Any) -> set[int]:
    """Command the canary, ask for every user, and return those whom it answered."""
    result = client.command(
        type="rollout",
        strategy="canary",
        canary_version="v0.2",
        canary_percentage=percentage,
        **rollout,
    )
    assert result["status"] == "applied", result
    epoch = result["epoch"]
    wait_until(
        lambda: (
            [
                (heartbeat.epoch or -1) >= epoch and "v0.2" in heartbeat.ready
                for heartbeat in client.fleet.values()
            ]
            == [True, True]
        ),
        15,
        "both workers to act on the command",
    )
    user_by_id = {f"{epoch}-{user}": user for user in USERS}
    client.send(
        {"request_id": request_id, "user_id": user, "k": 1}
        for request_id, user in user_by_id.items()
    )
    answers = [several[0] for several in client.wait_for(user_by_id, 60).values()]
    assert {answer["provenance"]["rollout_epoch"] for answer in answers} == {epoch}
    assert {(answer["variant"], answer["model_version"]) for answer in answers} == {
        ("canary", "v0.2"),
        ("primary", "v0.1"),
    }
    return {answer["user_id"] for answer in answers if answer["variant"] == "canary"}


def within_three_sigma(users: set[int], percentage: float) -> bool:
    share = percentage / 100
    sigma = math.sqrt(len(USERS) * share * (1 - share))
    return abs(len(users) - len(USERS) * share) <= 3 * sigma


def test_a_raised_percentage_moves_users_only_from_the_primary_to_the_canary(
    asking: Client,
) -> None:
    by_modulo = [canary_users(asking, percentage, bucketing="modulo") for percentage in PERCENTAGES]
    by_hash = [canary_users(asking, percentage, bucketing="hash") for percentage in PERCENTAGES]
    for smaller, larger in (*pairwise(by_modulo), *pairwise(by_hash)):
        assert smaller < larger
    assert by_modulo == [
        {user for user in USERS if user % 100 < percentage} for percentage in PERCENTAGES
    ]
    for percentage, users in zip(PERCENTAGES, by_hash, strict=True):
        assert within_three_sigma(users, percentage), (percentage, len(users))
    salted = canary_users(asking, 60, salt="another experiment")
    assert within_three_sigma(salted, 60)
    assert not by_hash[0] < salted  # the negative control: other buckets, other users
