"""NUTS on real data: effective draws per second of the shipped LLM battles, against NumPyro's own driver."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from numpyro.infer import MCMC, NUTS

from benchmarks._row import Case, Peer, row
from scorax.choice import BradleyTerry, Davidson
from scorax.data import datasets
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
