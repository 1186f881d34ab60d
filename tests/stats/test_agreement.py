"""Coefficients in Gwet's frame; numbers of irrCAC and scikit-learn, see `tests/oracles/judges/README.md`."""

import functools
import json
import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.stats import (
    Agreement,
    agreement_credit,
    brennan_prediger,
    cohen_kappa,
    conger_kappa,
    fleiss_kappa,
    gwet_ac,
    krippendorff_alpha,
    multinomial_weights,
    pairwise_agreement,
    percent_agreement,
    tally_ratings,
)

CASES = json.loads((pathlib.Path(__file__).parents[1] / "oracles/judges/agreement_cases.json").read_text())
NAMES = [case["name"].split()[0].lower() for case in CASES]
OF_TALLY = {"gwet": gwet_ac, "fleiss": fleiss_kappa, "bp": brennan_prediger, "percent": percent_agreement}


def coefficients(ratings, m, where, credit="identity", weight=None, count=None):
    """All of them, under irrCAC's names."""
    tally = tally_ratings(ratings, m, where=where)
    settings = {"weight": weight, "count": count}
    found = {name: kappa(tally, credit=credit, **settings) for name, kappa in OF_TALLY.items()}
    distance = "nominal" if isinstance(credit, str) else 1 - credit
    found["krippendorff"] = krippendorff_alpha(tally, metric=distance, **settings)
    found["conger"] = conger_kappa(ratings, m, where=where, credit=credit, **settings)
    return found


def padded(ratings, where, n, j):
    """The same with items and raters who have no ratings, so that tables share their shape."""
    room = ((0, n - ratings.shape[0]), (0, j - ratings.shape[1]))
    return jnp.pad(ratings, room), jnp.pad(where, room)


def table_of(case):
    """Ratings as levels from 0, which there are, and what the levels are worth; of one shape for all cases."""
    raw, levels = case["ratings_items_by_raters"], case["categories"]
    place = [[0 if x is None else levels.index(x) for x in row] for row in raw]
    where = [[x is not None for x in row] for row in raw]
    return *padded(np.asarray(place, np.int32), np.asarray(where), 320, 7), jnp.asarray(levels, float)


compiled = jax.jit(coefficients, static_argnums=1)


def found_in(ratings, where, credit=None, count=None):
    """All of them, on three levels, by one program for all tests of a precision."""
    matrix = jnp.eye(3) if credit is None else jnp.asarray(credit, float)
    counts = jnp.ones(ratings.shape[0]) if count is None else jnp.asarray(count, float)
    return compiled(ratings, 3, where, matrix, None, counts)


cohen = jax.jit(cohen_kappa, static_argnums=2)
in_pairs = jax.jit(pairwise_agreement, static_argnums=1)


CREDIT = np.array([[1.0, 0.6, 0.0], [0.6, 1.0, 0.6], [0.0, 0.6, 1.0]])


def some_ratings(n=16, j=4, m=3):
    """Ratings that agree somewhat, with gaps, of the same shape for many tests."""
    random = np.random.default_rng(3)
    truth = random.integers(m, size=(n, 1))
    ratings = np.where(random.uniform(size=(n, j)) < 0.6, truth, random.integers(m, size=(n, j)))
    where = random.uniform(size=(n, j)) < 0.8
    where[0], where[1] = False, [True, False, False, False]
    return jnp.asarray(ratings, jnp.int32), jnp.asarray(where)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_agrees_with_irrcac(x64, case):
    ratings, where, values = table_of(case)
    for kind, rows in case["irrCAC_0.4.4"].items():
        found = compiled(ratings, len(values), where, agreement_credit(kind, values))
        for name, row in rows.items():
            one = found[name]
            numbers = [one.value, one.std_error, one.observed, one.expected]
            # The oracle has 12 digits, and its quantile of Student's t nine.
            np.testing.assert_allclose(numbers, [row[key] for key in ("coefficient", "se", "pa", "pe")], atol=1e-12)
            np.testing.assert_allclose(one.interval(), row["ci"], atol=3e-9)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_complete_tables_agree_with_scikit_learn_and_statsmodels(x64, case):
    ratings, where, values = table_of(case)
    # These oracles dropped items that any rater left out.
    raters = len(case["ratings_items_by_raters"][0])
    whole = where & where[:, :raters].all(1, keepdims=True)
    fleiss, randolph, cohens = of_complete(ratings, len(values), whole, values)
    expected = case["statsmodels_complete_rows"]
    np.testing.assert_allclose([fleiss, randolph], [expected["fleiss"], expected["randolph"]], atol=1e-12)
    for kind, value in case["sklearn_cohen_raters_0_1_complete_rows"].items():
        np.testing.assert_allclose(cohens[kind], value, atol=1e-12)


@functools.partial(jax.jit, static_argnums=1)
def of_complete(ratings, m, where, values):
    tally = tally_ratings(ratings, m, where=where)
    kinds = {"none": "identity", "linear": "linear", "quadratic": "quadratic"}
    cohens = {
        name: cohen_kappa(
            ratings[:, 0], ratings[:, 1], m, where=where[:, 0], credit=agreement_credit(kind, values)
        ).value
        for name, kind in kinds.items()
    }
    return fleiss_kappa(tally).value, brennan_prediger(tally).value, cohens


def test_the_paradox_of_chance(x64):
    # Two raters: both yes 118 times, yes and no 5, no and yes 2, never both no.
    ratings = jnp.asarray([[0, 0], [0, 1], [1, 0], [1, 1]], jnp.int32)
    count = jnp.asarray([118.0, 5.0, 2.0, 0.0])
    values, error = jax.jit(paradox)(ratings, count)
    expected = {"percent": 0.944, "conger": -0.023392, "fleiss": -0.028807, "krippendorff": -0.024691, "bp": 0.888}
    assert {name: float(value) for name, value in values.items()} == pytest.approx(
        expected | {"gwet": 0.940776}, abs=5e-7
    )
    assert float(error) == pytest.approx(0.023057, abs=5e-7)


def paradox(ratings, count):
    """Values, and one standard error: the others need not be compiled."""
    found = coefficients(ratings, 2, None, count=count)
    return {name: one.value for name, one in found.items()}, found["gwet"].std_error


def test_a_count_is_repetition_and_an_item_without_ratings_is_none(dtype):
    ratings, where = some_ratings()
    ratings, where = ratings[:10], where[:10]
    count = np.array([1, 1, 2, 0, 1, 3, 1, 1, 0, 2])
    found = found_in(*padded(ratings, where, 16, 4), CREDIT, np.append(count, [1, 2, 0, 0, 1, 1]))
    twice = np.repeat(np.arange(10), count)
    repeated = found_in(*padded(np.asarray(ratings)[twice], np.asarray(where)[twice], 16, 4), CREDIT)
    # The first item has no ratings; nor has padding, whatever its count.
    assert int(found["gwet"].n_items) == count.sum() - 1
    chex.assert_trees_all_close(found, repeated, rtol=200 * float(jnp.finfo(dtype).eps))


def test_order_of_raters_and_names_of_levels_do_not_matter(x64):
    ratings, where = some_ratings()
    found = found_in(ratings, where)
    chex.assert_trees_all_close(found_in(ratings[:, ::-1], where[:, ::-1]), found, rtol=1e-12)
    chex.assert_trees_all_close(found_in((ratings + 1) % 3, where), found, rtol=1e-12)
    # What stands where nothing was rated does not either.
    chex.assert_trees_all_equal(found_in(jnp.where(where, ratings, 99), where), found)


def test_single_and_double_precision_agree():
    ratings, where = some_ratings()
    single = found_in(ratings, where)
    with jax.enable_x64(True):
        double = found_in(ratings, where)
    for one, other in zip(jax.tree.leaves(single), jax.tree.leaves(double), strict=True):
        np.testing.assert_allclose(one, other, rtol=5e-6)


@pytest.mark.slow
def test_standard_errors_are_those_of_samples_of_items(x64):
    random = np.random.default_rng(1)
    truth = random.integers(3, size=(200, 1))
    ratings = jnp.asarray(np.where(random.uniform(size=(200, 4)) < 0.6, truth, random.integers(3, size=(200, 4))))
    where = jnp.asarray(random.uniform(size=(200, 4)) < 0.8)
    weights = jnp.concatenate([jnp.ones((1, 200)), multinomial_weights(jax.random.key(0), jnp.ones(200), 1000)])
    draws = jax.jit(jax.vmap(lambda weight: coefficients(ratings, 3, where, "identity", weight)))(weights)
    for name, one in draws.items():
        # A standard deviation of 1000 draws is within 7 % of its own, three times out of a thousand excepted.
        assert float(one.value[1:].std() / one.std_error[0]) == pytest.approx(1, abs=0.12), name


def test_perfect_agreement_is_one_and_agreement_on_one_level_is_nothing(dtype):
    ratings, where = some_ratings()
    same = jnp.broadcast_to(ratings[:, :1], ratings.shape)
    for one in found_in(same, jnp.ones_like(where)).values():
        assert (one.value, bool(one.degenerate)) == (1, False)
        # Shares of sixteen items add up to one, but for rounding.
        np.testing.assert_allclose([one.std_error, *one.interval()], [0, 1, 1], atol=8 * float(jnp.finfo(dtype).eps))
    constant = found_in(jnp.ones_like(ratings), where)
    for name in ("gwet", "bp", "percent"):
        assert (constant[name].value, bool(constant[name].degenerate)) == (1, False)
    for name in ("fleiss", "conger", "krippendorff"):
        assert jnp.isnan(constant[name].value)
        assert jnp.isnan(constant[name].std_error)
        assert bool(constant[name].degenerate)
        assert (constant[name].observed, constant[name].expected) == (1, 1)


def test_without_pairs_there_is_nothing_to_agree_on(dtype):
    ratings, _ = some_ratings()
    alone = jnp.zeros(ratings.shape, bool).at[:, 0].set(True)
    for one in found_in(ratings, alone).values():
        assert bool(one.degenerate)
        assert jnp.isnan(one.value)


def total(weight, ratings, where):
    """Of three coefficients and a standard error."""
    found = coefficients(ratings, 3, where, "identity", weight)
    values = [jnp.where(found[name].degenerate, 0, found[name].value) for name in ("gwet", "conger", "krippendorff")]
    return sum(values) + found["gwet"].std_error


def test_gradients_agree_with_differences_and_are_finite_where_all_agree(x64):
    ratings, where = some_ratings()
    value_and_slope = jax.jit(jax.value_and_grad(total))
    weight = jnp.asarray(np.random.default_rng(0).uniform(0.5, 2, 16))
    step = jnp.zeros(16).at[5].set(1e-5)
    above, below = (value_and_slope(weight + sign * step, ratings, where)[0] for sign in (1, -1))
    # Rounding of order 1e-16 over a step of 1e-5, and the third derivative's 1e-10.
    np.testing.assert_allclose(value_and_slope(weight, ratings, where)[1][5], (above - below) / 2e-5, rtol=1e-6)
    for calm in (ratings[:, :1], jnp.zeros((16, 1), jnp.int32)):
        same = jnp.broadcast_to(calm, ratings.shape)
        assert jnp.isfinite(value_and_slope(weight, same, where)[1]).all()


def test_pairs_of_raters(x64):
    ratings, where = some_ratings()
    credit = agreement_credit("ordinal", jnp.arange(3.0))
    found = in_pairs(ratings, 3, where=where, credit=credit)
    for i in range(4):
        for k in range(4):
            both = where[:, i] & where[:, k]
            one = cohen(ratings[:, i], ratings[:, k], 3, where=both, credit=credit)
            assert int(found.n_items[i, k]) == int(both.sum())
            np.testing.assert_allclose(found.kappa[i, k], one.value, atol=1e-12)
            np.testing.assert_allclose(found.observed[i, k], one.observed, atol=1e-12)
    halves = jnp.arange(16)[:, None] // 8 == jnp.arange(4)[None] // 2
    shy = in_pairs(jnp.zeros_like(ratings), 3, where=where & halves, credit=credit)
    assert (shy.observed[0, 1], shy.n_items[0, 2]) == (1, 0)
    # Two who never met, and two who only ever said the same.
    assert bool(jnp.isnan(shy.observed[0, 2]))
    assert bool(jnp.isnan(shy.kappa[0, 1]))


def test_credits(x64):
    values = jnp.asarray([1.0, 2.0, 4.0])
    np.testing.assert_allclose(agreement_credit("linear", values)[0], [1, 2 / 3, 0])
    np.testing.assert_allclose(agreement_credit("quadratic", values)[0], [1, 8 / 9, 0])
    np.testing.assert_allclose(agreement_credit("ordinal", values)[0], [1, 2 / 3, 0])
    with pytest.raises(ValueError, match="credit must be 'identity'"):
        agreement_credit("cubic", values)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tally_ratings(jnp.zeros((3, 1), jnp.int32), 2), "one rater only"),
        (
            lambda: tally_ratings(jnp.asarray([[0, 1], [2, -1]]), 2),
            "2 ratings are outside the levels 0 to 1, such as 2",
        ),
        (lambda: tally_ratings(jnp.zeros((3, 2), jnp.int32), 1), "two levels or more"),
        (lambda: gwet_ac(jnp.ones((3, 1))), "two levels or more"),
        (lambda: gwet_ac(jnp.ones((3, 2)), credit="cubic"), "credit must be"),
        (lambda: Agreement(*[jnp.zeros(())] * 5, jnp.asarray(False)).interval(95.0), "level must be between 0 and 1"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_rating_outside_the_levels_is_not_silent_inside_compiled_code(dtype):
    ratings = jnp.asarray([[0, 1], [2, 1], [1, 1]], jnp.int32)
    assert jnp.isnan(jax.jit(lambda r: fleiss_kappa(tally_ratings(r, 2)).value)(ratings))
    assert jnp.isnan(jax.jit(lambda r: krippendorff_alpha(tally_ratings(r, 2)).value)(ratings))
