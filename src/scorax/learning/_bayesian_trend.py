"""Trends of opinion: scores whose level moves along a line, straight or bent at knots, for all sources or for each."""

import dataclasses
import itertools
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int, PRNGKeyArray
from numpyro.distributions import constraints

from scorax.choice import graded_log_prob
from scorax.data import refuse
from scorax.inference import AbstractModel, AbstractSolver, Newton, parameter
from scorax.learning._timed_scores import TimedScores
from scorax.numerics import available_dtype

_LIKELIHOODS = ("normal", "student_t", "ordered")
_GROUPINGS = ("pooled", "partial")
# Whole scores on more levels than this are hardly told from a continuum.
_MOST_LEVELS = 21
_CEILING = 0.1


class BayesianTrend(AbstractModel[TimedScores]):
    r"""Scores along a line in time: \(y_i = a + b\,t_i\) with noise, bent at knots if there are any.

    Time is standardised inside, and so are the scores of `"normal"` and `"student_t"`: the parameters are in units of
    `time_scale` and `score_scale`, which keeps priors weakly informative and searches short. Read the methods, which
    speak in your units: `slope()`, `line(time)`, `mean_score(time)`, `change(start, end)`.

    - `"normal"`: noise of standard deviation `noise`.
    - `"student_t"`: heavier tails, for scores with outliers.
    - `"ordered"`: whole scores are levels of an ordered scale, by cumulative logits. The line is then in log-odds. Use
      it for scores on a bounded scale that come near its ends.

    With `groups="partial"` each source has an intercept and slopes of its own, drawn from a common normal distribution
    whose spread is learnt. That is a hierarchy: `sample` it (`fit` without a prior gives each source its own line).

    Example:
        >>> scores = sx.learning.TimedScores.from_arrays([2020.0, 2021.0, 2022.0, 2023.0], [7.0, 6.5, 5.5, 5.0])
        >>> model = BayesianTrend.init(scores)
        >>> sx.inference.fit(model, scores).map(lambda model: model.slope()).value.round(2)  # per year
        Array([[-0.7]], dtype=float32)

    Source: Pavlyshenko (2025), "AI Approaches to Qualitative and Quantitative News Analytics on NATO Unity",
    arXiv:2505.06313; McCullagh (1980), doi:10.1111/j.2517-6161.1980.tb01109.x (ordered).
    """

    intercept: Float[Array, " s"]
    """The line at `time_location`, of each source or of all."""
    tilt: Float[Array, "s p"]
    """Slope of each piece, per standard deviation of time."""
    noise: Float[Array, ""] | None = parameter(constraints.positive, default=None)
    """Standard deviation, or scale, of the scores about the line; None for `"ordered"`."""
    degrees: Float[Array, ""] | None = parameter(constraints.positive, default=None)
    """Degrees of freedom; None but for `"student_t"`."""
    gap: Float[Array, " g"] | None = parameter(constraints.positive, default=None)
    """Widths of the levels of `"ordered"`, but for the two at the ends, which have none; None for two levels."""
    groups: str = eqx.field(static=True, default="pooled")
    knots: tuple[float, ...] = eqx.field(static=True, default=())
    """Times at which the slope may change, ascending; none for a straight line."""
    time_location: float = eqx.field(static=True, default=0.0)
    time_scale: float = eqx.field(static=True, default=1.0)
    score_location: float = eqx.field(static=True, default=0.0)
    """The lowest level, for `"ordered"`."""
    score_scale: float = eqx.field(static=True, default=1.0)
    """1 for `"ordered"`."""

    solver: ClassVar[AbstractSolver] = Newton()

    @classmethod
    def init(
        cls,
        data: TimedScores,
        *,
        likelihood: str = "normal",
        knots: Sequence[float | int] = (),
        groups: str = "pooled",
        n_groups: int | None = None,
        bounds: tuple[int, int] | None = None,
        dtype: Any = float,
    ) -> "BayesianTrend":
        """No trend yet: a start, with the units of these data.

        Another location or scale of time or score is another program, compiled anew.

        Args:
            data: Scores, of which means and standard deviations are taken.
            likelihood: `"normal"`, `"student_t"` or `"ordered"`.
            knots: Times inside those of the data, ascending, at which the slope may change.
            groups: `"pooled"`, one line for all sources; or `"partial"`, a hierarchy of lines.
            n_groups: Number of sources, where some have no score yet; the ids that occur by default.
            bounds: Lowest and highest score that can be given; of those that were given by default. For `"ordered"`
                with a level that no score has, the maximum of the likelihood is not finite: give `fit` a prior.
            dtype: Of the parameters.

        Raises:
            ValueError: an unknown word, knots that are not ascending inside the data's times, all scores at one time or
                all the same, scores out of bounds, or scores that are not whole with `"ordered"`.

        Warns:
            UserWarning: Over a tenth of whole scores are at an end of their scale, and the likelihood knows of no ends.
        """
        if likelihood not in _LIKELIHOODS:
            raise ValueError(f"likelihood must be one of {_LIKELIHOODS}, not {likelihood!r}")
        if groups not in _GROUPINGS:
            raise ValueError(f"groups must be one of {_GROUPINGS}, not {groups!r}")
        time, score, weight = (np.asarray(x, np.float64) for x in (data.time, data.score, data.weight))
        held = weight > 0
        location, scale = _moments(time, weight, "time is the same in all rows: there is no trend to measure")
        _check_knots(knots, time[held])
        ends = _ends(score[held], bounds)
        s = 1
        if groups == "partial":
            s = int(np.asarray(data.group).max()) + 1 if n_groups is None else n_groups
        dtype = available_dtype(dtype)
        ordered = likelihood == "ordered"
        if ordered:
            lowest, highest = _levels(score, ends)
            score_units = (float(lowest), 1.0)
        else:
            score_units = _moments(score, weight, "score is the same in all rows: there is no noise to measure")
            _warn_of_ceiling(score[held], weight[held], ends, likelihood)
            lowest = highest = 0
        return cls(
            intercept=jnp.zeros(s, dtype),
            tilt=jnp.zeros((s, len(knots) + 1), dtype),
            noise=None if ordered else jnp.ones((), dtype),
            degrees=jnp.full((), 10.0, dtype) if likelihood == "student_t" else None,
            gap=jnp.full(highest - lowest - 1, 0.5, dtype) if highest - lowest > 1 else None,
            groups=groups,
            knots=tuple(map(float, knots)),
            time_location=location,
            time_scale=scale,
            score_location=score_units[0],
            score_scale=score_units[1],
        )

    @property
    def likelihood(self) -> str:
        """Which of the three."""
        return "ordered" if self.noise is None else "normal" if self.degrees is None else "student_t"

    @property
    def trend(self) -> str:
        """`"linear"` or `"piecewise"`."""
        return "piecewise" if self.knots else "linear"

    def slope(self) -> Float[Array, "s p"]:
        """Of each source and piece, per unit of time: of the score, or of the log-odds for `"ordered"`."""
        return self.tilt * (self.score_scale / self.time_scale)

    def line(self, time: Float[Array, " q"], group: Int[Array, " q"] | int = 0) -> Float[Array, " q"]:
        """The line at some times: of the score, or of the log-odds of a higher level for `"ordered"`.

        Args:
            time: In the unit of the data.
            group: Source of each time, or of all; it does not matter where sources are pooled.
        """
        line = self._line(time, group)
        return line if self.noise is None else self.score_location + self.score_scale * line

    def mean_score(self, time: Float[Array, " q"], group: Int[Array, " q"] | int = 0) -> Float[Array, " q"]:
        """The expected score at some times; the centre of the scores for `"student_t"`.

        Args:
            time: In the unit of the data.
            group: As in `line`.
        """
        if self.noise is not None:
            return self.line(time, group)
        above = self._line(time, group)[:, None] - self._cutpoint()[None, :]
        return self.score_location + jax.nn.sigmoid(above).sum(-1)

    def change(self, start: Float[Array, ""] | float | int, end: Float[Array, ""] | float | int) -> Float[Array, " s"]:
        """How much the expected score of each source changes between two times.

        Example:
            >>> scores = sx.learning.TimedScores.from_arrays([2020.0, 2021.0, 2022.0], [7.0, 6.0, 5.5])
            >>> fitted = sx.inference.fit(BayesianTrend.init(scores), scores)
            >>> fitted.map(lambda model: model.change(2020.0, 2022.0)).value.round(2)
            Array([-1.5], dtype=float32)
        """
        s = self.intercept.shape[0]
        group = jnp.arange(s)
        after, before = (self.mean_score(jnp.full(s, at, self.tilt.dtype), group) for at in (end, start))
        return after - before

    def log_prob(self, data: TimedScores) -> Float[Array, " n"]:
        """Of each score: a density, or a probability for `"ordered"`."""
        line = self._line(data.time, data.group)
        if self.noise is None:
            level = jnp.round(data.score - self.score_location).astype(jnp.int32)
            return graded_log_prob(line, level, self._cutpoint())
        away = ((data.score - self.score_location) / self.score_scale).astype(line.dtype) - line
        unit = away / self.noise
        if self.degrees is None:
            density = jax.scipy.stats.norm.logpdf(unit)
        else:
            density = jax.scipy.stats.t.logpdf(unit, self.degrees)
        return density - jnp.log(self.noise) - float(np.log(self.score_scale))

    def check(self, data: TimedScores) -> None:
        """Raise `ValueError` where the data have a source or a level that the model has not."""
        s = self.intercept.shape[0]
        if self.groups == "partial":
            refuse(np.asarray(data.group) >= s, f"group is {s} or more, and the model has {s} sources,")
        if self.noise is None:
            _levels(np.asarray(data.score, np.float64), self._bounds())

    def prior(self) -> "BayesianTrend":
        """Weakly informative, in the units of the data: intercept and slopes `Normal(0, 2.5)`, noise `HalfNormal(1)`.

        For `"ordered"`, on the scale of log-odds, they are `Normal(0, 10)` and `Normal(0, 5)`, and the gaps
        `Gamma(2, 1)`, which keeps levels apart that have no scores. Degrees of freedom are `Gamma(2, 0.1)`. Sources
        deviate by `HalfNormal(1)` times a standard normal number.
        """
        high, steep = (10.0, 5.0) if self.noise is None else (2.5, 2.5)
        if self.groups == "pooled":
            drawn = [
                jnp.asarray(numpyro.sample(name, _iid(dist.Normal(0.0, scale), leaf)))
                for name, scale, leaf in (("intercept", high, self.intercept), ("tilt", steep, self.tilt))
            ]
        else:
            drawn = [_deviating("intercept", high, self.intercept), _deviating("tilt", steep, self.tilt)]
        noise, degrees, gap = self.noise, self.degrees, self.gap
        if noise is not None:
            noise = jnp.asarray(numpyro.sample("noise", dist.HalfNormal(1.0)))
        if degrees is not None:
            degrees = jnp.asarray(numpyro.sample("degrees", dist.Gamma(2.0, 0.1)))
        if gap is not None:
            gap = jnp.asarray(numpyro.sample("gap", _iid(dist.Gamma(2.0, 1.0), gap)))
        return dataclasses.replace(self, intercept=drawn[0], tilt=drawn[1], noise=noise, degrees=degrees, gap=gap)

    def simulate(self, data: TimedScores, *, key: PRNGKeyArray) -> TimedScores:
        """New scores at the same times, one observation a row (see `data.expand()`)."""
        line = self._line(data.time, data.group)
        if self.noise is None:
            latent = line + jax.random.logistic(key, line.shape, line.dtype)
            level = (latent[:, None] > self._cutpoint()[None, :]).astype(line.dtype).sum(-1)
            return dataclasses.replace(data, score=(self.score_location + level).astype(data.score.dtype))
        if self.degrees is None:
            unit = jax.random.normal(key, line.shape, line.dtype)
        else:
            unit = jax.random.t(key, self.degrees, line.shape, line.dtype)
        score = self.score_location + self.score_scale * (line + self.noise * unit)
        return dataclasses.replace(data, score=score.astype(data.score.dtype))

    def _line(self, time: Float[Array, " q"], group: Int[Array, " q"] | int) -> Float[Array, " q"]:
        """In standardised units."""
        t = ((time - self.time_location) / self.time_scale).astype(self.tilt.dtype)
        bends = [-np.inf, *((knot - self.time_location) / self.time_scale for knot in self.knots), np.inf]
        # How far time has run through each piece, from the location, where all of them are zero.
        through = [jnp.clip(t, low, high) - float(np.clip(0.0, low, high)) for low, high in itertools.pairwise(bends)]
        row = jnp.broadcast_to(jnp.asarray(0 if self.groups == "pooled" else group), time.shape)
        return self.intercept[row] + (jnp.stack(through, axis=-1) * self.tilt[row]).sum(-1)

    def _cutpoint(self) -> Float[Array, " c"]:
        """Ascending, with mean zero: the intercept says where the scale is."""
        lowest = jnp.zeros(1, self.intercept.dtype)
        ascending = lowest if self.gap is None else jnp.concatenate([lowest, jnp.cumsum(self.gap)])
        return ascending - ascending.mean()

    def _bounds(self) -> tuple[int, int]:
        lowest = int(self.score_location)
        return lowest, lowest + 1 + (0 if self.gap is None else self.gap.shape[-1])


def _iid(distribution: dist.Distribution, leaf: Array) -> dist.Distribution:
    return distribution.expand(leaf.shape).to_event(leaf.ndim)


def _deviating(name: str, wide: float, leaf: Array) -> Float[Array, "s ..."]:
    """A number for each source: a common mean, and a standard deviate on a common scale (non-centred)."""
    rest = leaf[0]
    mean = jnp.asarray(numpyro.sample(f"{name}_mean", _iid(dist.Normal(0.0, wide), rest)))
    spread = jnp.asarray(numpyro.sample(f"{name}_spread", _iid(dist.HalfNormal(1.0), rest)))
    deviate = jnp.asarray(numpyro.sample(f"{name}_deviate", _iid(dist.Normal(0.0, 1.0), leaf)))
    return jnp.asarray(numpyro.deterministic(name, mean[None] + spread[None] * deviate))


def _moments(values: np.ndarray, weight: np.ndarray, complaint: str) -> tuple[float, float]:
    """Weighted mean and standard deviation."""
    share = weight / weight.sum()
    mean = float(share @ values)
    scale = float(np.sqrt(share @ (values - mean) ** 2))
    # Equal numbers have a mean that rounds.
    if np.ptp(values[weight > 0]) == 0:
        raise ValueError(complaint)
    return mean, scale


def _check_knots(knots: Sequence[float | int], time: np.ndarray) -> None:
    inside = [float(time.min()), *map(float, knots), float(time.max())]
    if len(knots) and not (np.diff(inside) > 0).all():
        raise ValueError(
            f"knots must ascend inside the times of the data, {inside[0]:g} to {inside[-1]:g}, not {knots}"
        )


def _ends(score: np.ndarray, bounds: tuple[int, int] | None) -> tuple[int, int] | None:
    """The ends of a scale of whole scores, if it is one."""
    if bounds is not None:
        if not bounds[0] < bounds[1]:
            raise ValueError(f"bounds are the lowest and the highest score, not {bounds}")
        refuse((score < bounds[0]) | (score > bounds[1]), f"score is outside its bounds, {bounds[0]} to {bounds[1]},")
        return bounds
    whole = (score == np.round(score)).all() and np.ptp(score) < _MOST_LEVELS
    return (int(score.min()), int(score.max())) if whole else None


def _levels(score: np.ndarray, ends: tuple[int, int] | None) -> tuple[int, int]:
    """Lowest and highest level of an ordered scale, to which all scores belong."""
    refuse(
        score != np.round(score),
        "score is not whole",
        "The ordered likelihood takes levels; round the scores, or use likelihood='student_t'.",
    )
    if ends is None:
        raise ValueError(
            f"whole scores range over more than {_MOST_LEVELS} levels: say bounds=(lowest, highest), or use "
            "likelihood='normal'"
        )
    refuse((score < ends[0]) | (score > ends[1]), f"score is no level from {ends[0]} to {ends[1]}")
    if not ends[0] < ends[1]:
        raise ValueError("score is the same in all rows: say bounds=(lowest, highest) of the scale")
    return ends


def _warn_of_ceiling(score: np.ndarray, weight: np.ndarray, ends: tuple[int, int] | None, likelihood: str) -> None:
    if ends is None or not (score == np.round(score)).all():
        return
    for name, end in zip(("lowest", "highest"), ends, strict=True):
        share = float(weight[score == end].sum() / weight.sum())
        if share > _CEILING:
            warnings.warn(
                f"{share:.0%} of the scores are {end}, the {name} of their scale: a {likelihood} likelihood does not "
                "know that scores end there, and flattens the trend. Use likelihood='ordered'.",
                stacklevel=3,
            )
