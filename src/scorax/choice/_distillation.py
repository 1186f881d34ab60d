"""List-wise distillation: a teacher's order of the classes as a ranking that the student should find likely."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from scorax.choice._models._plackett_luce import plackett_luce_log_prob
from scorax.numerics import masked_logsumexp, masked_where


def pld_loss(
    student_logits: Float[Array, "*b k"],
    teacher_logits: Float[Array, "*b k"],
    labels: Int[Array, "*b"],
    *,
    teacher_temperature: float = 1.0,
    student_temperature: float = 1.0,
    top_k: int | None = None,
    where: Bool[Array, "*b k"] | None = None,
) -> Float[Array, "*b"]:
    r"""Plackett-Luce distillation, to minimise: a weighted ranking likelihood of the student.

    $$L = \sum_j q_{\pi_j} \Big[ \log \sum_{l \ge j} e^{s_{\pi_l}} - s_{\pi_j} \Big]$$

    The ranking \(\pi\) has the label first and then the other classes as the teacher orders them; a place weighs as
    much as the teacher's probability \(q\) of the class that stands there. Convex in the student's logits, and
    unchanged where all of them move together.

    A teacher that is sure of the label leaves the first term alone, which is cross-entropy: over-confident teachers
    want a `teacher_temperature` above 1.

    Args:
        student_logits: Natural-log odds of `k` classes, \(s\). Gradients flow to these only.
        teacher_logits: The teacher's.
        labels: The right class of each example.
        teacher_temperature: Divides the teacher's logits, above 0. It moves the weights, not the order.
        student_temperature: Divides the student's logits, above 0.
        top_k: How many places count; all if None.
        where: Classes that take part. The label must.

    Returns:
        One value an example, at least 0. NaN where the label is no class that takes part.

    Raises:
        ValueError: `top_k` is below 1, or a temperature is not positive.

    Example:
        >>> student, teacher = jnp.array([2.0, 0.0, 1.0]), jnp.array([3.0, 1.0, 2.0])
        >>> round(float(pld_loss(student, teacher, jnp.array(0))), 4)
        0.3477

    Source: Bassam, Zhu & Bian (2025), arXiv:2506.12542.
    """
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}")
    teacher = _cooled(jax.lax.stop_gradient(teacher_logits), teacher_temperature)
    log_weight = teacher - masked_logsumexp(teacher, where=where)[..., None]
    weight = masked_where(where, jnp.exp(log_weight), 0.0)
    labelled = _one_hot(labels, where, teacher)
    order = _best_first(jnp.where(labelled, jnp.inf, teacher), where)
    counted = jnp.arange(order.shape[-1]) < (order.shape[-1] if top_k is None else top_k)
    stage_weight = jnp.where(jnp.broadcast_to(counted, order.shape), _in_order(weight, order), 0)
    loss = _ranking_loss(_cooled(student_logits, student_temperature), order, where, stage_weight)
    return jnp.where(labelled.any(-1), loss, jnp.nan)


def kd_loss(
    student_logits: Float[Array, "*b k"],
    teacher_logits: Float[Array, "*b k"],
    *,
    temperature: float = 1.0,
    where: Bool[Array, "*b k"] | None = None,
) -> Float[Array, "*b"]:
    r"""Knowledge distillation, to minimise: how far the student's softened probabilities are from the teacher's.

    $$L = T^2 \, \mathrm{KL}\big(\mathrm{softmax}(t/T) \,\|\, \mathrm{softmax}(s/T)\big)$$

    The factor keeps the size of the gradient where the temperature changes.

    Args:
        student_logits: Natural-log odds of `k` classes, \(s\). Gradients flow to these only.
        teacher_logits: The teacher's, \(t\).
        temperature: \(T > 0\).
        where: Classes that take part.

    Returns:
        One value an example, at least 0.

    Raises:
        ValueError: The temperature is not positive.

    Example:
        >>> same = jnp.array([2.0, 0.0, 1.0])
        >>> kd_loss(same, same + 3.0, temperature=4.0).round(5) + 0
        Array(0., dtype=float32)

    Source: Hinton, Vinyals & Dean (2015), arXiv:1503.02531.
    """
    teacher = _log_softmax(_cooled(jax.lax.stop_gradient(teacher_logits), temperature), where)
    student = _log_softmax(_cooled(student_logits, temperature), where)
    # A class that the teacher rules out (-inf) adds nothing.
    known = teacher != -jnp.inf
    gap = jnp.where(known, teacher, 0) - jnp.where(known, student, 0)
    return temperature**2 * masked_where(where, jnp.exp(teacher) * gap, 0.0).sum(-1)


def listmle_loss(
    scores: Float[Array, "*b l"], labels: Float[Array, "*b l"], *, where: Bool[Array, "*b l"] | None = None
) -> Float[Array, "*b"]:
    """Minus the Plackett-Luce log-probability of the order of the labels, to minimise.

    Args:
        scores: A score for each entry of a list.
        labels: Relevances, larger is better; only their order matters. Equal ones count in the order of the list.
        where: Entries that take part. A list of one or none has loss 0.

    Returns:
        One value a list, at least 0.

    Example:
        >>> listmle_loss(jnp.zeros(3), jnp.array([2.0, 0.0, 1.0]))  # log 3!
        Array(1.7917595, dtype=float32)

    Source: Xia, Liu, Wang, Zhang & Li (2008), doi:10.1145/1390156.1390306.
    """
    return _ranking_loss(scores, _best_first(labels, where), where, None)


def _ranking_loss(
    score: Float[Array, "*b k"],
    order: Int[Array, "*b k"],
    where: Bool[Array, "*b k"] | None,
    stage_weight: Float[Array, "*b k"] | None,
) -> Float[Array, "*b"]:
    filled = None if where is None else _in_order(where, order)
    return -plackett_luce_log_prob(_in_order(score, order), where=filled, stage_weight=stage_weight)


def _best_first(key: Float[Array, "*b k"], where: Bool[Array, "*b k"] | None) -> Int[Array, "*b k"]:
    """Largest first, equal ones by index, those that take no part last."""
    return jnp.argsort(masked_where(where, -key, jnp.inf), axis=-1, stable=True)


def _in_order(x: Array, order: Int[Array, "*b k"]) -> Array:
    return jnp.take_along_axis(x, order, axis=-1)


def _one_hot(
    labels: Int[Array, "*b"], where: Bool[Array, "*b k"] | None, like: Float[Array, "*b k"]
) -> Bool[Array, "*b k"]:
    chosen = jax.nn.one_hot(labels, like.shape[-1], dtype=bool)
    return chosen if where is None else chosen & where


def _cooled(logits: Float[Array, "*b k"], temperature: float) -> Float[Array, "*b k"]:
    if not temperature > 0:
        raise ValueError(f"a temperature must be positive, not {temperature}")
    return logits / temperature


def _log_softmax(logits: Float[Array, "*b k"], where: Bool[Array, "*b k"] | None) -> Float[Array, "*b k"]:
    return masked_where(where, logits, 0.0) - masked_logsumexp(logits, where=where)[..., None]
