"""Judges who resemble each other, as a NumPyro program that draws a `DawidSkene`."""

import equinox as eqx
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from scorax.judges._annotators._dawid_skene import DawidSkene
from scorax.judges._confusion_rows import hierarchical_rows


class HierarchicalDawidSkenePrior(eqx.Module):
    r"""Judges scattered about a common confusion matrix; pass it to `sample(model, data, prior=...)`.

    A judge's row is the softmax of \(\mu_{ml} + \sigma_{ml} \epsilon_{jml}\), with \(\mu_{mm} \sim N(2, 1)\),
    \(\mu_{ml} \sim N(0, 1)\) off the diagonal, \(\sigma \sim\) HalfNormal(1): judges with few labels borrow from the
    others. Non-centred. It has more numbers than the model, so `fit` refuses it; `vote_start` says where chains start.

    Args:
        model: Gives shapes and dtype.

    Example:
        >>> prior = HierarchicalDawidSkenePrior(sx.judges.DawidSkene.init(5, 4))
        >>> import numpyro
        >>> numpyro.handlers.seed(prior, 0)().confusion.shape
        (5, 4, 4)

    Source: Paun et al. (2018), doi:10.1162/tacl_a_00040; R package rater (Zhang et al. 2022).
    """

    model: DawidSkene

    def __call__(self) -> DawidSkene:
        """Draw a model."""
        prevalence = jnp.asarray(numpyro.sample("prevalence", dist.Dirichlet(jnp.full_like(self.model.prevalence, 3))))
        right = 2 * jnp.eye(self.model.n_levels, dtype=self.model.dtype)
        return DawidSkene(prevalence, hierarchical_rows(right, self.model.n_judges))
