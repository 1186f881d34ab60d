import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.diffusion import annealed_langevin, langevin

START = jnp.zeros((2000, 2))


def normal(x):
    return -x


def noised(x, sigma):
    return -x / (1 + sigma**2)


def test_the_stationary_variance_is_that_of_the_step():
    x = jax.jit(lambda x: langevin(normal, x, key=jax.random.key(0), step=0.5, n=40))(START)
    # x <- (1 - h) x + sqrt(2 h) z has variance 1 / (1 - h / 2); standard errors 0.018 and 2.2 %.
    np.testing.assert_allclose(x.mean(0), 0, atol=0.09)
    np.testing.assert_allclose(x.var(0), 4 / 3, rtol=0.11)


def test_steps_of_a_ladder_are_those_of_plain_dynamics():
    sigmas = jnp.asarray([2.0])
    key = jax.random.key(1)
    ladder = annealed_langevin(noised, START[:5], sigmas, key=key, eps=0.2, n_per_level=7)
    plain = langevin(lambda x: noised(x, sigmas[0]), START[:5], key=key, step=0.1, n=7)
    np.testing.assert_allclose(ladder, plain, rtol=1e-5, atol=1e-6)


def test_a_ladder_ends_at_the_noise_of_its_last_level():
    sigmas = jnp.asarray([4.0, 1.0, 0.5])
    x = jax.jit(lambda x: annealed_langevin(noised, 4 + x, sigmas, key=jax.random.key(0), eps=0.1, n_per_level=60))(
        START
    )
    # Variance 1.25, and 2 % more of the step; standard errors 0.026 and 2.2 %.
    np.testing.assert_allclose(x.var(0), 1.25 / (1 - 0.025 / 1.25), rtol=0.11)


def test_one_program_serves_every_number_of_steps_and_every_chunk():
    @jax.jit
    def run(x, n, offset):
        return langevin(normal, x, key=jax.random.key(0), step=0.1, n=6, n_steps=n, offset=offset)

    def number(n):
        return jnp.asarray(n, jnp.int32)

    x = 1 + START[:4]
    np.testing.assert_array_equal(run(x, number(0), number(0)), x)
    path = langevin(normal, x, key=jax.random.key(0), step=0.1, n=6, return_trajectory=True)
    assert path.shape == (7, 4, 2)
    np.testing.assert_allclose(run(x, number(3), number(0)), path[3], rtol=1e-5)
    np.testing.assert_allclose(run(x, number(3), number(1))[:3], path[3, 1:], rtol=1e-5)
    assert run._cache_size() == 1


def test_a_run_is_differentiable_in_its_step(x64):
    def total(step):
        return langevin(normal, jnp.ones((2, 1)), key=jax.random.key(0), step=step, n=3).sum()

    at = jnp.asarray(0.1)
    slope = (total(at + 1e-6) - total(at - 1e-6)) / 2e-6
    np.testing.assert_allclose(jax.jit(jax.grad(total))(at), slope, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, key: langevin(normal, x, key=key, step=0.0, n=1), "the step must be positive, not 0"),
        (lambda x, key: langevin(normal, x, key=key, step=0.1, n=0), "n must be at least 1"),
        (lambda x, key: langevin(normal, x, key=key, step=0.1, n=2, n_steps=3), "n_steps must be from 0 to 2"),
        (lambda x, key: annealed_langevin(noised, x, jnp.ones(0), key=key), "there are no noise levels"),
        (lambda x, key: annealed_langevin(noised, x, jnp.asarray([1.0, 2.0]), key=key), "positive and decrease"),
        (lambda x, key: annealed_langevin(noised, x, jnp.ones(1), key=key, n_per_level=0), "n_per_level must be"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(START[:2], jax.random.key(0))
