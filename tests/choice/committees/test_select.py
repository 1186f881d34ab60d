import itertools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice._committees import COMMITTEE_RULES, CommitteeRule, committee_score, select_committee

CASES = json.loads((pathlib.Path(__file__).parents[2] / "oracles/choice/committees.json").read_text())["cases"]
OWA = CommitteeRule("owa", lambda p, m, size: (m - p) ** 2, lambda n: 0.5 ** np.arange(n))
RULES = {**COMMITTEE_RULES, "owa": OWA}
SEPARABLE = ("sntv", "bloc", "k_borda", "dowdall")
M, V, SIZE = 9, 7, 4
GROUPS = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2])
QUOTAS = {
    "free": {},
    "lower": {"groups": GROUPS, "lower": [0, 2, 1]},
    "upper": {"groups": GROUPS, "upper": [1, 2, 2]},
    "both": {"groups": GROUPS, "lower": [1, 1, 1], "upper": [2, 1, 2]},
    "tight": {"groups": GROUPS, "lower": [2, 0, 2], "upper": [2, 0, 2]},
}


@jax.jit
def oracle_rules(sets, positions):
    """Total worth of each set under the rules of the oracle."""
    total = jax.vmap(lambda members, rule: committee_score(members, positions, rule).sum(), (0, None))
    return {name: total(sets, RULES[name]) for name in ("bloc", "alpha_cc", "alpha_pav")}


def profile(seed, v=V, m=M):
    return np.argsort(np.random.default_rng(seed).random((v, m)), axis=1) + 1


def masks(m=M, size=SIZE):
    sets = list(itertools.combinations(range(m), size))
    return np.array([[c in s for c in range(m)] for s in sets])


MASKS = masks()


@jax.jit
def every_set(positions):
    """Of all rules: what each set of the right size is worth to each voter."""

    def scores(rule):
        return jax.vmap(lambda members: committee_score(members, positions, rule, size=SIZE))(MASKS)

    return {name: scores(rule) for name, rule in RULES.items()}


def respects(members, groups=None, lower=None, upper=None):
    if groups is None:
        return True
    inside = np.bincount(groups[np.asarray(members)], minlength=3)
    return (inside >= (0 if lower is None else lower)).all() and (inside <= (9 if upper is None else upper)).all()


def best_value(positions, rule, bounds, weight):
    allowed = np.array([respects(mask, **bounds) for mask in MASKS])
    each = np.asarray(every_set(jnp.asarray(positions))[rule], np.float64)
    return (each[allowed] @ weight).max()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{len(case['orderings_best_first'][0])} items")
@pytest.mark.parametrize("rule", ["bloc", "alpha_k_cc", "alpha_k_pav"])
def test_as_abcvoting(x64, case, rule):
    positions = np.argsort(case["orderings_best_first"], axis=1) + 1
    name = rule.replace("_k_", "_")
    k, m = case["k"], positions.shape[1]
    sets = masks(m, k)
    worth = np.asarray(oracle_rules(jnp.asarray(sets), jnp.asarray(positions))[name])
    best = [np.flatnonzero(s).tolist() for s in sets[worth > worth.max() - 1e-9]]
    assert best == case[rule]
    found = select_committee(positions, k, name, solver="exact")
    assert np.flatnonzero(found.members).tolist() == best[0]
    np.testing.assert_allclose(found.score, case[f"{rule}_score"], rtol=1e-12)
    if rule != "bloc":
        greedy = select_committee(positions, k, name, solver="greedy")
        assert np.flatnonzero(greedy.members).tolist() in case[f"greedy_{rule}"]


@pytest.mark.parametrize("bounds", QUOTAS)
@pytest.mark.parametrize("rule", RULES)
def test_exact_is_the_best_of_all_sets_and_the_others_are_nearly(x64, rule, bounds):
    quotas = QUOTAS[bounds]
    for seed in range(2):
        positions, weight = profile(seed), np.random.default_rng(seed).random(V)
        best = best_value(positions, rule, quotas, weight)
        found = {
            solver: select_committee(positions, SIZE, RULES[rule], weight=weight, solver=solver, **quotas)
            for solver in ("exact", "greedy", "swap")
        }
        for committee in found.values():
            assert int(committee.members.sum()) == SIZE
            assert respects(committee.members, **quotas)
            row = (np.asarray(committee.members) == MASKS).all(1).argmax()
            worth = np.asarray(every_set(jnp.asarray(positions))[rule])[row]
            np.testing.assert_allclose(committee.score, worth @ weight, rtol=1e-12)
        np.testing.assert_allclose(found["exact"].score, best, rtol=1e-12)
        assert found["exact"].exact
        assert found["greedy"].score <= found["swap"].score * (1 + 1e-12)
        share = 1 - 1 / np.e if bounds == "free" else 0.5
        assert found["greedy"].score >= share * best * (1 - 1e-12)
        if rule in SEPARABLE:
            assert found["greedy"].exact
            np.testing.assert_allclose(found["greedy"].score, best, rtol=1e-12)
        else:
            assert not found["swap"].exact


def test_no_exchange_improves_a_swap_committee(x64):
    positions = profile(11, v=30, m=14)
    found = select_committee(positions, 5, "cc", solver="swap")
    members = np.flatnonzero(found.members).tolist()
    for out, new in itertools.product(members, set(range(14)) - set(members)):
        other = [*set(members) - {out}, new]
        assert (14 - positions[:, other].min(1)).sum() <= float(found.score)


def test_when_nobody_gains_any_more_the_points_of_all_voters_choose(x64):
    # Everyone's favourite is item 3: after it no other one adds anything to Chamberlin and Courant's score.
    positions = profile(18)
    best = np.full((V, 1), 3)
    swapped = np.take_along_axis(positions, best, axis=1)
    positions = np.where(positions == 1, swapped, positions)
    np.put_along_axis(positions, best, 1, axis=1)
    found = select_committee(positions, SIZE, "cc", solver="greedy")
    expected = np.argsort(positions.sum(0), kind="stable")[:SIZE]
    assert np.flatnonzero(found.members).tolist() == sorted(expected.tolist())


def test_borda_with_quotas_is_the_best_of_each_group(x64):
    positions = profile(12)
    points = (M - positions).sum(0)
    found = select_committee(positions, SIZE, "k_borda", groups=GROUPS, lower=[1, 2, 1], upper=[1, 2, 1])
    ranked = np.argsort(-points, kind="stable")
    expected = [i for g, quota in enumerate((1, 2, 1)) for i in ranked[GROUPS[ranked] == g][:quota].tolist()]
    assert np.flatnonzero(found.members).tolist() == sorted(expected)


def test_a_lower_bound_at_the_optimums_own_share_changes_nothing(x64):
    positions = profile(13)
    for rule in RULES:
        free = select_committee(positions, SIZE, RULES[rule])
        share = np.bincount(GROUPS[np.asarray(free.members)], minlength=3)
        bound = select_committee(positions, SIZE, RULES[rule], groups=GROUPS, lower=share)
        np.testing.assert_allclose(bound.score, free.score, rtol=1e-12)


def test_weights_are_repeated_voters(x64):
    positions, weight = profile(14), np.array([2, 0, 1, 3, 1, 0, 1])
    for rule in ("cc", "alpha_pav", "k_borda"):
        weighted = select_committee(positions, SIZE, rule, weight=weight)
        repeated = select_committee(np.repeat(positions, weight, axis=0), SIZE, rule)
        np.testing.assert_array_equal(weighted.members, repeated.members)


def test_single_precision_finds_the_same_committees():
    for rule in ("cc", "alpha_pav", "dowdall"):
        with jax.enable_x64(True):
            double = select_committee(profile(17), SIZE, rule)
        np.testing.assert_array_equal(select_committee(profile(17), SIZE, rule).members, double.members)


def test_auto_is_exact_while_that_is_cheap():
    assert select_committee(profile(15), SIZE, "cc").exact
    assert not select_committee(profile(15, v=3, m=60), 20, "cc").exact


def test_more_sets_than_a_chunk_are_all_tried(x64):
    # 12 870 committees of eight among sixteen, by 70 voters: two chunks.
    positions = profile(16, v=70, m=16)
    exact = select_committee(positions, 8, "cc", solver="exact")
    assert exact.score >= select_committee(positions, 8, "cc", solver="swap").score
    mirrored = select_committee(positions[:, ::-1], 8, "cc", solver="exact")
    assert float(mirrored.score) == float(exact.score)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 0}, "size must be between 1 and the 9"),
        ({"size": 10}, "size must be between 1 and the 9"),
        ({"groups": list("aaabbbccc")}, "Names become ids"),
        ({"weight": np.zeros(V)}, "not all of them 0"),
        ({"lower": [1, 0, 0]}, "pass groups"),
        ({"groups": GROUPS[:5]}, "groups must hold one id"),
        ({"groups": GROUPS, "lower": [5, 0, 0]}, r"lower\[0\] asks for 5 members, but group 0 has 4"),
        ({"groups": GROUPS, "lower": [2, 2, 1]}, "add up to 5, more than the 4"),
        ({"groups": GROUPS, "upper": [1, 1, 1]}, "may give 3 members in all, fewer than the 4"),
        ({"groups": GROUPS, "lower": [2, 0, 0], "upper": [1, 3, 2]}, r"lower\[0\] = 2 is above upper\[0\] = 1"),
        ({"groups": GROUPS, "lower": [1, 1]}, "one whole number for each of the 3 groups"),
        ({"weight": -np.ones(V)}, "at least 0 for each of the 7 voters"),
        ({"solver": "milp"}, "solver must be"),
        ({"rule": "stv"}, "unknown rule"),
    ],
)
def test_bad_requests_are_explained(change, message):
    request = {"positions": profile(0), "size": SIZE, "rule": "cc", **change}
    with pytest.raises(ValueError, match=message):
        select_committee(**request)


def test_bad_positions_are_explained():
    positions = profile(0)
    positions[[2, 4], 0] = positions[[2, 4], 1]
    with pytest.raises(ValueError, match=r"2 voters' positions are no permutation of 1..9 \(first rows: \[2, 4\]"):
        select_committee(positions, SIZE, "cc")
    with pytest.raises(ValueError, match="must be whole numbers"):
        select_committee(positions * 1.0, SIZE, "cc")
    with pytest.raises(ValueError, match="committees of 20 among 60"):
        select_committee(profile(0, v=2, m=60), 20, "cc", solver="exact")
