"""What one real worker's /metrics holds: on which port, for whom, and for how many versions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from harness.client import Client
from harness.fresh import publish_model
from harness.waiting import wait_until
from harness.workers import Page, Worker, fetch_from

from ops.local.ports import free_port
from registry.scoring.kernel_choice import NEVER, KernelUse
from registry.settings import Settings
from registry.versions.store import store_of
from streams.state.metric_series import MOST_LINGERING

Start = Callable[..., Worker]

COMMAND_TOKEN, READ_TOKEN = "command-token-of-this-test", "read-token-of-this-test"
CANARIES, SHADOWS = 50, 30
FEW = 5
"""Series that come late, whatever the versions."""
VERSION = re.compile(r'"(v\d+\.\d+)"')


def test_metrics_on_a_port_of_their_own_need_no_token_and_nothing_else_is_there(
    topics_created: Settings, start_worker: Start
) -> None:
    publish_model(topics_created)
    port = free_port()
    worker = start_worker(
        topics_created,
        variables={
            "RECSTREAM_METRICS_PORT": str(port),
            "RECSTREAM_API_TOKEN": COMMAND_TOKEN,
            "RECSTREAM_READ_TOKEN": READ_TOKEN,
        },
    ).wait_ready()

    alone = fetch_from(port, "/metrics")
    assert alone.status == 200
    assert "rollout_epoch 0.0" in alone.text
    others = ("/", "/healthz", "/rollout/status", "/openapi.json", "/switch?model=v0.1")
    assert {fetch_from(port, path).status for path in others} == {404}
    assert fetch_from(port, "/metrics", "POST").status == 405

    assert worker.fetch("/metrics").status == 401
    shown = {token: _with(worker, token) for token in (READ_TOKEN, COMMAND_TOKEN)}
    assert {page.status for page in shown.values()} == {200}
    assert all("rollout_epoch 0.0" in page.text for page in shown.values())


def _with(worker: Worker, token: str) -> Page:
    return worker.fetch("/metrics", headers={"Authorization": f"Bearer {token}"})


def test_which_kernel_serves_and_how_much_it_reads_is_in_status_metrics_and_manifest(
    topics_created: Settings, start_worker: Start
) -> None:
    version = publish_model(topics_created)
    worker = start_worker(topics_created).wait_ready()

    status = worker.get("/rollout/status")["kernels"]
    line = rf'^model_(tiles_from_requests|share_read){{model_version="{re.escape(version)}"}} (.+)$'
    shown = dict(re.findall(line, worker.fetch("/metrics").text, re.MULTILINE))
    use = KernelUse(float(shown["tiles_from_requests"]), float(shown["share_read"]))
    if use.tiles_from != NEVER:
        use = use._replace(tiles_from=int(use.tiles_from))
    assert status == {version: str(use)}
    manifest = store_of(topics_created).manifest(version)
    assert manifest.share_read is not None
    assert 0 < manifest.share_read <= 1


def test_versions_that_came_and_went_leave_the_metrics(
    client: Client, topics_created: Settings, start_worker: Start, figure: Callable[[str], None]
) -> None:
    """Fifty canaries in turn, then thirty in shadow; each scores at least once."""
    first = publish_model(topics_created)
    worker = start_worker(topics_created).wait_ready()
    versions = [publish_model(topics_created, seed=n) for n in range(1, 1 + CANARIES + SHADOWS)]
    canaries, shadows = versions[:CANARIES], versions[CANARIES:]

    lines = [
        try_out(client, worker, version, by_http=bool(number % 2), strategy="canary")
        for number, version in enumerate(canaries)
    ]
    lines += [
        try_out(client, worker, version, by_http=bool(number % 2), strategy="shadow")
        for number, version in enumerate(shadows)
    ]
    assert client.command(type="abort")["status"] == "applied"

    wait_until(lambda: len(versions_in(worker)) <= MOST_LINGERING + 1, 10, "old versions to go")
    left = versions_in(worker)
    assert first in left
    assert not left & set(versions[: -MOST_LINGERING - 1])
    figure(f"{len(versions)} versions: {max(lines)} series at most, {len(left)} versions left")
    # each strategy has reached its bound when as many have gone as may linger
    assert max(lines[2 * MOST_LINGERING : CANARIES]) <= max(lines[: 2 * MOST_LINGERING]) + FEW
    settled = CANARIES + 2 * MOST_LINGERING
    assert max(lines[settled:]) <= max(lines[CANARIES:settled]) + FEW


def try_out(client: Client, worker: Worker, version: str, *, by_http: bool, strategy: str) -> int:
    """Put `version` on trial until it has scored; return how many series there are then."""
    fields: dict[str, Any] = {"strategy": strategy, "canary_version": version}
    fields |= (
        {"canary_percentage": 50} if strategy == "canary" else {"shadow_sample_percentage": 100}
    )
    if by_http:
        page = worker.fetch("/rollout/update", "POST", fields)
        assert page.status == 200, page.text
    else:
        assert client.command(type="rollout", **fields)["status"] == "applied"
    scored = "recommend_scoring_seconds" if strategy == "canary" else "shadow_scoring_seconds"
    count = re.compile(rf'^{scored}_count{{model_version="{re.escape(version)}"}}', re.MULTILINE)

    def has_scored() -> bool:
        ask(client, range(1, 51, 7))
        return bool(count.search(worker.fetch("/metrics").text))

    wait_until(has_scored, 15, f"{version} to score")
    return len(series(worker))


def ask(client: Client, users: Sequence[int]) -> None:
    number = len(client.answers)
    ids = [f"r{number}-{user}" for user in users]
    client.send(
        {"request_id": request_id, "user_id": user}
        for request_id, user in zip(ids, users, strict=True)
    )
    client.wait_for(ids)


def series(worker: Worker) -> list[str]:
    lines = worker.fetch("/metrics").text.splitlines()
    return [line for line in lines if not line.startswith("#")]


def versions_in(worker: Worker) -> set[str]:
    return {version for line in series(worker) for version in VERSION.findall(line)}
