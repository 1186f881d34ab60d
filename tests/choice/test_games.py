import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice._games import mirror_descent_step, regularised_equilibrium, score_against, von_neumann_winner
from scorax.choice._models._general_preference import GeneralPreference

CIRCLE = [[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]]

step = jax.jit(mirror_descent_step)
winner = jax.jit(von_neumann_winner, static_argnames="steps")
equilibrium = jax.jit(regularised_equilibrium, static_argnames="steps")


def skew(k, dtype, seed=0):
    free = np.random.default_rng(seed).normal(size=(k, k))
    return jnp.asarray(free - free.T, dtype)


def simplex(k, dtype, seed=0):
    return jnp.asarray(np.random.default_rng(seed).dirichlet(np.ones(k)), dtype)


def test_a_mixture_is_met_at_its_mean_embedding(x64):
    item = jnp.asarray(np.random.default_rng(0).normal(size=(7, 4)), "float64")
    mixture = simplex(7, "float64")
    expected = GeneralPreference(item).score_matrix() @ mixture
    np.testing.assert_allclose(jax.jit(score_against)(item, item, mixture), expected, atol=1e-6)
    one = score_against(item[2], item, mixture)
    np.testing.assert_allclose(one, expected[2], atol=1e-6)


def test_the_next_policy_is_the_best_reply_at_its_price(x64):
    score, beta = skew(5, "float64"), 0.7
    policy, reference = simplex(5, "float64"), simplex(5, "float64", seed=1)

    def objective(q):
        return q @ score @ policy - beta * (q * jnp.log(q / reference)).sum()

    reply = jnp.exp(step(jnp.log(policy), score, beta, log_reference=jnp.log(reference)))
    np.testing.assert_allclose(reply.sum(), 1, rtol=1e-14)
    slope = jax.grad(objective)(reply)
    # Stationary on the simplex: all partial derivatives are equal.
    np.testing.assert_allclose(slope, slope[0], atol=1e-12)
    closed = reference * jnp.exp(score @ policy / beta)
    np.testing.assert_allclose(reply, closed / closed.sum(), rtol=1e-13)


def test_steps_of_a_batch_are_steps_of_each(x64):
    score = skew(4, "float64")
    policies = jnp.log(jnp.stack([simplex(4, "float64", seed) for seed in range(3)]))
    together = step(policies, score, 0.5)
    one_by_one = jnp.stack([step(policy, score, 0.5) for policy in policies])
    np.testing.assert_allclose(together, one_by_one, rtol=2e-6)
    without = jnp.asarray([0.5, 0.5, 0.0, 0.0], "float64")
    np.testing.assert_array_equal(jnp.exp(step(jnp.log(without), score, 0.5))[2:], 0)


def test_self_play_circles_outwards_and_its_average_stands_still(x64):
    score, beta = jnp.asarray(CIRCLE), 10.0
    start = jnp.log(jnp.asarray([0.5, 0.3, 0.2]))
    steps = 20_000

    def advance(log_policy, _):
        following = mirror_descent_step(log_policy, score, beta)
        return following, following

    _, path = jax.jit(lambda start: jax.lax.scan(advance, start, length=steps))(start)
    # Divergence of the winner, the even mixture, grows at every step.
    divergence = -path.mean(1) - np.log(3)
    assert (jnp.diff(divergence) > -1e-12).all()
    assert divergence[-1] > 5
    average = jnp.exp(path).mean(0)
    assert (score @ average).max() < 0.02
    assert (score @ jnp.exp(path[-1])).max() > 0.3
    assert path[-1].min() < -15


def test_a_fixed_reference_contracts_for_a_high_price_only(x64):
    score, reference = skew(6, "float64"), jnp.log(simplex(6, "float64"))

    def run(beta, steps=2000):
        first = step(reference, score, beta, log_reference=reference)
        return jax.lax.fori_loop(
            0, steps, lambda _, x: mirror_descent_step(x, score, beta, log_reference=reference), first
        )

    high, low = float(4 * jnp.abs(score).max()), 0.1
    for beta, contracts in ((high, True), (low, False)):
        end = run(beta)
        moved = jnp.abs(step(end, score, beta, log_reference=reference) - end).max()
        assert (moved < 1e-12) == contracts


@pytest.mark.parametrize("beta", [0.1, 1.0, 10.0])
def test_the_regularised_equilibrium_answers_itself(beta, x64):
    score = skew(6, "float64")
    score = score / jnp.abs(score).max()
    reference = simplex(6, "float64")
    found = equilibrium(score, jnp.log(reference), beta, steps=5000)
    policy = jnp.exp(found.log_policy)
    closed = reference * jnp.exp(score @ policy / beta)
    np.testing.assert_allclose(policy, closed / closed.sum(), atol=1e-12)
    assert found.residual < 1e-11


def test_too_few_steps_to_an_equilibrium_show(x64):
    score, reference = skew(6, "float64"), jnp.log(simplex(6, "float64"))
    assert equilibrium(score, reference, 0.05, steps=10).residual > 0.1
    level = equilibrium(jnp.zeros((6, 6), "float64"), reference, 0.5, steps=50)
    np.testing.assert_allclose(level.log_policy, reference, atol=1e-6)


def test_an_item_that_beats_all_others_is_the_winner(dtype):
    strength = jnp.asarray([0.0, 2.0, 1.0, -1.0], dtype)
    found = winner(strength[:, None] - strength[None, :], steps=2000)
    np.testing.assert_allclose(found.mixture, [0, 1, 0, 0], atol=0.01)
    np.testing.assert_allclose(found.exploitability, 0, atol=0.01)


def test_a_cycle_of_three_plays_each_by_the_score_of_the_other_two(dtype):
    a, b, c = 2.0, 1.0, 0.5
    score = jnp.asarray([[0, a, -b], [-a, 0, c], [b, -c, 0]], dtype)
    found = winner(score, steps=10_000)
    np.testing.assert_allclose(found.mixture, np.array([c, b, a]) / (a + b + c), atol=2e-3)


def test_the_certificate_falls_like_one_over_the_steps(x64):
    score = skew(30, "float64")
    gaps = [float(winner(score, steps=steps).exploitability / jnp.abs(score).max()) for steps in (100, 1000, 10_000)]
    # At least 0 for any mixture, because the score of a mixture against itself is 0.
    assert all(gap >= 0 for gap in gaps)
    # About 1e-3 of the largest score at 10 000 steps; the order of the fall is what is tested.
    assert gaps[2] < 2e-3
    assert 4 < gaps[0] / gaps[1] < 30
    assert 4 < gaps[1] / gaps[2] < 30
    mixture = winner(score, steps=1000).mixture
    np.testing.assert_allclose(mixture.sum(), 1, rtol=1e-12)
    assert (mixture >= 0).all()


def test_a_game_of_no_preferences_is_won_by_all(dtype):
    found = winner(jnp.zeros((4, 4), dtype), steps=10)
    np.testing.assert_allclose(found.mixture, 0.25, rtol=1e-6)
    assert found.exploitability == 0


def test_a_matrix_that_is_no_symmetric_game_has_no_winner():
    found = winner(jnp.asarray([[0.0, 1.0], [-0.5, 0.0]]), steps=10)
    assert jnp.isnan(found.mixture).all()
    assert jnp.isnan(found.exploitability)


def test_many_games_at_once(x64):
    games = jnp.stack([skew(5, "float64", seed) for seed in range(3)])
    together = jax.vmap(lambda score: von_neumann_winner(score, steps=500))(games)
    alone = winner(games[1], steps=500)
    np.testing.assert_allclose(together.mixture[1], alone.mixture, atol=1e-5)
