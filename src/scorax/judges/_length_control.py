"""Win rates as they would be if answers were equally long."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from scorax.judges._pairwise_bias import length_feature

# As scikit-learn's logistic regression with cross-validation tries them.
_STRENGTHS = tuple(10.0**e for e in np.linspace(-4, 4, 10))
_MOST_SWEEPS = 3000


class LengthControlled(eqx.Module):
    """A win rate with the preference for length taken out.

    Attributes:
        value: Mean probability of a win at equal length, in [0, 1].
        std_error: Of that mean over instructions, coefficients taken as known: how much instructions differ. For the
            whole uncertainty redraw instructions, a `vmap` over `weight` at a fixed `strength`.
        raw: Win rate as observed.
        probability: Of a win at equal length, by instruction.
        coefficient: Log-odds of length, of the instruction's difficulty if given, and of the model itself.
        strength: Of the data against the penalty, as chosen.
    """

    value: Float[Array, ""]
    std_error: Float[Array, ""]
    raw: Float[Array, ""]
    probability: Float[Array, " n"]
    coefficient: Float[Array, " d"]
    strength: Float[Array, ""]


def length_controlled_win_rate(
    preference: Float[Array, " n"],
    length: Float[Array, " n"],
    baseline_length: Float[Array, " n"],
    *,
    difficulty: Float[Array, " n"] | None = None,
    weight: Float[Array, " n"] | None = None,
    penalty: str = "l1",
    strength: float | None = None,
    folds: int = 5,
) -> LengthControlled:
    r"""AlpacaEval 2's length-controlled win rate of a model against a baseline.

    A logistic regression of the judge's preference on \(\tanh(\Delta / s)\) of the difference in length, the
    instruction's difficulty and a constant (the model's own merit), penalised alike; predictions with \(\Delta = 0\)
    are averaged. Two equally good models then tie whatever their lengths.

    Args:
        preference: Of the judge for the model, from 0 (the baseline is better) to 1; probabilities, or 0, 1/2 and 1.
        length: Of the model's answers, in any unit.
        baseline_length: Of the baseline's answers to the same instructions.
        difficulty: Of each instruction, for the model to win: AlpacaEval takes what a joint regression of all models
            says. Left out if None.
        weight: Of the instructions, at least 0; equal if None. 0 leaves one out of the regression and of the means.
        penalty: `"l1"`, as AlpacaEval does, or `"l2"` (half the sum of squares).
        strength: Factor of the log-likelihood against the penalty, \(C\); None chooses among ten from 1e-4 to 1e4 by
            the log score on left-out folds.
        folds: Number of folds; instruction `i` is in fold `i % folds`.

    Returns:
        `LengthControlled`.

    Raises:
        ValueError: there is no such penalty, `strength` is not positive, or there are fewer instructions than folds.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> longer = jnp.asarray(rng.normal(100, 100, 400), jnp.float32)  # by 100 characters, on the mean
        >>> likes = jax.nn.sigmoid(2 * jnp.tanh(longer / 100))            # a judge that looks at length alone
        >>> found = length_controlled_win_rate(likes, 500 + longer, jnp.full(400, 500.0), strength=100.0)
        >>> found.raw.round(2), found.value.round(2)
        (Array(0.72, dtype=float32), Array(0.5, dtype=float32))

    Source: Dubois, Galambosi, Liang & Hashimoto (2024), arXiv:2404.04475; the code of tatsu-lab/alpaca_eval
    (Apache-2.0), whose two artificial baselines are left out here.
    """
    n, dtype = preference.shape[0], preference.dtype
    if penalty not in ("l1", "l2"):
        raise ValueError(f"penalty must be 'l1' or 'l2', not {penalty!r}")
    if strength is not None and not strength > 0:
        raise ValueError(f"strength must be positive, not {strength}")
    if strength is None and not 2 <= folds <= n:
        raise ValueError(f"{n} instructions cannot be split into {folds} folds: give from 2 to {n}, or a strength")
    weight = jnp.ones(n, dtype) if weight is None else weight.astype(dtype)
    others = [jnp.ones(n, dtype)] if difficulty is None else [difficulty, jnp.ones(n, dtype)]
    features = jnp.stack([length_feature(length, baseline_length), *others], axis=1)
    if strength is None:
        chosen = _by_cross_validation(features, preference, weight, penalty, folds)
    else:
        chosen = jnp.asarray(strength, dtype)
    coefficient = penalised_logistic(features, preference, weight, chosen, penalty)
    even = features.at[:, 0].set(0)
    probability = jax.nn.sigmoid(even @ coefficient)
    share = weight / weight.sum()
    value = share @ probability
    spread = share @ (probability - value) ** 2
    size = weight.sum() ** 2 / (weight**2).sum()
    return LengthControlled(
        value, jnp.sqrt(spread / jnp.maximum(size - 1, 1)), share @ preference, probability, coefficient, chosen
    )


def penalised_logistic(
    features: Float[Array, "n d"],
    response: Float[Array, " n"],
    weight: Float[Array, " n"],
    strength: Float[Array, ""],
    penalty: str,
) -> Float[Array, " d"]:
    r"""The \(\beta\) that minimises \(C \sum_i w_i \ell_i + \|\beta\|_1\), or \(+ \|\beta\|^2 / 2\), from soft labels.

    Coordinates in turn, each moved to the minimum of a parabola that lies above the loss (its curvature is at most a
    quarter): every step descends, and a coefficient that is zero is exactly zero.
    """
    curvature = strength * (weight @ features**2) / 4
    d = features.shape[1]
    tolerance = 4 * float(jnp.finfo(features.dtype).eps)

    def coordinate(i: Int[Array, ""], state: tuple[Array, Array]) -> tuple[Array, Array]:
        beta, odds = state
        column = features[:, i]
        slope = strength * ((weight * (jax.nn.sigmoid(odds) - response)) @ column)
        bend = jnp.where(curvature[i] > 0, curvature[i], 1)
        if penalty == "l1":
            target = beta[i] - slope / bend
            new = jnp.sign(target) * jnp.maximum(jnp.abs(target) - 1 / bend, 0)
        else:
            new = (bend * beta[i] - slope) / (bend + 1)
        return beta.at[i].set(new), odds + column * (new - beta[i])

    def sweep(state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        before, odds, _, count = state
        beta, odds = jax.lax.fori_loop(0, d, coordinate, (before, odds))
        return beta, odds, jnp.abs(beta - before).max(), count + 1

    start = (
        jnp.zeros(d, features.dtype),
        jnp.zeros_like(response),
        jnp.full((), jnp.inf, features.dtype),
        jnp.zeros((), jnp.int32),
    )
    return jax.lax.while_loop(
        lambda s: (s[2] > tolerance * (1 + jnp.abs(s[0]).max())) & (s[3] < _MOST_SWEEPS), sweep, start
    )[0]


def _by_cross_validation(
    features: Float[Array, "n d"], response: Float[Array, " n"], weight: Float[Array, " n"], penalty: str, folds: int
) -> Float[Array, ""]:
    """The strength whose predictions of left-out folds score best; the smallest of equals."""
    strengths = jnp.asarray(_STRENGTHS, features.dtype)
    fold = jnp.arange(features.shape[0]) % folds

    def score(strength: Float[Array, ""], left_out: Int[Array, ""]) -> Float[Array, ""]:
        inside = fold != left_out
        beta = penalised_logistic(features, response, jnp.where(inside, weight, 0), strength, penalty)
        odds = features @ beta
        value = response * jax.nn.log_sigmoid(odds) + (1 - response) * jax.nn.log_sigmoid(-odds)
        held = jnp.where(inside, 0, weight)
        total = held.sum()
        return held @ value / jnp.where(total > 0, total, 1)

    scores = jax.vmap(jax.vmap(score, (None, 0)), (0, None))(strengths, jnp.arange(folds)).mean(1)
    return strengths[jnp.argmax(scores)]
