"""The two front doors: skills from wins and losses, and from differences of scores."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from scorax.choice._dynamic._histories import Histories, as_histories
from scorax.choice._dynamic._kernel import AbstractSkillKernel
from scorax.choice._dynamic._observations import LINKS, AbstractObservation, ScoreDifference, WinOrLoss
from scorax.choice._dynamic._sites import METHODS
from scorax.choice._dynamic._skills import DynamicSkills, infer
from scorax.data import Comparisons, refuse


def dynamic_skills(
    data: Comparisons | Histories,
    n_items: int,
    kernel: AbstractSkillKernel,
    *,
    link: str = "logit",
    margin: float | Float[Array, ""] | None = None,
    method: str = "ep",
    n_nodes: int = 32,
    max_sweeps: int = 500,
    tol: float | None = None,
    throw: bool = True,
) -> DynamicSkills:
    r"""Bradley-Terry with skills that change with time: each item's is a Gaussian process with the same kernel.

    An item's comparisons inform its skill at all times, earlier and later, through its kernel. `"ep"` gives every
    comparison a Gaussian factor of each of its two skills, such that the exact factor would leave their means and
    variances as they are; `"laplace"` finds the joint mode and the curvature there in each item's own skills: with
    `Wiener` that is Whole-History Rating. Every sweep smooths all items at once and renews all factors at once.

    The posterior is approximated by independent processes, one an item. So standard deviations of single skills are too
    small: they leave out the level that all share, which no comparison tells. Variances of differences, the sums that
    `win_probability` takes, tend to be too large: 0.95 to 1.4 times the exact ones among twelve items, up to 3 times
    among three.

    `log_evidence` chooses kernels, margins and hyper-parameters. It and all other results are differentiable in these,
    in weights and in outcomes, implicitly, so that derivatives do not depend on the number of sweeps (first derivatives
    only).

    Args:
        data: Comparisons with `time`, or what `skill_histories` made of them. A weight w that is no whole number above
            1 means w factors, one below 1 a factor to that power; rows that are equal count as one row of their weight.
        n_items: Number of items, all of which were compared.
        kernel: How a skill moves, `Matern32(variance, scale)` for example; sums of kernels are kernels.
        link: `"logit"` (Bradley-Terry) or `"probit"` (Thurstone).
        margin: By how much the noisy difference must exceed 0 for a win, above 0; less is a tie (Rao and Kupper,
            Glenn and David). None: a tie is half a win for each side, and soft labels may be given, but the evidence is
            then that of no probability.
        method: `"ep"` or `"laplace"`. The evidence of `"laplace"` is a lower bound of Laplace's approximation.
        n_nodes: Gauss-Hermite nodes of a comparison. Where the others leave the difference a variance of 1, 32 err by
            1e-13, where 10 by 5e-5 (64 by 1e-7), where 100 by 0.05 (64 by 4e-3).
        max_sweeps: When to give up.
        tol: Change of means, in standard deviations, and of variances, by ratio, at which to stop; None: the square
            root of the machine's precision. Single precision loses the digits by which the posterior's variance lies
            below the kernel's: with thousands of comparisons an item, use double.
        throw: Raise where it did not converge. Under `jit` and `vmap` nothing is raised: see `converged`.

    Raises:
        ValueError: see `skill_histories`; an unknown link or method, a margin that is not positive, soft labels with a
            margin, a comparison before the kernel's start, no convergence.

    Example:
        >>> from scorax.choice import Matern32, dynamic_skills
        >>> games = sx.data.Comparisons.from_arrays([0, 0, 0], [1, 1, 1], [1.0, 1.0, 0.0], time=[0.0, 1.0, 10.0])
        >>> skills = dynamic_skills(games, 2, Matern32(1.0, 5.0))
        >>> skills.win_probability(jnp.array(0), jnp.array(1), jnp.array(0.5)).round(3)
        Array(0.7, dtype=float32)

    Source: Maystre, Kristof & Grossglauser (2019), "Pairwise comparisons with flexible time-dynamics",
    doi:10.1145/3292500.3330831; Coulom (2008), "Whole-History Rating", doi:10.1007/978-3-540-87608-3_11.
    """
    if link not in LINKS:
        raise ValueError(f"link must be one of {LINKS}, not {link!r}")
    threshold = None if margin is None else positive("margin", margin)
    histories = as_histories(data, n_items)
    outcome = histories.rows.outcome
    if margin is not None and not isinstance(outcome, Tracer):
        soft = ~np.isin(np.asarray(outcome), (0.0, 0.5, 1.0))
        refuse(soft, "outcome is none of 0, 0.5 and 1", "Soft labels want margin=None.")
    return checked_infer(histories, kernel, WinOrLoss(link, threshold), method, n_nodes, tol, max_sweeps, throw)


def dynamic_score_skills(
    data: Comparisons | Histories,
    score_difference: Float[Array, " n"],
    n_items: int,
    kernel: AbstractSkillKernel,
    *,
    noise_variance: float | Float[Array, ""],
    max_sweeps: int = 500,
    tol: float | None = None,
    throw: bool = True,
) -> DynamicSkills:
    """Skills that change with time, from differences of scores: those of skills and Gaussian noise.

    Means are those of the exact posterior. Standard deviations and the evidence are those of independent processes by
    expectation propagation, as in `dynamic_skills`; they are exact where comparisons form a tree.

    Args:
        data: As in `dynamic_skills`; outcomes are not read.
        score_difference: `[n]`, score of `a` minus score of `b`.
        n_items: Number of items, all of which were compared.
        kernel: How a skill moves, in units of score.
        noise_variance: Of a score difference around that of the skills, above 0.
        max_sweeps: As in `dynamic_skills`.
        tol: As in `dynamic_skills`.
        throw: As in `dynamic_skills`.

    Raises:
        ValueError: see `dynamic_skills`; a score that is missing or infinite.

    Example:
        >>> from scorax.choice import Constant, dynamic_score_skills
        >>> games = sx.data.Comparisons.from_arrays([0], [1], [1.0], time=[0.0])
        >>> skills = dynamic_score_skills(games, jnp.array([3.0]), 2, Constant(1.0), noise_variance=1.0)
        >>> skills.mean[:, 0]
        Array([ 1., -1.], dtype=float32)

    Source: Maystre, Kristof & Grossglauser (2019), doi:10.1145/3292500.3330831.
    """
    variance = positive("noise_variance", noise_variance)
    histories = as_histories(data, n_items)
    scores = jnp.asarray(score_difference)
    if scores.shape != histories.rows.weight.shape:
        raise ValueError(f"score_difference has shape {scores.shape}; the rows ask for {histories.rows.weight.shape}")
    if not isinstance(scores, Tracer):
        refuse(~np.isfinite(np.asarray(scores)), "score_difference is missing or infinite", "Drop these rows.")
    rows = dataclasses.replace(histories.rows, outcome=scores.astype(histories.rows.outcome.dtype))
    histories = eqx.tree_at(lambda h: h.rows, histories, rows)
    return checked_infer(histories, kernel, ScoreDifference(variance), "ep", 2, tol, max_sweeps, throw)


def checked_infer(
    histories: Histories,
    kernel: AbstractSkillKernel,
    observation: AbstractObservation,
    method: str,
    n_nodes: int,
    tol: float | None,
    max_sweeps: int,
    throw: bool,
) -> DynamicSkills:
    """The posterior, checked before and after as far as values are known."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, not {method!r}")
    _check_start(histories, kernel)
    result = infer(histories, kernel, observation, method, n_nodes, tol, jnp.asarray(max_sweeps))
    if throw and not isinstance(result.converged, Tracer) and not result.converged.all():
        raise ValueError(
            f"the skills did not settle in {int(result.sweeps)} sweeps. Raise max_sweeps or tol, use double precision, "
            "or a kernel of less variance."
        )
    return result


def _check_start(histories: Histories, kernel: AbstractSkillKernel) -> None:
    first = histories.time.min()
    known = kernel.state_covariance(first.astype(kernel.measurement.dtype))
    if not isinstance(known, Tracer) and np.isnan(known).any():
        raise ValueError(
            f"the first comparison is at time {float(first):g}, before the kernel starts: give it an earlier start"
        )


def positive(name: str, value: Any) -> Float[Array, ""]:
    """An array of it; raise `ValueError` where it is known not to be positive."""
    number = jnp.asarray(value, dtype=None if isinstance(value, jax.Array) else float)
    if not isinstance(number, Tracer) and not (np.isfinite(number) & (np.asarray(number) > 0)).all():
        raise ValueError(f"{name} must be finite and above 0, not {number}")
    return number
