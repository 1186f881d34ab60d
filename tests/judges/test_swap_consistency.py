import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.data.datasets import load_llmbar
from scorax.judges import position_bias, swap_consistency, win_rate

swap = jax.jit(swap_consistency)
bias = jax.jit(position_bias, static_argnames="level")


def both_orders(model, prompt):
    """Verdicts on output 1 against output 2, with 1 shown first and with 2 shown first."""
    # Of all models: of a single one, some pairs would have no verdict at all.
    verdicts, names = load_llmbar(prompt=prompt)
    both = [names.judges.names.index(f"{model}/{prompt}/{first}") for first in (1, 2)]
    here = np.asarray(verdicts.where)[:, None, :] & (np.asarray(verdicts.judge)[:, None, :] == np.array(both)[:, None])
    return 1 - 2 * (here * np.asarray(verdicts.label)[:, None, :]).sum(2), here.any(2)


@pytest.mark.parametrize(
    ("model", "prompt", "n", "same", "first"),
    [
        ("GPT-4", "Vanilla", 419, 0.9284, 0.5119),
        ("Falcon", "CoT", 416, 0.1274, 0.9339),
        ("PaLM2", "Swap", 414, 0.8841, 0.5435),
    ],
)
def test_order_of_presentation_in_llmbar(model, prompt, n, same, first):
    """Plain counts of the published files, to the digits that were noted."""
    verdict, where = both_orders(model, prompt)
    part = where.all(1)
    found = swap(verdict[:, 0], verdict[:, 1], where=part)
    assert int(found.n_pairs) == n
    assert float(found.ratio) == pytest.approx(same, abs=5e-5)
    # No ties: whoever is not consistent follows a place.
    assert float(found.ratio + found.first_twice + found.second_twice) == pytest.approx(1)
    first_won = verdict * np.array([[1, -1]]) > 0
    share = bias(first_won.reshape(-1), where=np.repeat(part, 2))
    assert float(share.rate) == pytest.approx(first, abs=5e-5)
    assert float(share.rate) == pytest.approx(0.5 + float(found.first_twice - found.second_twice) / 2, rel=1e-5)
    assert float(share.n) == 2 * n


def random_verdicts(seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.integers(-1, 2, 60)), jnp.asarray(rng.integers(-1, 2, 60))


def test_renaming_the_answers_turns_places():
    ab, ba = random_verdicts()
    found, renamed = swap(ab, ba), swap(-ba, -ab)
    assert 0 < found.ratio < 1
    chex.assert_trees_all_equal(renamed, found)
    told_wrong = swap(ba, ab)
    chex.assert_trees_all_equal(
        (told_wrong.first_twice, told_wrong.second_twice), (found.second_twice, found.first_twice)
    )


def test_a_judge_of_places_agrees_with_itself_on_ties_only():
    ab, _ = random_verdicts()
    found = swap(ab, -ab)
    assert float(found.ratio) == pytest.approx(float((ab == 0).mean()))
    assert float(found.first_twice) == pytest.approx(float((ab > 0).mean()))


def test_a_share_of_places_is_a_win_rate_with_wilsons_interval():
    won = jnp.asarray(np.random.default_rng(1).integers(0, 3, 60) / 2, "float32")
    chex.assert_trees_all_equal(bias(won), jax.jit(lambda x: win_rate(x, interval="wilson"))(won))


def test_without_pairs_there_is_no_share():
    ab, ba = random_verdicts()
    found = swap(ab, ba, where=jnp.zeros(60, bool))
    assert jnp.isnan(found.ratio)
    assert int(found.n_pairs) == 0
    assert jnp.isnan(bias(ab > 0, where=jnp.zeros(60, bool)).rate)
