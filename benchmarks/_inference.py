"""Effective draws per second: NUTS on the shipped battles against NumPyro's own driver; hierarchies of two sizes."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from numpyro.infer import MCMC, NUTS

from benchmarks._row import Case, Peer, row
from scorax.choice import BradleyTerry, Davidson
from scorax.data import Comparisons, datasets
from scorax.inference import effective_sample_size, numpyro_model, sample

_CHAINS, _WARMUP, _DRAWS = 4, 500, 500


def _nuts_case(init: Callable[[int], Any]) -> Case:
    battles, names = datasets.load_llmfao()
    model, table = init(len(names)), battles.table(len(names))
    key = jax.random.key(0)

    def call() -> Any:
        posterior = sample(
            model, table, key=key, num_warmup=_WARMUP, num_samples=_DRAWS, num_chains=_CHAINS, progress=False
        )
        return posterior.model.strength

    def numpyro_driver() -> Any:
        # The same density, whose every run compiles anew.
        mcmc = MCMC(
            NUTS(numpyro_model(model)),
            num_warmup=_WARMUP,
            num_samples=_DRAWS,
            num_chains=_CHAINS,
            chain_method="sequential",
            progress_bar=False,
        )
        mcmc.run(key, table)
        return mcmc.get_samples()["strength"]

    def facts(strength: Any, seconds: float) -> dict[str, float]:
        effective = float(np.asarray(effective_sample_size(strength)).min())
        return {"smallest bulk ESS of a strength": effective, "ESS per second": effective / seconds}

    return Case(call, peers=[Peer("numpyro MCMC, compilation included", numpyro_driver)], facts=facts)


for _name, _init in (("bradley_terry", BradleyTerry.init), ("davidson", Davidson.init)):
    row(f"nuts of {_name}", "LLMFAO, 4 x (500 + 500)")(functools.partial(_nuts_case, _init))


def _hierarchy_case(n_items: int, n_rows: int, method: str) -> Case:
    """Warm-up and sampling of a posterior on new data each time, without compilation."""
    rng = np.random.default_rng(0)
    strength = rng.normal(size=n_items)
    a = rng.integers(0, n_items, n_rows)
    b = (a + rng.integers(1, n_items, n_rows)) % n_items
    won = rng.random(n_rows) < 1 / (1 + np.exp(strength[b] - strength[a]))
    model = BradleyTerry.init(n_items)
    data = Comparisons.from_arrays(a, b, won.astype(float), n_items=n_items)
    arguments: dict[str, Any] = {"num_warmup": 200, "num_samples": 1000, "num_chains": _CHAINS, "progress": False}

    def call() -> Any:
        return sample(model, data, key=jax.random.key(0), method=method, **arguments).sites

    def facts(sites: Any, seconds: float) -> dict[str, float]:
        effective = min(float(np.asarray(effective_sample_size(x)).min()) for x in sites.values())
        return {"smallest bulk ESS of all sites": effective, "ESS per second": effective / seconds}

    return Case(call, facts=facts)


for _items, _rows in ((50, 10_000), (200, 100_000)):
    for _method in ("nuts", "laplace_metropolis"):
        row(f"{_method} of a hierarchy", f"{_items} items, {_rows:.0e} rows, 4 x (200 + 1000)", x64=True)(
            functools.partial(_hierarchy_case, _items, _rows, _method)
        )
