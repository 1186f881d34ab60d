"""A verdict on draws in plain words: can they be believed, and if not, what is there to try?"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from scorax.inference._diagnostics import energy_bfmi
from scorax.inference._posterior import Posterior
from scorax.inference._summary import SummaryRow

_LARGEST_RHAT = 1.01
_LEAST_ESS_PER_CHAIN = 100
_LEAST_ESS = 100
_LEAST_BFMI = 0.3
_LARGEST_K = 0.7
_LARGEST_VARIANCE = 1.0
_FEWEST_DRAWS = 8


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that is wrong with draws."""

    check: str
    """Which check found it: `"rhat"`, `"ess"`, `"divergences"`, ..."""
    what: str
    """What is wrong, with the figures and the worst place."""
    advice: str
    """What to try."""

    def __str__(self) -> str:
        """Both, in one line."""
        return f"{self.what}. {self.advice}"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether draws can be believed. Print it."""

    num_chains: int
    num_draws: int
    problems: tuple[Finding, ...]
    """The causes first: repair in this order."""

    @property
    def ok(self) -> bool:
        """No check found anything. Checks can miss what no chain has seen."""
        return not self.problems

    def __str__(self) -> str:
        """The size, the verdict, and a line for each problem."""
        chains = "1 chain" if self.num_chains == 1 else f"{self.num_chains} chains"
        words = "no complaints" if self.ok else "look again"
        return "\n".join([f"{chains} of {self.num_draws} draws: {words}", *map(str, self.problems)])


def verdict(posterior: Posterior[Any], *, max_tree_depth: int = 10) -> Verdict:
    """Check draws for everything that is known to go wrong, and say what to try.

    It looks for a posterior under a flat prior that is no distribution; for numbers that are not finite, that never
    move, or that stand still in some chains; a single chain, or too few draws to judge; R-hat above 1.01; bulk or tail
    effective sample sizes below 100 a chain; and, where the sampler has left the statistics, for divergent transitions,
    trajectories that were cut short, an E-BFMI below 0.3, for `"laplace"` and its like a Pareto k above 0.7 or fewer
    than 100 effective proposals, and for `HMCECS` a variance above 1. What is missing is not judged.
    A number that one check has explained is left out by the next, and entries that stand still in a site that moves
    (the zeros of a triangular matrix) are taken to be meant.

    Args:
        posterior: The draws.
        max_tree_depth: As given to `NUTS`.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 0, 1, 0], [1, 1, 0, 1], [1.0, 1.0, 1.0, 0.5])
        >>> model = sx.choice.BradleyTerry.init(2)
        >>> posterior = sx.inference.sample(model, battles, key=jax.random.key(0), method="laplace", progress=False)
        >>> print(verdict(posterior))
        4 chains of 500 draws: no complaints

    Source: Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), arXiv:1903.08008; Betancourt (2017),
        arXiv:1701.02434.
    """
    drawn = _Drawn.of(posterior)
    problems = [
        *_of_posterior(posterior.stats),
        *_of_draws(drawn),
        *_of_chains(drawn),
        *_of_sampler(posterior.stats, max_tree_depth),
    ]
    return Verdict(posterior.num_chains, posterior.num_draws, tuple(problems))


class _Drawn(NamedTuple):
    """All numbers drawn, end to end in the order of the summary's rows."""

    rows: tuple[SummaryRow, ...]
    site: list[str]
    """Of each number."""
    x: Float[np.ndarray, "c r q"]
    constant: Bool[np.ndarray, " q"]
    """One value in all chains."""
    stuck: Bool[np.ndarray, "c q"]
    """Stands still in this chain, though it is not constant."""

    @classmethod
    def of(cls, posterior: Posterior[Any]) -> "_Drawn":
        values = {name: np.asarray(x, np.float64) for name, x in posterior.quantities().items()}
        columns = [x.reshape(*x.shape[:2], -1) for x in values.values()]
        site = [name for name, column in zip(values, columns, strict=True) for _ in range(column.shape[2])]
        x = np.concatenate(columns, axis=2)
        low, high = x.min(1), x.max(1)
        constant = np.equal(low.min(0), high.max(0))
        return cls(posterior.summary().rows, site, x, constant, np.equal(low, high) & ~constant)

    @property
    def judged(self) -> list[SummaryRow]:
        """Rows whose diagnostics mean what they say."""
        sound = np.isfinite(self.x).all((0, 1)) & ~self.constant & ~self.stuck.any(0)
        return [row for row, good in zip(self.rows, sound, strict=True) if good]


def _of_posterior(stats: dict[str, Any]) -> Iterator[Finding]:
    improper = np.asarray(stats.get("improper", np.zeros((1, 1), bool))).any(1, keepdims=True)
    if improper.any():
        yield Finding(
            "improper",
            "The posterior is no distribution: under the flat prior its density does not fall however far one goes "
            f"(seen from {improper.sum()} of {improper.size} chains)",
            "Give a proper prior, or data that determine every parameter. These draws mean nothing.",
        )


def _of_draws(drawn: _Drawn) -> Iterator[Finding]:
    chains, draws, _ = drawn.x.shape
    broken = ~np.isfinite(drawn.x)
    if broken.any():
        worst = int(broken.sum((0, 1)).argmax())
        yield Finding(
            "finite",
            f"{broken.any((0, 1)).sum()} of {len(drawn.rows)} numbers hold NaN or infinity (worst: "
            f"{drawn.rows[worst].name}, in {broken[..., worst].sum()} of {chains * draws} draws)",
            "Look for a division by zero, an overflow or the logarithm of zero in log_prob and prior.",
        )
    moving = {name for name, constant in zip(drawn.site, drawn.constant, strict=True) if not constant}
    dead = sorted(set(drawn.site) - moving)
    if dead:
        yield Finding(
            "constant",
            f"{_listed(dead)} never {'moves' if len(dead) == 1 else 'move'}: one value in all draws",
            "If that is not meant, the sampler rejects everything (look at accept_prob and step_size) or the prior "
            "does not sample it.",
        )
    if drawn.stuck.any():
        where = np.flatnonzero(drawn.stuck.any(1)).tolist()
        names = [drawn.rows[i].name for i in np.flatnonzero(drawn.stuck.any(0))]
        yield Finding(
            "stuck",
            f"{len(where)} of {chains} chains stand still (chains {_listed(where)}; in {_listed(names)})",
            "They are where every step is rejected: start nearer to the data (initial=) or raise num_warmup.",
        )
    if draws < _FEWEST_DRAWS:
        yield Finding("draws", f"{draws} draws of each chain are too few to judge", "Raise num_samples.")


def _of_chains(drawn: _Drawn) -> Iterator[Finding]:
    chains = drawn.x.shape[0]
    if chains == 1:
        yield Finding(
            "chains",
            "A single chain cannot show that chains agree",
            "Draw at least four (num_chains=4).",
        )
    apart = [row for row in drawn.judged if row.rhat > _LARGEST_RHAT]
    if apart:
        worst = max(apart, key=lambda row: row.rhat)
        yield Finding(
            "rhat",
            f"Chains disagree on {len(apart)} of {len(drawn.rows)} quantities (worst: {worst.name}, R-hat "
            f"{worst.rhat:.3f})",
            "Raise num_warmup and num_samples; if that does not help, the posterior has several modes, or a direction "
            "that data hardly determine (try precondition=laplace_frame(...)).",
        )
    enough = _LEAST_ESS_PER_CHAIN * chains
    low = [row for row in drawn.judged if _least_ess(row) < enough]
    if low:
        worst = min(low, key=_least_ess)
        part = "bulk" if worst.ess_bulk <= worst.ess_tail else "tail"
        yield Finding(
            "ess",
            f"{len(low)} of {len(drawn.rows)} quantities have an effective sample size below {enough} (worst: "
            f"{worst.name}, {_least_ess(worst):.0f} in the {part})",
            f"Raise num_samples, about {enough / _least_ess(worst):.1f} times.",
        )


def _least_ess(row: SummaryRow) -> float:
    return min(row.ess_bulk, row.ess_tail)


def _of_sampler(stats: dict[str, Any], max_tree_depth: int) -> Iterator[Finding]:
    for name, check in _SAMPLER_CHECKS.items():
        if name in stats:
            yield from check(np.asarray(stats[name]), max_tree_depth)


def _density(values: np.ndarray, _: int) -> Iterator[Finding]:
    broken = int((~np.isfinite(values)).sum())
    if broken:
        yield Finding(
            "density",
            f"The log density of {broken} of {values.size} draws is not finite",
            "They cannot have been drawn from it: check log_prob and prior at these draws.",
        )


def _divergences(values: np.ndarray, _: int) -> Iterator[Finding]:
    found = int(values.sum())
    if found:
        yield Finding(
            "divergences",
            f"{found} divergent transitions ({found / values.size:.2%}): some region was not explored",
            "Raise target_accept_prob to 0.95 or 0.99, or write the prior in a non-centred form (partly_centred).",
        )


def _tree_depth(values: np.ndarray, max_tree_depth: int) -> Iterator[Finding]:
    longest = 2**max_tree_depth - 1
    cut = float((values == longest).mean())
    # Longer ones come from another depth, or from a sampler without trees.
    if cut > 0 and values.max() == longest:
        yield Finding(
            "tree_depth",
            f"{cut:.2%} of trajectories were cut short at {longest} steps (max_tree_depth {max_tree_depth})",
            "Scales differ widely or parameters are strongly correlated: write the prior in another form, or try "
            "precondition=laplace_frame(...) or dense_mass=True; a larger max_tree_depth only costs more.",
        )


def _energy(values: np.ndarray, _: int) -> Iterator[Finding]:
    if values.shape[1] < 2:
        return
    fraction = np.asarray(energy_bfmi(jnp.asarray(values)))
    low = np.flatnonzero(fraction < _LEAST_BFMI)
    if low.size:
        yield Finding(
            "bfmi",
            f"Energies are explored slowly (E-BFMI below {_LEAST_BFMI} in chains {_listed(low.tolist())}; least "
            f"{fraction[low].min():.2f}): tails are heavy, or scales change from place to place",
            "Write the prior in a non-centred form, or with lighter tails.",
        )


def _pareto(values: np.ndarray, _: int) -> Iterator[Finding]:
    worst = float(np.max(values))
    if not worst <= _LARGEST_K:
        yield Finding(
            "pareto_k",
            f"The approximation does not cover the posterior (Pareto k {worst:.2f}, above {_LARGEST_K})",
            "Use method='nuts'.",
        )


def _proposals(values: np.ndarray, _: int) -> Iterator[Finding]:
    least = float(np.min(values))
    if not least >= _LEAST_ESS:
        yield Finding(
            "importance_ess",
            f"All draws together are worth {least:.0f} independent ones, fewer than {_LEAST_ESS}",
            "The posterior is far from its approximation: use method='nuts'.",
        )


def _estimates(values: np.ndarray, _: int) -> Iterator[Finding]:
    mean = float(values.mean())
    if not mean <= _LARGEST_VARIANCE:
        yield Finding(
            "estimator_variance",
            f"Subsamples estimate the likelihood poorly (variance {mean:.1f}, above {_LARGEST_VARIANCE:g})",
            "Enlarge subsample_size, or use method='nuts'.",
        )


_SAMPLER_CHECKS: dict[str, Callable[[np.ndarray, int], Iterator[Finding]]] = {
    "log_density": _density,
    "diverging": _divergences,
    "num_steps": _tree_depth,
    "energy": _energy,
    "pareto_k": _pareto,
    "importance_ess": _proposals,
    "estimator_variance": _estimates,
}


def _listed(names: Sequence[Any]) -> str:
    return ", ".join(map(str, names[:3])) + (f" and {len(names) - 3} others" if len(names) > 3 else "")
