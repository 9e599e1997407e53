import json

from ops.clients.recorded_traffic import Recorded, RecordedEvent
from ops.clients.traffic_replay import Replay
from registry.settings import read_settings
from registry.versions.store import Store
from registry.wire.requests import Request
from registry.wire.responses import Item, Provenance, Response
from registry.wire.training_records.gate_results import DataSnapshot
from tests.unit.registry.builders import a_description, some_arrays


def test_a_request_sees_the_interactions_that_its_answer_had_seen_and_no_later_ones(tmp_path):
    settings = read_settings({"RECSTREAM_ATTRIBUTION_SECONDS": "10"})
    store = Store(str(tmp_path))
    version = store.publish(some_arrays(), a_description()).version
    first, second, *_ = store.open(version).recommend([Request("r", 1, k=7)])[0].items
    ends = {
        int(number): end
        for number, (_, end) in store.manifest(version).data_snapshot.partitions.items()
    }
    number, start = next(iter(ends.items()))

    def watched(offset, at, item):
        record = {"user_id": 1, "item_id": item.item_id, "event": "watch"}
        return RecordedEvent(number, start + offset, at, json.dumps(record).encode())

    def asked(known, at, *shown):
        rule = Provenance("production", "w1", fresh_offsets={str(number): start + known})
        answer = Response(f"r{at}", 1, "ok", rule, items=list(shown), model_version=version)
        return Recorded(Request(f"r{at}", 1, k=1), number, at, answer, at)

    events = [watched(0, 105.0, first), watched(1, 130.0, second)]
    recorded = [
        asked(0, 100.0, first, Item("gone", 1.0)),
        asked(1, 110.0, second),
        asked(2, 140.0, first),
    ]
    found = Replay(settings, store, version, events).run(recorded)

    shown = [single.candidate[0].item_id for single in found]
    assert shown[:2] == [first.item_id, second.item_id]
    assert shown[2] not in (first.item_id, second.item_id)
    assert [list(single.chosen) for single in found] == [[first.item_id], [], []]
    assert all(single.recorded_seconds is not None for single in found)


def test_a_request_that_the_candidate_refuses_has_no_items_and_one_that_saw_less_sees_less(
    tmp_path,
):
    settings = read_settings({})
    store = Store(str(tmp_path))
    ends = {"0": (0, 100), "1": (0, 100)}
    learned = DataSnapshot("s1", "reco.interactions", ends, 100, 5, 7)
    version = store.publish(some_arrays(), a_description(data_snapshot=learned)).version
    first, second, *_ = store.open(version).recommend([Request("r", 1, k=7)])[0].items
    events = [
        RecordedEvent(
            number,
            100,
            1.0,
            json.dumps({"user_id": 1, "item_id": shown.item_id, "event": "watch"}).encode(),
        )
        for number, shown in ((0, first), (1, second))
    ]

    def asked(name, ends, partition=0, **given):
        rule = Provenance("production", "w1", fresh_offsets=ends)
        answer = Response(name, 1, "ok", rule, items=[first], model_version=version)
        return Recorded(Request(name, 1, k=1, **given), partition, 2.0, answer, 2.0)

    recorded = (
        asked("refused", {"0": 100, "1": 100}, exclude={"genre": ["Horror"]}),
        asked("earlier", {"0": 100, "1": 101}),
        asked("later", {"0": 101, "1": 100}),
        asked("elsewhere", {"0": 101, "1": 100}, partition=1),
    )
    found = Replay(settings, store, version, events).run(recorded)

    assert [single.candidate_is_refusal for single in found] == [True, False, False, False]
    assert found[0].candidate == ()
    assert [single.candidate[0].item_id for single in found[1:]] == [
        first.item_id, second.item_id, second.item_id,
    ]  # fmt: skip
