import chex
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from scorax.choice import BradleyTerry, Davidson, RaoKupper
from scorax.data import Comparisons
from scorax.inference import Minimiser, fit, iid_prior, leaf_names


def battles(wins=(28, 33, 26), ties=False):
    a, b = np.repeat([0, 0, 1], 40), np.repeat([1, 2, 2], 40)
    outcome = np.concatenate([np.arange(40) < n for n in wins]).astype(np.float64)
    if ties:
        outcome[::5] = 0.5
    return Comparisons.from_arrays(a, b, outcome)


@pytest.fixture(autouse=True)
def double(x64):
    """Estimates are compared to many digits."""


@pytest.fixture(scope="module")
def result():
    with jax.enable_x64(True):
        return fit(BradleyTerry.init(3), battles())


def test_two_items_have_the_log_odds_of_their_wins():
    two = Comparisons.from_arrays([0] * 10, [1] * 10, [1.0] * 7 + [0.0] * 3)
    estimate = fit(BradleyTerry.init(2), two).map(lambda model: model.strength[0] - model.strength[1])
    np.testing.assert_allclose(estimate.value, np.log(7 / 3), rtol=1e-12)
    np.testing.assert_allclose(estimate.std_error, np.sqrt(1 / 7 + 1 / 3), rtol=1e-12)


def test_delta_method_of_a_nonlinear_function(result):
    win = result.map(lambda model: jax.nn.sigmoid(model.strength[0] - model.strength[2]))
    gap = result.map(lambda model: model.strength[0] - model.strength[2])
    np.testing.assert_allclose(win.std_error, win.value * (1 - win.value) * gap.std_error, rtol=1e-12)


def test_covariance_of_zero_sum_strengths_has_the_constant_as_its_only_null(result):
    np.testing.assert_allclose(result.covariance @ np.ones(3), 0, atol=1e-14)
    assert np.linalg.eigvalsh(result.covariance)[1] > 1e-3


def test_an_optimistix_minimiser_agrees_with_newton(result):
    other = fit(BradleyTerry.init(3), battles(), solver=Minimiser())
    chex.assert_trees_all_close(other.model, result.model, atol=1e-8)
    chex.assert_trees_all_close(other.covariance, result.covariance, rtol=1e-6, atol=1e-12)


def test_a_minimiser_differentiates_like_newton():
    def first(weight, solver):
        return fit(BradleyTerry.init(3), battles().reweight(weight), solver=solver).model.strength[0]

    weight = jnp.ones(120)
    by_newton = jax.jit(jax.grad(lambda w: first(w, None)))(weight)
    np.testing.assert_allclose(jax.jit(jax.grad(lambda w: first(w, Minimiser())))(weight), by_newton, rtol=1e-5)


def test_batched_fits_equal_single_ones(result):
    data = battles()
    weights = jnp.stack([data.weight, 2 * data.weight])
    strengths = jax.jit(jax.vmap(lambda w: fit(BradleyTerry.init(3), data.reweight(w)).model.strength))(weights)
    chex.assert_trees_all_close(strengths, jnp.stack([result.model.strength] * 2), rtol=1e-10)


def test_normal_prior_gives_the_penalised_maximum():
    model, data = BradleyTerry.init(3), battles()
    mode = fit(model, data, prior=iid_prior(model, {"strength": dist.Normal(0.0, 0.5)})).model.strength

    def penalised(strength):
        difference = strength[data.a] - strength[data.b]
        return jnp.vdot(data.outcome, difference) - jax.nn.softplus(difference).sum() - 2 * jnp.vdot(strength, strength)

    np.testing.assert_allclose(jax.grad(penalised)(mode), 0, atol=1e-10)


def test_a_tight_prior_wins_and_a_wide_one_loses(result):
    model = BradleyTerry.init(3)
    tight, wide = (
        fit(model, battles(), prior=iid_prior(model, {"strength": dist.Normal(0.0, scale)})).model.strength
        for scale in (1e-4, 1e4)
    )
    np.testing.assert_allclose(tight, 0, atol=1e-6)
    np.testing.assert_allclose(wide, result.model.strength, atol=1e-6)


def test_the_mode_under_a_pinned_hierarchy_is_that_of_its_prior():
    model = BradleyTerry.init(3)
    pinned = numpyro.handlers.condition(model.prior, {"scale": jnp.asarray(0.7)})
    plain = iid_prior(model, {"strength": dist.ZeroSumNormal(0.7, (3,))})
    modes = [fit(model, battles(), prior=prior).model for prior in (pinned, plain)]
    chex.assert_trees_all_close(*modes, atol=1e-10)


def test_a_hierarchy_has_no_joint_mode_and_says_what_to_do():
    model = BradleyTerry.init(3)
    with pytest.raises(ValueError, match=r"draws more numbers.*'scale'.*condition\(prior, \{'scale': .*laplace"):
        fit(model, battles(), prior=model.prior)


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        ({}, r"missing \['strength'\]"),
        ({"strength": dist.Normal(0.0, 1.0), "skill": dist.Normal(0.0, 1.0)}, r"unknown \['skill'\]"),
        ({"strength": dist.Normal(1.0, 1.0)}, "must have mean 0, not 1"),
        ({"strength": dist.StudentT(3.0)}, r"ZeroSumNormal\(scale, \(3,\)\)"),
        ({"strength": dist.ZeroSumNormal(1.0, (4,))}, r"draws shape \(4,\), the parameter has shape \(3,\)"),
    ],
)
def test_priors_that_do_not_fit_are_refused(priors, message):
    with pytest.raises(ValueError, match=message):
        iid_prior(BradleyTerry.init(3), priors)


def test_a_prior_for_every_parameter_is_drawn_in_its_shape():
    model = Davidson.init(3, n_features=2)
    priors = {name: dist.Normal(0.0, 1.0) for name in leaf_names(model)}
    drawn = numpyro.handlers.seed(iid_prior(model, priors), 0)()
    chex.assert_trees_all_equal_shapes(drawn, model)


def test_priors_keep_to_their_parameters_when_compiled():
    # Names in another order than the fields': `log_tie` sorts before `strength`.
    model, data = Davidson.init(3), battles(ties=True)
    priors = {"strength": dist.Normal(0.0, 1e-3), "log_tie": dist.Normal(2.0, 1e-3)}
    mode = fit(model, data, prior=iid_prior(model, priors)).model
    np.testing.assert_allclose(mode.strength, 0, atol=1e-3)
    np.testing.assert_allclose(mode.log_tie, 2, atol=1e-3)


def test_a_maximum_at_the_edge_is_flagged_and_has_no_standard_errors():
    # No ties: the best margin is zero, where Rao and Kupper's model is Bradley and Terry's.
    edge = fit(RaoKupper.init(3), battles())
    assert edge.diagnostics.boundary
    assert edge.diagnostics.converged
    assert edge.model.margin < 1e-6
    chex.assert_trees_all_close(edge.model.strength, fit(BradleyTerry.init(3), battles()).model.strength, atol=1e-5)
    assert jnp.isnan(edge.std_error.strength).all()


@pytest.mark.parametrize("model", [BradleyTerry, Davidson, RaoKupper])
@pytest.mark.parametrize("width", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
def test_no_finite_maximum_is_an_error_or_a_flag_never_a_number(model, width):
    won = Comparisons.from_arrays([0, 0, 1], [1, 2, 2], np.ones(3, width))
    apart = Comparisons.from_arrays([0, 1, 2, 3], [1, 0, 3, 2], np.ones(4, width))
    for data, k in ((won, 3), (apart, 4)):
        with pytest.raises(ValueError, match=r"no finite maximum: .*strength"):
            fit(model.init(k, dtype=width), data)
        flagged = fit(model.init(k, dtype=width), data, throw=False)
        assert flagged.diagnostics.separated
        assert jnp.isnan(flagged.model.strength).all()
        assert jnp.isnan(flagged.std_error.strength).all()


def test_too_few_steps_are_an_error():
    with pytest.raises(ValueError, match=r"stopped after 1 steps.*strength.* still moves.*max_steps"):
        fit(Davidson.init(3), battles((40 - 1, 33, 26)), max_steps=1)


def test_starting_at_the_solution_takes_a_step_or_two(result):
    assert fit(result.model, battles()).diagnostics.steps <= 2


def test_a_clustered_covariance_grows_where_votes_repeat(result):
    # Everyone votes four times alike, so there is a quarter of the information.
    data = jax.tree.map(lambda leaf: jnp.repeat(leaf, 4), battles())
    voter = jnp.repeat(jnp.arange(120, dtype=jnp.int32), 4)
    fourfold = fit(BradleyTerry.init(3), data)
    chex.assert_trees_all_close(fourfold.robust(voter).covariance, result.robust().covariance, rtol=1e-9, atol=1e-14)
    chex.assert_trees_all_close(4 * fourfold.robust().covariance, result.robust().covariance, rtol=1e-9, atol=1e-14)


def test_clusters_need_an_id_for_every_row(result):
    with pytest.raises(ValueError, match=r"cluster has shape \(3,\).*\(120,\)"):
        result.robust(jnp.arange(3))


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (BradleyTerry.init(3, order_effect=True), battles(), "no 'order'"),
        (BradleyTerry.init(3, n_features=1), battles(), "no 'features'"),
        (
            Davidson.init(3),
            Comparisons.from_arrays([0, 1], [1, 2], [0.3, 1.0]),
            "outcome is none of those that Davidson knows",
        ),
        (BradleyTerry.init(4), battles().table(3), "table is of 3 items, the model of 4"),
    ],
)
def test_data_that_do_not_fit_the_model_are_refused(model, data, message):
    with pytest.raises(ValueError, match=message):
        fit(model, data)
