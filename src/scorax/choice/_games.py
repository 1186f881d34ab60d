"""Preferences as a symmetric zero-sum game: mixtures of items that no item beats, and steps towards them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from scorax.choice._models._skew_symmetric import rotate


class VonNeumannWinner(NamedTuple):
    """A mixture of items, and how much the best reply to it gains."""

    mixture: Float[Array, " k"]
    exploitability: Float[Array, ""]
    """`max_i (S pi)_i`, at least 0 up to rounding; 0 only for a winner."""


class RegularisedEquilibrium(NamedTuple):
    """Log-probabilities of items, and how far they are from answering themselves."""

    log_policy: Float[Array, " k"]
    residual: Float[Array, ""]
    """Largest change of a log-probability by one more `mirror_descent_step` from the reference."""


def score_against(
    embedding: Float[Array, "*b e"], opponents: Float[Array, "k e"], mixture: Float[Array, " k"]
) -> Array:
    r"""Mean score against an opponent drawn from a mixture, in one pass over the opponents.

    $$s(v, \mu) = \sum_j \mu_j \, s(v, v_j) = s\Big(v, \sum_j \mu_j v_j\Big)$$

    (From a matrix of scores it is `score @ mixture`.)

    Args:
        embedding: Whose scores: one embedding of `2h` numbers, or a batch.
        opponents: Embeddings of the opponents.
        mixture: Weight of each, usually probabilities.

    Returns:
        A score for each embedding; larger is better.

    Example:
        >>> hand = jnp.array([[1.0, 0.0], [-0.5, 0.866], [-0.5, -0.866]])  # rock, paper, scissors
        >>> score_against(hand, hand, jnp.array([0.0, 0.5, 0.5])).round(3) + 0
        Array([ 0.   ,  0.433, -0.433], dtype=float32)

    Source: Zhang, Zhang, Wu, Xu & Gu (2025), arXiv:2410.02197.
    """
    return embedding @ rotate((mixture @ opponents)[None, :])[0]


def mirror_descent_step(
    log_policy: Float[Array, "*b k"],
    score: Float[Array, "k k"],
    beta: float | Float[Array, ""],
    *,
    log_reference: Float[Array, "*b k"] | None = None,
) -> Float[Array, "*b k"]:
    r"""The policy that does best against the present one, at a price for moving: general preference optimisation.

    $$\pi' \propto \pi_{ref} \, e^{S \pi / \beta} = \arg\max_q \; q^\top S \pi - \beta \, \mathrm{KL}(q \| \pi_{ref})$$

    With the present policy as reference these are multiplicative weights: the *average* of the iterates approaches a
    von Neumann winner, the last one circles outwards in a cyclic game. With a fixed reference the step contracts for
    large beta only; `regularised_equilibrium` finds the point where it stands still for any.

    Args:
        log_policy: Log-probabilities of the items, \(\log \pi\).
        score: `score[i, j]` favours i over j; skew-symmetric.
        beta: Price of a nat of divergence, in units of score, above 0.
        log_reference: Log-probabilities to stay near; the present policy if None. Items of probability 0 (`-inf`) stay
            there.

    Returns:
        Log-probabilities of the next policy.

    Example:
        >>> even = jnp.log(jnp.full(2, 0.5))
        >>> step = mirror_descent_step(even, jnp.array([[0.0, 2.0], [-2.0, 0.0]]), 1.0)
        >>> float(step[0] - step[1])  # the gap of scores against the even mixture
        2.0

    Source: Zhang, Zhang, Wu, Xu & Gu (2025), arXiv:2410.02197; Freund & Schapire (1999), doi:10.1006/game.1999.0738.
    """
    reference = log_policy if log_reference is None else log_reference
    against = jnp.einsum("ij,...j->...i", score, jnp.exp(log_policy))
    return jax.nn.log_softmax(reference + against / jnp.asarray(beta, against.dtype), axis=-1)


def regularised_equilibrium(
    score: Float[Array, "k k"],
    log_reference: Float[Array, " k"],
    beta: float | Float[Array, ""],
    *,
    steps: int = 1000,
) -> RegularisedEquilibrium:
    r"""The policy that is its own best reply at a price for leaving the reference.

    $$\pi \propto \pi_{ref} \, e^{S \pi / \beta}$$

    By damped steps of `mirror_descent_step`: a fraction \(\eta\beta / (1 + \eta\beta)\) of each, with
    \(\eta = \beta / \max|S|^2\), which converges for every beta: some \((\max|S| / \beta)^2\) steps a digit.

    Args:
        score: `score[i, j]` favours i over j; skew-symmetric.
        log_reference: Log-probabilities to stay near.
        beta: Price of a nat of divergence, in units of score, above 0.
        steps: How many.

    Returns:
        The policy and its residual, which says whether the steps were enough.

    Example:
        >>> circle = jnp.array([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])
        >>> found = regularised_equilibrium(circle, jnp.log(jnp.array([0.8, 0.1, 0.1])), 0.1)
        >>> jnp.exp(found.log_policy).round(2)  # near even, whatever the reference
        Array([0.35, 0.26, 0.39], dtype=float32)

    Source: Zhang, Zhang, Wu, Xu & Gu (2025), arXiv:2410.02197 (the objective); Sokota and others (2023),
        arXiv:2206.05825 (magnetic mirror descent).
    """
    price = jnp.asarray(beta, score.dtype)
    largest = jnp.abs(score).max()
    # eta * beta: without any scores the first step is the answer.
    rate = price**2 / jnp.where(largest > 0, largest, price) ** 2
    share = rate / (1 + rate)

    def step(_: Array, log_policy: Float[Array, " k"]) -> Float[Array, " k"]:
        target = mirror_descent_step(log_policy, score, price, log_reference=log_reference)
        return jax.nn.log_softmax(log_policy + share * (target - log_policy))

    found = jax.lax.fori_loop(0, steps, step, jax.nn.log_softmax(log_reference))
    again = mirror_descent_step(found, score, price, log_reference=log_reference)
    return RegularisedEquilibrium(found, jnp.abs(again - found).max())


def von_neumann_winner(score: Float[Array, "k k"], *, steps: int = 10_000) -> VonNeumannWinner:
    r"""A mixture of items that no item beats on average: an optimal strategy of the symmetric zero-sum game.

    There always is one; an item that beats all others is one by itself. Found as the average of optimistic
    multiplicative weights, \(\log\pi \mathrel{+}= \eta\,(2 S\pi_t - S\pi_{t-1})\) with \(\eta = 1/(2\max|S|)\), whose
    exploitability falls like one over the steps.

    Args:
        score: `score[i, j]` favours i over j; skew-symmetric. Any odd increasing function of preferences, such as
            win probabilities minus a half, makes a game of its own, with a winner of its own.
        steps: How many.

    Returns:
        The mixture and its exploitability, in units of score: the certificate. NaN where the matrix is not
        skew-symmetric (to rounding), whose game would have another certificate.

    Example:
        >>> circle = jnp.array([[0.0, 2.0, -1.0], [-2.0, 0.0, 1.0], [1.0, -1.0, 0.0]])
        >>> von_neumann_winner(circle).mixture.round(2)
        Array([0.25, 0.25, 0.5 ], dtype=float32)

    Source: von Neumann (1928), doi:10.1007/BF01448847; Syrgkanis, Agarwal, Luo & Schapire (2015), arXiv:1507.00407
        (optimistic steps); Dudik, Hofmann, Schapire, Slivkins & Zoghi (2015), arXiv:1502.06362 (the name).
    """
    k = score.shape[0]
    largest = jnp.abs(score).max()
    rate = 0.5 / jnp.where(largest > 0, largest, 1)
    even = jnp.full(k, 1 / k, score.dtype)

    def step(t: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        log_policy, before, mean = state
        policy = jnp.exp(log_policy)
        now = score @ policy
        log_policy = jax.nn.log_softmax(log_policy + rate * (2 * now - before))
        return log_policy, now, mean + (policy - mean) / (jnp.asarray(t, score.dtype) + 1)

    _, _, mixture = jax.lax.fori_loop(0, steps, step, (jnp.log(even), jnp.zeros_like(even), even))
    exploitability = (score @ mixture).max()
    skew = jnp.abs(score + score.T).max() <= 8 * jnp.finfo(score.dtype).eps * largest
    return VonNeumannWinner(jnp.where(skew, mixture, jnp.nan), jnp.where(skew, exploitability, jnp.nan))
