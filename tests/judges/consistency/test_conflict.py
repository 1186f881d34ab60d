import csv
import functools
import pathlib

import chex
import jax
import numpy as np
import pytest

from scorax.data.datasets import load_llmbar
from scorax.judges import (
    argmax_label,
    conflict_ratio,
    expected_label,
    pairwise_verdict,
    relation_from_scores,
    softmax_weighted_score,
)
from tests.judges.conftest import oracle

FILES = pathlib.Path(__file__).parents[2] / "data" / "files"

conflict = jax.jit(conflict_ratio)
relation_of = jax.jit(relation_from_scores)
both_orders = jax.jit(functools.partial(pairwise_verdict, method="baseline"))


@pytest.mark.parametrize("tol", [0.0, 0.2, 0.5])
def test_ratios_are_those_of_the_reference(x64, tol):
    case = oracle("trustjudge")["case"]
    probs = np.asarray([row[2] for row in case["score_probs_rows_q_i_p"]]).reshape(6, 5, 5)
    rows = case["relations"]["baseline|tol=0.0"]
    question, i, j, verdict = (np.asarray(column) for column in zip(*rows, strict=True))
    rules = {
        "baseline": argmax_label,
        "geval": functools.partial(expected_label, normalize=False),
        "softmax_weighted": softmax_weighted_score,
    }
    for kind, rule in rules.items():
        relation = np.asarray(jax.jit(lambda p, rule=rule: relation_from_scores(rule(p), tol))(probs))
        found = conflict(verdict, relation[question, i, j])
        differ, pairs, ratio = case["conflict_ratio"][f"{kind}|tol={tol}"]
        assert int(found.n_pairs) == pairs
        assert round(float(found.ratio) * pairs) == differ
        assert float(found.ratio) == pytest.approx(ratio, rel=1e-15)


def test_scores_agree_with_their_own_relation():
    relation = np.asarray(relation_of(np.random.default_rng(0).integers(0, 4, (3, 20)).astype(np.float32)))
    found = conflict(relation.reshape(3, -1), relation.reshape(3, -1))
    assert found.ratio.tolist() == [0.0] * 3
    assert found.n_pairs.tolist() == [400] * 3


def test_the_kinds_of_conflict_add_up():
    rng = np.random.default_rng(1)
    verdict, relation = (rng.integers(-1, 2, 200) for _ in range(2))
    found = conflict(verdict, relation)
    kinds = [float(x) for x in (found.contradiction, found.score_tie, found.verdict_tie)]
    assert sum(kinds) == pytest.approx(float(found.ratio), rel=1e-6)
    assert min(kinds) > 0
    turned = conflict(relation, verdict)
    chex.assert_trees_all_equal((turned.ratio, turned.score_tie), (found.ratio, found.verdict_tie))


def test_categories_are_rows_of_a_mask():
    rng = np.random.default_rng(2)
    verdict, relation = (rng.integers(-1, 2, 200) for _ in range(2))
    category = rng.integers(0, 3, 200)
    found = conflict(verdict, relation, where=category[None, :] == np.arange(4)[:, None])
    for one in range(3):
        held = category == one
        assert float(found.ratio[one]) == pytest.approx((verdict != relation)[held].mean(), rel=1e-6)
    assert found.n_pairs.tolist() == [*np.bincount(category), 0]
    assert np.isnan(found.ratio[3])  # nobody is of the fourth


@pytest.mark.parametrize(
    ("model", "prompt", "n", "ratio", "score_tie", "contradiction"),
    [
        ("GPT-4", "Rating", 417, 0.206235, 0.1607, 0.0312),
        ("GPT-4", "Rating_Metrics", 419, 0.181384, None, None),
        ("ChatGPT", "Rating", 419, 0.470167, None, None),
        ("ChatGPT", "Rating_NoRules", None, 0.496420, None, None),
    ],
)
def test_scores_and_verdicts_of_language_models_on_llmbar(model, prompt, n, ratio, score_tie, contradiction):
    """Plain counts of the published files: shares to the digits that were noted."""
    verdicts, names = load_llmbar(model=model, prompt="Vanilla")
    assert [judge.rsplit("/")[-1] for judge in names.judges.names] == ["1", "2"]
    # With output 1 shown first, then with output 2 first: a certain "the first" or "the second".
    label = np.asarray(verdicts.label)
    first = np.stack([label[:, 0] == 0, label[:, 1] == 1], axis=1)
    probs = np.stack([first, ~first, np.zeros_like(first)], axis=-1).astype(np.float32)
    with (FILES / "llmbar_ratings.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if (row["judge_model"], row["judge_prompt"]) == (model, prompt)]
    assert [int(row["item"]) for row in rows] == list(range(419))
    scores = np.asarray([[row["score_1"], row["score_2"]] for row in rows], np.float32)
    relation = np.asarray(relation_of(scores))[:, 0, 1]
    where = np.asarray(verdicts.where).all(1) & (scores >= 0).all(1)
    found = conflict(both_orders(probs), relation, where=where)
    assert n is None or int(found.n_pairs) == n
    assert float(found.ratio) == pytest.approx(ratio, abs=5e-7)
    assert contradiction is None or float(found.contradiction) == pytest.approx(contradiction, abs=5e-5)
    ties = float((where & (relation == 0)).sum() / where.sum())
    assert score_tie is None or ties == pytest.approx(score_tie, abs=5e-5)
