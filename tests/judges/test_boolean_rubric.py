import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.judges import BooleanRubric, context_sensitivity, likert_score
from scorax.stats import intraclass_correlation

score = jax.jit(BooleanRubric.score)
likert = jax.jit(likert_score, static_argnums=(1, 2))
slope_of_score = jax.jit(jax.grad(lambda rubric, a, where: jnp.nansum(rubric.score(a, where=where).score), argnums=1))


def random_rubric(dtype, seed=0, n=12, r=3, c=5):
    """A rubric, answers of some items by some raters, relevance, and which answers there are."""
    rng = np.random.default_rng(seed)
    rubric = BooleanRubric(jnp.asarray(rng.uniform(0.5, 3, c), dtype), jnp.asarray(rng.choice([-1, 1], c)))
    answer = rng.integers(0, 2, (n, r, c)).astype(dtype)
    return rubric, answer, rng.uniform(0, 1, (n, c)).astype(dtype), rng.random((n, r, c)) < 0.7


def test_score_is_the_weighted_share_of_good_answers(dtype):
    rubric, answer, relevance, where = random_rubric(dtype)
    found = score(rubric, answer, relevance=relevance, where=where)
    value, empty, weights = (np.asarray(x) for x in (found.score, found.empty, rubric.weight))
    polarity = np.asarray(rubric.polarity)
    for n, r in np.ndindex(12, 3):
        up, down = 0.0, 0.0
        for c in range(5):
            if where[n, r, c]:
                weight = weights[c] * relevance[n, c]
                a = answer[n, r, c]
                up, down = up + weight * (a if polarity[c] > 0 else 1 - a), down + weight
        if down:
            assert value[n, r] == pytest.approx(up / down, rel=1e-5)
        assert empty[n, r] == (down == 0)


def test_turning_every_question_around_changes_nothing():
    rubric, answer, relevance, where = random_rubric("float32")
    turned = BooleanRubric(rubric.weight, -rubric.polarity)
    found = score(rubric, answer, relevance=relevance, where=where)
    chex.assert_trees_all_close(score(turned, 1 - answer, relevance=relevance, where=where), found, rtol=1e-6)
    found, opposite = (np.asarray(score(rubric_, answer, where=where).score) for rubric_ in (rubric, turned))
    np.testing.assert_allclose(opposite, 1 - found, atol=1e-6)


def test_an_irrelevant_question_is_one_that_is_not_there():
    rubric, answer, _, _ = random_rubric("float32")
    relevance = np.broadcast_to(np.asarray([1, 0, 1, 1, 0], "float32"), (12, 5))
    kept = np.array([0, 2, 3])
    shorter = BooleanRubric(rubric.weight[kept], rubric.polarity[kept])
    chex.assert_trees_all_close(
        score(rubric, answer, relevance=relevance), score(shorter, answer[..., kept]), rtol=1e-6
    )
    hidden = np.broadcast_to(relevance[:, None, :] > 0, answer.shape)
    unanswered = np.where(hidden, answer, np.nan).astype("float32")
    chex.assert_trees_all_close(
        score(rubric, unanswered, relevance=relevance), score(shorter, answer[..., kept]), rtol=1e-6
    )
    chex.assert_trees_all_close(score(rubric, unanswered, where=hidden), score(shorter, answer[..., kept]), rtol=1e-6)


def test_without_answers_there_is_no_score_and_no_gradient(dtype):
    rubric, answer, _, _ = random_rubric(dtype)
    where = np.broadcast_to((np.arange(12) > 0)[:, None, None], answer.shape)
    found = score(rubric, answer, where=where)
    empty = np.asarray(found.empty)
    assert empty[0].all()
    assert np.isnan(np.asarray(found.score)[0]).all()
    assert not empty[1:].any()
    slope = np.asarray(slope_of_score(rubric, answer, where))
    assert np.isfinite(slope).all()
    assert (slope[0] == 0).all()


def test_likert_items_are_brought_to_one_scale(dtype):
    rating = np.asarray([[1.0, 5.0, 3.0], [5.0, 5.0, np.nan]], dtype)
    where = np.array([[True, True, True], [True, True, False]])
    found = likert(rating, 1, 5, where=where)
    assert found.score.tolist() == [0.5, 1.0]
    nobody = likert(rating, 1, 5, where=np.zeros((2, 3), bool))
    assert np.isnan(nobody.score).all()
    assert np.all(nobody.empty)


def test_a_rubric_of_one_question_is_a_likert_scale_of_two_levels():
    answer = np.asarray([[[0.0], [1.0]]], "float32")
    one = BooleanRubric(jnp.ones(1, "float32"), jnp.ones(1, int))
    chex.assert_trees_all_equal(score(one, answer).score, likert(answer, 0, 1).score)


def test_drop_is_a_paired_difference():
    rng = np.random.default_rng(0)
    difference = 0.1 + rng.normal(0, 0.05, 40)
    before = rng.uniform(0.4, 0.9, 40).astype(np.float32)
    after = (before - difference).astype(np.float32)

    def drop(*scores, n=80, **options):
        """On a fixed number of rows, so that one program does for all."""
        padded = [jnp.asarray(np.append(x, np.full(n - len(x), np.nan, np.float32))) for x in scores]
        where = jnp.asarray(np.arange(n) < len(scores[0]))
        return context_sensitivity(*padded, key=jax.random.key(0), where=where, **options)

    found = drop(before, after)
    assert int(found.n_pairs) == 40
    assert float(found.drop) == pytest.approx(difference.mean(), rel=1e-4)
    # A normal interval of the mean, to the noise of 2000 draws and of 40 differences that are nearly normal.
    half = 1.96 * difference.std() / np.sqrt(40)
    assert float(found.upper - found.lower) == pytest.approx(2 * half, rel=0.1)
    # The same rows twice, both of one query: no more is known.
    again = drop(np.repeat(before, 2), np.repeat(after, 2), cluster=jnp.asarray(np.repeat(np.arange(40), 2)))
    assert float(again.lower) == pytest.approx(float(found.lower), abs=1e-6)
    assert float(again.upper) == pytest.approx(float(found.upper), abs=1e-6)


def study(n_seeds=20, n=60, r=5, c=20):
    """Answers to 20 probes of a trait, and 5-point ratings of it, by raters whose severity has the deviation 0.6."""
    rng = np.random.default_rng(0)
    trait, severity = rng.normal(size=(n_seeds, n, 1)), 0.6 * rng.normal(size=(n_seeds, 1, r))
    seen = trait + severity
    rating = 1 + (seen[..., None] + rng.normal(size=(n_seeds, n, r, 1)) > np.linspace(-1.5, 1.5, 4)).sum(-1)
    answer = seen[..., None] + rng.normal(size=(n_seeds, n, r, c)) > np.linspace(-2, 2, c)
    return rng, answer.astype(np.float32), rating.astype(np.float32)


@jax.jit
def mean_agreement(scores):
    """ICC(2,1), averaged over the seeds."""
    return jax.vmap(lambda table: intraclass_correlation(table).value)(scores).mean()


def test_boolean_answers_agree_more_than_ratings():
    """The study of the paper's claim on made-up raters: in twenty seeds the difference has a standard error of 0.02."""
    _, answer, rating = study()
    rubric = BooleanRubric(jnp.ones(20), jnp.ones(20, int))
    boolean = mean_agreement(score(rubric, answer).score)
    scale = mean_agreement(likert(rating[..., None], 1, 5).score)
    assert boolean - scale > 0.15


def test_irrelevant_questions_harm_where_they_are_answered_at_random():
    rng, answer, _ = study()
    irrelevant = rng.integers(0, 2, answer.shape).astype(np.float32)
    every, relevance = np.concatenate([answer, irrelevant], axis=-1), np.repeat(np.float32([1, 0]), 20)
    rubric = BooleanRubric(jnp.ones(40), jnp.ones(40, int))
    relevance = np.broadcast_to(relevance, (*answer.shape[:2], 40))
    adapted = mean_agreement(score(rubric, every, relevance=relevance).score)
    assert adapted - mean_agreement(score(rubric, every).score) > 0.1
    # Yes to everything irrelevant, or to nothing, by temper: worse than chance.
    yes = np.broadcast_to(rng.random((20, 1, 5, 1)) < 0.5, irrelevant.shape).astype(np.float32)
    tempered = score(rubric, np.concatenate([answer, yes], axis=-1)).score
    assert adapted - mean_agreement(tempered) > 0.3


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            lambda: BooleanRubric(jnp.array([1.0, -1.0]), jnp.array([1, 1])),
            r"weight is negative or NaN in 1 row \(row 1\)",
        ),
        (lambda: BooleanRubric(jnp.array([1.0, 1.0]), jnp.array([1, 0])), "polarity is neither 1 nor -1"),
        (lambda: BooleanRubric(jnp.zeros(2), jnp.array([1, 1])), "all weights are 0"),
        (lambda: likert_score(jnp.ones(3), 5, 1), "highest must be above lowest"),
    ],
)
def test_what_makes_no_sense_is_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        bad()
