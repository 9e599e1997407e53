import numpy as np

from ops.bench.offline.simulated_tastes import Pool, Tastes, draw_pool, users_to_find


def test_users_convert_more_with_the_version_that_sees_their_taste_better():
    pool = draw_pool(Tastes(errors=(3.0, 0.2)), 300, np.random.default_rng(15))

    assert pool.x[1].sum() > pool.x[0].sum()
    assert (pool.lead > 0).sum() > 2 * (pool.lead < 0).sum()
    assert (pool.x <= pool.y).all()


def test_what_is_looked_for_is_found_by_each_method_or_said_to_take_more_users():
    rng = np.random.default_rng(15)
    ones, none = np.ones(50), np.zeros(50)

    found = users_to_find(Pool(np.array([none, ones]), ones, ones), 5, 600, 0.05, 0.8, rng)
    assert found.interleaving == 7
    assert found.conversion is not None
    assert found.interleaving < found.conversion < 40
    same = users_to_find(Pool(np.array([ones, ones]), ones, none), 5, 600, 0.05, 0.8, rng)
    assert same == (None, None, None)
