"""Effective draws per second of whole posteriors, peers in the same run, another seed at every run.

All counts are of the smallest bulk ESS of every number drawn, over processor time of warm-up and draws. Our rows are
warm, so no compilation is in them; each peer's name says whether it is in theirs.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro import infer
from numpyro.distributions import biject_to, constraints
from numpyro.infer.util import potential_energy

from benchmarks._row import Case, Facts, Peer, peer, row
from scorax.choice import BradleyTerry, Davidson
from scorax.data import Annotations, Comparisons, datasets
from scorax.inference import (
    NUTS,
    AbstractModel,
    effective_sample_size,
    numpyro_model,
    parameter,
    rhat,
    sample,
)
from scorax.judges import SimplexJudge, SimplexPrior

_CHAINS = 4
# More makes it slower here, less does not warm it up.
_NUTPIE_TUNE = 400
_CAREFUL = NUTS(target_accept_prob=0.9)


def _draws_per_second(sites: dict[str, Any], cpu_seconds: float) -> dict[str, float]:
    with jax.enable_x64(True):
        draws = [jnp.asarray(np.asarray(x, np.float64)) for x in sites.values()]
        effective = min(float(np.nanmin(np.asarray(effective_sample_size(x)))) for x in draws)
        worst = max(float(np.nanmax(np.asarray(rhat(x)))) for x in draws)
    return {"smallest bulk ESS": effective, "largest R-hat": worst, "ESS per CPU second": effective / cpu_seconds}


class _Seeds:
    """Another key at every call."""

    def __init__(self) -> None:
        self.number = itertools.count()

    def __call__(self) -> PRNGKeyArray:
        return jax.random.key(next(self.number))


def _case(model: Any, data: Any, peers: list[Peer], **arguments: Any) -> Case:
    return Case(_ours(model, data, **arguments), facts=_draws_per_second, peers=peers)


def _ours(model: Any, data: Any, **arguments: Any) -> Callable[[], Any]:
    seeds = _Seeds()
    return lambda: sample(model, data, key=seeds(), num_chains=_CHAINS, progress=False, **arguments).sites


def _numpyro(
    program: Callable[..., Any], data: Any, *, num_warmup: int, num_samples: int, target_accept_prob: float = 0.8
) -> Callable[[], Any]:
    """NumPyro's own driver, whose every run compiles anew."""
    seeds = _Seeds()

    def call() -> Any:
        mcmc = infer.MCMC(
            infer.NUTS(program, target_accept_prob=target_accept_prob),
            num_warmup=num_warmup,
            num_samples=num_samples,
            num_chains=_CHAINS,
            chain_method="sequential",
            progress_bar=False,
        )
        mcmc.run(seeds(), data)
        return mcmc.get_samples(group_by_chain=True)

    return call


def _compiling(call: Callable[[], Any], facts: Facts = _draws_per_second) -> Peer:
    return Peer("numpyro MCMC, compilation included", call, facts=facts)


def _shipped_case(init: Callable[[int], Any]) -> Case:
    battles, names = datasets.load_llmfao()
    model, table = init(len(names)), battles.table(len(names))
    draws = {"num_warmup": 500, "num_samples": 500}
    return _case(model, table, [_compiling(_numpyro(numpyro_model(model), table, **draws))], **draws)


for _name, _init in (("bradley_terry", BradleyTerry.init), ("davidson", Davidson.init)):
    row(f"nuts of {_name}", "LLMFAO, 4 x (500 + 500)")(functools.partial(_shipped_case, _init))


def league(n_items: int, n_rows: int) -> Comparisons:
    """Comparisons of items with standard normal strengths."""
    rng = np.random.default_rng(0)
    strength = rng.normal(size=n_items)
    a = rng.integers(0, n_items, n_rows)
    b = (a + rng.integers(1, n_items, n_rows)) % n_items
    won = rng.random(n_rows) < 1 / (1 + np.exp(strength[b] - strength[a]))
    return Comparisons.from_arrays(a, b, won.astype(float), n_items=n_items)


class _PairsOneByOne(AbstractModel[Comparisons]):
    """Bradley-Terry as people write it: strengths gathered pair by pair, gradients by differentiation."""

    strength: Float[Array, " k"] = parameter(constraints.zero_sum(1))

    def log_prob(self, data: Comparisons) -> Float[Array, " n"]:
        """Of wins, which is all there is here."""
        difference = self.strength[data.a] - self.strength[data.b]
        return jax.nn.log_sigmoid((2 * data.outcome - 1) * difference)

    def prior(self) -> "_PairsOneByOne":
        """That of the model it stands beside."""
        return _PairsOneByOne(BradleyTerry.init(self.strength.size).prior().strength)

    def simulate(self, data: Comparisons, *, key: PRNGKeyArray) -> Comparisons:
        """Not what is timed."""
        raise NotImplementedError


def _hierarchy_case(n_items: int, n_rows: int, method: str) -> Case:
    """Of strengths and their scale, against nutpie on the same density; and NumPyro's default with a free location."""
    data = league(n_items, n_rows)
    model, table = BradleyTerry.init(n_items), data.table(n_items)
    draws = {"num_warmup": 200, "num_samples": 1000}
    peers = [
        _nutpie("nutpie with our density", numpyro_model(model), table, n_items),
        _nutpie("nutpie, pairs one by one", numpyro_model(_PairsOneByOne(model.strength)), data.aggregate(), n_items),
        Peer(
            "numpyro NUTS with a free location, its kernel in our loop",
            _ours(model, table, prior=functools.partial(_free_location, n_items), num_warmup=500, num_samples=500),
            facts=_draws_per_second,
        ),
    ]
    return _case(model, data, peers, method=method, **draws)


def _free_location(n_items: int) -> BradleyTerry:
    """What people write first: comparisons say nothing about the mean of the strengths, so only its prior does."""
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    return BradleyTerry(jnp.asarray(numpyro.sample("strength", dist.Normal(0.0, scale).expand([n_items]).to_event(1))))


def _nutpie(name: str, program: Callable[..., Any], data: Any, n_items: int) -> Peer:
    """With its low-rank mass matrix; the density and its gradient are compiled beforehand."""
    seeds = itertools.count()

    @functools.cache
    def compiled() -> Any:
        from nutpie.compiled_pyfunc import from_pyfunc  # pyright: ignore[reportMissingImports]

        flat, unravel = ravel_pytree({"scale": jnp.zeros(()), "strength": jnp.zeros(n_items - 1)})

        def log_density(q: Float[Array, " d"]) -> Float[Array, ""]:
            return -jnp.asarray(potential_energy(program, (data,), {}, unravel(q)))

        value_and_grad = jax.jit(jax.value_and_grad(log_density)).lower(flat).compile()

        def evaluate(q: np.ndarray, **_: Any) -> tuple[float, np.ndarray]:
            # Double precision is a setting of a thread, and this is one of nutpie's.
            with jax.enable_x64(True):
                value, slope = value_and_grad(q)
            return float(value), np.asarray(slope)

        def keep(q: np.ndarray, **_: Any) -> dict[str, np.ndarray]:
            return {"q": q}

        return from_pyfunc(
            flat.size,
            lambda: evaluate,
            lambda *_: keep,
            [np.dtype(np.float64)],
            [flat.shape],
            ["q"],
            make_initial_point_fn=lambda seed: np.random.default_rng(seed).uniform(-2, 2, flat.size),
        )

    def call() -> Any:
        import nutpie  # pyright: ignore[reportMissingImports]

        trace = nutpie.sample(
            compiled(),
            draws=1000,
            tune=_NUTPIE_TUNE,
            chains=_CHAINS,
            cores=1,
            seed=next(seeds),
            progress_bar=False,
            low_rank_modified_mass_matrix=True,
        )
        return np.asarray(trace["posterior"]["q"])

    def facts(q: Any, cpu_seconds: float) -> dict[str, float]:
        strength = biject_to(constraints.zero_sum(1))(jnp.asarray(q[..., 1:]))
        return _draws_per_second({"scale": q[..., 0], "strength": strength}, cpu_seconds)

    return dataclasses.replace(peer("nutpie", call), name=name, facts=facts)


for _items, _rows in ((50, 10_000), (200, 100_000)):
    for _method in ("nuts", "laplace_metropolis"):
        row(f"{_method} of a hierarchy", f"{_items} items, {_rows:.0e} rows, 4 x (200 + 1000)", x64=True)(
            functools.partial(_hierarchy_case, _items, _rows, _method)
        )


class _LabelsOneByOne(AbstractModel[Annotations]):
    """The judges' likelihood as people write it: labels gathered row by row."""

    prevalence: Float[Array, "k m"] = parameter(constraints.simplex)
    confusion: Float[Array, "j m m"] = parameter(constraints.simplex)

    def log_prob(self, data: Annotations) -> Float[Array, " n"]:
        """The sum over true levels."""
        each = jnp.log(self.confusion)[data.judge, :, data.label]
        evidence = jnp.where(data.where[..., None], each, 0).sum(1)
        return jax.nn.logsumexp(jnp.log(self.prevalence)[data.candidate] + evidence, axis=-1)

    def prior(self) -> "_LabelsOneByOne":
        """That of the model it stands beside."""
        shape = (self.prevalence.shape[0], *self.confusion.shape[:2])
        drawn = _doubtful(SimplexJudge.init(*shape))()
        return _LabelsOneByOne(drawn.prevalence, drawn.confusion)

    def simulate(self, data: Annotations, *, key: PRNGKeyArray) -> Annotations:
        """Not what is timed."""
        raise NotImplementedError


def _doubtful(model: SimplexJudge) -> SimplexPrior:
    """Judges that keep the order of the levels: without that, chains disagree which level is which."""
    return SimplexPrior(model, accuracy=0.6, strength=8.0, monotone="stochastic")


def _three_levels() -> tuple[Annotations, tuple[int, int, int]]:
    """Prometheus' GPT-4 scores of four models, the rare scores 1 to 3 as one level; and the model's shape."""
    scores, names = datasets.load_prometheus()
    models = sorted({name[:4].lower() for name in names.candidates})
    candidate = np.array([models.index(name[:4].lower()) for name in names.candidates])[np.asarray(scores.candidate)]
    label = np.maximum(np.asarray(scores.label) - 2, 0)
    data = Annotations.from_arrays(label, np.asarray(scores.judge), candidate=candidate)
    return data, (len(models), len(names.judges), 3)


@row("nuts of judges", "Prometheus, 3 levels, 4 x (500 + 500)")
def _judges_case() -> Case:
    data, shape = _three_levels()
    model = SimplexJudge.init(*shape)
    plain = _LabelsOneByOne(model.prevalence, model.confusion)
    draws = {"num_warmup": 500, "num_samples": 500}
    method = {"method": _CAREFUL, **draws}
    in_our_loop = Peer("labels one by one, in our loop", _ours(plain, data, **method), facts=_draws_per_second)
    driver = _numpyro(numpyro_model(plain), data, target_accept_prob=_CAREFUL.target_accept_prob, **draws)
    return _case(model, data, [_compiling(driver), in_our_loop], prior=_doubtful(model), **method)
