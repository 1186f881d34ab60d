import chex
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.data import Comparisons, Rankings, Vocabulary, connectivity, ghost, largest_component

NAMES = Vocabulary(("p", "q", "r", "s", "t", "u"))


def comparisons(*battles, **columns):
    """From triples: winner, loser, outcome."""
    a, b, outcome = zip(*battles, strict=True)
    return Comparisons.from_arrays(a, b, outcome, **columns)


CYCLE = ((0, 1, 1.0), (1, 2, 1.0), (2, 0, 1.0))
ONE_WAY = (*CYCLE, (0, 3, 1.0), (3, 4, 0.5))


def reachable(data, k):
    """By definition: who beat whom, directly or through others."""
    beats = np.eye(k, dtype=bool)
    for a, b, y in zip(data.a.tolist(), data.b.tolist(), data.outcome.tolist(), strict=True):
        beats[a, b] |= y > 0
        beats[b, a] |= y < 1
    for _ in range(k):
        beats = (beats.astype(int) @ beats.astype(int)) > 0
    return beats


def as_rankings(data):
    """Each decided comparison as a ranking of two."""
    orders = [(a, b) if y == 1 else (b, a) for a, b, y in zip(data.a, data.b, data.outcome, strict=True)]
    return Rankings.from_orders([[int(i) for i in order] for order in orders])


@pytest.mark.parametrize("seed", range(6))
def test_components_by_definition(seed):
    generator = np.random.default_rng(seed)
    a = generator.integers(0, 12, 14)
    data = Comparisons.from_arrays(a, (a + generator.integers(1, 12, 14)) % 12, generator.integers(0, 2, 14))
    report = connectivity(data, 12)
    reach = reachable(data, 12)
    same = report.component[:, None] == report.component[None, :]
    np.testing.assert_array_equal(same, reach & reach.T)
    # An item reaches only its own component and later ones.
    assert (report.component[:, None] <= report.component[None, :])[reach].all()
    assert report.n_components == len(set(report.component.tolist()))
    together = reachable(comparisons(*zip(a, np.asarray(data.b), [0.5] * 14, strict=True)), 12)
    np.testing.assert_array_equal(report.island[:, None] == report.island[None, :], together)
    for other in (data.table(12), as_rankings(data), data.aggregate(), data.pad(20)):
        chex.assert_trees_all_equal(vars(connectivity(other, 12)), vars(report))


def test_what_the_report_says():
    report = connectivity(comparisons(*ONE_WAY), 6)
    assert (report.strong, report.weak, report.n_components) == (False, False, 3)
    assert report.never_compared == (5,)
    assert report.always_win == report.always_lose == ()
    assert report.component[:3].tolist() == [report.component[0]] * 3
    assert report.component[3] == report.component[4] > report.component[0]
    np.testing.assert_array_equal(report.wins, [2, 1, 1, 0, 0, 0])
    np.testing.assert_array_equal(report.losses, [1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(report.ties, [0, 0, 0, 1, 1, 0])


SENTENCES = {
    "fine": (CYCLE, 3, "all 3 items are linked by wins in both directions: finite ratings exist."),
    "champion": (((0, 1, 1.0), (0, 2, 1.0), (1, 2, 0.5)), 3, "'p' won all of its 2 comparisons."),
    "last": ((*CYCLE, (0, 3, 1.0)), 4, "'s' lost all of its 1 comparison."),
    "both": (((0, 1, 1.0),), 2, "'p' won all of its 1 comparison; 'q' lost all of its 1 comparison."),
    "never": (CYCLE, 4, "'s' was never compared."),
    "nobody": (CYCLE, 6, "'s', 't', 'u' were never compared."),
    "islands": (
        ((0, 1, 0.5), (2, 3, 0.5)),
        4,
        "the items fall into 2 groups that never met ('p', 'q' | 'r', 's').",
    ),
    "one way": (ONE_WAY, 5, "'p', 'q', 'r' never lost to the other 2 items, nor tied."),
}


@pytest.mark.parametrize(("battles", "k", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_sentences(battles, k, sentence):
    report = connectivity(comparisons(*battles), k)
    assert sentence in report.describe(NAMES)
    if report.strong:
        report.check(NAMES)
    else:
        with pytest.raises(ValueError, match="no finite maximum-likelihood ratings"):
            report.check(NAMES)


def test_rows_without_weight_do_not_count():
    data = comparisons(*CYCLE).reweight(jnp.array([1.0, 1.0, 0.0]))
    assert connectivity(data, 3).always_win == (0,)


def test_soft_labels_go_both_ways():
    report = connectivity(comparisons((0, 1, 0.9)), 2)
    assert report.strong
    np.testing.assert_allclose(report.wins, [0.9, 0.1], rtol=1e-6)


def test_a_tie_links_both_ways_and_is_neither_won_nor_lost():
    report = connectivity(Rankings.from_orders([[(0, 1, 2), 3], [3, (1, 2)]]), 4)
    assert report.component.tolist() == [0, 0, 0, 0]
    assert report.wins.tolist() == [1, 1, 1, 2]
    assert report.losses.tolist() == [0, 1, 1, 3]
    assert report.ties.tolist() == [2, 3, 3, 0]
    assert not connectivity(Rankings.from_orders([[(0, 1), (2, 3)]]), 4).strong


def test_ties_stay_in_the_largest_component_and_beside_ghosts():
    rankings = Rankings.from_orders([[5, (0, 1)], [(1, 0), 2], [3, 2]])
    kept, names = largest_component(rankings, NAMES)
    assert len(names) == 2
    chex.assert_trees_all_equal(kept, Rankings.from_orders([[(0, 1)], [(1, 0)]]))
    haunted = ghost(rankings, 6)
    assert connectivity(haunted, 6).strong
    assert haunted.tie_level is not None
    assert (haunted.tie_level[3:, :2] == jnp.arange(2)[None]).all()


def test_rankings_count_those_below_and_those_not_listed():
    top = Rankings.from_orders([[0, 1], [1, 2, 0]], unlisted="last", n_items=4)
    report = connectivity(top, 4)
    np.testing.assert_array_equal(report.wins, [3 + 1, 2 + 3, 2, 0])
    np.testing.assert_array_equal(report.losses, [2, 1, 2 + 1, 2 + 3])
    assert report.always_lose == (3,)
    # 0 beats 1 beats 2 beats 0; all of them beat 3.
    assert report.component.tolist() == [0, 0, 0, 1]


def test_ids_beyond_n_items():
    for data in (comparisons(*CYCLE), Rankings.from_orders([[0, 2]])):
        with pytest.raises(ValueError, match="n_items is too small"):
            connectivity(data, 2)
    with pytest.raises(ValueError, match="the table is of 3 items, n_items is 2"):
        connectivity(comparisons(*CYCLE).table(3), 2)


def test_largest_component_is_connected_and_keeps_its_battles():
    battles = (*ONE_WAY, (5, 0, 1.0))
    data = comparisons(*battles, cluster=np.arange(len(battles)))
    kept, names = largest_component(data, NAMES)
    assert names.names == ("p", "q", "r")
    assert connectivity(kept, 3).strong
    assert kept.cluster is not None
    assert kept.cluster.tolist() == [0, 1, 2]
    table, same = largest_component(data.table(6), NAMES)
    chex.assert_trees_all_equal(table, kept.table(3))
    assert same == names


def test_largest_component_of_rankings():
    # 5 only wins, 3 and 4 only lose to the cycle of 0, 1, 2; the last ranking has nobody left to beat.
    rankings = Rankings.from_orders([[5, 0, 1], [1, 2, 3], [2, 0, 4], [5, 1, 4]], cluster=[3, 1, 4, 1])
    kept, names = largest_component(rankings, NAMES)
    assert names.names == ("p", "q", "r")
    expected = Rankings.from_orders([[0, 1], [1, 2], [2, 0]], cluster=[3, 1, 4])
    chex.assert_trees_all_equal(kept, expected)
    top, _ = largest_component(Rankings.from_orders([[5, 0], [5, 0, 1], [5, 1, 0]], unlisted="last", n_items=6), NAMES)
    chex.assert_trees_all_equal(top, Rankings.from_orders([[0], [0, 1], [1, 0]], unlisted="last", n_items=2))


def test_no_component_to_keep():
    with pytest.raises(ValueError, match="nothing can be rated"):
        largest_component(comparisons((0, 1, 1.0)), Vocabulary(("p", "q")))


@pytest.mark.parametrize("form", ["comparisons", "table", "rankings"])
def test_ghost_connects_and_adds_what_it_says(form):
    battles = (*CYCLE, (0, 3, 1.0))
    data = comparisons(*battles, cluster=[0, 0, 1, 1])
    data = {"comparisons": data, "table": data.table(5), "rankings": as_rankings(data)}[form]
    before, after = connectivity(data, 5), connectivity(ghost(data, 5, 0.5), 5)
    assert after.strong
    np.testing.assert_allclose(after.wins - before.wins, np.full(5, 0.5), rtol=1e-5)
    np.testing.assert_allclose(after.losses - before.losses, np.full(5, 0.5), rtol=1e-5)


def test_ghost_rows_are_neutral_and_clusters_of_their_own():
    data = comparisons(*CYCLE, order=[1, 1, -1], features=np.ones((3, 2)), cluster=[4, 4, 2])
    added = ghost(data, 3, 1.0).take(np.arange(3, 9))
    assert added.order is not None
    assert added.features is not None
    assert added.cluster is not None
    assert not added.order.any()
    assert not added.features.any()
    assert added.cluster.tolist() == [5, 6, 7, 8, 9, 10]
    chex.assert_trees_all_equal(added.weight, added.count)
    top = Rankings.from_orders([[0], [1]], unlisted="last", n_items=3)
    assert connectivity(ghost(top, 3), 3).strong


def test_ghost_refuses_nonsense():
    with pytest.raises(ValueError, match="npseudo must be above 0"):
        ghost(comparisons(*CYCLE), 3, 0.0)
    with pytest.raises(ValueError, match="needs two items"):
        ghost(comparisons(*CYCLE), 1)
