import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.evals import choice_log_prob, choose_option, option_perplexity

score = jax.jit(choice_log_prob, static_argnames="normalize")
choose = jax.jit(choose_option)


@pytest.fixture
def options(dtype):
    """Two questions of three options with up to five tokens; numbers outside would spoil everything."""
    random = np.random.default_rng(0)
    where = np.arange(5) < random.integers(1, 6, (2, 3, 1))
    log_prob = np.where(where, -random.exponential(size=(2, 3, 5)), np.nan)
    return jnp.asarray(log_prob, dtype), jnp.asarray(where)


@pytest.mark.parametrize("normalize", ["sum", "token", "char", "byte", "pmi"])
def test_is_what_it_says(dtype, options, normalize):
    log_prob, where = options
    length, without = jnp.asarray([[3, 7, 5], [2, 2, 9]]), jnp.asarray([[-3.0, -1.0, -2.0]] * 2, dtype)
    extra = {"char": {"length": length}, "byte": {"length": length}, "pmi": {"unconditional": without}}
    found = score(log_prob, where=where, normalize=normalize, **extra.get(normalize, {}))
    assert found.dtype == dtype
    expected = np.zeros((2, 3))
    for q in range(2):
        for o in range(3):
            tokens = np.asarray(log_prob[q, o], float)[np.asarray(where[q, o])]
            expected[q, o] = {
                "sum": tokens.sum(),
                "token": tokens.mean(),
                "char": tokens.sum() / int(length[q, o]),
                "byte": tokens.sum() / int(length[q, o]),
                "pmi": tokens.sum() - float(without[q, o]),
            }[normalize]
    # Five additions and a division.
    chex.assert_trees_all_close(np.asarray(found, float), expected, rtol=16 * float(jnp.finfo(dtype).eps), atol=1e-6)


def test_perplexity_is_the_inverse_of_the_geometric_mean(dtype, options):
    log_prob, where = options
    found = jax.jit(option_perplexity)(log_prob, where=where)
    chex.assert_trees_all_close(found, jnp.exp(-score(log_prob, where=where)), rtol=4 * float(jnp.finfo(dtype).eps))
    assert (found >= 1).all()
    # A uniform guess among 50 tokens, of any length, has perplexity 50.
    same = option_perplexity(jnp.full((3, 5), -np.log(50), dtype), where=jnp.tri(3, 5, dtype=bool))
    chex.assert_trees_all_close(same, jnp.full(3, 50, dtype), rtol=32 * float(jnp.finfo(dtype).eps))


def test_absent_tokens_have_no_gradient(dtype, options):
    log_prob, where = options
    slope = jax.jit(jax.grad(lambda v: choice_log_prob(v, where=where).sum()))(log_prob)
    held = where.astype(dtype)
    chex.assert_trees_all_close(slope, held / held.sum(-1, keepdims=True), rtol=4 * float(jnp.finfo(dtype).eps))


def test_no_tokens_is_an_error_at_the_border_and_nan_inside():
    log_prob, where = jnp.full((2, 3), -1.0), jnp.array([[True, True, False], [False, False, False]])
    with pytest.raises(ValueError, match=r"an option has no tokens in 1 row \(row 1\)"):
        option_perplexity(log_prob, where=where)
    value, slope = jax.jit(jax.value_and_grad(lambda v, w: option_perplexity(v, where=w).sum()))(log_prob, where)
    assert jnp.isnan(value)
    assert jnp.isfinite(slope[0]).all()
    chex.assert_trees_all_equal(jnp.isnan(score(log_prob, where=where)), jnp.array([False, True]))
    zero = jnp.array([2.0, 0.0])
    whole = jnp.ones((2, 3), bool)
    with pytest.raises(ValueError, match=r"length of an option is not positive in 1 row .* Count its chars"):
        choice_log_prob(log_prob, where=whole, normalize="char", length=zero)
    assert jnp.isnan(score(log_prob, where=whole, normalize="char", length=zero)[1])


def test_arguments_that_do_not_fit():
    log_prob, where = jnp.full(3, -1.0), jnp.ones(3, bool)
    with pytest.raises(ValueError, match="normalize must be one of 'sum', 'token'"):
        choice_log_prob(log_prob, where=where, normalize="word")
    with pytest.raises(ValueError, match="normalize='byte' needs `length`"):
        choice_log_prob(log_prob, where=where, normalize="byte")
    with pytest.raises(ValueError, match="normalize='pmi' needs `unconditional`"):
        choice_log_prob(log_prob, where=where, normalize="pmi")
    with pytest.raises(ValueError, match="normalize='sum' does not use `length`"):
        choice_log_prob(log_prob, where=where, normalize="sum", length=jnp.asarray(3.0))


def test_best_option_softmax_and_margin(dtype):
    scores = jnp.asarray([[-1.0, -0.5, -3.0], [-1.0, 5.0, -1.0], [-2.0, 1.0, 1.0]], dtype)
    where = jnp.asarray([[True, True, True], [True, False, True], [True, False, False]])
    found = choose(scores, where=where)
    chex.assert_trees_all_equal(found.option, jnp.array([1, 0, 0]))
    chex.assert_trees_all_equal(found.margin, jnp.asarray([0.5, 0.0, jnp.inf], dtype))
    weights = np.where(np.asarray(where), np.exp(np.asarray(scores, float)), 0)
    expected = weights / weights.sum(1, keepdims=True)
    chex.assert_trees_all_close(np.asarray(found.probability, float), expected, rtol=8 * float(jnp.finfo(dtype).eps))
    each = [choose(s, where=w) for s, w in zip(scores, where, strict=True)]
    chex.assert_trees_all_close(found, jax.tree.map(lambda *v: jnp.stack(v), *each), rtol=1e-6)


def test_no_choice_without_scores_and_finite_gradients():
    scores = jnp.array([[jnp.nan, 1.0], [2.0, 1.0]])
    where = jnp.array([[True, True], [False, False]])
    found = choose(scores, where=where)
    chex.assert_trees_all_equal(found.option, jnp.array([-1, -1]))
    assert jnp.isnan(found.probability).all()
    assert jnp.isnan(found.margin).all()
    slope = jax.jit(jax.grad(lambda s, w: choose_option(s, where=w).probability[..., 0].sum()))
    assert jnp.isfinite(slope(jnp.array([[1.0, 2.0], [2.0, 1.0]]), where)).all()
    ours = slope(jnp.array([[1.0, 2.0], [jnp.nan, 1.0]]), jnp.array([[True, True], [False, True]]))
    assert (ours[1] == 0).all()
    assert ours[0, 0] > 0
