"""The front doors for counts: skills from goals or points of both sides, and from their differences."""

import dataclasses
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Num

from scorax.choice._dynamic._count_observations import CountDifference, log_smaller_count
from scorax.choice._dynamic._dynamic_skills import checked_infer, positive
from scorax.choice._dynamic._histories import Histories, as_histories
from scorax.choice._dynamic._kernel import AbstractSkillKernel
from scorax.choice._dynamic._skills import DynamicSkills
from scorax.data import Comparisons, refuse


def dynamic_count_skills(
    data: Comparisons | Histories,
    count_a: Num[Array, " n"],
    count_b: Num[Array, " n"],
    n_items: int,
    kernel: AbstractSkillKernel,
    *,
    base_rate: float | Float[Array, ""],
    method: str = "ep",
    n_nodes: int = 32,
    max_sweeps: int = 500,
    tol: float | None = None,
    throw: bool = True,
) -> DynamicSkills:
    r"""Skills that change with time, from what both sides scored: independent Poisson counts.

    Their rates are \(\lambda e^{\theta_a - \theta_b}\) and \(\lambda e^{\theta_b - \theta_a}\): a skill is at once what
    a side scores and what it denies the other. Given the base rate, the skills depend on the difference of the counts
    only, and are those of `dynamic_count_difference_skills`; `log_evidence` is of both counts, and so knows more of the
    base rate.

    `win_probability(a, b, time)` is that `a` scores more; ties count for neither, and have what is left of 1 by this
    and by `win_probability(b, a, time)`.

    Args:
        data: As in `dynamic_skills`; outcomes are not read.
        count_a: `[n]`, what `a` scored: whole numbers, at least 0.
        count_b: `[n]`, what `b` scored.
        n_items: Number of items, all of which were compared.
        kernel: How a skill moves, in units of log-rate.
        base_rate: \(\lambda\), what each of two equals scores on average, above 0.
        method: As in `dynamic_skills`.
        n_nodes: Gauss-Hermite nodes of a comparison. From base rates of 1 on 32 err by 1e-11 in log-probability; with
            a base rate of 0.05 and no count, by 7e-5 where the others leave the difference a variance of 10.
        max_sweeps: As in `dynamic_skills`.
        tol: As in `dynamic_skills`.
        throw: As in `dynamic_skills`.

    Raises:
        ValueError: see `dynamic_skills`; a count that is missing, negative or no whole number.

    Example:
        >>> from scorax.choice import Matern32, dynamic_count_skills
        >>> games = sx.data.Comparisons.from_arrays([0, 0], [1, 1], [1.0, 0.5], time=[0.0, 1.0])
        >>> goals = jnp.array([3.0, 1.0]), jnp.array([0.0, 1.0])
        >>> skills = dynamic_count_skills(games, *goals, 2, Matern32(0.2, 5.0), base_rate=1.3)
        >>> bool(skills.win_probability(jnp.array(0), jnp.array(1), jnp.array(2.0)) > 0.4)
        True

    Source: Maher (1982), "Modelling association football scores", doi:10.1111/j.1467-9574.1982.tb00782.x; Maystre,
    Kristof & Grossglauser (2019), doi:10.1145/3292500.3330831.
    """
    rate = positive("base_rate", base_rate)
    histories = as_histories(data, n_items)
    n = histories.rows.weight.shape
    of_a, of_b = _counts("count_a", count_a, n, at_least=0), _counts("count_b", count_b, n, at_least=0)
    skills = _by_difference(histories, of_a - of_b, kernel, rate, method, n_nodes, tol, max_sweeps, throw)
    smaller, difference = jnp.minimum(of_a, of_b), of_a - of_b
    weight = histories.rows.weight.astype(skills.log_evidence.dtype)
    seen = weight > 0
    smaller, difference = (jnp.where(seen, x, 0).astype(weight.dtype) for x in (smaller, difference))
    more = jnp.where(seen, weight * log_smaller_count(smaller, difference, rate), jnp.zeros_like(weight)).sum()
    return eqx.tree_at(lambda s: s.log_evidence, skills, skills.log_evidence + more)


def dynamic_count_difference_skills(
    data: Comparisons | Histories,
    count_difference: Num[Array, " n"],
    n_items: int,
    kernel: AbstractSkillKernel,
    *,
    base_rate: float | Float[Array, ""],
    method: str = "ep",
    n_nodes: int = 32,
    max_sweeps: int = 500,
    tol: float | None = None,
    throw: bool = True,
) -> DynamicSkills:
    r"""Skills that change with time, from differences of counts: Skellam's distribution.

    Those of `dynamic_count_skills` where only the goal difference was kept: the counts have Poisson rates
    \(\lambda e^{\pm(\theta_a - \theta_b)}\). `win_probability(a, b, time)` is that `a` scores more; ties count for
    neither.

    Args:
        data: As in `dynamic_skills`; outcomes are not read.
        count_difference: `[n]`, what `a` scored minus what `b` scored: whole numbers.
        n_items: Number of items, all of which were compared.
        kernel: How a skill moves, in units of log-rate.
        base_rate: \(\lambda\), what each of two equals scores on average, above 0.
        method: As in `dynamic_skills`.
        n_nodes: Gauss-Hermite nodes of a comparison. From base rates of 1 on 32 err by 1e-11 in log-probability; with
            a base rate of 0.05 and no count, by 7e-5 where the others leave the difference a variance of 10.
        max_sweeps: As in `dynamic_skills`.
        tol: As in `dynamic_skills`.
        throw: As in `dynamic_skills`.

    Raises:
        ValueError: see `dynamic_skills`; a difference that is missing or no whole number.

    Example:
        >>> from scorax.choice import Constant, dynamic_count_difference_skills
        >>> games = sx.data.Comparisons.from_arrays([0], [1], [1.0], time=[0.0])
        >>> skills = dynamic_count_difference_skills(games, jnp.array([2.0]), 2, Constant(0.5), base_rate=1.3)
        >>> bool(skills.mean[0, 0] > 0) and bool(jnp.allclose(skills.mean[0], -skills.mean[1], atol=1e-4))
        True

    Source: Karlis & Ntzoufras (2009), "Bayesian modelling of football outcomes: using the Skellam's distribution for
    the goal difference", doi:10.1093/imaman/dpn026; Maystre, Kristof & Grossglauser (2019),
    doi:10.1145/3292500.3330831.
    """
    rate = positive("base_rate", base_rate)
    histories = as_histories(data, n_items)
    difference = _counts("count_difference", count_difference, histories.rows.weight.shape)
    return _by_difference(histories, difference, kernel, rate, method, n_nodes, tol, max_sweeps, throw)


def _by_difference(
    histories: Histories,
    difference: Float[Array, " n"],
    kernel: AbstractSkillKernel,
    base_rate: Float[Array, ""],
    method: str,
    n_nodes: int,
    tol: float | None,
    max_sweeps: int,
    throw: bool,
) -> DynamicSkills:
    rows = dataclasses.replace(histories.rows, outcome=difference.astype(histories.rows.outcome.dtype))
    histories = eqx.tree_at(lambda h: h.rows, histories, rows)
    return checked_infer(histories, kernel, CountDifference(base_rate), method, n_nodes, tol, max_sweeps, throw)


def _counts(name: str, value: Any, shape: tuple[int, ...], *, at_least: int | None = None) -> Float[Array, " n"]:
    """Whole numbers, as far as values are known."""
    counts = jnp.asarray(value).astype(float)
    if counts.shape != shape:
        raise ValueError(f"{name} has shape {counts.shape}; the rows ask for {shape}")
    if not isinstance(counts, Tracer):
        known = np.asarray(counts)
        refuse(~np.isfinite(known) | (known != np.round(known)), f"{name} is no whole number", "Drop these rows.")
        if at_least is not None:
            refuse(known < at_least, f"{name} is below {at_least}", "Counts start at 0.")
    return counts
