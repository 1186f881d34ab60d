"""Judges taken one at a time: the marginal likelihood, as annotations of one label each."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from scorax.data import Annotations


def marginal_annotations(data: Annotations, *, composite_weight: float | None = None) -> Annotations:
    r"""Every label as an item of its own: `SimplexJudge` then has the marginal likelihood, judge by judge.

    $$\log L = \sum_{j, k, l} c_{jkl} \log \sum_m \pi_{km} \theta_{jml}$$

    Which labels were of the same item is forgotten, and with it what agreement between judges says. Several judges of
    the same items are taken for independent: with full weights the intervals are too narrow.

    Args:
        data: Annotations without gold labels. On the host.
        composite_weight: What a label counts for; one over the largest number of labels of an item if None, so that an
            item counts at most once.

    Returns:
        One row for each judge, candidate and label that occur, with their sums.

    Raises:
        ValueError: Some rows have a gold label, which would count once for every label of its item.

    Example:
        >>> data = sx.data.Annotations.from_arrays([[0, 1], [0, 0], [0, 1]], [[0, 1], [0, 1], [0, 1]])
        >>> marginal_annotations(data).count
        Array([3., 1., 2.], dtype=float32)

    Source: Vossler et al. (2025), arXiv 2505.21972; Varin, Reid & Firth (2011), "An overview of composite likelihood
        methods".
    """
    known = np.flatnonzero(np.asarray(data.has_gold) & (np.asarray(data.weight) > 0))
    if known.size:
        raise ValueError(
            f"{known.size} rows have a gold label (first rows: {known[:3].tolist()}), which would count once for every "
            "label of its item. Fit the annotations as they are, or set has_gold to false to do without."
        )
    filled = np.asarray(data.where)
    row, place = np.nonzero(filled)
    each = data.take(row)
    share = 1 / max(filled.sum(1).max(), 1) if composite_weight is None else composite_weight
    single = dataclasses.replace(
        each,
        label=data.label[row, place][:, None],
        judge=data.judge[row, place][:, None],
        where=jnp.ones((len(row), 1), bool),
        weight=each.weight * float(share),
    )
    return single.aggregate()
