"""Run by `test_sharded.py` in a process of its own with eight virtual devices: rows split over them change nothing."""

import sys

import chex
import equinox as eqx
import jax
import jax.numpy as jnp

from scorax.inference import fit, log_likelihood
from tests.inference.models import CASES, drawn, simulated


@eqx.filter_jit
def value_and_gradient(model, data):
    return eqx.filter_value_and_grad(log_likelihood)(model, data)


def check(case, mesh) -> None:
    model, whole = drawn(case, "float64"), simulated(case, "float64")
    split = whole.take(jnp.arange(len(whole.weight) - 1)).shard(mesh)  # 23 rows, padded to 24
    assert len(split.weight.sharding.device_set) == 8
    kept = whole.take(jnp.arange(len(whole.weight) - 1))
    expected = value_and_gradient(model, kept)
    chex.assert_trees_all_close(value_and_gradient(model, split), expected, rtol=1e-12, atol=1e-12)


def main(step: int) -> None:
    jax.config.update("jax_enable_x64", True)
    assert jax.device_count() == 8
    mesh = jax.make_mesh((8,), ("rows",))
    for case in CASES[::step]:
        check(case, mesh)
        print(case, "as a whole")
    one = CASES[1]
    rows = jax.tree.map(lambda leaf: jnp.repeat(leaf, 40, axis=0), simulated(one, "float64"))
    estimates = [fit(one.template("float64"), data).model for data in (rows, rows.shard(mesh))]
    chex.assert_trees_all_close(*estimates, rtol=1e-10)
    print("fit as a whole")


if __name__ == "__main__":
    main(int(sys.argv[1]))
