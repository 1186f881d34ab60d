import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from scorax.evals import correct_answer_flag, diversity, hill_number, order_sensitivity
from scorax.stats import total_variation_distance

indices = jax.jit(diversity)
hill = jax.jit(hill_number, static_argnames="order")
flag = jax.jit(correct_answer_flag, static_argnames=("threshold", "confidence", "concentration"))


@pytest.fixture
def answers(dtype):
    return jnp.asarray([[30, 10, 5, 5], [50, 0, 0, 0], [7, 7, 7, 7]], dtype)


def test_indices_are_their_definitions(dtype, answers):
    found = indices(answers)
    eps = float(jnp.finfo(dtype).eps)
    for row in range(3):
        counts = np.asarray(answers[row], float)
        share = counts / counts.sum()
        entropy = stats.entropy(share)
        expected = (share.max(), entropy, entropy / np.log(4), 1 - (share**2).sum(), np.exp(entropy), counts.sum())
        got = [float(v[row]) for v in jax.tree.leaves(found)]
        chex.assert_trees_all_close(np.array(got), np.array(expected), rtol=16 * eps, atol=4 * eps)


def test_one_answer_has_no_diversity_and_a_finite_gradient(dtype, answers):
    @jax.jit
    def total(counts):
        found = diversity(counts)
        return (found.entropy + found.simpson + found.normalised_entropy + found.effective_number).sum()

    assert indices(answers).entropy[1] == 0
    assert indices(answers).simpson[1] == 0
    assert jnp.isfinite(jax.jit(jax.grad(total))(answers)).all()
    for order in (0.5, 2.0):
        assert jnp.isfinite(jax.jit(jax.grad(lambda c, q=order: hill_number(c, q).sum()))(answers)).all()


def test_hill_numbers(dtype, answers):
    eps = float(jnp.finfo(dtype).eps)
    chex.assert_trees_all_close(hill(answers, order=0), jnp.asarray([4, 1, 4], dtype), rtol=8 * eps)
    chex.assert_trees_all_close(hill(answers, order=1), indices(answers).effective_number, rtol=8 * eps)
    chex.assert_trees_all_close(hill(answers, order=2), 1 / (1 - indices(answers).simpson), rtol=16 * eps)
    chex.assert_trees_all_close(hill(answers, order=jnp.inf), 1 / indices(answers).modal_share, rtol=8 * eps)
    values = jnp.stack([hill(answers, order=order)[0] for order in (0, 0.5, 1, 2, 5.0, jnp.inf)])
    assert (jnp.diff(values) < 0).all()
    # Order 1 is the limit, from which an order of 1.001 differs by its slope, below 1, times 0.001.
    chex.assert_trees_all_close(hill(answers, order=1.001), hill(answers, order=1), rtol=1e-3)


def test_absent_options_and_absent_answers():
    counts, where = jnp.array([[30.0, 10.0, jnp.nan, 5.0]] * 3), jnp.array([[True, True, False, True]] * 3)

    def everything(c, w):
        return diversity(c, where=w), hill_number(c, 2.0, where=w), correct_answer_flag(c, where=w)

    found = jax.jit(everything)(counts, where)
    mapped = jax.jit(jax.vmap(everything))(counts, where)
    alone = jax.jit(everything)(counts[:, jnp.array([0, 1, 3])], where[:, :3] | True)
    # Quantiles and entropies, in single precision.
    chex.assert_trees_all_close(found, alone, rtol=1e-5)
    chex.assert_trees_all_close(mapped, found, rtol=1e-5)
    empty = jnp.zeros(4)
    assert jnp.isnan(jnp.stack(jax.tree.leaves(indices(empty)))).all()
    assert jnp.isnan(hill(empty, order=2.0))
    assert jnp.isnan(indices(empty.at[0].set(-1.0).at[1].set(2.0)).entropy)
    nothing = correct_answer_flag(empty)
    assert not nothing.flagged
    assert jnp.isnan(jnp.stack([nothing.lower, nothing.modal_share, nothing.probability])).all()


def test_seventy_two_equal_answers_are_sure(dtype):
    n = jnp.arange(60, 80)
    found = flag(jnp.stack([n, 0 * n], -1).astype(dtype))
    chex.assert_trees_all_equal(found.flagged, n >= 72)
    expected = 0.025 ** (1 / np.arange(60, 80))
    # Of the incomplete beta function, which in single precision has five digits.
    rtol = 1e-9 if dtype == jnp.float64 else 1e-5
    chex.assert_trees_all_close(np.asarray(found.lower, float), expected, rtol=rtol)


def test_posterior_is_that_of_dirichlet_draws(x64):
    counts = np.array([[96.0, 3.0, 1.0], [60.0, 20.0, 20.0], [2.0, 1.0, 0.0]])
    found = flag(jnp.asarray(counts), threshold=0.6, concentration=0.5)
    random = np.random.default_rng(0)
    for row in range(3):
        draws = random.dirichlet(counts[row] + 0.5, 40_000)
        # Four standard errors of 40 000 draws are 0.01.
        assert float(found.probability[row]) == pytest.approx((draws.max(1) > 0.6).mean(), abs=0.01)
    assert jnp.isnan(flag(jnp.asarray(counts), threshold=0.4).probability).all()
    # A single option is certain, and so one of which the others take no part.
    one = flag(jnp.asarray(counts), where=jnp.array([[True, False, False]] * 3), threshold=0.6, concentration=0.5)
    assert (one.probability == 1).all()


def test_order_of_options_matters_or_not():
    key = jax.random.key(0)
    first, second = np.array([[40, 10, 0], [20, 20, 10]]), np.array([[15, 30, 5], [18, 22, 10]])
    found = order_sensitivity(key, first, second)
    expected = total_variation_distance(jnp.asarray(first, float), jnp.asarray(second, float))
    chex.assert_trees_all_close(found.distance, expected, rtol=1e-6)
    assert found.p_value[0] == 1e-4
    assert found.p_value[1] > 0.5
    chex.assert_trees_all_equal(found.modal_flip, jnp.array([True, False]))
    chex.assert_trees_all_equal(found, order_sensitivity(key, first, second))


def test_permutation_p_value_of_two_options_is_fishers():
    """Two groups of one size: tables as far apart are those no likelier. Four Monte Carlo errors are 0.02."""
    first, second = np.array([13, 7]), np.array([8, 12])
    found = order_sensitivity(jax.random.key(1), first, second)
    exact = stats.fisher_exact(np.stack([first, second])).pvalue
    assert float(found.p_value) == pytest.approx(exact, abs=0.02)
    # The mean distance of a hypergeometric number from its mean, over the size of a group.
    number = np.arange(21)
    mean = (stats.hypergeom.pmf(number, 40, 21, 20) * np.abs(2 * number - 21)).sum() / 20
    assert float(found.expected) == pytest.approx(mean, abs=0.005)


def test_p_values_without_an_effect_are_uniform():
    random = np.random.default_rng(2)
    first, second = random.multinomial(40, [0.5, 0.3, 0.2], (2, 400))
    found = order_sensitivity(jax.random.key(2), first, second, n_permutations=199)
    # A test's level is not exceeded: four standard errors of 400 tests of 0.1 are 0.06.
    assert 0.03 < float((found.p_value <= 0.1).mean()) < 0.16


def test_bad_input():
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="order must be at least 0"):
        hill_number(jnp.ones(3), -1.0)
    with pytest.raises(ValueError, match="threshold must be between 0 and 1, not 95"):
        correct_answer_flag(jnp.ones(3), threshold=95.0)
    with pytest.raises(ValueError, match="confidence must be between 0 and 1"):
        correct_answer_flag(jnp.ones(3), confidence=1.0)
    with pytest.raises(ValueError, match="concentration must be positive"):
        correct_answer_flag(jnp.ones(3), concentration=0.0)
    with pytest.raises(ValueError, match="counts must have the same shape"):
        order_sensitivity(key, np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match=r"second holds 1 values that are no counts, such as 0\.5"):
        order_sensitivity(key, np.ones(2), np.array([0.5, 1.0]))
    with pytest.raises(ValueError, match="n_permutations must be at least 1"):
        order_sensitivity(key, np.ones(2), np.ones(2), n_permutations=0)
    empty = order_sensitivity(key, np.zeros((1, 2)), np.ones((1, 2)))
    assert jnp.isnan(jnp.concatenate([empty.distance, empty.expected, empty.p_value])).all()
    assert not empty.modal_flip[0]
