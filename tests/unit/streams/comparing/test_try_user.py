"""Trying a user: what each version would answer him, his own items, and why."""

from __future__ import annotations

from typing import Any

import pytest
from harness.builders import an_answering, some_rules

from streams.comparing.try_user import (
    BECAUSE_SHOWN,
    SideBySide,
    VersionAnswer,
    answer_side_by_side,
)
from tests.unit.registry.builders import a_state
from tests.unit.streams.serving.test_fresh_answers import ITEMS, KNOWN, NEW, Log, a_model

OLD, LATEST = a_model("v0.1"), a_model("v0.2")
BARE = a_model("v0.3", learned=False)
MODELS = {model.version: model for model in (OLD, LATEST, BARE)}


def tried(user: Any, log: Log | None = None, partition: int | None = 0, k: int = 3) -> SideBySide:
    acting = a_state(strategy="canary", canary_version="v0.1", primary_version="v0.2")
    using = an_answering(
        MODELS, some_rules(acting, MODELS), sight=log.sight() if log is not None else None
    )
    return answer_side_by_side(user, k, using, partition)


def of(found: SideBySide, version: str) -> VersionAnswer:
    (answer,) = [answer for answer in found.versions if answer.version == version]
    return answer


@pytest.fixture
def log() -> Log:
    return Log(*MODELS.values(), learned_up_to={"v0.1": 2})


def test_every_version_in_memory_answers_the_primary_first(log: Log) -> None:
    found = tried(KNOWN, log)
    shown = [(answer.version, answer.role) for answer in found.versions]
    assert shown == [("v0.2", "primary"), ("v0.1", "canary"), ("v0.3", "")]
    assert (found.assigned_version, found.variant) == ("v0.2", "primary")
    assert all(len(answer.items) == 3 for answer in found.versions)


def test_a_users_own_items_are_what_is_hidden_from_him(log: Log) -> None:
    for answer in tried(KNOWN, log, k=7).versions:
        shown = {item.item_id for item in answer.items}
        owned = {own.item_id for own in answer.own}
        assert shown | owned == set(ITEMS)
        assert not shown & owned


def test_an_event_is_fresh_for_the_versions_that_ended_before_it(log: Log) -> None:
    log.did(NEW, *ITEMS[:3])
    found = tried(NEW, log)
    latest, old = of(found, "v0.2"), of(found, "v0.1")
    assert {own.item_id for own in latest.own if own.fresh} == set(ITEMS[:3])
    assert (latest.source, latest.own_fresh, latest.known) == ("fold_in", 3, False)
    assert [own.item_id for own in old.own] == [ITEMS[2]]
    assert (old.source, old.own_total) == ("popular", 1)


def test_what_a_known_user_did_lately_comes_first(log: Log) -> None:
    before = of(tried(KNOWN, log), "v0.2").own
    new = next(item for item in ITEMS if item not in {own.item_id for own in before})
    log.did(NEW, *ITEMS[:2])
    log.did(KNOWN, new)
    answer = of(tried(KNOWN, log), "v0.2")
    assert (answer.own[0].item_id, answer.own[0].fresh) == (new, True)
    assert (answer.source, answer.own_fresh) == ("recomputed", 1)
    assert answer.own_total == len(before) + 1


def test_the_items_that_contribute_add_up_to_the_score_of_the_first(log: Log) -> None:
    log.did(NEW, "film-1", "film-2", "film-3", "film-1")
    answer = of(tried(NEW, log), "v0.2")
    assert len(answer.because) == BECAUSE_SHOWN
    scores = [part.score for part in answer.because]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(answer.items[0].score, rel=1e-4)


def test_nothing_explains_popularity(log: Log) -> None:
    assert of(tried(NEW, log), "v0.2").because == ()


def test_after_a_forget_nothing_is_left_of_a_user(log: Log) -> None:
    log.did(KNOWN, *ITEMS[:3])
    log.did(KNOWN, ITEMS[0], event="forget")
    for answer in tried(KNOWN, log).versions:
        assert (answer.forgotten, answer.source, answer.own) == (True, "popular", ())


def test_a_version_that_cannot_merge_shows_seen_items_without_weights(log: Log) -> None:
    answer = of(tried(KNOWN, log), "v0.3")
    assert answer.own
    assert all(own.weight is None and own.at is None for own in answer.own)
    assert answer.because == ()


def test_an_id_of_the_other_type_is_told(log: Log) -> None:
    assert of(tried(str(KNOWN), log), "v0.2").other_type
    assert not of(tried(KNOWN, log), "v0.2").other_type


@pytest.mark.parametrize(
    ("partition", "fresh"), [(0, "followed"), (1, "unknown"), (None, "unknown")]
)
def test_a_partition_of_another_worker_is_not_followed_here(
    partition: int | None, fresh: str, log: Log
) -> None:
    assert of(tried(KNOWN, log, partition), "v0.2").fresh == fresh


def test_without_a_sight_only_what_was_learned_counts() -> None:
    found = tried(KNOWN)
    assert found.fold_in_least is None
    assert {answer.fresh for answer in found.versions} == {None}
    assert all(not own.fresh for answer in found.versions for own in answer.own)
    assert of(found, "v0.2").source == "model"


def test_without_a_version_there_is_no_answer() -> None:
    found = answer_side_by_side(KNOWN, 3, an_answering({}, None), None)
    assert (found.versions, found.assigned_version) == ((), None)
