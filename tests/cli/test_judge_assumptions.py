"""`scorax judge`: what may be assumed of judges, what contradicts itself, and what is varied."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.cli._judge_assumptions import Assumptions, Constancy, Judges, Monotone
from scorax.cli._judge_prior import programme
from scorax.cli._judge_quantities import Lenience, mean_confusion
from scorax.cli._judge_ratings import load
from scorax.cli._judge_sensitivity import variants
from scorax.cli._judging import Scored, disorder, order_in_doubt
from scorax.judges import SimplexJudge

pytestmark = pytest.mark.engine
NO_COLUMNS = dict.fromkeys(["item", "judge", "label", "candidate", "gold"])
OWN = ["--constancy", "own-family", "--own-family"]
STRATA = ["--constancy", "strata", "--stratum-column"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--candidate-sd", "0.5"], "--candidate-sd is for --constancy random"),
        (["--constancy", "random", "--candidate-sd", "0"], "--candidate-sd must be above 0, not 0"),
        (["--constancy", "random", "--candidate-sd", "inf"], "--candidate-sd must be above 0, not inf"),
        ([*STRATA, "topic", "--candidate-sd", "-1"], "--candidate-sd must be 0 or more, not -1"),
        (["--stratum-column", "topic"], "--stratum-column is for --constancy strata: add that, or drop it"),
        (["--own-family", "ann=good"], "--own-family is for --constancy own-family"),
        (["--constancy", "strata"], "add --stratum-column NAME"),
        (["--constancy", "own-family"], "add --own-family JUDGE=CANDIDATE"),
        (["--judges", "hierarchical", "--monotone", "lowest"], "drop --monotone lowest, or --judges hierarchical"),
        (["--method", "map", "--constancy", "random"], "--constancy random is for posteriors"),
        (["--method", "map", "--sensitivity"], "--sensitivity is for posteriors"),
        (["--method", "map", "--monotone", "diagonal"], "use --method nuts, or drop --monotone diagonal"),
        (
            ["--method", "map", "--item-effects", "--judges", "hierarchical"],
            "--judges hierarchical and --item-effects are for posteriors",
        ),
        ([*STRATA, "subject"], "there is no column 'subject' for stratum"),
        ([*STRATA, "judge"], "column 'judge' changes within an item in 80 rows (rows 1, 2, 4, ...). An item belongs"),
        ([*STRATA, "item"], "40 of 80 cells of candidates and strata have no items (first: 'fair' in 'q1', "),
        ([*OWN, "ann"], "--own-family 'ann' is not of the form JUDGE=CANDIDATE"),
        ([*OWN, "cid=good"], "names no judge ('cid'); there are 'ann', 'bob', 'eve'"),
        ([*OWN, "ann=best"], "names no candidate ('best'); there are 'fair', 'good'"),
    ],
)
def test_contradictions_and_what_is_not_there(scorax, ratings, options, words):
    run = scorax("judge", ratings, *options)
    assert (run.status, run.out) == (2, "")
    assert words in run.err


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("item,judge,label,z\na,x,1,u\nb,x,2,\n", [*STRATA, "z"], "column 'z' is missing"),
        ("item,judge,label,z\na,x,1,u\nb,x,2,u\n", [*STRATA, "z"], "column 'z' has a single stratum, 'u'"),
        ("item,judge,label,model\na,x,1,m\nb,y,2,n\n", [*OWN, "x=n"], "no label to that candidate ('x' of 'n')"),
        ("item,judge,label,model\na,x,1,m\nb,x,2,m\n", [*OWN, "x=m"], "--own-family covers every label"),
        ("item,judge,label\na,x,1\nb,x,2\n", ["--item-effects"], "--item-effects is about what judges have in common"),
        ("item,judge,label\na,x,1\nb,x,2\n", ["--judges", "hierarchical"], "there is one judge only: drop it"),
    ],
)
def test_tables_that_do_not_suit(scorax, tmp_path, text, options, words):
    (tmp_path / "r.csv").write_text(text)
    run = scorax("judge", tmp_path / "r.csv", *options)
    assert (run.status, run.out) == (2, "")
    assert words in run.err


def test_strata_and_families_are_read(tmp_path):
    # Candidates in another order than their names', rows of one item apart, and a name with a sign of equality.
    text = "item,judge,label,model,z\nq,x,1,b,10\nr,x,2,b,9\nq,x,2,a=1,10\nr,x,1,a=1,9\nq,y,2,b,10\ns,y,1,b,10\n"
    (tmp_path / "r.csv").write_text(text)
    found = load(str(tmp_path / "r.csv"), None, NO_COLUMNS, stratum_column="z")
    assert found.strata is not None
    assert found.strata.names == ("10", "9")
    assert found.strata.share == (0.6, 0.4)
    assert np.asarray(found.data.candidate).tolist() == [2, 3, 0, 1, 2]
    assert found.candidate.tolist() == [1, 1, 0, 0, 1]
    assert (found.strata.of_cell.tolist(), found.n_cells) == ([0, 1, 0, 1], 4)
    family = load(str(tmp_path / "r.csv"), None, NO_COLUMNS, own_family=["x=a=1", "y = b"])
    assert family.own_family is not None
    assert family.own_family.tolist() == [[True, False], [False, True]]


@pytest.mark.parametrize(
    ("asked", "sites"),
    [
        (Assumptions(), {"prevalence", "confusion"}),
        (Assumptions(item_effects=True), {"prevalence", "confusion", "item_effect"}),
        (
            Assumptions(monotone=Monotone.DIAGONAL, prevalence="hierarchical"),
            {"profile", "quality_spread", "quality", "shape_spread", "shape"},
        ),
        (Assumptions(judges=Judges.HIERARCHICAL), {"prevalence", "mean_logit", "logit_spread", "logit_offset"}),
        (
            Assumptions(constancy=Constancy.RANDOM, candidate_sd=0.5, item_effects=True),
            {"common.prevalence", "common.confusion", "common.item_effect", "candidate_noise"},
        ),
    ],
)
def test_chains_start_from_the_vote_whatever_is_assumed(ratings, asked, sites):
    found = load(str(ratings), None, NO_COLUMNS)
    majority = SimplexJudge.init(2, 3, 3)
    made = programme(asked, found, majority)
    assert set(made.initial) == sites
    assert made.prevalence == ("hierarchical" if asked.prevalence == "hierarchical" else "dirichlet")
    assert (made.model.item_effect is not None) == asked.item_effects
    assert made.model.varies == (asked.constancy != Constancy.STRONG)
    if "common.confusion" in sites:
        assert float(made.prior.candidate_sd) == 0.5
        assert made.initial["common.confusion"] is majority.confusion
        assert not made.initial["candidate_noise"].any()


def test_strata_and_families_reach_the_prior(ratings):
    strata = load(str(ratings), None, NO_COLUMNS, stratum_column="topic")
    majority = SimplexJudge.init(4, 3, 3)
    prior = programme(Assumptions(constancy=Constancy.STRATA), strata, majority).prior
    assert (prior.stratum.tolist(), float(prior.candidate_sd), prior.own_family) == ([0, 1, 0, 1], 0.0, None)
    family = load(str(ratings), None, NO_COLUMNS, own_family=["bob=good"])
    majority = SimplexJudge.init(2, 3, 3)
    made = programme(Assumptions(constancy=Constancy.OWN_FAMILY), family, majority)
    prior = made.prior
    assert made.initial["family_noise"].shape == (1, 3, 3, 3)
    assert prior.own_family.tolist() == [[False, False, False], [False, True, False]]
    # Where assumptions vary, families are left out with the constancy that they belong to.
    assert programme(Assumptions(constancy=Constancy.RANDOM), family, majority).prior.own_family is None


def test_one_assumption_varies_at_a_time():
    plain = variants(Assumptions(), n_judges=3, prevalence="dirichlet")
    assert list(plain) == [
        "as asked", "hierarchical judges", "monotone lowest", "monotone stochastic", "monotone proportional",
        "monotone diagonal", "hierarchical prevalence", "accuracy 0.8", "strength 20", "random constancy 0.25",
        "random constancy 0.5", "item effects",
    ]  # fmt: skip
    for name, other in list(plain.items())[1:]:
        changed = [field for field, a, b in zip(other._fields, other, Assumptions(), strict=True) if a != b]
        assert changed == (["constancy", "candidate_sd"] if "constancy" in name else changed[:1])
    strata = Assumptions(monotone=Monotone.PROPORTIONAL, constancy=Constancy.STRATA, item_effects=True)
    assert list(variants(strata, n_judges=2, prevalence="hierarchical")) == [
        "as asked", "hierarchical judges, monotone none", "monotone none", "monotone lowest", "monotone stochastic",
        "monotone diagonal", "dirichlet prevalence", "accuracy 0.8", "strong constancy", "random constancy 0.25",
        "random constancy 0.5", "no item effects",
    ]  # fmt: skip
    shared = variants(Assumptions(judges=Judges.HIERARCHICAL), n_judges=2, prevalence="dirichlet")
    assert list(shared)[1:3] == ["independent judges", "independent judges, monotone lowest"]
    # A judge alone has nothing in common with others.
    alone = variants(Assumptions(), n_judges=1, prevalence="dirichlet")
    assert set(plain) - set(alone) == {"hierarchical judges", "item effects"}


@pytest.mark.parametrize(
    ("text", "in_doubt"),
    [
        ("item,judge,label\na,x,1\nb,x,2\nc,x,3\n", True),
        ("item,judge,label,gold\na,x,1,1\nb,x,2,\nc,x,3,3\n", True),
        # Gold labels of every level, a second judge, or two levels say more than the prior.
        ("item,judge,label,gold\na,x,1,1\nb,x,2,2\nc,x,3,3\n", False),
        ("item,judge,label\na,x,1\nb,x,2\nc,y,3\n", False),
        ("item,judge,label\na,x,1\nb,x,2\n", False),
    ],
)
def test_when_the_order_is_the_priors(tmp_path, text, in_doubt):
    (tmp_path / "r.csv").write_text(text)
    found = load(str(tmp_path / "r.csv"), None, NO_COLUMNS)
    # A mode has no probability of another order.
    chance = disorder(Scored(None, found, None))
    assert np.isnan(chance) if in_doubt else chance is None
    assert "probability" not in order_in_doubt(float("nan"))
    assert "with probability 0.12." in order_in_doubt(0.123)


def test_lenience_is_a_difference_for_the_same_work(x64):
    others, own = np.array([[0.8, 0.2], [0.3, 0.7]]), np.array([[0.6, 0.4], [0.1, 0.9]])
    confusion = np.stack([np.stack([others] * 3), np.stack([own, others, own])])
    model = SimplexJudge(jnp.array([[0.9, 0.1], [0.2, 0.8]]), jnp.asarray(confusion), (1.0, 3.0))
    family = jnp.array([[False, False, True], [True, False, True]])
    found = np.asarray(eqx.filter_jit(Lenience(family, jnp.array([0.25, 0.75])))(model))
    # The upper label is 0.2 more frequent on either level, and worth 2 more. Of the others one has no family here, and
    # one sees nothing else.
    np.testing.assert_allclose(found, [0.4, np.nan, np.nan], atol=1e-12)


def test_accuracy_is_over_all_items_whatever_they_earn(x64):
    row = np.array([[0.7, 0.2, 0.1], [0.2, 0.6, 0.2], [0.1, 0.3, 0.6]])
    judges = np.stack([row, row[::-1, ::-1]])
    model = SimplexJudge(jnp.full((2, 3), 1 / 3), jnp.asarray(judges), (1.0, 2.0, 3.0), jnp.array([0.5, 0.0]))
    node, weight = np.polynomial.hermite_e.hermegauss(40)
    shifted = row * np.exp(0.5 * node[:, None, None] * np.array([-1.0, 0.0, 1.0]))
    expected = np.tensordot(weight / weight.sum(), shifted / shifted.sum(-1, keepdims=True), axes=1)
    found = np.asarray(jax.jit(mean_confusion)(model))
    # 31 even nodes reach 6.7 standard deviations out; what lies beyond weighs 1e-11.
    np.testing.assert_allclose(found[0], expected, atol=1e-9)
    np.testing.assert_allclose(found[1], judges[1], atol=1e-12)
    by_candidate = np.asarray(jax.jit(mean_confusion)(model.per_candidate()))
    np.testing.assert_allclose(by_candidate, np.stack([found, found]), atol=1e-12)
    without = dataclasses.replace(model, item_effect=None)
    assert mean_confusion(without) is without.confusion
