"""A straight line by least squares: scores against the logarithm of size, scores against entropy."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from scorax.evals._normal import checked_level, safe_root
from scorax.numerics import t_quantile
from scorax.stats import Interval


class LineFit(eqx.Module):
    """A straight line by least squares, with what it does not know.

    NaN where x does not vary. Standard errors take equal and independent errors; they need three points.
    """

    intercept: Float[Array, "*b"]
    slope: Float[Array, "*b"]
    r_squared: Float[Array, "*b"]
    """Share of the variance of y that the line explains; NaN where y does not vary."""
    residual_std: Float[Array, "*b"]
    """Of the errors, with n - 2 degrees of freedom."""
    n: Float[Array, "*b"]
    """How many points take part."""
    x_mean: Float[Array, "*b"]
    x_scatter: Float[Array, "*b"]
    """Sum of squares of x about its mean."""

    @property
    def degrees(self) -> Float[Array, "*b"]:
        """Degrees of freedom, n - 2."""
        return self.n - 2

    @property
    def slope_std_error(self) -> Float[Array, "*b"]:
        """Standard error of the slope."""
        return self.residual_std / safe_root(self.x_scatter)

    @property
    def intercept_std_error(self) -> Float[Array, "*b"]:
        """Standard error of the intercept."""
        return self._line_std_error(jnp.zeros_like(self.x_mean))

    def slope_interval(self, level: float = 0.95) -> Interval:
        """Interval of the slope, by Student's t.

        Raises:
            ValueError: `level` is not inside (0, 1).
        """
        return self._around(self.slope, self.slope_std_error, level)

    def at(self, x: Float[Array, "*b"]) -> Float[Array, "*b"]:
        """The line at x, one for each leading index of the fit."""
        return self.intercept + self.slope * x

    def interval(self, x: Float[Array, "*b"], level: float = 0.95, *, prediction: bool = False) -> Interval:
        """Interval of the line at x, or of a new point there.

        Args:
            x: One for each leading index of the fit.
            level: In (0, 1).
            prediction: Whether it is to hold a new point, with an error of its own.

        Raises:
            ValueError: `level` is not inside (0, 1).
        """
        std_error = self._line_std_error(x)
        if prediction:
            std_error = safe_root(std_error**2 + self.residual_std**2)
        return self._around(self.at(x), std_error, level)

    def _line_std_error(self, x: Float[Array, "*b"]) -> Float[Array, "*b"]:
        return self.residual_std * safe_root(1 / self.n + (x - self.x_mean) ** 2 / self.x_scatter)

    def _around(self, value: Float[Array, "*b"], std_error: Float[Array, "*b"], level: float) -> Interval:
        # At least one degree: fewer have a standard error of NaN anyway.
        degrees = jax.lax.stop_gradient(jnp.maximum(self.degrees, 1))
        reach = t_quantile(jnp.asarray((1 + checked_level(level)) / 2, value.dtype), degrees) * std_error
        return Interval(value - reach, value + reach)


def fit_line(x: Float[Array, "*b n"], y: Float[Array, "*b n"], *, where: Bool[Array, "*b n"] | None = None) -> LineFit:
    """Least squares of y on x along the last axis; see `LineFit`."""
    part = jnp.ones(x.shape, bool) if where is None else where
    x, y = (jnp.where(part, v, 0) for v in (x, y))
    n = part.sum(-1).astype(x.dtype)
    some = jnp.maximum(n, 1)
    means = [v.sum(-1) / some for v in (x, y)]
    dx, dy = (jnp.where(part, v - mean[..., None], 0) for v, mean in zip((x, y), means, strict=True))
    scatter, total, cross = (dx**2).sum(-1), (dy**2).sum(-1), (dx * dy).sum(-1)
    # The mean of equal numbers may round away from them.
    rounding = n * (4 * jnp.finfo(x.dtype).eps * jnp.where(part, jnp.abs(x), 0).max(-1, initial=0)) ** 2
    varies = (n > 1) & (scatter > rounding)
    slope = jnp.where(varies, cross / jnp.where(varies, scatter, 1), jnp.nan)
    rest = jnp.where(varies, ((dy - jnp.where(varies, slope, 0)[..., None] * dx) ** 2).sum(-1), jnp.nan)
    several, moves = n > 2, total > 0
    residual_std = jnp.where(several, safe_root(rest / jnp.where(several, n - 2, 1)), jnp.nan)
    r_squared = jnp.where(moves, 1 - rest / jnp.where(moves, total, 1), jnp.nan)
    intercept = means[1] - slope * means[0]
    return LineFit(intercept, slope, r_squared, residual_std, n, means[0], jnp.where(varies, scatter, jnp.nan))


def log_linear_fit(
    size: Float[Array, "*b n"], score: Float[Array, "*b n"], *, where: Bool[Array, "*b n"] | None = None
) -> LineFit:
    r"""How scores grow with size: \(\text{score} = a + b \log_{10} \text{size}\) by least squares.

    Args:
        size: Above 0, such as numbers of parameters, in any unit.
        score: Of each model.
        where: Models that take part.

    Returns:
        `LineFit`: `slope` is points of score for ten times the size, with `slope_interval`; `at(jnp.log10(size))` is
        the line, `interval(jnp.log10(size), prediction=True)` where a new model may lie. NaN where a size that takes
        part is not positive.

    Example:
        >>> found = log_linear_fit(jnp.array([1.0, 10.0, 100.0, 1000.0]), jnp.array([20.0, 26.0, 28.0, 36.0]))
        >>> found.slope.round(3), found.r_squared.round(3), found.slope_interval().lower.round(3)
        (Array(5., dtype=float32), Array(0.954, dtype=float32), Array(1.667, dtype=float32))

    Source: Hu, Baumann, Lupo, Collier, Hovy & Röttger (2025), arXiv 2510.17516.
    """
    part = jnp.ones(size.shape, bool) if where is None else where
    positive = size > 0
    scale = jnp.where(part & positive, jnp.log10(jnp.where(part & positive, size, 1)), jnp.nan)
    return fit_line(scale, score, where=part)
