"""Effect sizes; numbers of pingouin and SciPy are in `tests/oracles/evals/effect_sizes.json`."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from scorax.evals import effect_size
from tests.evals.conftest import oracle

effect = jax.jit(effect_size, static_argnames=("kind", "level"))


@functools.partial(jax.jit, static_argnums=0)
def value_and_slope(kind, inputs):
    def value(given):
        found = effect_size(kind, **given)
        return found.value, found

    slope, found = jax.grad(value, has_aux=True)(inputs)
    return found, slope


GROUPS = {"mean_1": 5.2, "std_1": 1.1, "n_1": 40.0, "mean_2": 4.7, "std_2": 0.9, "n_2": 45.0}
SHARES = {"successes_1": 58.0, "n_1": 80.0, "successes_2": 43.0, "n_2": 75.0}
INPUTS = {
    "d": GROUPS,
    "g": GROUPS,
    "d_z": {"mean_difference": 0.4, "std_difference": 1.3, "n": 25.0},
    "d_from_t": {"t": 2.3, "degrees": 48.0},
    "r": {"r": 0.5, "n": 40.0},
    "fisher_z": {"r": 0.5, "n": 40.0},
    "q": {"r_1": 0.5, "n_1": 40.0, "r_2": 0.2, "n_2": 90.0},
    "log_odds_ratio": SHARES,
    "risk_difference": SHARES,
    "h": SHARES,
    "phi": {"table": np.array([[58.0, 22.0], [43.0, 32.0]])},
    "cramer_v": {"table": np.array([[31.0, 23.0, 10.0], [15.0, 31.0, 21.0]])},
    "eta_squared": {"f": 4.2, "degrees_between": 3.0, "degrees_within": 60.0},
}


@pytest.fixture
def numbers():
    return oracle("effect_sizes")[0]


def of(kind, dtype, level=0.95, **changes):
    inputs = {name: jnp.asarray(value, dtype) for name, value in (INPUTS[kind] | changes).items()}
    return effect(kind=kind, level=level, **inputs)


def test_standardised_differences_are_pingouins(dtype, numbers):
    summary = {}
    for i, side in enumerate("ab", 1):
        values = np.array(numbers[side])
        summary |= {f"mean_{i}": values.mean(), f"std_{i}": values.std(ddof=1), f"n_{i}": float(values.size)}
    eps = float(jnp.finfo(dtype).eps)
    found = of("d", dtype, **summary)
    assert found.value.dtype == dtype
    chex.assert_trees_all_close(float(found.value), numbers["cohen_d"], rtol=max(1e-10, 16 * eps))
    # The file has eight digits of the interval.
    ends = np.array([found.lower, found.upper], float)
    chex.assert_trees_all_close(ends, np.array(numbers["d_ci95"]), atol=max(1e-8, 32 * eps))
    shrunk = of("g", dtype, **summary)
    chex.assert_trees_all_close(float(shrunk.value), numbers["hedges_g"], rtol=max(1e-10, 16 * eps))
    chex.assert_trees_all_close(shrunk.variance, (shrunk.value / found.value) ** 2 * found.variance, rtol=16 * eps)
    of_t = effect_size("d_from_t", t=numbers["student_t"][0], degrees=75)
    # Exact for groups of one size; 35 and 42 are nearly so.
    chex.assert_trees_all_close(float(of_t.value), numbers["cohen_d"], rtol=0.01)


def test_shares_and_correlations_are_the_references(dtype, numbers):
    eps = float(jnp.finfo(dtype).eps)
    x, n = numbers["counts"], numbers["n"]
    shares = {"successes_1": x[0], "n_1": n[0], "successes_2": x[1], "n_2": n[1]}
    chex.assert_trees_all_close(float(of("h", dtype, **shares).value), numbers["cohen_h"], rtol=max(1e-10, 16 * eps))
    odds = float(jnp.exp(of("log_odds_ratio", dtype, **shares).value))
    chex.assert_trees_all_close(odds, numbers["fisher"][0], rtol=max(1e-10, 32 * eps))
    table = np.array([[x[0], n[0] - x[0]], [x[1], n[1] - x[1]]], float)
    expected = np.sqrt(numbers["chi2_nocorr"][0] / table.sum())
    chex.assert_trees_all_close(float(of("phi", dtype, table=table).value), expected, rtol=max(1e-10, 32 * eps))
    found = of("r", dtype)
    # The file has eight digits.
    ends = np.array([found.lower, found.upper], float)
    chex.assert_trees_all_close(ends, np.array(numbers["fisher_z_ci_r0.5_n40"]), atol=max(1e-8, 16 * eps))
    case = oracle("classical_stats")["chi2"]
    found = of("cramer_v", dtype, table=np.array(case["table"], float))
    chex.assert_trees_all_close(float(found.value), case["cramers_v"], rtol=max(1e-10, 32 * eps))


def test_closed_forms(x64):
    p, q, n, m = 58 / 80, 43 / 75, 80, 75
    expected = {
        "d_z": (0.4 / 1.3, 1 / 25 + (0.4 / 1.3) ** 2 / 50),
        "d_from_t": (4.6 / np.sqrt(48), 4 / 50 + (4.6 / np.sqrt(48)) ** 2 / 100),
        "r": (0.5, 0.75**2 / 39),
        "fisher_z": (np.arctanh(0.5), 1 / 37),
        "q": (np.arctanh(0.5) - np.arctanh(0.2), 1 / 37 + 1 / 87),
        "log_odds_ratio": (np.log(58 * 32 / 22 / 43), 1 / 58 + 1 / 22 + 1 / 43 + 1 / 32),
        "risk_difference": (p - q, p * (1 - p) / n + q * (1 - q) / m),
        "h": (2 * np.arcsin(np.sqrt(p)) - 2 * np.arcsin(np.sqrt(q)), 1 / n + 1 / m),
        "eta_squared": (12.6 / 72.6, 4 * (12.6 / 72.6) * (60 / 72.6) ** 2 * 3600 / ((64**2 - 1) * 67)),
    }
    for kind, (value, variance) in expected.items():
        found = of(kind, jnp.float64, level=0.9)
        chex.assert_trees_all_close((float(found.value), float(found.variance)), (value, variance), rtol=1e-12)
        quantile = stats.t.ppf(0.95, {"d_z": 24, "d_from_t": 48}[kind]) if kind[0] == "d" else stats.norm.ppf(0.95)
        if kind != "r":
            reach = quantile * np.sqrt(variance)
            chex.assert_trees_all_close(
                (float(found.lower), float(found.upper)), (value - reach, value + reach), rtol=1e-9
            )


@pytest.mark.parametrize("kind", ["phi", "cramer_v"])
def test_delta_variance_is_that_of_redrawn_tables(x64, kind):
    table = np.array([[70.0, 30.0], [40.0, 60.0]]) if kind == "phi" else np.array([[60.0, 25, 15], [20.0, 40, 40]])
    found = of(kind, jnp.float64, table=table)
    random = np.random.default_rng(0)
    drawn = random.multinomial(200, table.ravel() / 200, size=20_000).reshape(-1, *table.shape).astype(float)
    values = effect(kind=kind, level=0.95, table=jnp.asarray(drawn)).value
    # Monte Carlo errs by 1 in 100; the delta method by terms of order 1 / n and, for V, by its bias.
    assert float(values.var()) == pytest.approx(float(found.variance), rel=0.08)


@pytest.mark.parametrize("kind", list(INPUTS))
def test_gradients_are_finite_differences_and_batches_are_loops(x64, kind):
    """Along a change of all inputs at once, but for numbers of observations."""
    inputs = {name: jnp.asarray(value, float) for name, value in INPUTS[kind].items()}

    def along(step):
        moved = {
            name: value if name[0] == "n" or name[:3] == "deg" else value * (1 + step) for name, value in inputs.items()
        }
        if kind in ("phi", "cramer_v"):
            # A scaled table has the same association: bend it.
            moved["table"] = inputs["table"] ** (1 + step)
        found = effect_size(kind, **moved)
        return jnp.stack([found.value, found.variance, found.lower, found.upper])

    @jax.jit
    def run(steps):
        return jax.vmap(along)(steps), jax.vmap(jax.jacfwd(along))(steps), along(steps[0])

    values, slopes, alone = run(jnp.array([0.0, 1e-5, -1e-5]))
    chex.assert_trees_all_close(slopes[0], (values[1] - values[2]) / 2e-5, rtol=1e-6, atol=1e-8)
    chex.assert_trees_all_close(values[0], alone, rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "changes", "undefined"),
    [
        ("d", {"std_1": 0.0, "std_2": 0.0}, True),
        ("g", {"std_1": 0.0, "std_2": 0.0}, True),
        ("d_z", {"std_difference": 0.0}, True),
        ("d", {"n_1": 1.0, "n_2": 1.0}, True),
        ("r", {"r": 1.0}, False),
        ("r", {"n": 3.0}, False),
        ("fisher_z", {"r": -1.0}, True),
        ("fisher_z", {"n": 3.0}, False),
        ("log_odds_ratio", {"successes_2": 0.0}, True),
        ("log_odds_ratio", {"successes_2": 80.0}, True),
        ("risk_difference", {"successes_1": 80.0, "successes_2": 75.0}, False),
        ("risk_difference", {"n_1": 0.0, "successes_1": 0.0}, True),
        ("phi", {"table": np.array([[5.0, 0.0], [7.0, 0.0]])}, True),
        ("cramer_v", {"table": np.array([[10.0, 20.0, 30.0], [20.0, 40.0, 60.0]])}, False),
        ("eta_squared", {"f": 0.0}, False),
        ("eta_squared", {"f": -1.0}, True),
    ],
)
def test_no_variation_is_nan_with_a_flag_and_finite_gradients(kind, changes, undefined):
    inputs = {name: jnp.asarray(value) for name, value in (INPUTS[kind] | changes).items()}
    found, slope = value_and_slope(kind, inputs)
    assert found.degenerate
    assert jnp.isnan(jnp.stack([found.variance, found.lower, found.upper, found.std_error])).all()
    assert bool(jnp.isnan(found.value)) == undefined
    chex.assert_tree_all_finite(slope)


def test_shares_at_the_edge_have_an_angle(dtype):
    found = of("h", dtype, successes_1=80.0, successes_2=0.0)
    chex.assert_trees_all_close(found.value, jnp.asarray(np.pi, dtype), rtol=4 * float(jnp.finfo(dtype).eps))
    assert not found.degenerate


def test_correction_of_empty_cells(x64):
    given = {"successes_1": 12, "n_1": 20, "successes_2": jnp.array([0.0, 5.0]), "n_2": 20}
    found = effect_size("log_odds_ratio", correction=0.5, **given)
    expected = np.log([12.5 * 20.5 / 8.5 / 0.5, 12 * 15 / 8 / 5])
    chex.assert_trees_all_close(np.asarray(found.value), expected, rtol=1e-12)
    assert not found.degenerate.any()


def test_intervals_hold_the_truth(x64):
    """2000 studies of 30 and 40: the 90% interval of d holds the truth in 90 of 100, to four standard errors."""
    random = np.random.default_rng(0)
    one, other = random.normal(0.6, 1, (2000, 30)), random.normal(0, 1, (2000, 40))
    found = effect(
        kind="d",
        level=0.9,
        mean_1=jnp.asarray(one.mean(1)),
        std_1=jnp.asarray(one.std(1, ddof=1)),
        n_1=jnp.asarray(30.0),
        mean_2=jnp.asarray(other.mean(1)),
        std_2=jnp.asarray(other.std(1, ddof=1)),
        n_2=jnp.asarray(40.0),
    )
    held = (found.lower <= 0.6) & (found.upper >= 0.6)
    assert abs(float(held.mean()) - 0.9) < 4 * np.sqrt(0.09 / 2000)


def test_bad_input():
    with pytest.raises(ValueError, match="kind must be one of 'd', 'g'"):
        effect_size("delta")
    with pytest.raises(ValueError, match="effect size 'r' lacks n: its inputs are r, n"):
        effect_size("r", r=0.4)
    with pytest.raises(ValueError, match="'fisher_z' does not take t: its inputs are r, n"):
        effect_size("fisher_z", r=0.4, n=10, t=3)
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        effect_size("r", r=0.4, n=10, level=95.0)
    with pytest.raises(ValueError, match="phi needs a table of two rows and two columns"):
        effect_size("phi", table=jnp.ones((2, 3)))
    with pytest.raises(ValueError, match="V needs a table of two rows and columns at least"):
        effect_size("cramer_v", table=jnp.ones((1, 3)))
