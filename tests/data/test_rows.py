"""What all containers of rows share, and the table: the same data whichever way it is held."""

import dataclasses
import pathlib
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.data import Annotations, Comparisons, PairCounts, Rankings

K, N = 5, 40


def make_comparisons(**columns):
    generator = np.random.default_rng(0)
    a = generator.integers(0, K, N)
    b = (a + generator.integers(1, K, N)) % K
    return Comparisons.from_arrays(a, b, generator.choice([0.0, 0.5, 1.0], N), **columns)


def make_rankings(**columns):
    generator = np.random.default_rng(1)
    orders = [generator.permutation(K)[: generator.integers(2, 4)].tolist() for _ in range(N)]
    return Rankings.from_orders(orders, **columns)


def make_annotations(**columns):
    generator = np.random.default_rng(2)
    where = generator.random((N, 2)) < 0.7
    where[:, 0] = True
    known = generator.random(N) < 0.5
    return Annotations.from_arrays(
        generator.integers(0, 2, (N, 2)),
        np.tile([0, 1], (N, 1)),
        where=where,
        gold=generator.integers(0, 2, N),
        has_gold=known,
        **columns,
    )


MAKERS = {
    "comparisons": make_comparisons,
    "covariates": lambda **columns: make_comparisons(
        order=np.arange(N) % 3 - 1, features=np.arange(2 * N).reshape(N, 2) % 2, cluster=np.arange(N) % 4, **columns
    ),
    "rankings": make_rankings,
    "ties": lambda **columns: Rankings.from_arrays(
        make_rankings().order, where=make_rankings().where, tie_level=np.tile([0, 1, 1], (N, 1)), **columns
    ),
    "top": lambda **columns: make_rankings(unlisted="last", cluster=np.arange(N) % 3, **columns),
    "annotations": make_annotations,
}
EVERY = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def bradley_terry(strength, data):
    """Weighted log-likelihood with ties as half wins."""
    outcome = data.outcome.astype(strength.dtype)
    difference = data.difference(strength)
    rows = outcome * jax.nn.log_sigmoid(difference) + (1 - outcome) * jax.nn.log_sigmoid(-difference)
    return (data.weight.astype(strength.dtype) * rows).sum()


def as_multiset(data):
    """Rows as a sorted list, whatever order they stand in."""
    data = data.canonical()
    leaves = [np.asarray(leaf, np.float64).reshape(data.weight.shape[0], -1) for leaf in jax.tree.leaves(data)]
    return sorted(map(tuple, np.concatenate(leaves, axis=1).tolist()))


@EVERY
def test_expand_undoes_aggregate(make, dtype):
    # Weights a power of two apart, so that sums and shares are exact.
    data = make(weight=np.resize([1.0, 2.0, 0.5], N))
    together = data.aggregate()
    assert together.weight.shape[0] < N
    assert together.count.sum() == N
    assert together.weight.dtype == dtype
    assert as_multiset(together.expand()) == as_multiset(data)
    chex.assert_trees_all_equal(together.aggregate(), together.canonical())


@EVERY
def test_aggregate_keeps_the_meat_of_unequal_weights(make):
    data = make(weight=np.resize([1.0, 3.0], N)).canonical()
    together = data.aggregate()
    # Sum of w^2 / count over equal rows: what the sandwich sums, with the same gradient for all of them.
    chex.assert_trees_all_close((together.weight**2 / together.count).sum(), (data.weight**2).sum(), rtol=1e-6)


@EVERY
def test_padding_adds_nothing(make):
    data = make(weight=np.resize([1.0, 0.5], N))
    longer = data.pad(N + 7)
    assert longer.weight.shape == (N + 7,)
    chex.assert_trees_all_equal(longer.take(np.arange(N)), data)
    assert longer.weight[N:].sum() == longer.count[N:].sum() == 0
    chex.assert_trees_all_equal(longer.aggregate(), data.aggregate())
    with pytest.raises(ValueError, match=r"cannot pad 40 rows to 39"):
        data.pad(N - 1)


def test_pad_works_under_jit():
    data = make_comparisons()
    chex.assert_trees_all_equal(jax.jit(lambda d: d.pad(N + 3))(data), data.pad(N + 3))


@EVERY
def test_take_by_number_and_by_truth(make):
    data = make()
    chex.assert_trees_all_equal(data.take(np.arange(N) % 2 == 0), data.take(np.arange(0, N, 2)))


@EVERY
def test_pytree_round_trip(make):
    data = make()
    leaves, structure = jax.tree.flatten(data)
    chex.assert_trees_all_equal(jax.tree.unflatten(structure, leaves), data)
    assert all(leaf.dtype in (jnp.int32, jnp.bool_, jnp.float32) for leaf in leaves)


def test_reweight():
    data = make_comparisons()
    assert data.reweight(np.full(N, 2.0)).weight.sum() == 2 * N
    assert data.reweight(np.full(N, 2.0)).count.sum() == N
    with pytest.raises(ValueError, match="weight has shape"):
        data.reweight(np.ones(N - 1))
    with pytest.raises(ValueError, match="weight is negative in 1 row"):
        data.reweight(jnp.ones(N).at[3].set(-1))


def test_raw_aggregated_padded_and_table_have_the_same_likelihood(dtype):
    data = make_comparisons(weight=np.resize([1.0, 2.0, 0.25], N))
    strength = jnp.linspace(-1, 1, K, dtype=dtype)
    value_and_grad = jax.jit(jax.value_and_grad(bradley_terry))
    expected = value_and_grad(strength, data)
    for same in (data.aggregate(), data.pad(64), data.table(K), data.table(K).rows()):
        # 40 terms of size 1.
        chex.assert_trees_all_close(value_and_grad(strength, same), expected, atol=100 * float(jnp.finfo(dtype).eps))


def test_soft_labels_have_the_same_likelihood_in_a_table(dtype):
    data = make_comparisons()
    data = dataclasses.replace(data, outcome=jax.random.uniform(jax.random.key(0), (N,), dtype))
    strength = jnp.linspace(-1, 1, K, dtype=dtype)
    expected = bradley_terry(strength, data)
    value = bradley_terry(strength, data.table(K))
    chex.assert_trees_all_close(value, expected, rtol=20 * float(jnp.finfo(dtype).eps))


@pytest.mark.parametrize("weight", [None, np.resize([1.0, 2.0, 0.25], N)], ids=["ones", "weights"])
def test_table_by_definition_on_host_and_traced(dtype, weight):
    data = make_comparisons(weight=weight)
    expected = np.zeros((2, K, K))
    columns = (data.a, data.b, data.outcome, data.weight)
    for a, b, y, w in zip(*(np.asarray(column).tolist() for column in columns), strict=True):
        expected[(1, min(a, b), max(a, b)) if y == 0.5 else (0, a, b) if y == 1 else (0, b, a)] += w
    host, traced = data.table(K), jax.jit(Comparisons.table, static_argnums=1)(data, K)
    for table in (host, traced):
        assert table.weight.dtype == dtype
        np.testing.assert_array_equal(table.weight, expected)
        assert table.count.sum() == N
    assert np.tril(host.weight[1]).sum() == 0


def test_table_is_exact_where_rows_are_counted_in_chunks(monkeypatch):
    # A chunk has at least as many rows as there are cells, here 75: ten times the rows fill five chunks and a bit.
    data = make_comparisons()
    monkeypatch.setattr("scorax.data._pair_table._CHUNK", 7)
    chex.assert_trees_all_equal(data.take(np.tile(np.arange(N), 10)).table(K).count, 10 * data.table(K).count)


def test_counts_beyond_single_precision_are_exact():
    # 2^24 + 1 ones of 32 bits cannot be summed one after the other.
    n = 2**24 + 2
    data = Comparisons.from_arrays(np.zeros(n, np.int32), np.ones(n, np.int32), np.ones(n, np.float32))
    assert data.table(2).weight[0, 0, 1] == n


def test_table_is_differentiable_in_weight_and_outcome(x64):
    data = make_comparisons()
    strength = jnp.linspace(-1, 1, K)

    def through(weight, outcome):
        table = dataclasses.replace(data, weight=weight, outcome=outcome).table(K)
        return bradley_terry(strength, table)

    def direct(weight, outcome):
        return bradley_terry(strength, dataclasses.replace(data, weight=weight, outcome=outcome))

    found, expected = (jax.jit(jax.grad(f, argnums=(0, 1)))(data.weight, data.outcome) for f in (through, direct))
    chex.assert_trees_all_close(found, expected, atol=1e-13)


def test_table_under_vmap_over_weights():
    data = make_comparisons()
    weights = jax.random.uniform(jax.random.key(0), (3, N))
    tables = jax.vmap(lambda weight: data.reweight(weight).table(K).weight)(weights)
    expected = jnp.stack([data.reweight(weight).table(K).weight for weight in weights])
    # Sums of a few numbers below 1 in single precision, against 64 bits.
    chex.assert_trees_all_close(tables, expected, atol=1e-6)


def test_table_refuses_what_it_cannot_hold():
    data = make_comparisons()
    with pytest.raises(ValueError, match="no place for 'order'"):
        dataclasses.replace(data, order=jnp.zeros(N)).table(K)
    with pytest.raises(ValueError, match="no place for 'features'"):
        dataclasses.replace(data, features=jnp.zeros((N, 1))).table(K)
    with pytest.raises(ValueError, match=r"an item id is 4 or more in \d+ rows"):
        data.table(K - 1)


def test_pair_counts_and_rows():
    table = make_comparisons().table(K)
    chex.assert_trees_all_equal(table.rows().table(K), table)
    chex.assert_trees_all_equal(table.expand().table(K), table)
    assert table.expand().a.shape == (N,)
    symmetric = PairCounts.from_arrays(table.weight[0], table.weight[1] + table.weight[1].T)
    chex.assert_trees_all_equal(symmetric, table)
    assert table.aggregate() is table
    assert table.order is table.features is table.cluster is None


def test_combined_keys_do_not_overflow():
    # Ids near 2^31 in two columns, with clusters and features as large: their product needs 120 bits.
    large = 2**31 - 2
    data = Comparisons.from_arrays(
        [0, large, 0, large],
        [large, 1, large, 1],
        [1.0, 0.0, 1.0, 0.0],
        cluster=[large, 3, large, 3],
        features=np.array([[1e9, -7.25], [3.5, 2.0], [1e9, -7.25], [3.5, 2.0]]),
    )
    together = data.aggregate()
    assert together.count.tolist() == [2, 2]
    assert together.a.tolist() == [0, large]


def test_what_is_not_filled_does_not_keep_rows_apart():
    rankings = Rankings.from_arrays([[0, 1, 2], [0, 1, 0]], where=[[True, True, False]] * 2)
    assert rankings.aggregate().count.tolist() == [2]


def test_the_order_within_a_tie_makes_no_difference():
    rankings = Rankings.from_orders([[2, (0, 1)], [2, (1, 0)], [(2, 0), 1], [2, 0, 1]])
    assert rankings.aggregate().count.tolist() == [2, 1, 1]


def test_ties_are_broken_at_random_and_nothing_else_moves():
    rankings = Rankings.from_orders([[3, (0, 1), 2]] * 400)
    broken = rankings.break_ties(key=jax.random.key(0))
    assert (broken.order[:, 0] == 3).all()
    assert (broken.order[:, 3] == 2).all()
    # Half of four hundred, within four standard deviations.
    assert abs(int((broken.order[:, 1] == 0).sum()) - 200) < 40
    swapped = Annotations.from_arrays([[0, 1], [1, 0]], [[0, 1], [1, 0]], gold=[0, 1], has_gold=[False, False])
    assert swapped.aggregate().count.tolist() == [2]


def test_expand_wants_whole_counts():
    data = Comparisons.from_arrays([0, 0], [1, 1], [1.0, 0.0], count=[1.5, 1.0])
    with pytest.raises(ValueError, match="count is not a whole number in 1 row"):
        data.expand()


def test_tally(dtype):
    data = make_annotations()
    tally = jax.jit(Annotations.tally, static_argnums=(1, 2))(data, 2, 2)
    assert tally.shape == (N, 2, 2)
    np.testing.assert_array_equal(tally.sum((1, 2)), np.asarray(data.where).sum(1))
    row = int(np.flatnonzero(np.asarray(data.where).all(1))[0])
    for judge in range(2):
        assert tally[row, judge, int(data.label[row, judge])] == 1


def test_repeated_labels_are_counted():
    data = Annotations.from_arrays([[1, 1, 0]], [[0, 0, 0]])
    np.testing.assert_array_equal(data.tally(1, 2), [[[1, 2]]])


SHARDED = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from scorax.data import Comparisons
assert jax.device_count() == 8
generator = np.random.default_rng(0)
a = generator.integers(0, 5, 43)
data = Comparisons.from_arrays(a, (a + 1) % 5, generator.choice([0.0, 0.5, 1.0], 43), features=np.ones((43, 2)))

@jax.jit
def loss(strength, data):
    d = data.difference(strength)
    return (data.weight * (data.outcome * jax.nn.log_sigmoid(d) + (1 - data.outcome) * jax.nn.log_sigmoid(-d))).sum()

strength = jnp.linspace(-1.0, 1.0, 5)
whole = jax.value_and_grad(loss)(strength, data)
mesh = jax.make_mesh((8,), ("rows",))
grid = jax.make_mesh((4, 2), ("rows", "model"))
for devices, parts in ((mesh, 8), (grid, 8), (NamedSharding(grid, PartitionSpec("rows")), 4)):
    split = data.shard(devices)
    assert split.a.shape[0] % parts == 0 and split.a.shape[0] < 43 + parts
    assert {s.data.shape for s in split.features.addressable_shards} == {(split.a.shape[0] // parts, 2)}
    for x, y in zip(whole, jax.value_and_grad(loss)(strength, split)):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)
print("sharded")
"""


def test_sharded_over_eight_devices():
    source = pathlib.Path(__file__).parents[2] / "src"
    environment = {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(source),
        "PATH": "",
    }
    done = subprocess.run([sys.executable, "-c", SHARDED], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "sharded\n", done.stderr
