"""Shadow: the candidate scores what users asked for, and no user can tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from typing import Any

from harness.client import Client
from harness.fresh import publish_model
from harness.waiting import wait_until
from harness.workers import Worker
from msgspec import structs
from prometheus_client.parser import text_string_to_metric_families

from registry.catalogue.item_keys import key_of
from registry.guardrails.overlap import Compared, compare
from registry.kafka.topic_reader import messages, reading
from registry.kafka.topics import topics_of
from registry.rollout.assignment import is_shadowed
from registry.settings import Settings
from registry.versions.store import Store
from registry.wire.codec import decode, encode
from registry.wire.requests import Request
from registry.wire.rollout_state import RolloutState
from registry.wire.shadow_comparisons import ShadowComparison
from registry.wire.training_records.catalogue_items import CatalogueItem

Start = Callable[..., Worker]
OF_THE_ANSWER = ("status", "items", "model_version", "variant", "source", "fallback_reason")
KNOWN, UNKNOWN = range(1, 51), range(900, 910)
BACKLOG = 4_000


def comparisons(settings: Settings, count: int) -> list[tuple[bytes | None, ShadowComparison]]:
    """Return the first `count` comparisons on the shadow topic, with their keys, or fewer."""
    with reading(settings, topics_of(settings).shadow, last=count) as consumer:
        first = islice(messages(consumer, 15), count)
        return [(message.key(), decode(ShadowComparison, message.value())) for message in first]


def ask(client: Client, prefix: str, requests: list[Request]) -> list[dict[str, Any]]:
    """Ask all, each under an id that begins with `prefix`; return the answers in order."""
    named = {f"{prefix}-{number}": request for number, request in enumerate(requests)}
    client.send(
        Request(name, request.user_id, request.k, request.exclude_seen, request.exclude_items)
        for name, request in named.items()
    )
    answers = client.wait_for(named)
    return [answers[name][0] for name in named]


def put_in_shadow(client: Client, worker: Worker, **given: Any) -> tuple[list[str], int]:
    """Swap one version in, put another in its shadow; return both, and the epoch acted on."""
    versions = [publish_model(client.settings, seed=seed) for seed in (0, 1)]
    worker.wait_ready()
    assert client.command(type="swap", model_version=versions[0])["status"] == "applied"
    return versions, change(client, worker, canary_version=versions[1], **given)


def change(client: Client, worker: Worker, **fields: Any) -> int:
    """Change the rollout, and return its epoch once the worker acts on it with all it names."""
    result = client.command(type="rollout", **fields)
    assert result["status"] == "applied", result
    epoch, canary = result["epoch"], result["after"]["canary_version"]

    def acted_on() -> bool:
        is_ready = sample(worker, "model_version_info", version=canary) == 1
        return is_ready and sample(worker, "rollout_epoch") == epoch

    wait_until(acted_on, 60, f"epoch {epoch}")
    return int(epoch)


def sample(worker: Worker, name: str, **labels: str) -> float:
    """Return the sum of the metric's samples that have `labels`."""
    families = text_string_to_metric_families(worker.fetch("/metrics").text)
    return sum(
        found.value
        for family in families
        for found in family.samples
        if found.name == name and labels.items() <= found.labels.items()
    )


def test_shadow_at_100_percent_changes_no_answer(client: Client, start_worker: Start) -> None:
    worker = start_worker(client.settings)
    (primary, canary), _ = put_in_shadow(client, worker, strategy="fixed")
    requests = [
        *(Request("", user, k=1 + user % 20) for user in (*KNOWN, *UNKNOWN)),
        *(Request("", user, exclude_seen=False, exclude_items=[1, 2]) for user in KNOWN),
    ]
    before = ask(client, "fixed", requests)
    epoch = change(client, worker, strategy="shadow", shadow_sample_percentage=100)
    during = ask(client, "shadow", requests)
    assert [kept(answer) for answer in during] == [kept(answer) for answer in before]
    assert {answer["model_version"] for answer in during} == {primary}

    found = comparisons(client.settings, len(requests))
    assert len(found) == len(requests)
    assert {comparison.request_id for _, comparison in found} == {
        answer["request_id"] for answer in during
    }
    assert all(key == str(comparison.user_id).encode() for key, comparison in found)
    assert {(comparison.primary_version, comparison.canary_version) for _, comparison in found} == {
        (primary, canary)
    }
    assert {(comparison.rollout_epoch, comparison.worker) for _, comparison in found} == {
        (epoch, worker.name)
    }
    expected = compared_here(client.settings, primary, canary, requests)
    for _, comparison in found:
        number = int(comparison.request_id.rpartition("-")[2])
        agreement = (comparison.overlap, comparison.rank_biased_overlap, comparison.score_shift)
        assert agreement == expected[number], comparison
    labels = {"primary_version": primary, "canary_version": canary}
    compared = partial(sample, worker, "shadow_comparisons_total", **labels)
    wait_until(lambda: compared() == len(requests), 60, "the worker to have booked all")
    assert sample(worker, "shadow_overlap_count", **labels) == len(requests)
    assert sample(worker, "shadow_dropped_total") == 0
    assert sample(worker, "shadow_failures_total") == 0


def test_a_withdrawn_item_is_in_no_list_of_the_shadow_and_of_either_arm(
    client: Client, start_worker: Start
) -> None:
    worker = start_worker(client.settings)
    versions, _ = put_in_shadow(client, worker, strategy="shadow", shadow_sample_percentage=100)
    gone = [7, 8, 9, 10]
    for item in gone:
        record = encode(CatalogueItem(item, withdrawn=True))
        client.produce(client.topics.items, record, key_of(item))
    wait_until(
        lambda: sample(worker, "catalogue_withdrawn_items") == len(gone), 60, "the withdrawals"
    )
    requests = [Request("", user, k=20, exclude_seen=False) for user in KNOWN]
    without = [structs.replace(request, exclude_items=gone) for request in requests]
    ask(client, "shadow", requests)
    found = comparisons(client.settings, len(requests))
    assert len(found) == len(requests)
    expected = compared_here(client.settings, *versions, without)
    for _, seen in found:
        agreement = (seen.overlap, seen.rank_biased_overlap, seen.score_shift)
        assert agreement == expected[int(seen.request_id.rpartition("-")[2])], seen

    change(client, worker, strategy="ab_test", canary_version=versions[1])
    answers = ask(client, "ab", requests)
    assert {answer["model_version"] for answer in answers} == set(versions)
    store = Store(client.settings.model_registry)
    lists = {name: store.open(name).recommend(without) for name in versions}
    for number, answer in enumerate(answers):
        wanted = [item.item_id for item in lists[answer["model_version"]][number].items]
        assert [item["item_id"] for item in answer["items"]] == wanted


def test_only_the_sampled_users_are_put_in_shadow(client: Client, start_worker: Start) -> None:
    worker = start_worker(client.settings)
    (primary, canary), epoch = put_in_shadow(
        client, worker, strategy="shadow", shadow_sample_percentage=30
    )
    state = RolloutState(
        "production", epoch, "shadow", primary, canary, shadow_sample_percentage=30.0
    )
    sampled = {user for user in KNOWN if is_shadowed(user, state)}
    assert 0 < len(sampled) < len(KNOWN)
    ask(client, "r", [Request("", user) for user in KNOWN])
    found = comparisons(client.settings, len(sampled))
    assert {comparison.user_id for _, comparison in found} == sampled
    compared = partial(sample, worker, "shadow_comparisons_total")
    wait_until(lambda: compared() == len(sampled), 60, "the worker to have booked all")


def test_under_overload_comparisons_are_shed_and_answers_are_not(
    client: Client, start_worker: Start
) -> None:
    worker = start_worker(client.settings, variables={"RECSTREAM_SHADOW_QUEUE": "10"})
    put_in_shadow(client, worker, strategy="shadow")
    answers = ask(client, "r", [Request("", 1 + number % 50) for number in range(BACKLOG)])
    assert {answer["status"] for answer in answers} == {"ok"}

    def accounted_for() -> bool:
        compared = sample(worker, "shadow_comparisons_total")
        return compared + sample(worker, "shadow_dropped_total", reason="queue_full") == BACKLOG

    wait_until(accounted_for, 60, "each answer to be compared or counted as dropped")
    assert sample(worker, "shadow_dropped_total", reason="queue_full") > BACKLOG / 2


def kept(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: answer.get(name) for name in OF_THE_ANSWER}


def compared_here(
    settings: Settings, primary: str, canary: str, requests: list[Request]
) -> list[Compared]:
    """Return what the comparisons must say, by both versions' own answers."""
    store = Store(settings.model_registry)
    given, tried = (store.open(version).recommend(requests) for version in (primary, canary))
    return [compare(mine.items, other.items) for mine, other in zip(given, tried, strict=True)]
