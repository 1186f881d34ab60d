import chex
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest

from scorax.judges import SimplexJudge, SimplexPrior, binary_identified_interval, ranking_identified_set

OBSERVED = [[0.15, 0.475, 0.375], [0.3175, 0.215, 0.4675]]


def brute_force(observed, q0_bounds, q1_bounds, n=2001):
    """All judges on a grid within the bounds that can have given these labels."""
    q0 = np.linspace(*q0_bounds, n)[:, None]
    q1 = np.linspace(*q1_bounds, n)[None, :]
    fits = (q0 <= observed.min()) & (q1 >= observed.max()) & (q0 < q1)
    share = [(gamma - q0) / np.where(fits, q1 - q0, 1) for gamma in observed]
    return [(s[fits].min(), s[fits].max()) for s in share]


@pytest.mark.parametrize(
    ("q0_bounds", "q1_bounds"), [((0.0, 1.0), (0.0, 1.0)), ((0.1, 0.3), (0.7, 0.9)), ((0.0, 0.2), (0.62, 1.0))]
)
def test_interval_is_that_of_all_judges_within_the_bounds(dtype, q0_bounds, q1_bounds):
    observed = np.array([0.38, 0.5, 0.62])
    interval = binary_identified_interval(jnp.asarray(observed, dtype), q0_bounds=q0_bounds, q1_bounds=q1_bounds)
    expected = jnp.asarray(brute_force(observed, q0_bounds, q1_bounds), dtype)
    found = jnp.stack([interval.lower, interval.upper], axis=1)
    # The grid's spacing is 5e-4; a share moves by less than three times that.
    chex.assert_trees_all_close(found, expected, atol=1.5e-3)
    assert not interval.empty


def test_known_judge_leaves_a_point(dtype):
    p = jnp.asarray([0.3, 0.5, 0.7], dtype)
    interval = binary_identified_interval(0.2 + 0.6 * p, q0_bounds=(0.2, 0.2), q1_bounds=(0.8, 0.8))
    chex.assert_trees_all_close(interval.lower, p, rtol=1e-6)
    chex.assert_trees_all_close(interval.upper, p, rtol=1e-6)


def test_contradicted_bounds_are_an_empty_set(dtype):
    observed = jnp.asarray([0.1, 0.9], dtype)
    for bounds in ({"q0_bounds": (0.2, 0.4)}, {"q1_bounds": (0.5, 0.8)}):
        interval = jax.jit(lambda x, b=bounds: binary_identified_interval(x, **b))(observed)
        assert interval.empty
        assert jnp.isnan(interval.lower).all()


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_labels_that_never_vary_say_nothing(dtype, level):
    interval = binary_identified_interval(jnp.full(3, level, dtype))
    chex.assert_trees_all_close(interval.lower, jnp.zeros(3, dtype))
    chex.assert_trees_all_close(interval.upper, jnp.ones(3, dtype))


def test_a_candidate_outside_where_bounds_nobody(dtype):
    observed = jnp.asarray([0.38, 0.62, 0.99, jnp.nan], dtype)
    masked = binary_identified_interval(observed, where=jnp.array([True, True, False, False]))
    alone = binary_identified_interval(observed[:2])
    chex.assert_trees_all_close(masked.lower[:2], alone.lower)
    chex.assert_trees_all_close(masked.upper[:2], alone.upper)
    assert jnp.isnan(masked.lower[2:]).all()


def test_bounds_out_of_order_are_refused():
    with pytest.raises(ValueError, match=r"q1_bounds must be two increasing numbers"):
        binary_identified_interval(jnp.array([0.5]), q1_bounds=(0.9, 0.2))


# Values of 10^6 draws, to 0.01; here 700 effective draws or more of 6 10^4: two standard errors.
@pytest.mark.engine
@pytest.mark.parametrize(
    ("settings", "probability"),
    [
        ({}, 0.667),
        ({"strength": 40.0, "accuracy": 0.9}, 0.997),
    ],
)
def test_order_that_no_label_can_settle(settings, probability):
    prior = SimplexPrior(SimplexJudge.init(2, 60_000, 3), **settings)
    judges = jax.jit(lambda key: numpyro.handlers.seed(prior, key)().confusion)(jax.random.key(0))
    result = ranking_identified_set(jnp.asarray(OBSERVED), judges)
    assert abs(float(result.pairwise[0, 1]) - probability) < 0.04
    assert abs(float(result.pairwise.sum()) - 1) < 1e-5
    if not settings:
        assert abs(float(result.kept) - 0.09) < 0.01
        assert result.attainable.sum() == 2
        # 0.44 to 0.49 over three seeds: averages converge.
        assert 0.3 < result.pareto_k < 0.6


def test_a_perfect_judge_leaves_no_doubt(dtype):
    observed = jnp.asarray(OBSERVED, dtype)
    result = ranking_identified_set(observed, jnp.broadcast_to(jnp.eye(3, dtype=dtype), (1000, 3, 3)))
    chex.assert_trees_all_close(result.score, observed @ jnp.asarray([1, 2, 3], dtype), rtol=1e-4)
    chex.assert_trees_all_close(result.effective_draws, jnp.asarray(1000, dtype), rtol=1e-5)
    assert result.pareto_k == jnp.inf
    chex.assert_trees_all_close(result.pairwise, jnp.asarray([[0, 1], [0, 0]], dtype), atol=1e-4)


def test_too_few_fitting_judges_are_refused(dtype):
    observed = jnp.asarray(OBSERVED, dtype)
    wrong = jnp.broadcast_to(jnp.full((3, 3), 1 / 3, dtype), (1000, 3, 3))
    with pytest.raises(ValueError, match=r"only 0.00% of 1000 drawn judges"):
        ranking_identified_set(observed, wrong)
    with pytest.raises(ValueError, match=r"must sum to one"):
        ranking_identified_set(2 * observed, wrong)
    assert jnp.isnan(jax.jit(ranking_identified_set)(observed, wrong).pairwise).all()
