import jax
import numpy as np
import pytest

from scorax.judges import argmax_label, expected_label, rescale, softmax_weighted_score
from tests.judges.conftest import oracle

weighted = jax.jit(softmax_weighted_score, static_argnames=("temperature", "log_probs", "empty"))
expected = jax.jit(expected_label, static_argnames="normalize")
likeliest = jax.jit(argmax_label)
slope_of_weighted = jax.jit(jax.grad(lambda probs, where: softmax_weighted_score(probs, where=where).sum()))


def random_probs(dtype, seed=0):
    """The shape of the oracle's table; on the host, where nothing has to be compiled."""
    return np.random.default_rng(seed).dirichlet(np.ones(5), 30).astype(dtype)


def repeated(row, dtype):
    return np.tile(np.asarray(row, dtype), (30, 1))


def close(found, expected, rtol):
    np.testing.assert_allclose(np.asarray(found), expected, rtol=rtol)


def test_scores_are_those_of_the_reference(x64):
    case = oracle("trustjudge")["case"]
    probs = np.asarray([row[2] for row in case["score_probs_rows_q_i_p"]])
    of = {kind: [row[2] for row in rows] for kind, rows in case["scores"].items()}
    close(likeliest(probs), of["baseline"], rtol=0)
    close(expected(probs, normalize=False), of["geval"], rtol=1e-14)
    # The reference adds 1e-8 to both sides of the odds: the same odds as those of another probability. Forming that
    # probability first costs the odds some rounding errors, times five for the temperature.
    close(weighted((probs + 1e-8) / (1 + 2e-8), where=probs > 0), of["softmax_weighted"], rtol=1e-13)
    # Its shift moves no score by more than the weights of labels below 1e-6, (1e-6)^5 against the rest.
    close(weighted(probs, where=probs > 0), of["softmax_weighted"], rtol=1e-6)


def test_one_likeliest_label_has_many_means():
    one, other = (repeated([*row, 0.0, 0.0], np.float32) for row in ([0.0, 0.45, 0.55], [0.45, 0.0, 0.55]))
    assert likeliest(one)[0] == likeliest(other)[0] == 3
    close(expected(one), np.full(30, 2.55), rtol=1e-6)
    close(expected(other), np.full(30, 2.10), rtol=1e-6)


def test_normalising_is_dividing_by_what_is_known(x64):
    probs = random_probs("float64")
    where = repeated([True, False, True, True, False], bool)
    mean, mass = np.asarray(expected(probs, where=where)), np.where(where, probs, 0).sum(1)
    close(expected(probs, where=where, normalize=False), mean * mass, rtol=1e-12)
    close(expected(np.where(where, probs, 0) / mass[:, None]), mean, rtol=1e-12)


def test_cold_weights_are_the_likeliest_label_and_warm_ones_the_odds():
    probs = random_probs("float32")
    close(weighted(probs, temperature=1e-4), probs.argmax(1) + 1, rtol=1e-6)
    odds = probs / (1 - probs)
    close(weighted(probs, temperature=1.0), odds @ np.arange(1, 6) / odds.sum(1), rtol=1e-4)


def test_logarithms_are_as_good():
    probs = random_probs("float32")
    close(weighted(np.log(probs), log_probs=True), np.asarray(weighted(probs)), rtol=1e-4)
    # 1 - p is below the rounding error of p here, and the label is no certainty all the same.
    near = repeated([-1e-20, -46.0, -47.0, -48.0, -49.0], np.float32)
    close(weighted(near, log_probs=True), np.ones(30), rtol=1e-6)


def test_labels_outside_take_no_part_in_value_or_gradient(dtype):
    probs, where = repeated([0.2, 0.5, 0.3, np.nan, 7.0], dtype), repeated([True, True, True, False, False], bool)
    odds = (np.array([0.2, 0.5, 0.3]) / np.array([0.8, 0.5, 0.7])) ** 5
    for score, value in ((likeliest, 2.0), (expected, 2.1), (weighted, odds @ [1, 2, 3] / odds.sum())):
        # Rounded log-odds, times five in an exponent.
        close(score(probs, where=where), np.full(30, value), rtol=40 * np.finfo(dtype).eps)
    slope = np.asarray(slope_of_weighted(probs, where))
    assert (slope[:, 3:] == 0).all()
    assert (slope[:, :3] != 0).all()
    assert np.isfinite(slope).all()


def test_a_judgement_without_labels_has_no_score():
    sure, nobody = repeated([0.0, 1.0, 0.0, 0.0, 0.0], np.float32), np.zeros((30, 5), bool)
    for score in (likeliest, expected, weighted):
        assert np.isnan(score(sure, where=nobody)).all()
    assert np.isnan(weighted(sure, where=~nobody)).all()
    assert (np.asarray(weighted(sure, empty="zero")) == 0).all()
    assert (np.asarray(slope_of_weighted(sure, ~nobody)) == 0).all()


def test_gradient_is_that_of_differences(x64):
    probs, everyone = random_probs("float64"), np.ones((30, 5), bool)
    direction = np.random.default_rng(1).normal(size=probs.shape) * probs * (1 - probs)
    ends = [np.asarray(weighted(probs + step * direction, where=everyone)).sum() for step in (-1e-6, 1e-6)]
    assert float((slope_of_weighted(probs, everyone) * direction).sum()) == pytest.approx(
        (ends[1] - ends[0]) / 2e-6, rel=1e-6
    )


def test_values_of_labels_scale_the_score():
    probs, values = random_probs("float32"), (0.0, 25.0, 50.0, 75.0, 100.0)
    for score in (argmax_label, expected_label, softmax_weighted_score):
        found, plain = jax.jit(lambda p, score=score: (score(p, values), rescale(score(p), (1, 5), (0, 100))))(probs)
        np.testing.assert_allclose(found, plain, atol=1e-4)


def test_rescaling_back_is_nothing():
    score = np.asarray([1.0, 33.0, 100.0], "float32")
    there, back = jax.jit(
        lambda s: (rescale(s, (1, 100), (5, 1)), rescale(rescale(s, (1, 100), (5, 1)), (5, 1), (1, 100)))
    )(score)
    close(there[::2], [5, 1], rtol=1e-6)
    close(back, score, rtol=1e-5)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda p: softmax_weighted_score(p, temperature=0.0), "temperature must be above 0"),
        (lambda p: softmax_weighted_score(p, empty="none"), "empty must be"),
        (lambda p: expected_label(p, (1.0, 2.0)), "level values"),
        (lambda p: rescale(p, (1, 1), (0, 1)), "two different numbers"),
    ],
)
def test_what_makes_no_sense_is_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        bad(jax.numpy.ones(3))
