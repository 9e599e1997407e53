"""``bench train`` learns from the same made-up interactions each time."""

from __future__ import annotations

from ops.bench.rig.made_up_interactions import CHUNK, MadeUpSizes, pairs, records
from registry.wire.codec import decode
from registry.wire.training_records.interactions import Interaction


def test_the_same_size_gives_the_same_interactions_and_each_can_be_used() -> None:
    sizes = MadeUpSizes(500)
    first, other = list(records(sizes)), list(records(sizes))
    events = [decode(Interaction, payload) for _, payload in first]

    assert first == other
    assert [event.user_id for event in events] == [user for user, _ in first]
    assert [event.timestamp for event in events] == list(range(1, 501))


def test_ids_stay_below_what_the_size_says() -> None:
    sizes = MadeUpSizes(2000)
    ((user, item),) = pairs(sizes)

    assert CHUNK > 2000
    assert user.max() < sizes.users
    assert item.max() < sizes.items
