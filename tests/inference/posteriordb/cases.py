"""The posteriors: model, data, and how the reference calls what the model draws."""

import dataclasses
import json
import pathlib
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from tests.inference.posteriordb.models import (
    AutoRegression,
    EightSchools,
    Estimates,
    Independent,
    KidScore,
    Kilpisjarvi,
    Mesquite,
    Mixture,
    Numbers,
    Table,
)

ORACLE = json.loads((pathlib.Path(__file__).parents[2] / "oracles/inference/posteriordb.json").read_text())[
    "posteriors"
]


@dataclasses.dataclass(frozen=True)
class Case:
    """How to make the model and its data."""

    name: str
    make: Callable[[dict[str, Any]], tuple[Any, Any]]
    """From the data of the reference to model and data."""
    names: dict[str, tuple[str, ...]]
    """Of each quantity that the model draws, the reference's names of its numbers."""

    def __str__(self) -> str:
        return self.name

    @property
    def model_and_data(self) -> tuple[Any, Any]:
        """In JAX's default precision."""
        return self.make(ORACLE[self.name]["data"])

    def reference(self, quantity: str) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard deviations, in the order of the quantity's numbers."""
        rows = [ORACLE[self.name]["reference"][name] for name in self.names[quantity]]
        return np.array([row["mean"] for row in rows]), np.array([row["sd"] for row in rows])


def numbered(name: str, n: int) -> tuple[str, ...]:
    return tuple(f"{name}[{i + 1}]" for i in range(n))


def linear(model: type, p: int) -> Any:
    return model(jnp.zeros(p), jnp.ones(()))


def lagged(y: list[float], order: int) -> Table:
    """Each number and those before it, the nearest first."""
    n = len(y)
    return Table.of(1.0, *(y[order - lag : n - lag] for lag in range(1, order + 1)), y=y[order:])


def log_volume(data: dict[str, Any]) -> np.ndarray:
    return np.log(np.asarray(data["diam1"]) * np.asarray(data["diam2"]) * np.asarray(data["canopy_height"]))


CASES = [
    Case(
        "eight_schools-eight_schools_noncentered",
        lambda data: (EightSchools(jnp.zeros(8)), Estimates.of(data["y"], data["sigma"])),
        {"effect": numbered("theta", 8), "mu": ("mu",), "tau": ("tau",)},
    ),
    Case(
        "low_dim_gauss_mix-low_dim_gauss_mix",
        lambda data: (Mixture(jnp.asarray([-1.0, 1.0]), jnp.ones(2), jnp.asarray(0.5)), Numbers.of(data["y"])),
        {"mean": numbered("mu", 2), "scale": numbered("sigma", 2), "first": ("theta",)},
    ),
    Case(
        "kidiq-kidscore_momiq",
        lambda data: (linear(KidScore, 2), Table.of(1.0, data["mom_iq"], y=data["kid_score"])),
        {"coefficient": numbered("beta", 2), "noise": ("sigma",)},
    ),
    Case(
        "mesquite-logmesquite_logvolume",
        lambda data: (linear(Mesquite, 2), Table.of(1.0, log_volume(data), y=np.log(data["weight"]))),
        {"coefficient": numbered("beta", 2), "noise": ("sigma",)},
    ),
    Case(
        "sblri-blr",
        lambda data: (linear(Independent, 5), Table.of(*np.transpose(data["X"]), y=data["y"])),
        {"coefficient": numbered("beta", 5), "noise": ("sigma",)},
    ),
    Case(
        "arK-arK",
        lambda data: (linear(AutoRegression, 6), lagged(data["y"], 5)),
        {"coefficient": ("alpha", *numbered("beta", 5)), "noise": ("sigma",)},
    ),
    Case(
        "kilpisjarvi_mod-kilpisjarvi",
        lambda data: (linear(Kilpisjarvi, 2), Table.of(1.0, data["x"], y=data["y"])),
        {"coefficient": ("alpha", "beta"), "noise": ("sigma",)},
    ),
]
