import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.data.datasets import load_prometheus
from scorax.judges import pairwise_accuracy, score_agreement, tie_calibrated_accuracy

agreement = jax.jit(score_agreement)
accuracy = jax.jit(pairwise_accuracy, static_argnames="ties")
calibrated = jax.jit(tie_calibrated_accuracy)


def random_scores(dtype, seed=0, n=40):
    rng = np.random.default_rng(seed)
    ref = rng.integers(1, 6, n)
    return np.clip(ref + rng.integers(-1, 2, n), 1, 5).astype(dtype), ref.astype(dtype)


def test_agreement_is_that_of_scipy(dtype):
    stats = pytest.importorskip("scipy.stats")
    pred, ref = random_scores(dtype)
    found = agreement(pred, ref)
    pair = (np.asarray(pred, float), np.asarray(ref, float))
    assert float(found.pearson) == pytest.approx(stats.pearsonr(*pair).statistic, rel=1e-5)
    assert float(found.spearman) == pytest.approx(stats.spearmanr(*pair).statistic, rel=1e-5)
    assert float(found.kendall_b) == pytest.approx(stats.kendalltau(*pair).statistic, rel=1e-5)
    assert float(found.mae) == pytest.approx(np.abs(pair[0] - pair[1]).mean(), rel=1e-5)
    assert float(found.exact) == pytest.approx((pair[0] == pair[1]).mean(), rel=1e-5)


def test_scores_of_others_change_nothing():
    pred, ref = random_scores("float32")
    where = np.arange(40) < 30
    found = agreement(np.where(where, pred, np.nan).astype("float32"), ref, where=where)
    alone = agreement(np.append(pred[:30], ref[30:]), np.append(ref[:30], pred[30:]), where=where)
    chex.assert_trees_all_close(found, alone, rtol=1e-6)


def test_a_linear_map_keeps_correlations():
    pred, ref = random_scores("float32")
    found, moved = agreement(pred, ref), agreement(3 * pred - 7, ref)
    for name in ("pearson", "spearman", "kendall_b"):
        assert float(getattr(moved, name)) == pytest.approx(float(getattr(found, name)), rel=1e-4)
    same = agreement(ref, ref)
    assert [float(x) for x in (same.pearson, same.spearman, same.kendall_b)] == pytest.approx([1] * 3, rel=1e-5)
    assert (same.exact, same.mae) == (1, 0)


def test_a_constant_judge_has_no_correlation():
    _, ref = random_scores("float32")
    # A mean of forty of these is not exactly 0.1.
    found = agreement(np.full(40, 0.1, "float32"), ref)
    assert found.degenerate
    assert all(np.isnan(x) for x in (found.pearson, found.spearman, found.kendall_b))
    assert np.isfinite(found.mae)
    empty = agreement(ref, ref, where=np.zeros(40, bool))
    assert np.isnan(empty.exact)
    assert empty.degenerate
    slope = jax.jit(jax.grad(lambda x: score_agreement(x, ref).mae))(np.full(40, 0.1, "float32"))
    assert np.isfinite(slope).all()


def test_pearson_has_gradients(x64):
    pred, ref = random_scores("float64")
    slope = jax.jit(jax.grad(lambda x: score_agreement(x, ref).pearson))(pred)
    direction = np.random.default_rng(1).normal(size=40)
    ends = [agreement(pred + h * direction, ref).pearson for h in (-1e-5, 1e-5)]
    assert float(np.asarray(slope) @ direction) == pytest.approx(float(ends[1] - ends[0]) / 2e-5, rel=1e-7)


def test_runs_of_one_judge_agree_with_their_mean():
    """Three runs of GPT-4 on 640 answers: correlation and exact matches of the first with the second, by NumPy."""
    scores, _ = load_prometheus()
    runs = np.asarray(scores.label, np.float32)
    found = agreement(*runs[:, :2].T)
    assert float(found.pearson) == pytest.approx(np.corrcoef(runs[:, 0], runs[:, 1])[0, 1], rel=1e-4)
    assert float(found.exact) == pytest.approx((runs[:, 0] == runs[:, 1]).mean(), rel=1e-5)
    assert float(found.pearson) < float(agreement(runs[:, 0], runs.mean(1)).pearson) < 1


PAIRS = {
    # gold, scores of a in three runs, of b in three runs, right by: strict, half, skip (None: left out), prometheus
    "clear": (1, (4, 4, 4), (2, 2, 2), 1, 1, 1, 1),
    "wrong": (-1, (4, 4, 4), (2, 2, 2), 0, 0, 0, 0),
    "late": (1, (3, 3, 5), (3, 3, 1), 1, 1, 1, 1),
    "first decides": (1, (2, 5, 5), (3, 1, 1), 1, 1, 1, 0),
    "never": (1, (3, 3, 3), (3, 3, 3), 0, 0.5, None, 0),
    "tie met": (0, (3, 3, 3), (3, 3, 3), 1, 1, None, 1),
    "tie missed": (0, (3, 3, 4), (3, 3, 3), 0, 0.5, None, 1),
    "tie missed at once": (0, (4, 3, 2), (3, 3, 3), 1, 1, None, 0),
}


@pytest.mark.parametrize(("rule", "column"), [("strict", 3), ("half", 4), ("skip", 5), ("prometheus", 6)])
def test_rules_for_ties(dtype, rule, column):
    gold, a, b = (np.asarray([pair[c] for pair in PAIRS.values()]) for c in range(3))
    a, b = a.astype(dtype), b.astype(dtype)
    every = list(PAIRS.values())
    for row, pair in enumerate(every):
        found = accuracy(a, b, gold, ties=rule, where=np.arange(len(every)) == row)
        assert np.isnan(float(found)) if pair[column] is None else float(found) == pair[column]
    right = [pair[column] for pair in every if pair[column] is not None]
    assert float(accuracy(a, b, gold, ties=rule)) == pytest.approx(np.mean(right), rel=1e-6)


def test_exchanging_the_answers_changes_no_accuracy():
    rng = np.random.default_rng(0)
    a, b = (rng.integers(1, 5, (30, 3)).astype("float32") for _ in range(2))
    gold = rng.integers(-1, 2, 30)
    for rule in ("strict", "half", "skip", "prometheus"):
        assert accuracy(a, b, gold, ties=rule) == accuracy(b, a, -gold, ties=rule)


def test_one_run_needs_no_column():
    rng = np.random.default_rng(0)
    a, b, gold = (rng.integers(-1, 2, 30) for _ in range(3))
    a, b = a.astype(np.float32), b.astype(np.float32)
    for rule in ("strict", "prometheus"):
        assert accuracy(a, b, gold, ties=rule) == accuracy(a[:, None], b[:, None], gold, ties=rule)


def test_calibration_finds_the_best_of_all_tolerances(dtype):
    rng = np.random.default_rng(2)
    gold = rng.integers(-1, 2, 30)
    a, b = (gold + rng.normal(0, 0.7, 30)).astype(dtype), np.zeros(30, dtype)
    # Some sizes twice: such pairs become ties together.
    a[:5] = -a[5:10]
    where = np.arange(30) != 3
    found = calibrated(a, b, gold, where=where)
    sizes = np.asarray([0, *np.abs(a[where])], dtype)
    tried = {float(t): float(accuracy(a, b, gold, tol=t, where=where)) for t in sizes}
    assert float(found.accuracy) == pytest.approx(max(tried.values()), rel=1e-6)
    assert float(found.tol) == min(t for t, value in tried.items() if value == max(tried.values()))
    assert found.accuracy > accuracy(a, b, gold, where=where)
    chex.assert_trees_all_equal(calibrated(-a, b, -gold, where=where), found)


def test_calibration_without_gold_ties_leaves_scores_alone():
    gold = np.where(np.arange(30) % 2 == 0, 1, -1)
    sure, nothing = gold.astype(np.float32), np.zeros(30, np.float32)
    found = calibrated(sure, nothing, gold)
    assert (float(found.accuracy), float(found.tol)) == (1.0, 0.0)
    assert np.isnan(calibrated(sure, nothing, gold, where=nothing > 0).accuracy)


@pytest.mark.parametrize(
    ("shape", "rule", "message"), [((4,), "drop", "ties must be"), ((4, 0), "half", "not of shape")]
)
def test_what_makes_no_sense_is_refused(shape, rule, message):
    with pytest.raises(ValueError, match=message):
        pairwise_accuracy(jnp.ones(shape), jnp.ones(shape), jnp.ones(4, int), ties=rule)
