"""The register of models: one entry, and a model inherits every check of `test_generic.py`."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import biject_to

from scorax.choice import (
    AdjacentComparison,
    BradleyTerry,
    Davidson,
    DavidsonLuce,
    GeneralizedDavidson,
    GlennDavid,
    GradedComparison,
    LuceChoice,
    PlackettLuce,
    RaoKupper,
    Thurstone,
    UnequalThurstone,
)
from scorax.data import Annotations, Choices, Comparisons, Rankings
from scorax.inference import supports
from scorax.inference._engine import engine
from scorax.inference._priors import with_leaves
from scorax.judges import (
    DawidSkene,
    ManyFacetRasch,
    OneCoinDawidSkene,
    OrdinalAnnotator,
    PairwiseJudges,
    PreferenceRegression,
    SimplexJudge,
)
from scorax.learning import BayesianTrend, TimedScores


@dataclasses.dataclass(frozen=True)
class Case:
    """How to make a small model and data for it."""

    name: str
    template: Callable[[Any], Any]
    """From a dtype to the model at its start."""
    design: Callable[[Any], Any]
    """From a dtype to rows of count one whose outcomes may be anything."""
    permute: Callable[[Any, Any, np.ndarray], tuple[Any, Any]] | None = None
    """Rename the items of model and data."""
    spread: float = 1.0
    """How far from its start, in unconstrained coordinates, tests draw the model."""
    recovery_rows: int = 2_000
    """How often the design is repeated so that a fit finds the truth."""

    def __str__(self) -> str:
        return self.name


K = 5
RNG = np.random.default_rng(3)
A = RNG.integers(0, K, 24)
B = (A + RNG.integers(1, K, 24)) % K
ORDER = RNG.choice([-1.0, 1.0], 24)
FEATURES = RNG.normal(size=(24, 2))


def pairs(*, covariates: bool = False) -> Callable[[Any], Comparisons]:
    def design(dtype: Any) -> Comparisons:
        extra = {"order": ORDER.astype(dtype), "features": FEATURES.astype(dtype)} if covariates else {}
        return Comparisons.from_arrays(A, B, np.resize([1.0, 0.0], 24).astype(dtype), **extra)

    return design


def rename_pairs(model: Any, data: Comparisons, new: np.ndarray) -> tuple[Any, Comparisons]:
    renamed = dataclasses.replace(data, a=jnp.asarray(new, jnp.int32)[data.a], b=jnp.asarray(new, jnp.int32)[data.b])
    return dataclasses.replace(model, strength=model.strength[np.argsort(new)]), renamed


def rename_noisy(model: Any, data: Comparisons, new: np.ndarray) -> tuple[Any, Comparisons]:
    model, data = rename_pairs(model, data, new)
    return dataclasses.replace(model, log_noise=model.log_noise[np.argsort(new)]), data


ORDERS = np.stack([RNG.permutation(K)[:4] for _ in range(12)])
LENGTHS = RNG.integers(2, 5, 12)


def rankings(*, top: bool) -> Callable[[Any], Rankings]:
    def design(dtype: Any) -> Rankings:
        where = np.arange(4) < LENGTHS[:, None]
        listed = np.zeros((12, K), bool)
        for row, (order, length) in enumerate(zip(ORDERS, LENGTHS, strict=True)):
            listed[row, order[:length]] = True
        ones = jnp.ones(12, dtype)
        rest = jnp.asarray(~listed) if top else None
        return Rankings(
            order=jnp.asarray(ORDERS, jnp.int32), where=jnp.asarray(where), weight=ones, count=ones, rest=rest
        )

    return design


def ties(dtype: Any) -> Rankings:
    """Without ties yet, but with the column that holds them."""
    plain = rankings(top=False)(dtype)
    level = jnp.broadcast_to(jnp.arange(4, dtype=jnp.int32), plain.order.shape)
    return dataclasses.replace(plain, tie_level=jnp.where(plain.where, level, 0))


def rename_rankings(model: Any, data: Rankings, new: np.ndarray) -> tuple[Any, Rankings]:
    rest = None if data.rest is None else data.rest[:, np.argsort(new)]
    renamed = dataclasses.replace(data, order=jnp.asarray(new, jnp.int32)[data.order], rest=rest)
    return dataclasses.replace(model, strength=model.strength[np.argsort(new)]), renamed


def choices(dtype: Any) -> Choices:
    plain = rankings(top=False)(dtype)
    return Choices(plain.order, plain.where, plain.weight, plain.count)


def rename_choices(model: Any, data: Choices, new: np.ndarray) -> tuple[Any, Choices]:
    renamed = dataclasses.replace(data, offered=jnp.asarray(new, jnp.int32)[data.offered])
    return dataclasses.replace(model, strength=model.strength[np.argsort(new)]), renamed


ITEMS = np.arange(24)


def annotations(dtype: Any) -> Annotations:
    """Three judges label every item; two candidates take turns."""
    judge = np.tile(np.arange(3), (24, 1))
    return Annotations.from_arrays((ITEMS[:, None] + judge) % 3, judge, candidate=ITEMS % 2, weight=np.ones(24, dtype))


def good_judges(dtype: Any) -> SimplexJudge:
    """Right eight times in ten, so that two thousand items identify them; even prevalences."""
    model = SimplexJudge.init(2, 3, 3, dtype=dtype)
    rows = 0.7 * jnp.eye(3, dtype=dtype) + 0.1
    return dataclasses.replace(model, confusion=jnp.broadcast_to(rows, (3, 3, 3)))


def good_annotators(dtype: Any) -> DawidSkene:
    """The same judges, of items that are not told apart."""
    model = good_judges(dtype)
    return DawidSkene(model.prevalence[0], model.confusion)


def judged_pairs(dtype: Any) -> Comparisons:
    """Two judges in turn."""
    return dataclasses.replace(pairs(covariates=True)(dtype), cluster=jnp.asarray(ITEMS % 2, jnp.int32))


def timed(dtype: Any) -> TimedScores:
    """Three sources in turn, five levels."""
    ones, time = jnp.ones(24, dtype), np.linspace(0.0, 2.0, 24).astype(dtype)
    score, source = (ITEMS % 5).astype(dtype), jnp.asarray(ITEMS % 3, jnp.int32)
    return TimedScores(time=jnp.asarray(time), score=jnp.asarray(score), group=source, weight=ones, count=ones)


def trend(dtype: Any, bounds: tuple[int, int], **options: Any) -> BayesianTrend:
    return BayesianTrend.init(timed(np.dtype("float32")), bounds=bounds, dtype=dtype, **options)


CASES = [
    Case("BradleyTerry", lambda dtype: BradleyTerry.init(K, dtype=dtype), pairs(), rename_pairs),
    Case(
        "BradleyTerry with order and features",
        lambda dtype: BradleyTerry.init(K, order_effect=True, n_features=2, dtype=dtype),
        pairs(covariates=True),
        rename_pairs,
    ),
    Case(
        "Davidson with order and features",
        lambda dtype: Davidson.init(K, order_effect=True, n_features=2, dtype=dtype),
        pairs(covariates=True),
        rename_pairs,
    ),
    Case("RaoKupper", lambda dtype: RaoKupper.init(K, dtype=dtype), pairs(), rename_pairs),
    Case("PlackettLuce of tops", lambda dtype: PlackettLuce.init(K, dtype=dtype), rankings(top=True), rename_rankings),
    Case("PlackettLuce", lambda dtype: PlackettLuce.init(K, dtype=dtype), rankings(top=False), rename_rankings),
    Case("Thurstone", lambda dtype: Thurstone.init(K, dtype=dtype), pairs(), rename_pairs),
    Case("UnequalThurstone", lambda dtype: UnequalThurstone.init(K, dtype=dtype), pairs(), rename_noisy, 0.5, 8_000),
    Case(
        "Thurstone with Cauchy noise, order and features",
        lambda dtype: Thurstone.init(K, link="cauchit", order_effect=True, n_features=2, dtype=dtype),
        pairs(covariates=True),
        rename_pairs,
    ),
    Case("GlennDavid", lambda dtype: GlennDavid.init(K, dtype=dtype), pairs(), rename_pairs, spread=0.5),
    Case(
        "GradedComparison of seven levels",
        lambda dtype: GradedComparison.init(K, 7, order_effect=True, dtype=dtype),
        pairs(covariates=True),
        rename_pairs,
        spread=0.5,
    ),
    Case(
        "AdjacentComparison of four levels",
        lambda dtype: AdjacentComparison.init(K, 4, dtype=dtype),
        pairs(),
        rename_pairs,
    ),
    Case(
        "GeneralizedDavidson",
        lambda dtype: GeneralizedDavidson.init(K, order_effect=True, free_mode=True, dtype=dtype),
        pairs(covariates=True),
        rename_pairs,
        spread=0.5,
        # How fast ties fade is known to a half at 2000 rows: some resamples say that they do not fade at all.
        recovery_rows=8_000,
    ),
    Case(
        "DavidsonLuce",
        lambda dtype: DavidsonLuce.init(K, (2, 3), dtype=dtype),
        ties,
        rename_rankings,
        spread=0.7,
        recovery_rows=600,
    ),
    Case("LuceChoice", lambda dtype: LuceChoice.init(K, dtype=dtype), choices, rename_choices),
    # Nearer, so that levels keep their names: a model far from its start may be another labelling of it.
    Case("SimplexJudge", good_judges, annotations, spread=0.3, recovery_rows=4_000),
]

# Models of the upper floors: generic checks only, while `CASES` go through criticism and over devices, too.
UPPER = [
    Case("DawidSkene", good_annotators, annotations, spread=0.3, recovery_rows=4_000),
    Case(
        "OneCoinDawidSkene",
        lambda dtype: OneCoinDawidSkene.init(3, 3, dtype=dtype),
        annotations,
        spread=0.3,
        recovery_rows=4_000,
    ),
    Case("OrdinalAnnotator", lambda dtype: OrdinalAnnotator.init(3, 3, dtype=dtype), annotations, spread=0.5),
    Case("ManyFacetRasch", lambda dtype: ManyFacetRasch.init(2, 3, 3, dtype=dtype), annotations, spread=0.5),
    Case(
        "PairwiseJudges",
        lambda dtype: PairwiseJudges.init(K, 2, n_features=2, dtype=dtype),
        judged_pairs,
        rename_pairs,
        spread=0.5,
    ),
    Case(
        "PreferenceRegression by judge",
        lambda dtype: PreferenceRegression(jnp.zeros((2, 2), dtype)),
        judged_pairs,
        spread=0.5,
    ),
    Case(
        "BayesianTrend with heavy tails",
        lambda dtype: trend(dtype, (-9, 9), likelihood="student_t"),
        timed,
        spread=0.5,
        recovery_rows=4_000,
    ),
    Case(
        "BayesianTrend of five levels, by source",
        lambda dtype: trend(dtype, (0, 4), likelihood="ordered", groups="partial", knots=(1.0,)),
        timed,
        spread=0.5,
    ),
]


def drawn(case: Case, dtype: Any, seed: int = 0, scale: float = 1.0) -> Any:
    """The model at a random point of its support, around its start."""
    template = case.template(dtype)
    scale = scale * case.spread
    key = jax.random.key(seed)
    leaves = []
    for index, (support, leaf) in enumerate(zip(supports(template), jax.tree.leaves(template), strict=True)):
        transform = biject_to(support)
        shape = transform.inverse_shape(leaf.shape)
        away = scale * jax.random.normal(jax.random.fold_in(key, index), shape, dtype)
        with engine():
            leaves.append(transform(transform.inv(leaf) + away).astype(dtype))
    return with_leaves(template, leaves)


def simulated(case: Case, dtype: Any, seed: int = 1) -> Any:
    """Data from the model at `drawn`."""
    return drawn(case, dtype).simulate(case.design(dtype), key=jax.random.key(seed))
