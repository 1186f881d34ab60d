"""Kalman filter and smoother of linear-Gaussian series: what the past says, and what the future says of it."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class StateSpaceSeries(eqx.Module):
    r"""A state that moves linearly and is seen, a number at a time, through Gaussian noise.

    $$z_j = A_j z_{j-1} + N(0, Q_j), \qquad \text{seen as} \quad \exp(\nu_j x - \tau_j x^2 / 2), \quad x = h^T z_j$$

    The state before the first place is 0, so `transition[0]` has no effect and `noise[0]` is the covariance of the
    first state. An observation y with noise variance r is `precision = 1 / r` and `shift = y / r`, up to a constant;
    where nothing is seen both are 0. Several observations at a time are places with the identity as transition and no
    noise. Covariances may be singular.
    """

    transition: Float[Array, "l d d"]
    noise: Float[Array, "l d d"]
    measurement: Float[Array, " d"]
    precision: Float[Array, " l"]
    shift: Float[Array, " l"]


class SmoothedSeries(eqx.Module):
    """What is known of the state at each place, from both sides.

    The two sides meet without an inverse: with `predicted` what the past says of a state, its mean given everything is
    `mean + covariance @ score` and its covariance `covariance - covariance @ information @ covariance`.
    """

    mean: Float[Array, "l d"]
    """Given the observations up to and including a place."""
    covariance: Float[Array, "l d d"]
    score: Float[Array, "l d"]
    """Gradient of the log-likelihood of the observations from a place on, with respect to the mean predicted there."""
    information: Float[Array, "l d d"]
    """Minus its second derivative."""
    marginal_mean: Float[Array, " l"]
    """Of what is seen, `h^T z`, given all observations."""
    marginal_variance: Float[Array, " l"]
    log_normaliser: Float[Array, ""]
    """Log of the integral of the prior times all observations as they are written above."""


def smooth_series(series: StateSpaceSeries) -> SmoothedSeries:
    """Filter forwards and smooth backwards; batch with `vmap`.

    One place after the other on a CPU, trees of partial products elsewhere. The backward pass carries the score and the
    information of Bryson and Frazier instead of states, so that no covariance is ever inverted: those of smooth
    processes at near times are singular in single precision.

    Example:
        >>> one = jnp.ones((2, 1, 1))
        >>> walk = StateSpaceSeries(one, one, jnp.ones(1), jnp.array([1.0, 0.0]), jnp.array([2.0, 0.0]))
        >>> seen = smooth_series(walk)  # N(0, 1), seen as 2 with noise 1; then one more step
        >>> seen.marginal_mean, seen.marginal_variance
        (Array([1., 1.], dtype=float32), Array([0.5, 1.5], dtype=float32))

    Source: Bryson & Frazier (1963), "Smoothing for linear and nonlinear dynamic systems" (the backward pass); Särkkä &
    García-Fernández (2021), doi:10.1109/TAC.2020.2976316 (the tree).
    """
    return jax.lax.platform_dependent(series, cpu=_by_place, default=_by_tree)


def _by_place(series: StateSpaceSeries) -> SmoothedSeries:
    h = series.measurement

    def forwards(state: tuple[Array, Array], place: StateSpaceSeries) -> tuple[tuple[Array, Array], tuple[Array, ...]]:
        mean, covariance = _predict(place.transition, place.noise, *state)
        after = _see(mean, covariance, h, place.precision, place.shift)
        return after, (mean, covariance, *after)

    def backwards(
        later: tuple[Array, Array], place: tuple[Array, ...]
    ) -> tuple[tuple[Array, Array], tuple[Array, ...]]:
        matrix, score, information = place
        here = _earlier(matrix, score, information, *later)
        return here, here

    nothing = (jnp.zeros_like(h), jnp.zeros_like(series.noise[0]))
    over = eqx.tree_at(lambda s: s.measurement, series, None, is_leaf=lambda x: x is None)
    _, (predicted_mean, predicted, mean, covariance) = jax.lax.scan(forwards, nothing, over)
    steps = _backward_steps(series, predicted_mean, predicted)
    _, (score, information) = jax.lax.scan(backwards, nothing, steps, reverse=True)
    return _meet(series, predicted_mean, predicted, mean, covariance, score, information)


def _by_tree(series: StateSpaceSeries) -> SmoothedSeries:
    first = jnp.arange(series.precision.size) == 0
    transition = jnp.where(first[:, None, None], jnp.zeros_like(series.transition), series.transition)
    elements = jax.vmap(_element, (0, 0, None, 0, 0))(
        transition, series.noise, series.measurement, series.precision, series.shift
    )
    _, mean, covariance, _, _ = jax.lax.associative_scan(jax.vmap(_join), elements)
    before = [jnp.concatenate([jnp.zeros_like(x[:1]), x[:-1]]) for x in (mean, covariance)]
    predicted_mean, predicted = jax.vmap(_predict)(transition, series.noise, *before)
    steps = _backward_steps(series, predicted_mean, predicted)
    _, score, information = jax.lax.associative_scan(jax.vmap(_join_backwards), steps, reverse=True)
    return _meet(series, predicted_mean, predicted, mean, covariance, score, information)


def _predict(
    transition: Float[Array, "d d"],
    noise: Float[Array, "d d"],
    mean: Float[Array, " d"],
    covariance: Float[Array, "d d"],
) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
    return transition @ mean, transition @ covariance @ transition.T + noise


def _see(
    mean: Float[Array, " d"],
    covariance: Float[Array, "d d"],
    h: Float[Array, " d"],
    precision: Float[Array, ""],
    shift: Float[Array, ""],
) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
    """Joseph's form of the update: a sum of two positive matrices."""
    reach = covariance @ h
    scale = 1 + precision * (h @ reach)
    keep = jnp.eye(h.size, dtype=h.dtype) - precision / scale * jnp.outer(reach, h)
    after = keep @ covariance @ keep.T + precision / scale**2 * jnp.outer(reach, reach)
    return mean + (shift - precision * (h @ mean)) / scale * reach, after


def _element(
    transition: Float[Array, "d d"],
    noise: Float[Array, "d d"],
    h: Float[Array, " d"],
    precision: Float[Array, ""],
    shift: Float[Array, ""],
) -> tuple[Array, ...]:
    """A place as a map from the state before it: `(A, b, C)` of the state after it, `(eta, J)` of what is seen."""
    mean, covariance = _see(jnp.zeros_like(h), noise, h, precision, shift)
    reach = noise @ h
    scale = 1 + precision * (h @ reach)
    keep = jnp.eye(h.size, dtype=h.dtype) - precision / scale * jnp.outer(reach, h)
    ahead = transition.T @ h
    return keep @ transition, mean, covariance, shift / scale * ahead, precision / scale * jnp.outer(ahead, ahead)


def _join(before: tuple[Array, ...], after: tuple[Array, ...]) -> tuple[Array, ...]:
    (a, b, c, eta, j), (a2, b2, c2, eta2, j2) = before, after
    right = jnp.concatenate([a, (b + c @ eta2)[:, None], c], axis=1)
    solved = a2 @ jnp.linalg.solve(jnp.eye(b.size, dtype=b.dtype) + c @ j2, right)
    d = b.size
    # (I + J C)^-1 J is symmetric, and its transpose needs the same matrix.
    back = jnp.linalg.solve(
        jnp.eye(d, dtype=b.dtype) + j2 @ c, jnp.concatenate([(eta2 - j2 @ b)[:, None], j2 @ a], axis=1)
    )
    return (
        solved[:, :d],
        solved[:, d] + b2,
        solved[:, d + 1 :] @ a2.T + c2,
        a.T @ back[:, 0] + eta,
        a.T @ back[:, 1:] + j,
    )


def _backward_steps(
    series: StateSpaceSeries, predicted_mean: Float[Array, "l d"], predicted: Float[Array, "l d d"]
) -> tuple[Float[Array, "l d d"], Float[Array, "l d"], Float[Array, "l d d"]]:
    """Of each place: how its state reaches the next prediction, and the score and information of what is seen."""
    h = series.measurement
    reach = predicted @ h
    scale = 1 + series.precision * (reach @ h)
    gain = (series.precision / scale)[:, None] * reach
    keep = jnp.eye(h.size, dtype=h.dtype)[None] - gain[:, :, None] * h[None, None, :]
    following = jnp.concatenate([series.transition[1:], jnp.zeros_like(series.transition[:1])])
    score = (series.shift - series.precision * (predicted_mean @ h)) / scale
    information = series.precision / scale
    return following @ keep, score[:, None] * h[None, :], information[:, None, None] * jnp.outer(h, h)[None]


def _earlier(
    matrix: Float[Array, "d d"],
    score: Float[Array, " d"],
    information: Float[Array, "d d"],
    later_score: Float[Array, " d"],
    later_information: Float[Array, "d d"],
) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
    return score + matrix.T @ later_score, information + matrix.T @ later_information @ matrix


def _join_backwards(after: tuple[Array, Array, Array], before: tuple[Array, Array, Array]) -> tuple[Array, ...]:
    return after[0] @ before[0], *_earlier(*before, *after[1:])


def _meet(
    series: StateSpaceSeries,
    predicted_mean: Float[Array, "l d"],
    predicted: Float[Array, "l d d"],
    mean: Float[Array, "l d"],
    covariance: Float[Array, "l d d"],
    score: Float[Array, "l d"],
    information: Float[Array, "l d d"],
) -> SmoothedSeries:
    h, tau, nu = series.measurement, series.precision, series.shift
    following = jnp.concatenate([series.transition[1:], jnp.zeros_like(series.transition[:1])])
    later_score = jnp.concatenate([score[1:], jnp.zeros_like(score[:1])])
    later_information = jnp.concatenate([information[1:], jnp.zeros_like(information[:1])])
    reach = covariance @ h
    ahead = jnp.einsum("lij,lj->li", following, reach)
    m, v = predicted_mean @ h, jnp.einsum("lij,i,j->l", predicted, h, h)
    scale = 1 + tau * v
    log_seen = (2 * m * nu + nu**2 * v - tau * m**2) / scale - jnp.log(scale)
    return SmoothedSeries(
        mean=mean,
        covariance=covariance,
        score=score,
        information=information,
        marginal_mean=mean @ h + (ahead * later_score).sum(-1),
        marginal_variance=reach @ h - jnp.einsum("li,lij,lj->l", ahead, later_information, ahead),
        log_normaliser=log_seen.sum() / 2,
    )
