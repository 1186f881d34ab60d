import functools

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.judges import pairwise_verdict, relation_from_scores
from tests.judges.conftest import oracle

verdict = jax.jit(pairwise_verdict, static_argnames=("method", "tol"))


def pairs_of_the_oracle():
    """Probabilities `[60, 2, 3]`, log-probabilities and lengths of the texts, of pairs in the oracle's order."""
    rows = oracle("trustjudge")["case"]["pair_rows_q_i_j_order_pABC_cumlogprob_ntokens"]
    probs, logprob, tokens = (np.asarray([row[column] for row in rows]) for column in (4, 5, 6))
    shape = (len(rows) // 2, 2)
    return (
        jnp.asarray(probs.reshape(*shape, 3)),
        jnp.asarray(logprob.reshape(shape)),
        jnp.asarray(tokens.reshape(shape)),
    )


def random_pairs(dtype, seed=0):
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(3), (60, 2)).astype(dtype)
    return probs, rng.uniform(-90, -20, (60, 2)).astype(dtype), rng.integers(40, 200, (60, 2))


def swapped(x):
    return x[:, ::-1]


@pytest.mark.parametrize("tol", [0.0, 0.05])
@pytest.mark.parametrize("method", ["baseline", "likelihood", "ppl"])
def test_verdicts_are_those_of_the_reference(dtype, method, tol):
    probs, logprob, tokens = pairs_of_the_oracle()
    found = verdict(probs.astype(dtype), method=method, tol=tol, cum_logprob=logprob.astype(dtype), num_tokens=tokens)
    rows = oracle("trustjudge")["case"]["relations"][f"{method}|tol={tol}"]
    assert found.tolist() == [row[3] for row in rows]


@pytest.mark.parametrize("method", ["baseline", "likelihood", "ppl"])
def test_exchanging_the_answers_turns_the_verdict(dtype, method):
    probs, logprob, tokens = random_pairs(dtype)
    both = functools.partial(verdict, method=method, tol=0.02)
    found = both(probs, cum_logprob=logprob, num_tokens=tokens)
    turned = both(swapped(probs), cum_logprob=swapped(logprob), num_tokens=swapped(tokens))
    assert set(np.asarray(found).tolist()) == {-1, 0, 1}
    np.testing.assert_array_equal(turned, -np.asarray(found))


@pytest.mark.parametrize("method", ["baseline", "likelihood"])
def test_it_does_not_matter_which_order_came_first(dtype, method):
    """Each row names the answers by their place: told in the other's places, the two orders change roles."""
    probs, _, _ = random_pairs(dtype)
    other = swapped(probs)[..., [1, 0, 2]]
    chex.assert_trees_all_equal(verdict(other, method=method), verdict(probs, method=method))


def test_a_judge_that_wants_the_first_answer_is_no_witness():
    probs = np.tile(np.float32([[0.9, 0.1, 0.0], [0.9, 0.1, 0.0]]), (60, 1, 1))
    assert not np.any(verdict(probs, method="baseline"))
    assert not np.any(verdict(probs, method="likelihood", tol=0.05))


def test_a_text_whose_perplexity_overflows_loses():
    probs = np.tile(np.float32([[0.9, 0.1, 0.0], [0.9, 0.1, 0.0]]), (60, 1, 1))
    logprob = np.tile(np.float32([[-1e4, -10.0], [-1e4, -1e4]]), (30, 1))
    found = verdict(probs, method="ppl", tol=0.05, cum_logprob=logprob, num_tokens=np.full((60, 2), 10))
    assert found[:2].tolist() == [-1, 0]


def test_a_text_without_tokens_is_refused():
    probs, logprob, tokens = random_pairs("float32")
    tokens[3, 1] = 0
    probs, logprob, tokens = (jnp.asarray(x) for x in (probs, logprob, tokens))
    with pytest.raises(ValueError, match=r"num_tokens is below 1 in 1 row \(row 3\)"):
        pairwise_verdict(probs, method="ppl", cum_logprob=logprob, num_tokens=tokens)


@pytest.mark.engine
def test_a_text_without_tokens_is_an_error_at_run_time():
    probs, logprob, tokens = (jnp.asarray(x) for x in random_pairs("float32"))
    compiled = eqx.filter_jit(lambda n: pairwise_verdict(probs, method="ppl", cum_logprob=logprob, num_tokens=n))
    with pytest.raises(Exception, match="num_tokens is below 1"):
        jax.block_until_ready(compiled(jnp.zeros_like(tokens)))


def test_relation_of_scores_is_the_sign_of_their_difference(dtype):
    scores = np.asarray([[3.0, 1.0, 3.0, 3.2], [0.0, np.inf, -np.inf, np.inf]], dtype)
    of_scores = jax.jit(relation_from_scores, static_argnums=1)
    relation = np.asarray(of_scores(scores))
    np.testing.assert_array_equal(relation, -relation.swapaxes(1, 2))
    assert relation[0].tolist() == [[0, 1, 0, -1], [-1, 0, -1, -1], [0, 1, 0, -1], [1, 1, 1, 0]]
    assert relation[1, 1].tolist() == [1, 0, 1, 0]
    assert np.asarray(of_scores(scores, 0.5))[0, 0].tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda p: pairwise_verdict(p, method="mean"), "method must be one of"),
        (lambda p: pairwise_verdict(p, tol=-0.1), "tol must be at least 0"),
        (lambda p: pairwise_verdict(p, method="ppl"), "needs cum_logprob and num_tokens"),
        (lambda p: relation_from_scores(p[:, 0], -1.0), "tol must be at least 0"),
    ],
)
def test_what_makes_no_sense_is_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        bad(jnp.asarray(random_pairs("float32")[0]))
