"""Answers are the slow twin's, whatever users do, undo and forget before and after a snapshot."""

from __future__ import annotations

import random

import numpy as np
import pytest
from harness.slow_twin import Done, SlowTwin
from msgspec import structs

from registry.fresh.event_columns import EventBatch
from registry.fresh.event_log import EventLog
from registry.fresh.fresh_sight import FreshRange, FreshSight
from registry.scoring.model_arrays import ModelArrays
from registry.settings import read_settings
from registry.versions.model import Model
from registry.wire.requests import Request, SessionItem
from registry.wire.training_records.event_weights import (
    kinds_weighed,
    parse_event_weights,
    undo_targets,
)
from registry.wire.training_records.interactions import Interaction
from streams.serving.fresh_answers import recommend_seeing
from tests.unit.registry.builders import a_manifest, a_request
from tests.unit.training.builders import parameters, rows_of
from training.data.cell_weights import weights
from training.data.cells_from_rows import gather
from training.data.cells_to_keep import cells_to_keep
from training.data.matrix import csr

USERS, ITEMS, EVENTS, NEWEST = 14, 12, 400, 10
WEIGHTS = parse_event_weights(
    "watch=1,rate=1:floor=2,like=2,unlike=undo:like,unrate=undo:rate,unwatch=undo:watch"
)
PARAMETERS = parameters(event_weights=WEIGHTS, half_life_days=0.001, alpha=2.0)


def some_events(draw: random.Random) -> list[Interaction]:
    """Return events in an order of no time; one in fifty is a `forget`."""
    return [
        Interaction(user_id=draw.randint(1, USERS), event="forget", timestamp=draw.randint(0, 60))
        if draw.random() < 0.02
        else Interaction(
            user_id=draw.randint(1, USERS),
            item_id=draw.randint(1, ITEMS),
            event=draw.choice([*WEIGHTS, "watch", "rate", "like"]),
            value=draw.randint(1, 5),
            timestamp=draw.randint(0, 60),
        )
        for _ in range(EVENTS)
    ]


def model_of(events: list[Interaction], seed: int) -> Model:
    """Return a version that learned from these, of random factors."""
    rows, draw = rows_of(events), np.random.default_rng(seed)
    kinds, undoes = kinds_weighed(WEIGHTS), undo_targets(WEIGHTS)
    cells = gather(lambda _columns: [(0, rows)], kinds, undoes).cells
    (users, items), taught = cells.shape, cells.user[weights(cells, PARAMETERS) > 0]
    user_factors = draw.normal(size=(users, 4)).astype(np.float32)
    user_factors[np.setdiff1d(np.arange(users), taught)] = 0
    seen = csr(cells, np.ones(len(cells.item), np.bool_))
    arrays = ModelArrays(
        user_factors=user_factors,
        item_factors=draw.normal(size=(items, 4)).astype(np.float32),
        user_ids=list(cells.user_ids),
        item_ids=list(cells.item_ids),
        seen_indptr=seen.indptr,
        seen_items=seen.indices,
        popularity=draw.permutation(items) + 1.0,
        titles=[None] * items,
        learned=cells_to_keep(cells, PARAMETERS),
    )
    manifest = a_manifest(parameters=PARAMETERS)
    ends = structs.replace(manifest.data_snapshot, partitions={"0": (0, len(events))})
    return Model(structs.replace(manifest, data_snapshot=ends), arrays)


@pytest.mark.parametrize("seed", range(4))
def test_each_users_answer_is_what_the_slow_twin_makes_of_log_and_version(seed: int) -> None:
    draw = random.Random(seed)
    events, learned = some_events(draw), draw.randint(100, 300)
    model = model_of(events[:learned], seed)
    log, done = EventLog(), {user: list[Done]() for user in range(1, USERS + 2)}
    log.begin({0: 0})
    for offset, event in enumerate(events):
        value, at = 1.0 if event.value is None else event.value, event.timestamp or 0.0
        user, item, kind = event.user_id, event.item_id, event.event
        log.take(0, EventBatch([offset], [user], [item], [kind], [value], [at]), offset + 1)
        assert isinstance(user, int)
        assert isinstance(item, int | None)
        done[user].append(Done(0, offset, item, kind, value, at))
    range_of = FreshRange.of({"0": (0, learned)}, WEIGHTS, model.row_of)
    sight = FreshSight(log.frozen, {model.version: range_of}, {0: (0,)}, most=NEWEST)
    settings = read_settings(
        {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "RECSTREAM_FRESH_ITEMS": str(NEWEST)}
    )
    twin = SlowTwin(model, settings)

    for user, own in done.items():
        session = [draw.randint(1, ITEMS) for _ in range(draw.randint(1, 3))]
        items = [SessionItem(item) for item in session]
        requests = [
            a_request(user, k=ITEMS),
            a_request(user, k=ITEMS, explain=True),
            a_request(user, k=ITEMS, items=items, explain=True),
            Request("r", None, ITEMS, items=items, explain=True),
        ]
        for request, found in zip(requests, recommend_seeing(model, requests, sight), strict=True):
            expected = twin.answer(
                own if request.user_id else [],
                {"0": len(events)},
                ITEMS,
                user=user if request.user_id else None,
                session=session if request.items else (),
                explain=request.explain,
            )

            assert found.source == expected.source, request
            scores = {item.item_id: item.score for item in found.items}
            assert scores == pytest.approx(
                {item: expected.score_of[item] for item in expected.ranked}, abs=1e-4
            ), request
            for item in found.items:
                shares = expected.shares.get(int(item.item_id), {})
                best = sorted((share for share in shares.values() if share > 0), reverse=True)[:3]
                assert [part.contribution for part in item.because] == pytest.approx(best, abs=1e-4)
