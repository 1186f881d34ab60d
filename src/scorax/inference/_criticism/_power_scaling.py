"""How the posterior would move if the prior, or the likelihood, weighed a little more or less."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from scorax.inference._criticism._over_draws import map_evenly, over_draws
from scorax.inference._criticism._prior_density import log_prior_of
from scorax.inference._model import AbstractModel, log_likelihood
from scorax.inference._posterior import Posterior
from scorax.inference._program import Program
from scorax.inference._psis import smooth_weights
from scorax.inference._summary import _labels

_SENSITIVE = 0.05
_UNRELIABLE = 0.7

_CONFLICT = "prior and data pull apart"
_STRONG = "strong prior, or weak data"
_FINE = "-"
_UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True)
class SensitivityRow:
    """One number's sensitivity."""

    name: str
    prior: float
    """Distance that the posterior moves, per doubling of the prior's weight."""
    likelihood: float
    """The same for the likelihood."""
    diagnosis: str


@dataclasses.dataclass(frozen=True)
class Sensitivity:
    """Rows in the order of the sites. Print it, iterate over it, or hand `to_dict()` to a data frame."""

    rows: tuple[SensitivityRow, ...]
    sites: tuple[str, ...]
    """Whose prior densities were scaled."""
    pareto_k: dict[str, float]
    """Of the weights that scale the `prior` and the `likelihood`, the larger of the two powers'; NaN where a density
    is constant, so that scaling it does nothing."""

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[SensitivityRow]:
        return iter(self.rows)

    def __getitem__(self, name: str) -> SensitivityRow:
        """The row of this name, such as `"scale"` or `"strength[gpt-4]"`."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def to_dict(self) -> dict[str, list[Any]]:
        """Columns, ready for `pandas.DataFrame` or `polars.DataFrame`."""
        fields = [field.name for field in dataclasses.fields(SensitivityRow)]
        return {field: [getattr(row, field) for row in self.rows] for field in fields}

    def __str__(self) -> str:
        """A table; below it what was scaled, and what could not be."""
        lines = [["", "prior", "likelihood", "diagnosis"]]
        lines += [[row.name, f"{row.prior:.3f}", f"{row.likelihood:.3f}", row.diagnosis] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        body = [
            "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:3], widths[1:3]), line[3]]).rstrip()
            for line in lines
        ]
        notes = [f"Scaled priors: {', '.join(self.sites)}. Sensitive means {_SENSITIVE:g} or more."]
        notes += [
            f"The {part} cannot be scaled that far by weights (Pareto k {k:.2f}): pass an alpha nearer to 1."
            for part, k in self.pareto_k.items()
            if k > _UNRELIABLE
        ]
        return "\n".join([*body, *notes])


def power_scale_sensitivity(
    posterior: Posterior[Any],
    model: AbstractModel[Any],
    data: Any,
    *,
    prior: Program | None = None,
    sites: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    alpha: float = 0.8,
) -> Sensitivity:
    r"""How far every number's posterior moves when prior or likelihood are raised to a power near 1; without a refit.

    $$\frac{D(\alpha) + D(1/\alpha)}{2 \, |\log_2 \alpha|}$$

    with `D` the cumulative Jensen-Shannon distance between the posterior and its reweighted self (weights
    `p^(alpha - 1)`, Pareto-smoothed). Sensitive to both: prior and data pull apart (or each says much). Sensitive to
    the prior alone: it is strong, or the data are weak. A sign to think, not an error: a strong prior may be meant.

    Args:
        posterior: The draws.
        model: As given to `sample`.
        data: As given to `sample`.
        prior: As given to `sample`.
        sites: Whose prior densities to scale, by the names of sites and factors. By default those at the top of a
            hierarchy: all whose distribution does not depend on other sites. (Below it, a power would change the
            normalising constants of the upper sites too.) Densities are those in the sites' own supports.
        names: Labels of the items, as in `Posterior.summary`.
        alpha: The lower power, in (0, 1); the upper is its inverse. Nearer to 1 the weights are safer.

    Returns:
        A row for each number. NaN, and `"unknown"`, where the weights have a Pareto k above 0.7, or where draws are
        not finite or do not move.

    Raises:
        ValueError: `alpha` is out of range; `sites` names what the prior does not sample; the prior is not the one of
            the posterior; the data do not fit the model.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 0, 1, 0], [1, 1, 0, 1], [1.0, 1.0, 1.0, 0.5])
        >>> model = sx.choice.BradleyTerry.init(2)
        >>> posterior = sx.inference.sample(model, battles, key=jax.random.key(0), method="laplace", progress=False)
        >>> power_scale_sensitivity(posterior, model, battles)["scale"].diagnosis
        'strong prior, or weak data'

    Source: Kallioinen, Paananen, Bürkner & Vehtari (2024), arXiv:2107.14054; Nguyen & Vreeken (2015),
        doi:10.1007/978-3-319-23525-7_11 (distance).
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be between 0 and 1, not {alpha}")
    model.check(data)
    flat = {
        name: site.reshape(-1, *site.shape[2:])
        for name, site in posterior.sites.items()
        if jnp.issubdtype(site.dtype, jnp.floating)
    }
    log_prior, scaled = log_prior_of(model.prior if prior is None else prior, flat, sites)
    log_likelihoods = _log_likelihoods(posterior, model.condense(data))
    draws = posterior.quantities()
    labels = [label for name, value in draws.items() for label in _labels(name, value.shape[2:], names)]
    size = posterior.num_chains * posterior.num_draws
    columns = np.concatenate([np.asarray(value, log_prior.dtype).reshape(size, -1) for value in draws.values()], axis=1)
    parts = jnp.stack([log_prior, log_likelihoods.astype(log_prior.dtype)])
    distances, pareto_k = _scale(jnp.asarray(columns), parts, jnp.asarray([alpha, 1 / alpha], log_prior.dtype))
    worst = np.asarray(pareto_k).max(1)
    slopes = np.where(worst > _UNRELIABLE, np.nan, np.asarray(distances).sum(2) / (-2 * np.log2(alpha)))
    rows = tuple(
        SensitivityRow(label, float(slope[0]), float(slope[1]), _diagnosis(*slope))
        for label, slope in zip(labels, slopes, strict=True)
    )
    return Sensitivity(rows, scaled, {"prior": float(worst[0]), "likelihood": float(worst[1])})


def _diagnosis(prior: float, likelihood: float) -> str:
    if np.isnan(prior) or np.isnan(likelihood):
        return _UNKNOWN
    if prior < _SENSITIVE:
        return _FINE
    return _CONFLICT if likelihood >= _SENSITIVE else _STRONG


@eqx.filter_jit
def _log_likelihoods(posterior: Posterior[Any], data: Any) -> Float[Array, " s"]:
    return over_draws(lambda model: log_likelihood(model, data), posterior, batch_size=64)


@eqx.filter_jit
def _scale(
    columns: Float[Array, "s q"], parts: Float[Array, "p s"], powers: Float[Array, " a"]
) -> tuple[Float[Array, "q p a"], Float[Array, "p a"]]:
    """Distance that each column moves under each power of each part of the density, and the weights' tail index."""
    ratio = (powers - 1)[None, :, None] * parts[:, None, :]
    smoothed = jax.vmap(jax.vmap(smooth_weights))(ratio)
    weight = jnp.exp(smoothed.log_weight)
    constant = (parts.max(1) == parts.min(1)) & jnp.isfinite(parts).all(1)
    move = jax.vmap(jax.vmap(cumulative_jensen_shannon, in_axes=(None, 0)), in_axes=(None, 0))
    distances = map_evenly(lambda x: move(x, weight), columns.T, 32)
    return distances, jnp.where(constant[:, None], jnp.nan, smoothed.pareto_k)


def cumulative_jensen_shannon(x: Float[Array, " s"], weight: Float[Array, " s"]) -> Float[Array, ""]:
    r"""Distance between draws and the same draws with weights, in [0, 1].

    $$\sqrt{\int \Big[ P \log_2 \frac{2 P}{P + Q} + Q \log_2 \frac{2 Q}{P + Q} \Big] dx \Big/ \int [P + Q] \, dx}$$

    with `P` and `Q` the two distribution functions, or one minus them, whichever gives more: so `-x` is as far as `x`.
    NaN for draws that do not move.
    """
    order = jnp.argsort(x)
    width = jnp.diff(x[order])
    p = jnp.arange(1, x.shape[0]).astype(x.dtype) / x.shape[0]
    q = jnp.clip(jnp.cumsum(weight[order])[:-1] / weight.sum(), 0, 1)

    def divergence(p: Float[Array, " m"], q: Float[Array, " m"]) -> Float[Array, ""]:
        middle = (p + q) / 2
        # In the relative difference: as logarithms of ratios near 1 the terms would cancel to rounding noise.
        d = (p - q) / (p + q)
        terms = jax.scipy.special.xlog1py(1 + d, d) + jax.scipy.special.xlog1py(1 - d, -d)
        return (width * middle * terms).sum() / (width * 2 * middle).sum() / float(np.log(2))

    # Rounding may leave a sum of no distance below 0.
    return jnp.sqrt(jnp.maximum(jnp.maximum(divergence(p, q), divergence(1 - p, 1 - q)), 0))
