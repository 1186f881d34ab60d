import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.judges import win_rate

rate = jax.jit(win_rate, static_argnames=("interval", "level"))
slopes = jax.jit(jax.grad(lambda won, where: win_rate(won, where=where).upper))


def outcomes(dtype, win, tie, loss):
    """On the host, where nothing has to be compiled."""
    return np.repeat(np.asarray([1.0, 0.5, 0.0], dtype), [win, tie, loss])


def estimate(won, **options):
    """On sixty rows, most of them padding where there are few: one program does for all."""
    where = np.arange(60) < won.size
    return rate(np.append(won, np.full(60 - won.size, np.nan, won.dtype)), where=where, **options)


@pytest.mark.parametrize(
    ("counts", "percent", "half_width"), [((12, 6, 28), 32.6087, 12.6398), ((14, 26, 11), 52.9412, 9.6691)]
)
def test_published_win_rates(dtype, counts, percent, half_width):
    """Means and 1.96 standard errors that the reference scripts print; the counts follow from the two numbers."""
    found = estimate(outcomes(dtype, *counts))
    assert 100 * float(found.rate) == pytest.approx(percent, abs=5e-5)
    assert 196 * float(found.std_error) == pytest.approx(half_width, abs=5e-5)
    # The scripts round the quantile, 1.959964.
    assert 100 * float(found.upper - found.rate) == pytest.approx(half_width, rel=3e-5)
    assert float(found.upper - found.rate) == pytest.approx(float(found.rate - found.lower), rel=1e-5)


def test_wilson_is_the_solution_of_its_equation(x64):
    found = estimate(outcomes("float64", 9, 0, 1), interval="wilson")
    for end in (found.lower, found.upper):
        z = (0.9 - float(end)) / np.sqrt(float(end) * (1 - float(end)) / 10)
        assert abs(z) == pytest.approx(1.959963984540054, rel=1e-9)
    sure = estimate(outcomes("float64", 10, 0, 0), interval="wilson")
    assert float(sure.upper) == pytest.approx(1)
    assert float(sure.lower) == pytest.approx(1 / (1 + 1.959963984540054**2 / 10))


@pytest.mark.parametrize("interval", ["normal", "wilson"])
def test_counts_are_repetition(interval):
    few, times = outcomes("float32", 1, 1, 1), np.float32([12, 6, 28])
    many = estimate(outcomes("float32", 12, 6, 28), interval=interval)
    chex.assert_trees_all_close(rate(few, count=times, interval=interval), many, rtol=1e-5)
    # Weights have no scale of their own, and those of the counts are the counts.
    chex.assert_trees_all_close(rate(few, count=times, weight=3 * times, interval=interval), many, rtol=1e-5)


def test_unequal_weights_are_worth_fewer_rows():
    """Half of the rows have nine tenths of the weight: 2 (.9^2 + .1^2) times the variance of a mean."""
    won, weight = np.tile(np.float32([1, 0]), 30), np.repeat(np.float32([9, 1]), 30)
    found, plain = rate(won, weight=weight), estimate(won)
    assert float(found.rate) == pytest.approx(0.5)
    assert float(found.std_error) == pytest.approx(float(plain.std_error) * np.sqrt(2 * 0.82), rel=1e-5)


def test_bootstrap_agrees_with_the_normal_interval_and_respects_clusters():
    won, where = jnp.asarray(outcomes("float32", 240, 120, 240)), jnp.arange(600) % 2 == 0
    key = jax.random.key(0)
    drawn, plain = win_rate(won, interval="bootstrap", key=key, where=where), rate(won, where=where)
    # 2000 draws know a quantile to a twentieth of a standard deviation.
    close = {"abs": 0.1 * float(plain.std_error)}
    assert (float(drawn.lower), float(drawn.upper)) == pytest.approx((float(plain.lower), float(plain.upper)), **close)
    # Every outcome twice, both in one cluster: no more is known.
    copies = win_rate(won, interval="bootstrap", key=key, cluster=jnp.arange(600) // 2)
    assert (float(copies.lower), float(copies.upper)) == pytest.approx(
        (float(drawn.lower), float(drawn.upper)), abs=1e-6
    )


def test_rows_outside_count_for_nothing(dtype):
    won = outcomes(dtype, 12, 6, 28)
    found = estimate(won)
    assert float(found.rate) == pytest.approx(15 / 46, rel=1e-6)
    assert float(found.std_error) == pytest.approx(won.std(ddof=1) / np.sqrt(46), rel=1e-5)
    assert float(found.n) == 46
    slope = np.asarray(slopes(np.append(won, np.full(14, np.nan, dtype)), np.arange(60) < 46))
    assert np.isfinite(slope).all()
    assert (slope[46:] == 0).all()


def test_degenerate_samples(dtype):
    nothing = estimate(outcomes(dtype, 0, 0, 0))
    assert np.isnan([nothing.rate, nothing.lower]).all()
    one = estimate(outcomes(dtype, 1, 0, 0))
    assert one.rate == 1
    assert np.isnan([one.std_error, one.upper]).all()
    all_equal = estimate(outcomes(dtype, 4, 0, 0))
    assert (all_equal.std_error, all_equal.lower, all_equal.upper) == (0, 1, 1)
    slope = np.asarray(slopes(np.ones(60, dtype), np.arange(60) < 4))
    assert np.isfinite(slope).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interval": "exact"}, "interval must be one of"),
        ({"level": 1.0}, "level must be between 0 and 1"),
        ({"interval": "bootstrap"}, "give it a key"),
        ({"cluster": jnp.zeros(3, int)}, "knows no clusters"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        win_rate(jnp.ones(3), **options)
