import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest

from scorax.inference import leaf_names
from scorax.judges import SimplexJudge, SimplexPrior
from scorax.judges._confusion_rows import upward_shares, upward_transport


@functools.cache
def draw(dtype, n_levels, monotone):
    """A thousand judges and candidates in one draw from the prior."""
    model = SimplexJudge.init(1000, 1000, n_levels, dtype=dtype)
    prior = SimplexPrior(model, monotone=monotone, prevalence="dirichlet")
    # Not under jit: NumPyro's samplers are compiled themselves, and shared by all settings.
    return numpyro.handlers.seed(prior, jax.random.key(n_levels))()


@pytest.mark.parametrize(
    ("monotone", "n_levels"), [("lowest", 3), ("stochastic", 3), ("proportional", 3), ("diagonal", 3), ("lowest", 2)]
)
def test_draws_lie_in_their_support(heavy_dtype, n_levels, monotone):
    model = draw(heavy_dtype, n_levels, monotone)
    assert leaf_names(model) == ["prevalence", "confusion"]
    for rows in (model.prevalence, model.confusion):
        assert rows.dtype == heavy_dtype
        assert (rows >= 0).all()
        chex.assert_trees_all_close(
            rows.sum(-1), jnp.ones(rows.shape[:-1], heavy_dtype), atol=8 * float(jnp.finfo(heavy_dtype).eps)
        )


@pytest.mark.parametrize("n_levels", [2, 3])
def test_the_lowest_label_falls_with_the_true_level(dtype, n_levels):
    lowest = np.asarray(draw(dtype, n_levels, "lowest").confusion)[..., 0]
    assert (np.diff(lowest, axis=-1) < 0).all()


@pytest.mark.parametrize("monotone", ["stochastic", "proportional"])
def test_every_tail_rises_with_the_true_level(dtype, monotone):
    # Tails are summed in double precision, from the top, so that only the draw's own rounding is left.
    confusion = np.asarray(draw(dtype, 3, monotone).confusion, float)
    tails = np.cumsum(confusion[..., ::-1], axis=-1)[..., :-1]
    assert (np.diff(tails, axis=-2) >= -2 * float(jnp.finfo(dtype).eps)).all()


def test_the_right_label_is_the_most_frequent(dtype):
    confusion = np.asarray(draw(dtype, 3, "diagonal").confusion)
    right = np.diagonal(confusion, axis1=-2, axis2=-1)[..., None]
    assert ((confusion < right) | np.eye(3, dtype=bool)).all()


def test_proportional_judges_shift_all_log_odds_alike(x64):
    confusion = np.asarray(draw("float64", 3, "proportional").confusion)
    upto = np.cumsum(confusion, axis=-1)[..., :-1]
    shift = np.diff(np.log(upto) - np.log1p(-upto), axis=-2)
    np.testing.assert_allclose(shift[..., 0], shift[..., 1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("monotone", ["proportional", "diagonal"])
def test_constructions_stray_about_the_accuracy_asked_for(monotone):
    accuracy = np.diagonal(draw("float32", 3, monotone).confusion, axis1=-2, axis2=-1).mean()
    # Noise on log-odds pulls towards the middle: four thousand draws have .54 and .60.
    assert abs(accuracy - 0.6) < 0.08


def test_judges_of_a_hierarchy_are_alike():
    prior = SimplexPrior(SimplexJudge.init(1, 2, 3), judges="hierarchical")
    one = jax.vmap(lambda key: jnp.diagonal(numpyro.handlers.seed(prior, key)().confusion, axis1=-2, axis2=-1).mean(-1))
    accuracy = np.asarray(jax.jit(one)(jax.random.split(jax.random.key(0), 300)), float)
    assert np.corrcoef(accuracy.T)[0, 1] > 0.3
    with pytest.raises(ValueError, match="not with monotone='lowest'"):
        SimplexPrior(SimplexJudge.init(1, 2, 3), judges="hierarchical", monotone="lowest")


def test_free_rows_have_their_mean_and_accuracy():
    model = SimplexJudge.init(1, 1, 3)
    mean = SimplexPrior(model).mean_confusion
    chex.assert_trees_all_close(mean.sum(-1), jnp.ones(3), rtol=1e-6)
    chex.assert_trees_all_close(jnp.diagonal(mean), jnp.full(3, 0.6))
    found = draw("float32", 3, "none").confusion.mean(0)
    # A Dirichlet entry of strength 8 has a standard deviation below 0.17; 1000 draws, five standard errors.
    chex.assert_trees_all_close(found, mean, atol=5 * 0.17 / 1000**0.5)


# How often free rows of three levels happen to keep each constraint, given with the row prior itself.
def test_free_rows_keep_the_constraints_as_often_as_known():
    confusion = np.asarray(draw("float32", 3, "none").confusion, float)
    lowest = (np.diff(confusion[..., 0], axis=-1) < 0).all(-1)
    tails = np.cumsum(confusion[..., ::-1], axis=-1)[..., :-1]
    stochastic = (np.diff(tails, axis=-2) >= 0).all((-1, -2))
    diagonal = (confusion.argmax(-1) == np.arange(3)).all(-1)
    share = [event.mean() for event in (lowest, stochastic, diagonal, np.linalg.det(confusion) > 0)]
    np.testing.assert_allclose(share, [0.69, 0.49, 0.58, 0.90], atol=0.065)  # four standard errors of 1000 draws


def test_even_reach_is_the_prior_of_rater():
    prior = SimplexPrior(SimplexJudge.init(1, 1, 4), reach=float("inf"))
    expected = jnp.full((4, 4), 3.2 / 3) + (4.8 - 3.2 / 3) * jnp.eye(4)
    chex.assert_trees_all_close(prior.strength * prior.mean_confusion, expected, rtol=1e-6)


@pytest.mark.parametrize("m", [2, 3, 5])
def test_transport_and_shares_are_inverse(dtype, m):
    rng = np.random.default_rng(m)
    first = jnp.asarray(rng.dirichlet(np.ones(m)), dtype)
    share = jnp.asarray(rng.uniform(0.2, 0.8, (m - 1, m - 1)), dtype)
    matrix = upward_transport(first, share)
    chex.assert_trees_all_close(matrix.sum(-1), jnp.ones(m, dtype), rtol=1e-6)
    # The inverse subtracts: rounding grows by the smallest room, here above 1/100.
    chex.assert_trees_all_close(upward_shares(matrix), share, atol=1000 * float(jnp.finfo(dtype).eps))


def test_hierarchy_ties_candidates_together():
    """Scores of two candidates vary together from one draw to the next; flat candidates would not."""
    prior = SimplexPrior(SimplexJudge.init(2, 1, 3), prevalence="hierarchical")
    one = jax.vmap(lambda key: numpyro.handlers.seed(prior, key)().expected_score())
    scores = np.asarray(jax.jit(one)(jax.random.split(jax.random.key(0), 300)), float)
    assert np.corrcoef(scores.T)[0, 1] > 0.3
    apart = np.asarray(draw("float32", 3, "none").expected_score(), float)
    assert abs(np.corrcoef(apart[::2], apart[1::2])[0, 1]) < 0.18  # four standard errors of 500 pairs


def sites_of(prior):
    trace = numpyro.handlers.trace(numpyro.handlers.seed(prior, 0)).get_trace()
    return {name for name, site in trace.items() if site["type"] == "sample"}


def test_many_candidates_are_a_hierarchy_by_default():
    assert sites_of(SimplexJudge.init(3, 1, 3).prior) == {"prevalence", "confusion"}
    many = {"profile", "quality_spread", "quality", "shape_spread", "shape", "confusion"}
    assert sites_of(SimplexJudge.init(4, 1, 3).prior) == many
    assert sites_of(SimplexJudge.init(4, 1, 2).prior) == many - {"shape_spread", "shape"}


def test_volume_favours_large_simplices():
    model = SimplexJudge.init(1, 2, 3)
    trace = numpyro.handlers.trace(numpyro.handlers.seed(SimplexPrior(model, volume=2.0), 0)).get_trace()
    confusion, volume = trace["confusion"]["value"], trace["volume"]
    expected = 2 * jnp.log(jnp.abs(jnp.linalg.det(confusion))).sum()
    chex.assert_trees_all_close(volume["fn"].log_prob(volume["value"]), expected, rtol=1e-5)


def test_settings_are_arguments_of_compiled_functions():
    traces = []

    @jax.jit
    def mean(prior):
        traces.append(1)
        return prior.mean_confusion

    model = SimplexJudge.init(1, 1, 3)
    for accuracy in (0.5, 0.6, 0.9):
        assert abs(float(mean(SimplexPrior(model, accuracy=accuracy))[0, 0]) - accuracy) < 1e-6
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"accuracy": 1.0}, r"accuracy must lie in \(0, 1\), not be 1.0. For a perfect judge"),
        ({"strength": 0.0}, "strength must be positive, not 0.0"),
        ({"reach": -1.0}, "reach must be positive"),
        ({"concentration": float("nan")}, "concentration must be positive, not nan"),
        ({"strength": float("inf")}, "must be finite"),
        ({"item_effect_sd": -1.0}, "item_effect_sd must be positive"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SimplexPrior(SimplexJudge.init(1, 1, 3), **settings)


def test_confusions_that_depend_on_the_candidate_are_for_another_prior():
    with pytest.raises(ValueError, match="use ConstancyPrior"):
        SimplexPrior(SimplexJudge.init(2, 1, 3).per_candidate())


def test_a_judge_no_better_than_chance_is_warned_about():
    model = SimplexJudge.init(1, 1, 3)
    with pytest.warns(UserWarning, match=r"accuracy 0.3 is no better than chance on 3 levels"):
        SimplexPrior(model, accuracy=0.3)
    SimplexPrior(model, accuracy=0.3, monotone="lowest")
    assert dataclasses.fields(SimplexPrior)[0].name == "model"
