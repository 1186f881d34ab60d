"""One posterior for every prior, and what they disagree about."""

import jax
import numpy as np
import pytest

from scorax.data import Annotations
from scorax.inference import loo, sample
from scorax.judges import ConstancyPrior, SimplexJudge, SimplexPrior, sensitivity
from scorax.plot import plot_sensitivity

pytestmark = pytest.mark.engine
SETTINGS = {"num_warmup": 150, "num_samples": 150, "num_chains": 2, "progress": False}
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def labels():
    """Three candidates, of whom the first is the best by far; two judges with three levels."""
    rng = np.random.default_rng(0)
    candidate = np.repeat(np.arange(3), 40)
    truth = np.clip(rng.binomial(2, np.array([0.9, 0.4, 0.35])[candidate]), 0, 2)
    noise = rng.random((120, 2))
    label = np.where(noise < 0.8, truth[:, None], (truth[:, None] + 1) % 3)
    return Annotations.from_arrays(label, np.tile([0, 1], (120, 1)), candidate=candidate)


@pytest.fixture(scope="module")
def priors():
    model = SimplexJudge.init(3, 2, 3)
    return {"usual": SimplexPrior(model), "accurate": SimplexPrior(model, accuracy=0.8)}


@pytest.fixture(scope="module")
def found(labels, priors):
    return sensitivity(SimplexJudge.init(3, 2, 3), labels, priors, key=KEY, **SETTINGS)


def test_every_row_is_the_posterior_of_its_prior(found, labels, priors):
    model = SimplexJudge.init(3, 2, 3)
    alone = sample(model, labels, prior=priors["accurate"], key=KEY, **SETTINGS)
    np.testing.assert_array_equal(found["accurate"].posterior.model.confusion, alone.model.confusion)
    score = np.asarray(alone.map(lambda m: m.expected_score())).mean((0, 1))
    np.testing.assert_allclose(found["accurate"].score, score, rtol=1e-5)
    np.testing.assert_allclose(found["accurate"].elpd, loo(alone, labels).elpd, rtol=1e-4)


def test_the_reference_agrees_with_itself(found):
    assert found.reference == "usual"
    assert found["usual"].tau == pytest.approx(1.0)
    assert found["usual"].flips == ()
    assert [row.name for row in found] == ["usual", "accurate"]


def test_flips_are_the_pairs_that_a_reference_has_the_other_way_round(found):
    for row in found:
        middle, base = np.asarray(row.score), np.asarray(found["usual"].score)
        turned = {(a, b) for a in range(3) for b in range(3) if middle[a] > middle[b] and base[a] < base[b]}
        assert set(row.flips) == turned
        # With three candidates each turned pair costs two thirds.
        assert row.tau == pytest.approx(1 - 2 * len(turned) / 3)


@pytest.mark.slow
def test_looser_assumptions_do_not_narrow_ranks(labels, priors):
    varying = SimplexJudge.init(3, 2, 3).per_candidate()
    asked = {"usual": priors["usual"], "by candidate": (varying, ConstancyPrior(varying, candidate_sd=0.5))}
    found = sensitivity(SimplexJudge.init(3, 2, 3), labels, asked, key=KEY, **SETTINGS)
    assert found["by candidate"].width >= found["usual"].width - 0.25
    assert found["by candidate"].ranks.p_best[0] > 0.8


def test_prints_a_table_and_draws_a_picture(found):
    text = str(found)
    assert "usual (reference)" in text
    assert len(text.splitlines()) == 3
    ax = plot_sensitivity(found, ["first", "second", "third"])
    assert ax.get_yticklabels()[0].get_text() == "first"
    assert [entry.get_text() for entry in ax.get_legend().get_texts()] == [row.name for row in found]
    with pytest.raises(ValueError, match="2 names"):
        plot_sensitivity(found, ["first", "second"])


def test_what_makes_no_sense_is_refused(labels, priors):
    model = SimplexJudge.init(3, 2, 3)
    with pytest.raises(ValueError, match="no prior to compare"):
        sensitivity(model, labels, {}, key=KEY)
    with pytest.raises(ValueError, match="'other' is none of 'usual', 'accurate'"):
        sensitivity(model, labels, priors, key=KEY, reference="other")
