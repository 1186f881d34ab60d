"""Krippendorff's alpha; numbers of the package krippendorff, see `tests/oracles/judges/README.md`."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.stats import (
    bayesian_bootstrap_weights,
    krippendorff_alpha,
    krippendorff_bootstrap,
    multinomial_weights,
    percentile_interval,
)

CASES = json.loads((pathlib.Path(__file__).parents[1] / "oracles/judges/agreement_cases.json").read_text())
METRICS = ("nominal", "ordinal", "interval", "ratio", "circular")
alpha = jax.jit(krippendorff_alpha, static_argnames=("metric", "period"))
of_distances = jax.jit(krippendorff_alpha)
value_of = jax.jit(
    lambda tally, metric, values: krippendorff_alpha(tally, metric=metric, values=values).value, static_argnums=1
)


def found_in(tally, metric, values=(1.0, 2.0, 3.5, 5.0), count=None):
    """Of sixteen items and four levels on a circle of five, by one program for each metric and precision."""
    counts = jnp.ones(16) if count is None else jnp.asarray(count, float)
    return alpha(jnp.asarray(tally, float), metric=metric, values=jnp.asarray(values), period=5.0, count=counts)


def coincidences_of(tally):
    """Pairs of labels of an item over one less than its number of labels, by loops."""
    m = tally.shape[1]
    table = np.zeros((m, m))
    for row in np.asarray(tally, float):
        labels = np.repeat(np.arange(m), row.astype(int))
        for i, a in enumerate(labels):
            for k, b in enumerate(labels):
                if i != k:
                    table[a, b] += 1 / (len(labels) - 1)
    return table


def by_definition(tally, squares):
    table = coincidences_of(tally)
    margin = table.sum(1)
    n = margin.sum()
    return 1 - (n - 1) * (table * squares).sum() / (np.outer(margin, margin) * squares).sum()


def random_tally(n=16, m=4, seed=0):
    random = np.random.default_rng(seed)
    counts = random.multinomial(3, random.dirichlet(np.full(m, 0.3), n))
    return jnp.asarray(counts * (random.uniform(size=(n, 1)) < 0.9), float)


@pytest.mark.parametrize("metric", METRICS[:4])
def test_agrees_with_the_package(x64, metric):
    canonical = {"nominal": 0.7434, "ordinal": 0.8154, "interval": 0.8491, "ratio": 0.7974}
    found = []
    for case in CASES:
        raw, levels = case["ratings_items_by_raters"], case["categories"]
        counts = np.array([[row.count(level) for level in levels] for row in raw], float)
        # Levels that nobody used, and items without labels, change nothing: one shape for all cases.
        tally = jnp.pad(jnp.asarray(counts), ((0, 320 - len(raw)), (0, 10 - len(levels))))
        values = jnp.pad(jnp.asarray(levels, float), (0, 10 - len(levels)), constant_values=11.0)
        found.append(value_of(tally, metric=metric, values=values))
        np.testing.assert_allclose(found[-1], case["krippendorff_0.9.0"][metric], atol=1e-12)
    # The table of Krippendorff's book comes first.
    assert float(found[0]) == pytest.approx(canonical[metric], abs=5e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_is_what_it_says(x64, metric):
    tally = random_tally()
    values = np.array([0.0, 1.0, 2.5, 4.0])
    apart, both = values[:, None] - values, values[:, None] + values
    margin = coincidences_of(tally).sum(1)
    between = np.array([[margin[min(c, k) : max(c, k) + 1].sum() for k in range(4)] for c in range(4)])
    squares = {
        "nominal": (apart != 0).astype(float),
        "ordinal": np.where(apart == 0, 0, between - (margin[:, None] + margin) / 2) ** 2,
        "interval": apart**2,
        "ratio": (apart / np.where(both == 0, 1, both)) ** 2,
        "circular": np.sin(np.pi * apart / 5) ** 2,
    }[metric]
    found = found_in(tally, metric, values)
    np.testing.assert_allclose(found.value, by_definition(tally, squares), rtol=1e-12)
    custom = of_distances(tally, metric=jnp.asarray(squares))
    np.testing.assert_allclose([custom.value, custom.std_error], [found.value, found.std_error], rtol=1e-12)
    # Items with a single label drop out.
    assert int(found.n_items) == int((tally.sum(1) >= 2).sum())


def test_single_and_double_precision_agree():
    single = found_in(random_tally(), "ordinal")
    with jax.enable_x64(True):
        double = found_in(random_tally(), "ordinal")
    np.testing.assert_allclose([single.value, single.std_error], [double.value, double.std_error], rtol=1e-5)


def test_invariances(x64):
    tally, values = random_tally(), np.array([1.0, 2.0, 3.5, 5.0])
    interval, moved = found_in(tally, "interval", values), found_in(tally, "interval", 3 - 2 * values)
    np.testing.assert_allclose([moved.value, moved.std_error], [interval.value, interval.std_error], rtol=1e-12)
    np.testing.assert_allclose(found_in(tally, "ratio", 7 * values).value, found_in(tally, "ratio", values).value)
    # Turning the circle, and reversing an order.
    circle = np.arange(4) * 1.25
    np.testing.assert_allclose(
        found_in(jnp.roll(tally, 1, axis=1), "circular", circle).value, found_in(tally, "circular", circle).value
    )
    np.testing.assert_allclose(found_in(tally[:, ::-1], "ordinal").value, found_in(tally, "ordinal").value)
    # Two levels are nominal, whatever they are worth; and 0 is as far from anything as can be.
    two = jnp.pad(tally[:, :2], ((0, 0), (0, 2)))
    nominal = found_in(two, "nominal").value
    np.testing.assert_allclose(found_in(two, "interval").value, nominal)
    np.testing.assert_allclose(found_in(two, "ratio", (0.0, 5.0, 6.0, 7.0)).value, nominal)


@pytest.mark.parametrize("metric", METRICS)
def test_counts_are_repetition(x64, metric):
    tally = np.asarray(random_tally())
    count = np.array([2, 0, 1, 3, 1, 1, 2, 1, 0, 1, 1, 0, 1, 1, 1, 0])
    found = found_in(tally, metric, count=count)
    again = found_in(np.repeat(tally, count, axis=0), metric)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11)


@pytest.mark.parametrize(("metric", "smooth"), [("nominal", False), ("ordinal", True)])
def test_bootstrap_is_alpha_of_redrawn_counts(x64, metric, smooth):
    tally = random_tally(seed=1)
    key = jax.random.key(5)
    draws = krippendorff_bootstrap(key, tally, 20, metric=metric, smooth=smooth)
    draw = bayesian_bootstrap_weights if smooth else multinomial_weights
    weights = draw(jax.random.split(key, 1)[0], (tally.sum(1) >= 2).astype(float), 20)
    one_by_one = jax.jit(jax.vmap(lambda weight: krippendorff_alpha(tally, metric=metric, weight=weight).value))
    np.testing.assert_allclose(draws, one_by_one(weights), rtol=1e-10)
    assert draws.shape == (20,)


def test_bootstrap_in_parts_and_of_whole_tables(x64, monkeypatch):
    monkeypatch.setattr("scorax.stats._krippendorff._MOST_COUNTS", 16 * 8)
    tally = random_tally(seed=1)
    draws = krippendorff_bootstrap(jax.random.key(0), tally, 20)
    assert draws.shape == (20,)
    assert len(np.unique(draws)) > 15
    np.testing.assert_array_equal(krippendorff_bootstrap(jax.random.key(0), tally, 20), draws)


@pytest.mark.slow
def test_bootstrap_and_standard_error_say_the_same(x64):
    tally = random_tally(n=300, seed=4)
    found = of_distances(tally, metric=1 - jnp.eye(4))
    draws = krippendorff_bootstrap(jax.random.key(0), tally, 2000)
    # 5 % is three standard errors of a standard deviation of 2000 draws; the rest is of second order in 1 / 300.
    assert float(draws.std() / found.std_error) == pytest.approx(1, abs=0.08)
    lower, upper = percentile_interval(draws)
    assert lower < found.value < upper


@pytest.mark.parametrize("metric", METRICS)
def test_degenerate_and_empty(x64, metric):
    for tally in (np.tile([0.0, 3.0, 0.0, 0.0], (16, 1)), np.eye(16)[:, :4], np.zeros((16, 4))):
        found = found_in(tally, metric)
        assert bool(found.degenerate)
        assert bool(jnp.isnan(found.value))


def test_nothing_to_redraw():
    with pytest.raises(ValueError, match="nothing to redraw"):
        krippendorff_bootstrap(jax.random.key(0), jnp.eye(3))


def test_gradient_agrees_with_differences(x64):
    tally = random_tally()
    slope = jax.jit(jax.value_and_grad(lambda weight: krippendorff_alpha(tally, metric="ordinal", weight=weight).value))
    weight = jnp.asarray(np.random.default_rng(0).uniform(0.5, 2, 16))
    step = jnp.zeros(16).at[3].set(1e-5)
    above, below = (slope(weight + sign * step)[0] for sign in (1, -1))
    np.testing.assert_allclose(slope(weight)[1][3], (above - below) / 2e-5, rtol=1e-6, atol=1e-11)
    assert jnp.isfinite(slope(jnp.zeros(16).at[0].set(1.0))[1]).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metric": "cardinal"}, "metric must be 'nominal'"),
        ({"metric": "ratio"}, "needs values"),
        ({"metric": "circular", "values": (0.0, 6.0, 12.0)}, "needs the period"),
        ({"metric": "interval", "values": (1.0, 2.0)}, r"values have shape \(2,\); expected one for each of the 3"),
    ],
)
def test_bad_input(settings, message):
    with pytest.raises(ValueError, match=message):
        krippendorff_alpha(jnp.ones((4, 3)), **settings)


def test_bad_input_of_the_bootstrap():
    with pytest.raises(ValueError, match="metric must be 'nominal'"):
        krippendorff_bootstrap(jax.random.key(0), jnp.ones((4, 3)), 2, metric="cardinal")
    with pytest.raises(ValueError, match="n_resamples must be at least 1"):
        krippendorff_bootstrap(jax.random.key(0), jnp.ones((4, 3)), 0)
