"""Do judges contradict each other so much that they cannot all err alike for every candidate?"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from jaxtyping import Array, Bool, Float


class ConstancyConflict(NamedTuple):
    """What speaks against constancy, by pairs of candidates."""

    p_value: Float[Array, "k k"]
    """That the judges may yet agree on the order of the row's and the column's candidate; 1 on the diagonal."""
    conflict: Bool[Array, "k k"]
    """Whether it is rejected, with all pairs together wrongly at most once in twenty (or as `level` says)."""
    ahead: Float[Array, "j k k"]
    """By how many standard errors each judge approves of the row's candidate more often than of the column's."""

    @property
    def found(self) -> Bool[Array, ""]:
        """Whether any pair is in conflict: some judge then is not constant, or worse than chance."""
        return self.conflict.any()


def constancy_conflict(approved: Any, rated: Any, *, level: float = 0.05) -> ConstancyConflict:
    r"""Test whether one order of the candidates can be behind all judges' rates of approval.

    With two levels, a judge who is better than chance and errs alike for every candidate approves the more often the
    better the candidate is: \(\gamma_{jk} = q_{0j} + (q_{1j} - q_{0j}) p_k\). However weak the judges, all of them
    then have the candidates in one order, but for the noise of finite counts. Two judges with opposite orders of a
    pair, both beyond noise, prove that constancy fails for one of them. No true label is needed. (That they agree
    proves nothing: they may err together.)

    A pair is in conflict where one judge has it significantly one way and another the other way: the larger of the two
    p-values, each the smallest over the judges times their number, times the number of pairs.

    Args:
        approved: `[j, k]`, how many answers of each candidate each judge approved of.
        rated: `[j, k]`, of how many.
        level: Of all pairs together.

    Raises:
        ValueError: A count is negative or not a number, more were approved than rated, or there are fewer than two
            judges or candidates.

    Example:
        >>> found = constancy_conflict(jnp.array([[70.0, 50.0], [40.0, 65.0]]), jnp.full((2, 2), 100.0))
        >>> bool(found.found)
        True

    Source: derived from Vossler et al. (2025), arXiv 2505.21972; Berger (1982), doi:10.1080/00401706.1982.10487790
    (intersection-union tests).
    """
    yes, total = np.asarray(approved, np.float64), np.asarray(rated, np.float64)
    if yes.ndim != 2 or yes.shape != total.shape or min(yes.shape) < 2:
        raise ValueError(
            f"approved has shape {yes.shape}, rated {total.shape}; expected [j, k] for both, with two judges and two "
            "candidates or more"
        )
    possible = (yes >= 0) & (yes <= total) & np.isfinite(total)
    if not possible.all():
        j, c = (int(i) for i in np.argwhere(~possible)[0])
        raise ValueError(f"judge {j} cannot have approved {yes[j, c]:g} of {total[j, c]:g} answers of candidate {c}")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    judges, k = yes.shape
    seen = total > 0
    rate = np.divide(yes, total, out=np.zeros_like(yes), where=seen)
    # Half an approval and half a rejection more: a rate of 0 or 1 is not known without error.
    variance = np.where(seen, (yes + 0.5) * (total - yes + 0.5) / (total + 1) ** 3, np.inf)
    spread = np.sqrt(variance[:, :, None] + variance[:, None, :])
    ahead = jnp.asarray((rate[:, :, None] - rate[:, None, :]) / spread)
    up, down = (judges * ndtr(-side.max(0)) for side in (ahead, -ahead))
    itself = jnp.eye(k, dtype=bool)
    p_value = jnp.where(itself, 1.0, jnp.minimum(1.0, jnp.maximum(up, down)))
    return ConstancyConflict(p_value, p_value * (k * (k - 1) / 2) < level, ahead)
