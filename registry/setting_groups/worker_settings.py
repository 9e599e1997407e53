"""The settings of one worker: its name, its pages, its timeouts and its limits."""

from __future__ import annotations

from pydantic import Field, SecretStr

from registry.setting_groups.setting_types import Name, Secret, SettingGroup


class WorkerSettings(SettingGroup):
    """A worker's name, pages, patience and limits."""

    worker: Name | None = Field(
        None,
        alias="RECSTREAM_WORKER",
        description="This worker's name; unset: host name and process id.",
    )
    api_token: Secret = Field(
        SecretStr(""),
        alias="RECSTREAM_API_TOKEN",
        description="Token for commands over HTTP, and for reading; unset: commands are accepted "
        "from this machine only. A proxy on this machine makes every caller local: set a token "
        "there.",
    )
    read_token: Secret = Field(
        SecretStr(""),
        alias="RECSTREAM_READ_TOKEN",
        description="Token for reading the pages only; unset: whoever reaches the port may read. "
        "Needs RECSTREAM_API_TOKEN as well.",
    )
    http_host: str = Field(
        "127.0.0.1", alias="RECSTREAM_HTTP_HOST", description="Address that the pages listen on."
    )
    http_port: int = Field(
        6066,
        alias="RECSTREAM_HTTP_PORT",
        ge=0,
        le=65535,
        description="Their port; 0: any free one.",
    )
    metrics_host: str | None = Field(
        None,
        alias="RECSTREAM_METRICS_HOST",
        min_length=1,
        description="Address for RECSTREAM_METRICS_PORT; unset: RECSTREAM_HTTP_HOST.",
    )
    metrics_port: int | None = Field(
        None,
        alias="RECSTREAM_METRICS_PORT",
        ge=0,
        le=65535,
        description="Another port with `/metrics` and nothing else, which needs no token; unset: "
        "`/metrics` is among the pages only.",
    )
    lease_seconds: float = Field(
        20,
        alias="RECSTREAM_LEASE_SECONDS",
        ge=1,
        description="A worker that has not heard from the rollout table for this long reports it. "
        "Clocks must agree to within less than this.",
    )
    session_timeout: float = Field(
        10,
        alias="RECSTREAM_SESSION_TIMEOUT",
        ge=6,
        description="Seconds after which Kafka gives a silent worker's partitions to others.",
    )
    outage_seconds: float = Field(
        900,
        alias="RECSTREAM_OUTAGE_SECONDS",
        ge=10,
        description="How long a worker waits for an unreachable Kafka, at its start and later. "
        "After so many seconds without contact, `/healthz` is 503.",
    )
    max_request_bytes: int = Field(
        65_536,
        alias="RECSTREAM_MAX_REQUEST_BYTES",
        ge=100,
        description="Larger requests are dead-lettered.",
    )
    batch_requests: int = Field(
        1_000,
        alias="RECSTREAM_BATCH_REQUESTS",
        ge=1,
        description="Maximum number of requests in a batch. Larger: more throughput, but later "
        "answers under load.",
    )
    in_flight_requests: int = Field(
        4_000,
        alias="RECSTREAM_IN_FLIGHT_REQUESTS",
        ge=1,
        description="Requests in flight at which reading a partition pauses (back-pressure).",
    )
    scoring_threads: int = Field(
        1, alias="RECSTREAM_SCORING_THREADS", ge=1, description="Threads of one scoring call."
    )
