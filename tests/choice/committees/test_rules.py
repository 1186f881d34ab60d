import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice._committees import (
    COMMITTEE_RULES,
    CommitteeRule,
    committee_score,
    multilinear_extension,
    positions_of,
)

M, V, SIZE = 6, 5, 3
OWA = CommitteeRule("owa", lambda p, m, size: (m - p) ** 2, lambda n: 0.5 ** np.arange(n))
RULES = {**COMMITTEE_RULES, "owa": OWA}

SETS = [s for size in range(M + 1) for s in itertools.combinations(range(M), size)]
MASKS = np.array([[c in s for c in range(M)] for s in SETS])


@jax.jit
def every_set(positions):
    """Of all rules: what each set is worth to each voter."""

    def scores(rule):
        return jax.vmap(lambda members: committee_score(members, positions, rule, size=SIZE))(MASKS)

    return {name: scores(rule) for name, rule in RULES.items()}


@jax.jit
def extensions(inclusion, positions):
    return {name: multilinear_extension(inclusion, positions, rule, size=SIZE) for name, rule in RULES.items()}


slopes = jax.jit(jax.jacfwd(extensions))


def by_hand(rule, members, places):
    """The textbook's formula of each rule for one voter."""
    inside = sorted(places[c] for c in members)
    top = sum(p <= SIZE for p in inside)
    return {
        "sntv": sum(p == 1 for p in inside),
        "bloc": top,
        "k_borda": sum(M - p for p in inside),
        "dowdall": sum(1 / p for p in inside),
        "cc": max((M - p for p in inside), default=0),
        "alpha_cc": float(top > 0),
        "alpha_pav": sum(1 / i for i in range(1, top + 1)),
        "owa": sum(0.5**i * (M - p) ** 2 for i, p in enumerate(inside)),
    }[rule]


def profile(seed):
    return jnp.asarray(np.argsort(np.random.default_rng(seed).random((V, M)), axis=1) + 1, jnp.int32)


@pytest.fixture(scope="module", params=RULES)
def rule(request):
    return request.param


def test_every_set_is_worth_what_the_rule_says(dtype, rule):
    positions = profile(0)
    found = every_set(positions)[rule]
    expected = [[by_hand(rule, s, places) for places in np.asarray(positions)] for s in SETS]
    np.testing.assert_allclose(found, expected, rtol=16 * float(jnp.finfo(dtype).eps))


@pytest.mark.parametrize("seed", [1, 2])
def test_all_rules_are_monotone_and_submodular(x64, rule, seed):
    value = dict(zip(SETS, np.asarray(every_set(profile(seed))[rule]), strict=True))
    for s in SETS:
        for c in set(range(M)) - set(s):
            gain = value[tuple(sorted({*s, c}))] - value[s]
            assert (gain >= 0).all()
            for d in set(range(M)) - {*s, c}:
                later = value[tuple(sorted({*s, c, d}))] - value[tuple(sorted({*s, d}))]
                assert (later <= gain + 1e-12).all()


def test_renaming_items_and_reordering_voters_changes_nothing(x64, rule):
    positions = profile(3)
    new, turn = np.array([3, 1, 5, 0, 2, 4]), np.array([4, 0, 3, 1, 2])
    renamed = every_set(positions[turn][:, new])[rule]
    place = {s: i for i, s in enumerate(SETS)}
    old = np.array([place[tuple(sorted(new[list(s)].tolist()))] for s in SETS])
    np.testing.assert_allclose(renamed, every_set(positions)[rule][old][:, turn], rtol=1e-14)


def test_the_extension_is_the_expectation_over_all_sets(dtype, rule):
    positions = profile(4)
    p = np.array([0.2, 0.9, 0.0, 1.0, 0.5, 0.3])
    probability = np.where(np.asarray(MASKS), p, 1 - p).prod(1)
    expected = probability @ np.asarray(every_set(positions)[rule], np.float64)
    found = extensions(jnp.asarray(p, dtype), positions)[rule]
    np.testing.assert_allclose(found, expected, rtol=32 * float(jnp.finfo(dtype).eps))


def test_the_gradient_of_the_extension_is_the_expected_gain(x64, rule):
    # It is linear in each probability: the slope is the value with the item minus that without.
    positions = profile(5)
    p = jnp.asarray([0.2, 0.9, 0.4, 0.7, 0.5, 0.3])
    slope = slopes(p, positions)[rule]
    for c in range(M):
        ends = [extensions(p.at[c].set(x), positions)[rule] for x in (1.0, 0.0)]
        np.testing.assert_allclose(slope[:, c], ends[0] - ends[1], atol=1e-12)
    assert (slope >= -1e-12).all()


def test_soft_masks_climb_to_a_good_committee(x64):
    positions = profile(6)
    value = np.asarray(every_set(positions)["cc"]).sum(1)
    best = max(value[i] for i, s in enumerate(SETS) if len(s) == 2)

    def loss(logits):
        # Two seats, each a softmax over items.
        return -multilinear_extension(jax.nn.softmax(logits, axis=1).max(0), positions, "cc", size=2).sum()

    @jax.jit
    def climb(logits):
        return jax.lax.fori_loop(0, 200, lambda _, logits: logits - 0.3 * jax.grad(loss)(logits), logits)

    seats = climb(jax.random.normal(jax.random.key(0), (2, M))).argmax(1)
    assert value[SETS.index(tuple(sorted(set(seats.tolist()))))] >= (1 - 1 / np.e) * best


def test_positions_break_ties_by_id():
    np.testing.assert_array_equal(positions_of(jnp.array([[2.0, 1.0, 2.0]])), [[2, 1, 3]])


def test_the_size_is_that_of_the_set_unless_it_is_said():
    members = jnp.array([True, True, False, False, False, False])
    positions = profile(7)
    np.testing.assert_array_equal(
        committee_score(members, positions, "bloc"), committee_score(members, positions, "bloc", size=2)
    )


def test_unknown_rules_are_refused():
    with pytest.raises(ValueError, match="unknown rule 'stv'; one of sntv, bloc"):
        committee_score(jnp.ones(M, bool), profile(0), "stv")
