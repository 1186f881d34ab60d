"""Annotations as counts, and the check that they fit a model."""

import jax
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from scorax.data import AbstractRows, Annotations


class LabelTally(AbstractRows):
    """Annotations with their places counted: `tally[n, j, m]` is how often judge `j` gave row `n` the label `m`.

    What `SimplexJudge.condense` makes where judges times levels are few beside the labels of a row: the likelihood is
    then one matrix product (10 000 rows of 20 labels on 5 levels: value and gradient take 0.8 ms on two cores, and
    6.7 ms by gathering).
    """

    tally: Float[Array, "n j m"]
    weight: Float[Array, " n"]
    count: Float[Array, " n"]
    candidate: Int[Array, " n"]
    gold: Int[Array, " n"]
    has_gold: Bool[Array, " n"]

    @classmethod
    def of(cls, data: Annotations, n_judges: int, n_levels: int) -> "LabelTally":
        """The same rows, counted."""
        tally = data.tally(n_judges, n_levels)
        return cls(tally, data.weight, data.count, data.candidate, data.gold, data.has_gold)


def on_one_device(data: Annotations) -> bool:
    """Whether rows may be merged on the host: their values are known, and they are not spread over devices."""
    leaves = jax.tree.leaves(data)
    return not any(isinstance(leaf, Tracer) or len(leaf.devices()) > 1 for leaf in leaves)


def check_annotations(data: Annotations, n_candidates: int, n_judges: int, n_levels: int) -> None:
    """Raise `ValueError` where annotations hold ids that a model of this size has not. On the host."""
    filled, known = np.asarray(data.where), np.asarray(data.has_gold)
    for what, ids, where, limit, argument in (
        ("label", data.label, filled, n_levels, "n_levels"),
        ("judge", data.judge, filled, n_judges, "n_judges"),
        ("candidate", data.candidate, np.ones_like(known), n_candidates, "n_candidates"),
        ("gold label", data.gold, known, n_levels, "n_levels"),
    ):
        values = np.asarray(ids)
        outside = where & ((values < 0) | (values >= limit))
        bad = np.flatnonzero(outside.reshape(len(known), -1).any(1))
        if bad.size:
            raise ValueError(
                f"{bad.size} rows hold a {what} outside 0..{limit - 1} (first rows: {bad[:3].tolist()}; ids go "
                f"from {values[where].min()} to {values[where].max()}). Make the model with another {argument}, or "
                "mend the ids."
            )
