"""Ready-made programs: no prior at all, independent priors leaf by leaf, and a full NumPyro model."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.core import Tracer
from jaxtyping import Array, Float
from numpyro.distributions import constraints
from numpyro.distributions.constraints import Constraint

from scorax.inference._model import AbstractModel, Data, leaf_names, log_likelihood, parameters, supports
from scorax.inference._program import Program


def with_leaves(model: Any, leaves: list[Array]) -> Any:
    """The module with its parameters replaced, in the order of `leaf_names`."""
    structure = jax.tree.structure(parameters(model))
    return eqx.combine(jax.tree.unflatten(structure, leaves), model)


def named_leaves(model: Any) -> dict[str, Array]:
    """Every parameter under its key path."""
    return dict(zip(leaf_names(model), jax.tree.leaves(parameters(model)), strict=True))


class FlatPrior(eqx.Module):
    """No information: every parameter is a site of constant density on its support. Its mode is maximum likelihood."""

    model: Any
    stiffness: Float[Array, ""]
    """How firmly a zero-sum parameter's open direction is pinned: the weight of the data, for a good condition."""

    def __call__(self) -> Any:
        """Draw the module (only with its sites given: a constant density cannot be drawn from)."""
        leaves = [
            _flat_site(name, support, leaf.shape, self.stiffness)
            for (name, leaf), support in zip(named_leaves(self.model).items(), supports(self.model), strict=True)
        ]
        return with_leaves(self.model, leaves)


def _flat_site(name: str, support: Constraint, shape: tuple[int, ...], stiffness: Float[Array, ""]) -> Array:
    if is_zero_sum(support):
        # All k coordinates are kept and centred, and the direction that this leaves open is pinned at zero: the
        # Hessian becomes `L + c 11^T` in place of one in k - 1 rotated coordinates, and costs no rotation.
        free = jnp.asarray(numpyro.sample(name, dist.ImproperUniform(constraints.real, shape, ())))
        mean = free.mean(-1, keepdims=True)
        numpyro.factor(f"{name}_gauge", -0.5 * stiffness.astype(mean.dtype) * jnp.sum(mean**2))
        return free - mean
    split = len(shape) - support.event_dim
    return jnp.asarray(numpyro.sample(name, dist.ImproperUniform(support, shape[:split], shape[split:])))


def is_zero_sum(support: Constraint) -> bool:
    """Whether values of this support sum to zero along their last axis."""
    return isinstance(support, type(constraints.zero_sum(1))) and support.event_dim == 1


class _IidPrior(eqx.Module):
    model: Any
    distributions: dict[str, dist.Distribution]

    def __call__(self) -> Any:
        # By name: under `jit` a dictionary comes back sorted.
        leaves = [jnp.asarray(numpyro.sample(name, self.distributions[name])) for name in leaf_names(self.model)]
        return with_leaves(self.model, leaves)


def iid_prior(model: AbstractModel[Any], distributions: dict[str, dist.Distribution]) -> Program:
    """Independent priors, one for each parameter of `model`: a program whose sites have the parameters' names.

    Args:
        model: Gives names, shapes and supports.
        distributions: A NumPyro distribution for each parameter's key path. A distribution of one number is repeated
            over the parameter's shape. A `Normal(0, scale)` on a zero-sum parameter becomes `ZeroSumNormal(scale)`,
            which is that prior given that the sum is zero.

    Raises:
        ValueError: A parameter has no distribution, a name is no parameter, or shape or support do not fit.

    Example:
        >>> import numpyro.distributions as dist
        >>> model = sx.choice.BradleyTerry.init(3)
        >>> prior = sx.inference.iid_prior(model, {"strength": dist.Normal(0.0, 1.0)})
        >>> numpyro.handlers.seed(prior, 0)().strength.sum().round(5)
        Array(0., dtype=float32)
    """
    leaves = named_leaves(model)
    unknown = sorted(set(distributions) - set(leaves))
    missing = sorted(set(leaves) - set(distributions))
    if unknown or missing:
        raise ValueError(
            f"priors are needed for exactly the parameters {sorted(leaves)} of {type(model).__name__}: "
            f"missing {missing}, unknown {unknown}"
        )
    fitted = {
        name: _fit_to_leaf(name, distributions[name], leaf, support)
        for (name, leaf), support in zip(leaves.items(), supports(model), strict=True)
    }
    return _IidPrior(model, fitted)


def _fit_to_leaf(name: str, distribution: dist.Distribution, leaf: Array, support: Constraint) -> dist.Distribution:
    zero_sum = is_zero_sum(support)
    if zero_sum and isinstance(distribution, dist.Normal) and distribution.batch_shape == ():
        if not isinstance(distribution.loc, Tracer) and distribution.loc != 0:
            raise ValueError(
                f"the parameter {name!r} sums to zero, so its prior must have mean 0, not {distribution.loc}"
            )
        return dist.ZeroSumNormal(distribution.scale, leaf.shape[-1:]).expand(leaf.shape[:-1])
    if zero_sum and not isinstance(distribution, dist.ZeroSumNormal):
        raise ValueError(
            f"the parameter {name!r} sums to zero; give it dist.ZeroSumNormal(scale, {leaf.shape}) or "
            f"dist.Normal(0, scale), not {type(distribution).__name__}"
        )
    if distribution.shape() != leaf.shape:
        split = leaf.ndim - distribution.event_dim
        if distribution.event_shape != leaf.shape[split:]:
            raise ValueError(
                f"the prior of {name!r} draws shape {distribution.shape()}, the parameter has shape {leaf.shape}"
            )
        distribution = distribution.expand(leaf.shape[:split])
    return distribution


def numpyro_model(model: AbstractModel[Data], prior: Program | None = None) -> Callable[[Data], AbstractModel[Data]]:
    """The whole posterior as a NumPyro model of one argument, the data: take it to any NumPyro kernel or guide.

    Example:
        >>> import numpyro
        >>> model = sx.choice.BradleyTerry.init(3)
        >>> battles = sx.data.Comparisons.from_arrays([0, 1, 2], [1, 2, 0], [1.0, 1.0, 0.5])
        >>> kernel = numpyro.infer.NUTS(sx.inference.numpyro_model(model))
        >>> mcmc = numpyro.infer.MCMC(kernel, num_warmup=20, num_samples=20, progress_bar=False)
        >>> mcmc.run(jax.random.key(0), battles)
        >>> mcmc.get_samples()["strength"].shape
        (20, 3)
    """
    program = model.prior if prior is None else prior

    def posterior(data: Data) -> AbstractModel[Data]:
        drawn = program()
        numpyro.factor("log_likelihood", log_likelihood(drawn, data))
        return drawn

    return posterior
