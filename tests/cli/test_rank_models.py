"""`scorax rank`: models beyond the default ones, matrices of scores, what to do without a maximum."""

import json

import numpy as np
import pytest
from scipy.special import ndtri

from scorax.choice import BradleyTerry, Davidson, DavidsonLuce, GlennDavid, GradedComparison, PlackettLuce, Thurstone
from scorax.cli import _models, _ranking, _votes
from scorax.cli._rank import Method, Model, Ties

TIED = "ranking,item,rank\n1,x,1\n1,y,2\n1,z,2\n2,y,1\n2,x,2\n2,z,3\n3,z,1\n3,x,1\n3,y,2\n4,x,1\n4,z,2\n4,y,3\n"
GRADED = "a,b,winner\nx,y,1\nx,y,.67\ny,z,.67\nz,x,.33\nz,y,0\ny,x,.33\nz,x,1\nx,z,.67\n"


@pytest.fixture
def ranked(scorax, tmp_path):
    """The rows of the leaderboard of a file of this text, and what was said beside it."""

    def run(text, *options):
        (tmp_path / "file.csv").write_text(text)
        status, out, err = scorax("rank", tmp_path / "file.csv", "--format", "json", *options)
        assert status == 0, err
        return json.loads(out), err

    return run


def votes_of(tmp_path, text, kind=None):
    (tmp_path / "file.csv").write_text(text)
    return _votes.load(_votes.Source(str(tmp_path / "file.csv"), {}), kind)


@pytest.mark.parametrize(
    ("text", "model", "ties", "expected"),
    [
        ("a,b,winner\nx,y,x\n", None, None, BradleyTerry),
        ("a,b,winner\nx,y,tie\n", None, None, Davidson),
        ("a,b,winner\nx,y,tie\nx,y,0.7\n", None, None, BradleyTerry),
        ("a,b,winner\nx,y,x\n", Model.THURSTONE, None, Thurstone),
        ("a,b,winner\nx,y,tie\n", Model.THURSTONE, None, GlennDavid),
        ("a,b,winner\nx,y,tie\n", Model.THURSTONE, Ties.HALF, Thurstone),
        ("a,b,winner\nx,y,tie\n", None, Ties.GLENN_DAVID, GlennDavid),
        ("a,b,winner\nx,y,tie\n", Model.GRADED, None, GradedComparison),
        (TIED, None, None, DavidsonLuce),
        (TIED, Model.PLACKETT_LUCE, None, PlackettLuce),
        ("ranking,item,rank\n1,x,1\n1,y,2\n", None, None, PlackettLuce),
        ("ranking,item,rank\n1,x,1\n1,y,2\n", Model.DAVIDSON_LUCE, None, DavidsonLuce),
    ],
)
def test_words_and_votes_choose_the_model(tmp_path, text, model, ties, expected):
    votes = votes_of(tmp_path, text)
    found = _models.model_of(votes, model, ties, Method.MAP)
    assert type(found) is expected


def test_every_word_has_a_model():
    assert {_models.kind_of(model) for model in Model} == {"comparisons", "rankings"}
    assert _models.kind_of(None) is None


@pytest.mark.parametrize(
    ("outcomes", "levels"), [("0 .5 1", 3), ("0 .33 .67 1", 4), (".25 .5 1", 5), ("0 .167 .833", 7)]
)
def test_levels_are_read_from_outcomes(tmp_path, x64, outcomes, levels):
    text = "a,b,winner\n" + "".join(f"x,y,{y}\n" for y in outcomes.split())
    votes = _models.graded_levels(votes_of(tmp_path, text), Model.GRADED)
    model = _models.model_of(votes, Model.GRADED, None, Method.MAP)
    assert model.n_levels == levels
    # Rounded numbers have become levels, or this would raise.
    model.check(votes.data)


def test_thurstone_has_the_closed_form_of_two_items(ranked):
    text = "a,b,winner\n" + 3 * "x,y,x\n" + "x,y,y\n"
    (best, worst), err = ranked(text, "--model", "thurstone", "--method", "mle")
    assert "2 items, 4 comparisons: Thurstone, mle" in err
    assert best["theta"] - worst["theta"] == pytest.approx(ndtri(0.75))
    # 400 points where the odds are 10 to 1, as for logistic noise.
    assert best["rating"] - worst["rating"] == pytest.approx(400 * ndtri(0.75) / ndtri(10 / 11))
    assert best["rating"] + worst["rating"] == pytest.approx(2000)
    assert best["upper"] - best["rating"] == pytest.approx(ndtri(0.975) * best["std_error"])


def test_graded_outcomes(ranked):
    board, err = ranked(GRADED, "--model", "graded", "--method", "mle")
    assert "GradedComparison, mle" in err
    assert [row["item"] for row in board] == ["x", "y", "z"]
    # Swapping the sides of all rows reverses the scale.
    lines = [line.split(",") for line in GRADED.split()[1:]]
    swapped = "a,b,winner\n" + "".join(f"{b},{a},{1 - float(y):.2f}\n" for a, b, y in lines)
    again, _ = ranked(swapped, "--model", "graded", "--method", "mle")
    np.testing.assert_allclose([row["theta"] for row in again], [row["theta"] for row in board], rtol=1e-8)


def test_rankings_with_ties(ranked):
    board, err = ranked(TIED, "--method", "mle")
    assert "3 items, 4 rankings: DavidsonLuce, mle" in err
    assert board[0]["item"] == "x"
    assert all(np.isfinite(row["std_error"]) for row in board)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "options"),
    [
        (GRADED, ["--model", "graded"]),
        (GRADED, ["--model", "thurstone"]),
        ("a,b,winner\nx,y,x\ny,z,tie\n", ["--model", "thurstone"]),
        (TIED, []),
    ],
)
def test_every_model_has_a_mode(ranked, text, options):
    weak, _ = ranked(text, "--prior-precision", "1", *options)
    strong, _ = ranked(text, "--prior-precision", "1e4", *options)
    assert max(abs(row["theta"]) for row in strong) < 0.05 * max(abs(row["theta"]) for row in weak)


def test_firth_where_one_item_always_won(ranked):
    text = "a,b,winner\n" + 3 * "x,y,x\n"
    (best, worst), err = ranked(text, "--method", "mle", "--on-disconnected", "firth")
    assert "BradleyTerry, Firth's penalty" in err
    assert best["theta"] - worst["theta"] == pytest.approx(np.log(3.5 / 0.5))
    assert best["rating"] - worst["rating"] == pytest.approx(400 * np.log10(3.5 / 0.5))
    # Half of the deviation of the difference each, by the information of three comparisons.
    p = 3.5 / 4
    assert best["std_error"] == pytest.approx(400 / np.log(10) / 2 / np.sqrt(3 * p * (1 - p)))
    assert (best["rank"], best["comparisons"], worst["p_best"]) == (1, 3, pytest.approx(1 - best["p_best"]))


def test_a_matrix_of_scores_is_its_comparisons_by_sample(ranked):
    options = ["--method", "mle", "--ties", "half"]
    scores = "task,m1,m2\nq1,.2,.3\nq2,.5,.5\nq3,.9,.1\nq4,.4,.1\nq5,,.6\n"
    board, err = ranked(scores, "--scores", "--sample-column", "task", *options)
    assert "2 items, 4 comparisons (25 % ties): BradleyTerry, mle" in err
    comparisons = "a,b,winner,task\nm1,m2,m2,q1\nm1,m2,tie,q2\nm1,m2,m1,q3\nm1,m2,m1,q4\n"
    assert board == ranked(comparisons, "--cluster", "task", *options)[0]
    assert board == ranked(scores, "--scores", *options)[0]
    lower, _ = ranked(scores, "--scores", "--lower-is-better", *options)
    assert [row["item"] for row in lower] == [row["item"] for row in board[::-1]]


def test_samples_of_scores_are_the_rows(tmp_path):
    votes = votes_of(tmp_path, "id,p,q,r\n7,1,2,3\n8,,2,1\n9,5,,\n", "scores")
    assert votes.row.tolist() == [0, 0, 0, 1]
    assert votes.data.cluster.tolist() == [0, 0, 0, 1]
    assert votes.data.outcome.tolist() == [0, 0, 0, 1]
    assert votes.of_samples


def test_the_largest_component_remembers_its_rows(tmp_path):
    votes = votes_of(tmp_path, "a,b,winner\nw,x,w\nx,y,x\nw,y,w\nx,y,y\n")
    kept = _ranking._largest(votes)
    assert kept.row.tolist() == [1, 3]
    assert kept.items.names == ("x", "y")
    assert kept.data.cluster is None
    clustered = votes._replace(data=votes_with_cluster(votes))
    assert _ranking._largest(clustered).data.cluster.tolist() == [1, 0]


def votes_with_cluster(votes):
    data = votes.data
    return type(data).from_arrays(*map(np.asarray, (data.a, data.b, data.outcome)), cluster=[0, 1, 1, 0])
