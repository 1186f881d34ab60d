"""Intraclass correlations; numbers of pingouin, see `tests/oracles/judges/README.md`, and of Shrout and Fleiss."""

import json
import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.stats import ICC_FORMS, intraclass_correlation

CASES = json.loads((pathlib.Path(__file__).parents[1] / "oracles/judges/agreement_cases.json").read_text())
FORM = dict(zip(ICC_FORMS, ("ICC(1,1)", "ICC(A,1)", "ICC(C,1)", "ICC(1,k)", "ICC(A,k)", "ICC(C,k)"), strict=True))
TABLE = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]


@jax.jit
def every_form(ratings, count):
    return {form: intraclass_correlation(ratings, form=form, count=count) for form in ICC_FORMS}


def of_rows(rows, n=320):
    """All forms, of a table padded with items that do not count."""
    rows = jnp.asarray(rows, float)
    return every_form(jnp.pad(rows, ((0, n - len(rows)), (0, 0))), (jnp.arange(n) < len(rows)).astype(float))


@pytest.mark.parametrize("case", CASES, ids=[case["name"].split()[0].lower() for case in CASES])
def test_agrees_with_pingouin(x64, case):
    found = of_rows([row for row in case["ratings_items_by_raters"] if None not in row])
    expected = {row["Type"]: row for row in case["pingouin_icc_0.6.1_complete_rows"]}
    for form, icc in found.items():
        row = expected[FORM[form]]
        np.testing.assert_allclose([icc.value, icc.f_statistic], [row["ICC"], row["F"]], rtol=1e-11)
        # It prints p-values with some seven digits, and intervals with two.
        np.testing.assert_allclose(icc.p_value, row["pval"], rtol=1e-6)
        np.testing.assert_allclose(icc.interval(), row["CI95"], atol=0.00501)


def test_the_table_of_shrout_and_fleiss(dtype):
    found = of_rows(TABLE)
    values = [float(found[form].value) for form in ICC_FORMS]
    assert values == pytest.approx([0.1657, 0.2898, 0.7148, 0.4428, 0.6201, 0.9093], abs=5e-5)
    ends = {
        "1,1": (-0.132932, 0.722560),
        "2,1": (0.018787, 0.761084),
        "3,1": (0.342465, 0.945858),
        "2,k": (0.071137, 0.927232),
    }
    for form, interval in ends.items():
        np.testing.assert_allclose(found[form].interval(), interval, atol=2e-5 if dtype == jnp.float32 else 5e-7)


def test_counts_are_repetition_and_units_do_not_matter(x64):
    count = np.array([1, 2, 0, 3, 1, 1])
    table = np.asarray(TABLE, float)
    counted = every_form(jnp.pad(jnp.asarray(table), ((0, 314), (0, 0))), jnp.pad(jnp.asarray(count, float), (0, 314)))
    chex.assert_trees_all_close(counted, of_rows(np.repeat(table, count, axis=0)), rtol=1e-11)
    scaled = of_rows(40 - 2.5 * table)
    for form, icc in of_rows(table).items():
        np.testing.assert_allclose(scaled[form].value, icc.value, rtol=1e-12)
        np.testing.assert_allclose(scaled[form].f_statistic, icc.f_statistic, rtol=1e-11)
    # Severity is nothing to consistency, and all to agreement.
    severe = of_rows(table + np.array([0, 1, 2, 3]))
    np.testing.assert_allclose(severe["3,1"].value, of_rows(table)["3,1"].value, rtol=1e-12)


def test_perfect_and_constant_tables(dtype):
    same = np.repeat([[1.0], [2.0], [4.0], [5.0]], 4, axis=1)
    for icc in of_rows(same).values():
        assert (icc.value, icc.f_statistic) == (1, jnp.inf)
        np.testing.assert_array_equal(icc.interval(), [1, 1])
    assert icc.p_value == 0
    for icc in of_rows(np.full((4, 4), 3.1)).values():
        assert bool(jnp.isnan(icc.value))
        assert bool(icc.degenerate)
    # Raters who differ by their severity only: consistent, and in less than full agreement.
    shifted = of_rows(same + np.arange(4.0))
    assert float(shifted["3,1"].value) == pytest.approx(1, abs=1e-6)
    assert 0 < shifted["2,1"].interval()[0] < shifted["2,1"].value < 1


def test_gradients(x64):
    table = jnp.asarray(TABLE, float)
    lower = jax.jit(jax.value_and_grad(lambda x: intraclass_correlation(x, form="3,1").interval().lower))
    step = jnp.zeros_like(table).at[1, 2].set(1e-5)
    difference = (lower(table + step)[0] - lower(table - step)[0]) / 2e-5
    np.testing.assert_allclose(lower(table)[1][1, 2], difference, rtol=1e-6)
    with pytest.raises(ValueError, match="no derivative with respect to degrees of freedom"):
        jax.jit(jax.grad(lambda x: intraclass_correlation(x, form="2,1").interval().lower))(table)


def test_gaps(x64):
    table = np.array(TABLE, float)
    table[2, 1] = np.nan
    with pytest.raises(ValueError, match=r"1 of 6 items lack a rating \(first rows: \[2\]\).*complete tables"):
        intraclass_correlation(jnp.asarray(table))
    padded = jnp.pad(jnp.asarray(table), ((0, 314), (0, 0)))
    kept = jnp.pad(jnp.asarray([1.0, 1, 0, 1, 1, 1]), (0, 314))
    without = of_rows(np.delete(table, 2, axis=0))
    np.testing.assert_allclose(every_form(padded, kept)["2,1"].value, without["2,1"].value, rtol=1e-12)
    assert bool(jnp.isnan(every_form(padded, jnp.ones(320))["2,1"].value))


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        ((5, 3), {"form": "4,1"}, "form must be one of '1,1'"),
        ((5, 1), {}, "one rater only"),
        ((1, 5), {}, "two or more of them"),
    ],
)
def test_bad_input(shape, settings, message):
    with pytest.raises(ValueError, match=message):
        intraclass_correlation(jnp.ones(shape), **settings)


def test_bad_level(x64):
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        of_rows(TABLE)["2,1"].interval(1.0)
