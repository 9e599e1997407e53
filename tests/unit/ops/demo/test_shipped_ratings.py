from itertools import islice

from ops.demo.demo_fleet import RATINGS
from ops.demo.shipped_ratings import HELD_BACK, learned_ratings, tastes
from ops.ingest.interaction_files import BadLine, read_interactions
from registry.wire.codec import decode
from registry.wire.training_records.interactions import Interaction


def test_each_rating_is_either_learned_from_or_a_taste_of_its_viewer() -> None:
    shipped = list(islice(read_interactions(RATINGS), 50 * HELD_BACK))
    learned = islice(learned_ratings(), 50 * (HELD_BACK - 1))
    known = {(user, decode(Interaction, record).item_id) for user, record in learned}
    liked = tastes()
    for rating in shipped:
        assert not isinstance(rating, BadLine)
        held_back = liked[rating.user_id].get(rating.item_id)
        assert (held_back is None) == ((rating.user_id, rating.item_id) in known)
        assert held_back in (None, rating.value)
