import functools
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.judges import expected_nontransitivity, nontransitivity_ratio, relation_from_scores
from tests.judges.conftest import oracle

expected = jax.jit(expected_nontransitivity)
ratio = jax.jit(nontransitivity_ratio, static_argnums=1)
relation_of = jax.jit(relation_from_scores, static_argnums=1)
value_and_grad = jax.jit(jax.value_and_grad(lambda probs: expected_nontransitivity(probs).ratio))


def table(rows, n_questions=6, k=5):
    relations = np.zeros((n_questions, k, k), int)
    for question, i, j, verdict in rows:
        relations[question, i, j], relations[question, j, i] = verdict, -verdict
    return relations


def random_relations(seed=0, n_questions=6, k=5):
    upper = np.triu(np.random.default_rng(seed).integers(-1, 2, (n_questions, k, k)), 1)
    return upper - upper.swapaxes(1, 2)


def triple(ij, jl, il):
    return table([(0, 0, 1, ij), (0, 1, 2, jl), (0, 0, 2, il)], 1, 3)


def is_weak_order(ij, jl, il):
    """Whether some three scores are ordered so."""
    return any(
        (np.sign(a - b), np.sign(b - c), np.sign(a - c)) == (ij, jl, il)
        for a, b, c in itertools.product(range(3), repeat=3)
    )


def certain(relations):
    """Probabilities of larger, equal, smaller."""
    return np.eye(3)[1 - relations]


def test_the_table_of_all_triples():
    rows = oracle("trustjudge")["triple_table_op_ij_op_jl_op_il_consistent_type"]
    kinds = {None: 0, "circle": 0, "equal": 0}
    for ij, jl, il, consistent, kind in rows:
        found = ratio(triple(ij, jl, il))
        assert consistent == is_weak_order(ij, jl, il)
        assert float(found.ratio) == (not consistent)
        assert (float(found.circle), float(found.equal)) == (kind == "circle", kind == "equal")
        kinds[kind] += 1
    assert kinds == {None: 13, "circle": 6, "equal": 8}


@pytest.mark.parametrize("size", [3, 4, 5])
@pytest.mark.parametrize("method", ["baseline", "likelihood", "ppl"])
def test_ratios_are_those_of_the_reference(x64, method, size):
    case = oracle("trustjudge")["case"]
    for tol in (0.0, 0.05):
        found = ratio(table(case["relations"][f"{method}|tol={tol}"]), size)
        noted = case["ntr"][f"{method}|tol={tol}|k={size}"]
        assert int(found.n_subsets) == noted["total"]
        assert float(found.ratio) == pytest.approx(noted["ratio"], rel=1e-15)
        kinds = (float(found.circle), float(found.equal))
        counts = [noted["types"].get(kind, 0) / noted["total"] for kind in ("circle", "equal")]
        assert kinds == pytest.approx(counts, rel=1e-15)


@pytest.mark.parametrize("size", [3, 4, 5])
def test_scores_are_transitive(size):
    scores = np.random.default_rng(0).integers(0, 4, (6, 5)).astype(np.float32)
    assert ratio(relation_of(scores), size).ratio == 0


def test_equal_within_a_tolerance_is_not_transitive():
    relations = relation_of(np.array([[0.0, 0.3, 0.6]]), 0.5)
    found = ratio(relations)
    assert (float(found.ratio), float(found.equal)) == (1.0, 1.0)


@pytest.mark.parametrize("size", [3, 4])
def test_reversing_or_renaming_changes_nothing(size):
    relations = random_relations()
    found = ratio(relations, size)
    chex.assert_trees_all_equal(ratio(-relations, size), found)
    renamed = relations[:, [3, 0, 4, 2, 1]][:, :, [3, 0, 4, 2, 1]]
    chex.assert_trees_all_equal(ratio(renamed, size).ratio, found.ratio)


def test_larger_subsets_are_no_better():
    for seed in range(3):
        ratios = [float(ratio(random_relations(seed), size).ratio) for size in (3, 4, 5)]
        assert ratios == sorted(ratios)


@pytest.mark.parametrize("size", [3, 4, 5])
def test_subsets_that_lack_a_pair_are_left_out(size):
    relations = random_relations(1)
    where = np.random.default_rng(2).random((6, 5, 5)) < 0.9
    found = ratio(relations, size, where=where)
    bad, kinds, n = 0, [0, 0], 0
    for question, subset in itertools.product(range(6), itertools.combinations(range(5), size)):
        if all(where[question, i, j] for i, j in itertools.combinations(subset, 2)):
            of = [_kind(relations[question], *held) for held in itertools.combinations(subset, 3)]
            n, bad = n + 1, bad + (set(of) != {None})
            kinds = [kinds[0] + ("circle" in of), kinds[1] + ("equal" in of)]
    assert int(found.n_subsets) == n
    assert 0 < n < 60
    assert [float(x) * n for x in (found.ratio, found.circle, found.equal)] == pytest.approx([bad, *kinds])


def _kind(relation, i, j, l):  # noqa: E741
    rows = oracle("trustjudge")["triple_table_op_ij_op_jl_op_il_consistent_type"]
    ops = [int(relation[i, j]), int(relation[j, l]), int(relation[i, l])]
    return next(row[4] for row in rows if row[:3] == ops)


def test_many_subsets_are_counted_in_blocks():
    """More than a block of 1020: 1820 subsets of 4 of 16, and a circle of the first three breaks 13 of them."""
    circle = np.sign(np.arange(16)[:, None] - np.arange(16)[None, :])[None]
    circle[0, 0, 2], circle[0, 2, 0] = 1, -1
    found = ratio(circle, 4)
    assert int(found.n_subsets) == 1820
    assert float(found.ratio) == pytest.approx(13 / 1820)
    assert float(found.circle) == pytest.approx(13 / 1820)


def test_certain_verdicts_are_expected_to_be_what_they_are(dtype):
    relations = random_relations(3)
    where = np.random.default_rng(2).random((6, 5, 5)) < 0.9
    probs = certain(relations).astype(dtype)
    chex.assert_trees_all_close(expected(probs), ratio(relations), rtol=1e-6)
    hidden = np.where(where[..., None], probs, np.nan).astype(dtype)
    chex.assert_trees_all_close(expected(hidden, where=where), ratio(relations, where=where), rtol=1e-6)


def test_expectation_is_the_sum_over_all_27_outcomes(x64):
    probs = np.random.default_rng(4).dirichlet(np.ones(3), (6, 5, 5))
    total, circles = 0.0, 0.0
    for *ops, consistent, kind in oracle("trustjudge")["triple_table_op_ij_op_jl_op_il_consistent_type"]:
        for i, j, l in itertools.combinations(range(5), 3):  # noqa: E741
            places = zip(((i, j), (j, l), (i, l)), ops, strict=True)
            product = functools.reduce(lambda x, y: x * y, [probs[:, a, b, 1 - op] for (a, b), op in places])
            total += 0 if consistent else float(product.sum())
            circles += float(product.sum()) if kind == "circle" else 0
    found = expected(probs)
    assert float(found.ratio) == pytest.approx(total / 60, rel=1e-12)
    assert float(found.circle) == pytest.approx(circles / 60, rel=1e-12)
    assert float(found.circle) + float(found.equal) == pytest.approx(float(found.ratio), rel=1e-12)


def test_expectation_has_gradients(x64):
    probs = np.random.default_rng(5).dirichlet(np.ones(3), (6, 5, 5))
    direction = np.random.default_rng(6).normal(size=probs.shape)
    _, slope = value_and_grad(probs)
    ends = [value_and_grad(probs + step * direction)[0] for step in (-1e-5, 1e-5)]
    # A cubic: the difference errs by its third derivative, of order one, times the square of the step.
    assert float((np.asarray(slope) * direction).sum()) == pytest.approx(float(ends[1] - ends[0]) / 2e-5, rel=1e-7)
    assert np.isfinite(value_and_grad(certain(random_relations()))[1]).all()


def test_nothing_judged_is_no_ratio():
    nothing = np.zeros((6, 5, 5), bool)
    for found in (
        ratio(random_relations(), where=nothing),
        ratio(random_relations(), 4, where=nothing),
        expected(certain(random_relations()).astype(np.float32), where=nothing),
    ):
        assert int(found.n_subsets) == 0
        assert np.isnan(found.ratio)
        assert np.isnan(found.circle)


@pytest.mark.parametrize("size", [2, 6])
def test_sizes_that_cannot_be_are_refused(size):
    with pytest.raises(ValueError, match="size must be between 3 and the number of candidates, 5"):
        nontransitivity_ratio(jnp.asarray(random_relations()), size)


def test_too_many_subsets_are_refused():
    with pytest.raises(ValueError, match="too many to count"):
        nontransitivity_ratio(jnp.zeros((1, 200, 200), int), 6)


def test_two_candidates_have_no_triple():
    with pytest.raises(ValueError, match="no three to compare"):
        expected_nontransitivity(jnp.ones((1, 2, 2, 3)))
