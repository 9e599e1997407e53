"""What counts of what users did since a version's snapshot."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from registry.setting_groups.setting_types import SettingGroup


class FreshSettings(SettingGroup):
    """Fresh interactions: who follows which, how many count, and what they may take."""

    fresh: Literal["partition", "all", "off"] = Field(
        "partition",
        alias="RECSTREAM_FRESH",
        description="Which fresh interactions a worker follows: those of its users (`partition`), "
        "those of all users (`all`: where producers of requests and of interactions choose other "
        "partitions for a user; each worker then reads and holds everything), or none (`off`).",
    )
    fresh_items: int = Field(
        200,
        alias="RECSTREAM_FRESH_ITEMS",
        ge=1,
        le=10_000,
        description="Fresh interactions of a user that count for his vector, the newest. All of "
        "them are hidden as seen.",
    )
    fold_in_least: int = Field(
        3,
        alias="RECSTREAM_FOLD_IN_LEAST",
        ge=1,
        le=1000,
        description="Items that a user must have had to do with, of those that a version knows and "
        "that weigh something, before it ranks for a user whom it does not know. Below, popular "
        "items.",
    )
    fresh_wait_seconds: float = Field(
        0.3,
        alias="RECSTREAM_FRESH_WAIT_SECONDS",
        ge=0,
        le=5,
        description="How long a worker that gets partitions may put off its answers until it has "
        "read their users' fresh interactions. Then it answers, and says `catching_up`.",
    )
    fresh_ready_seconds: float = Field(
        30.0,
        alias="RECSTREAM_FRESH_READY_SECONDS",
        ge=0,
        le=3600,
        description="How long a version that a worker has loaded waits, at most, until the worker "
        "has read the fresh interactions that it needs and the versions answering so far did not. "
        "These go on answering meanwhile. Then it answers, and says `catching_up`.",
    )
    fresh_memory_bytes: int = Field(
        256 * 1024 * 1024,
        alias="RECSTREAM_FRESH_MEMORY_BYTES",
        ge=1024 * 1024,
        description="Maximum memory for fresh interactions. Beyond it, the least recently active "
        "users lose the data for their vectors; items that they have seen stay hidden. With new "
        "items, each look at them takes up to as much again for a moment.",
    )
    new_items: Literal["on", "off"] = Field(
        "off",
        alias="RECSTREAM_NEW_ITEMS",
        description="Whether items that a version does not know join its lists once enough of its "
        "users have had to do with them (`on`). Needs RECSTREAM_FRESH, the new-items topic "
        "(`recstream topics create`), and on a secured Kafka the ACLs that `recstream topics acls` "
        "then prints.",
    )
    new_item_least: int = Field(
        10,
        alias="RECSTREAM_NEW_ITEM_LEAST",
        ge=1,
        le=10_000,
        description="Users of a version who must have had to do with a new item before it joins "
        "the version's lists. The worker that owns the control partition decides.",
    )
    new_items_most: int = Field(
        3,
        alias="RECSTREAM_NEW_ITEMS_MOST",
        ge=1,
        le=1000,
        description="Most items of a list that may be new.",
    )
