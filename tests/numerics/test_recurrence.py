import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.numerics import decayed_sum
from scorax.numerics._recurrence import _by_place, _by_tree


@pytest.fixture(params=[False, True], ids=["forwards", "reverse"])
def reverse(request):
    return request.param


def example(dtype):
    x = jax.random.normal(jax.random.key(0), (7, 3), dtype)
    return jnp.abs(x), jax.nn.sigmoid(x[::-1])


def test_both_scans_follow_the_recurrence(dtype, reverse):
    x, decay = example(dtype)
    start = x[0] - 1
    total, expected = np.asarray(start, float), np.zeros((7, 3))
    for j in reversed(range(7)) if reverse else range(7):
        total = np.asarray(x[j], float) + np.asarray(decay[j], float) * total
        expected[j] = total
    for scan in (_by_place, _by_tree):
        np.testing.assert_allclose(scan(x, decay, start, reverse), expected, rtol=8 * float(jnp.finfo(dtype).eps))


def test_vmap_equals_a_batch_and_gradients_match(x64, reverse):
    x, decay = example("float64")

    def total(x, decay):
        return decayed_sum(x, decay, reverse=reverse)

    def by_hand(x, decay):
        out = [jnp.zeros(3)]
        for j in reversed(range(7)) if reverse else range(7):
            out.append(x[j] + decay[j] * out[-1])
        return jnp.stack(out[:0:-1] if reverse else out[1:])

    chex.assert_trees_all_close(jax.jit(jax.vmap(total, 1, 1))(x, decay), total(x, decay), rtol=1e-14)
    weigh = jnp.cos(jnp.arange(21.0)).reshape(7, 3)
    gradients = [
        jax.jit(jax.grad(lambda *at, f=f: jnp.vdot(weigh, f(*at)), (0, 1)))(x, decay) for f in (total, by_hand)
    ]
    chex.assert_trees_all_close(*gradients, rtol=1e-13)
