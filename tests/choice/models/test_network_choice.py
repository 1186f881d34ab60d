import chex
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax.test_util import check_grads
from scipy import optimize

from scorax.choice._models._network_choice import NetworkChoice, choicerank, network_choice_log_prob
from scorax.data import Traffic
from scorax.inference import fit, log_likelihood

K = 6
RNG = np.random.default_rng(0)
THETA = RNG.normal(size=K)
THETA -= THETA.mean()
# A ring with shortcuts: every node has a rival somewhere.
ADJACENCY = (RNG.random((K, K)) < 0.4) | (np.eye(K, k=1) + np.eye(K, k=1 - K) > 0)
ADJACENCY &= ~np.eye(K, dtype=bool)
FAVOUR = np.where(ADJACENCY, RNG.uniform(0.5, 2.0, (K, K)), 0.0)


def moves(theta, adjacency):
    """Transition probabilities."""
    p = adjacency * np.exp(theta)
    return p / p.sum(1, keepdims=True)


def expected_traffic(adjacency, theta=THETA, out=None):
    """What the model expects, exactly, so that its maximum is the truth."""
    out = RNG.uniform(50, 500, K) if out is None else out
    return Traffic.from_matrix(adjacency, out @ moves(theta, adjacency), out)


def walk(adjacency, steps, seed=0):
    """A chain that is followed, and its transitions counted."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((K, K))
    cumulative, place = moves(THETA, adjacency).cumsum(1), 0
    for u in rng.random(steps):
        following = int((cumulative[place] < u).sum())
        counts[place, following] += 1
        place = following
    return counts


def log_gamma_prior(alpha):
    """Worths are Gamma(alpha, alpha), as a density of their logarithms."""
    of_worth = dist.TransformedDistribution(dist.Gamma(alpha, alpha), dist.transforms.ExpTransform().inv)
    return lambda: NetworkChoice(numpyro.sample("strength", of_worth.expand([K])))


@pytest.fixture(params=[ADJACENCY, FAVOUR], ids=["alike", "favoured"])
def adjacency(request):
    return request.param.astype(float)


total = jax.jit(log_likelihood)
simulate = jax.jit(lambda model, data, key: model.simulate(data, key=key))


def test_the_sum_over_nodes_is_the_log_probability_of_the_transitions(adjacency, x64):
    counts = walk(adjacency, 500)
    data = Traffic.from_matrix(adjacency, counts.sum(0), counts.sum(1))
    p = moves(THETA, adjacency)
    taken = counts > 0
    of_transitions = (counts[taken] * np.log(p[taken])).sum()
    # What does not depend on strengths: the log weight of every edge taken.
    constant = (counts[taken] * np.log(adjacency[taken])).sum()
    np.testing.assert_allclose(total(NetworkChoice(jnp.asarray(THETA)), data) + constant, of_transitions, rtol=1e-12)


def test_a_common_shift_changes_nothing(dtype):
    data = expected_traffic(FAVOUR)
    theta = jnp.asarray(THETA, dtype)
    shifted = total(NetworkChoice(theta + 5), data)
    np.testing.assert_allclose(shifted, total(NetworkChoice(theta), data), rtol=32 * float(jnp.finfo(dtype).eps))


def test_the_kernel_differentiates(x64):
    data = expected_traffic(FAVOUR)

    def rows(theta):
        return network_choice_log_prob(
            theta[data.node],
            theta[data.successors],
            data.visits_in,
            data.visits_out,
            log_edge_weight=data.log_edge_weight,
            where=data.where,
        )

    check_grads(jax.jit(rows), (jnp.asarray(THETA),), 1, modes=("fwd", "rev"), rtol=1e-6)
    # By hand: visits in minus expected visits in.
    slope = jax.jit(jax.grad(lambda theta: rows(theta).sum()))(jnp.zeros(K))
    flow = np.asarray(data.visits_out) @ moves(np.zeros(K), FAVOUR)
    np.testing.assert_allclose(slope, data.visits_in - flow, atol=1e-9)


def test_padding_and_dead_ends_add_nothing(dtype):
    theta = jnp.asarray([0.3, -0.7], dtype)
    successors = jnp.asarray([[0.5, jnp.nan], [jnp.nan, jnp.inf]], dtype)
    where = jnp.asarray([[True, False], [False, False]])
    counts = jnp.asarray([2.0, 3.0], dtype), jnp.asarray([4.0, 0.0], dtype)

    def rows(theta, successors):
        return network_choice_log_prob(theta, successors, *counts, where=where)

    def both(*at):
        return rows(*at).sum(), rows(*at)

    gradients, values = jax.jit(jax.grad(both, argnums=(0, 1), has_aux=True))(theta, successors)
    np.testing.assert_allclose(values, [2 * 0.3 - 4 * 0.5, -2.1], rtol=1e-6)
    np.testing.assert_array_equal(gradients[0], [2, 3])
    np.testing.assert_array_equal(gradients[1], [[-4, 0], [0, 0]])


def test_rows_join_as_rows_do(x64):
    model, data = NetworkChoice(jnp.asarray(THETA)), expected_traffic(FAVOUR)
    value = total(model, data)
    close = {"rtol": 1e-12}
    assert jax.jit(lambda model, data: model.log_prob(data))(model, data).shape == data.weight.shape
    np.testing.assert_allclose(total(model, data.pad(9)), value, **close)
    order = np.random.default_rng(0).permutation(K)
    np.testing.assert_allclose(total(model, data.take(order)), value, **close)
    twice = jax.tree.map(lambda x: jnp.concatenate([x, x]), data)
    np.testing.assert_allclose(total(model, twice), 2 * value, **close)
    np.testing.assert_allclose(total(model, twice.aggregate()), 2 * value, **close)
    np.testing.assert_allclose(total(model, data.reweight(2 * data.weight)), 2 * value, **close)


def test_maximum_likelihood_finds_what_the_traffic_was_made_of(x64):
    result = fit(NetworkChoice.init(K), expected_traffic(ADJACENCY.astype(float)))
    np.testing.assert_allclose(result.model.strength, THETA, atol=1e-8)


def test_the_stationary_chain_of_a_single_walker(x64):
    p = moves(THETA, FAVOUR)
    value, vector = np.linalg.eig(p.T)
    share = np.real(vector[:, np.argmax(value.real)])
    data = Traffic.from_matrix(FAVOUR, share / share.sum(), share / share.sum())
    np.testing.assert_allclose(fit(NetworkChoice.init(K), data).model.strength, THETA, atol=1e-6)


def test_standard_errors_are_those_of_the_transitions(x64):
    data = expected_traffic(ADJACENCY.astype(float))
    result = fit(NetworkChoice.init(K), data)
    out, p = np.asarray(data.visits_out), moves(THETA, ADJACENCY)
    information = sum(out[i] * (np.diag(p[i]) - np.outer(p[i], p[i])) for i in range(K))
    np.testing.assert_allclose(result.covariance, np.linalg.pinv(information), atol=1e-8)


def test_the_fit_lies_within_its_errors_of_the_truth(x64):
    design = expected_traffic(FAVOUR, out=np.full(K, 2000.0))
    truth = NetworkChoice(jnp.asarray(THETA))
    result = fit(NetworkChoice.init(K), simulate(truth, design, jax.random.key(0)))
    off = result.model.strength - THETA
    # Chi-square with five degrees of freedom: 26 is beyond its 1e-4 tail.
    assert off @ jnp.linalg.pinv(result.covariance, rtol=1e-10, hermitian=True) @ off < 26


def reference_choicerank(adjacency, entered, left, alpha, steps=20_000):
    """The plain iteration, in NumPy, without any scaling."""
    worth = np.ones(K)
    for _ in range(steps):
        worth = (entered + alpha) / (alpha + adjacency.T @ (left / (adjacency @ worth)))
    return worth


@pytest.mark.parametrize("alpha", [0.3, 10.0])
def test_choicerank_is_the_fixed_point_and_the_mode(adjacency, alpha, x64):
    counts = walk(adjacency, 200)
    data = Traffic.from_matrix(adjacency, counts.sum(0), counts.sum(1))
    found = choicerank(data, alpha=alpha)
    assert found.converged
    np.testing.assert_allclose(found.worth.sum(), K, rtol=1e-12)
    np.testing.assert_allclose(
        found.worth, reference_choicerank(adjacency, counts.sum(0), counts.sum(1), alpha), rtol=1e-7
    )
    np.testing.assert_allclose(found.strength, jnp.log(found.worth) - jnp.log(found.worth).mean(), atol=1e-14)

    def loss(theta):
        log_prob = counts.sum(0) @ theta - counts.sum(1) @ np.log(adjacency @ np.exp(theta))
        return -(log_prob + alpha * (theta - np.exp(theta)).sum())

    brute = optimize.minimize(loss, np.zeros(K), method="BFGS", options={"gtol": 1e-9}).x
    np.testing.assert_allclose(jnp.log(found.worth), brute, atol=1e-5)


def test_choicerank_is_a_fit_under_its_prior(x64):
    counts = walk(FAVOUR, 200)
    data = Traffic.from_matrix(FAVOUR, counts.sum(0), counts.sum(1))
    result = fit(NetworkChoice.init(K), data, prior=log_gamma_prior(1.0))
    np.testing.assert_allclose(result.model.strength, jnp.log(choicerank(data).worth), atol=1e-8)
    assert (result.std_error.strength > 0).all()


def test_a_node_never_entered_is_finite_under_the_prior_only():
    data = Traffic.from_edges([0, 0, 1, 2], [1, 2, 0, 0], visits_in=[5, 5, 0], visits_out=[5, 5, 0])
    with pytest.raises(ValueError, match=r"no finite maximum: strength|strength still moves"):
        fit(NetworkChoice.init(3), data)
    found = choicerank(data)
    assert found.converged
    assert found.worth.dtype == jnp.float32
    assert found.worth[2] < found.worth[1]
    np.testing.assert_allclose(found.worth.sum(), 3, rtol=1e-6)


def test_choicerank_says_when_it_has_not_converged():
    found = choicerank(expected_traffic(ADJACENCY.astype(float)), max_steps=2)
    assert not found.converged
    assert jnp.isnan(found.worth).all()
    with pytest.raises(ValueError, match="alpha must be positive, not 0"):
        choicerank(expected_traffic(ADJACENCY.astype(float)), alpha=0.0)
    with pytest.raises(ValueError, match="a node id is 4 or more, but the model has 4 nodes, in"):
        choicerank(expected_traffic(ADJACENCY.astype(float)), n_nodes=4)


def test_padded_traffic_is_the_same_network():
    data = expected_traffic(FAVOUR)
    np.testing.assert_allclose(choicerank(data.pad(9), n_nodes=K).worth, choicerank(data).worth, rtol=1e-5)


def test_simulated_traffic_is_balanced_and_as_expected(x64):
    data = expected_traffic(FAVOUR, out=np.full(K, 4000.0))
    model = NetworkChoice(jnp.asarray(THETA))
    drawn = simulate(model, data, jax.random.key(0))
    chex.assert_trees_all_equal_shapes_and_dtypes(drawn, data)
    np.testing.assert_array_equal(drawn.visits_out, data.visits_out)
    assert drawn.visits_in.sum() == data.visits_out.sum()
    np.testing.assert_array_equal(drawn.visits_in, jnp.round(drawn.visits_in))
    p = moves(THETA, FAVOUR)
    # Five standard deviations of each sum of binomials.
    spread = np.sqrt(4000 * (p * (1 - p)).sum(0))
    assert (np.abs(np.asarray(drawn.visits_in) - np.asarray(data.visits_in)) < 5 * spread).all()


def test_simulated_visits_stand_once_however_the_rows_stand(x64):
    model, data = NetworkChoice(jnp.asarray(THETA)), expected_traffic(FAVOUR, out=np.full(K, 100.0))
    two_days = jax.tree.map(lambda x: jnp.concatenate([x, x]), data).pad(15)
    drawn = simulate(model, two_days, jax.random.key(0))
    assert jnp.vdot(drawn.visits_in, drawn.weight) == 1200
    assert (drawn.visits_in[K : 2 * K] == 0).all()


def test_traffic_of_other_nodes_is_refused():
    data = expected_traffic(ADJACENCY.astype(float))
    with pytest.raises(ValueError, match="a node id is 5 or more, but the model has 5 nodes"):
        fit(NetworkChoice.init(5), data)


def test_prior_draws_sum_to_zero():
    drawn = numpyro.handlers.seed(NetworkChoice.init(K).prior, 0)()
    assert drawn.strength.shape == (K,)
    np.testing.assert_allclose(drawn.strength.sum(), 0, atol=1e-5)
