"""`scorax doctor`: what is installed, what it runs on, and whether it computes what it should."""

import os
import platform
from importlib.util import find_spec
from typing import Annotated

import typer

_PACKAGES = ("jax", "jaxlib", "numpyro", "equinox", "optimistix", "diffrax", "narwhals")
_EXTRAS = {"cli": ("typer", "rich", "polars"), "plot": ("matplotlib", "arviz")}
# Newton's method on three items in double precision: rounding, with room to spare.
_TOLERANCE = 1e-10


def doctor(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> int:
    """Say what scorax runs on and check that it computes what it should.

    Prints versions, devices, floating-point width, the folder of compiled programs and the extras that are installed;
    then fits comparisons whose answer is known in closed form.
    """
    from scorax.cli._output import print_table
    from scorax.cli._session import computing

    with computing(quiet=True):
        error = _self_check()
        verdict = f"ok (error {error:.0e})" if error < _TOLERANCE else f"FAILED (error {error:.0e})"
        body = [*_versions(), *_machine(), *_extras(), ["self-check", verdict]]
    print_table(["", "found"], body, left=(0, 1))
    return 0 if error < _TOLERANCE else 1


def _versions() -> list[list[str]]:
    found = [["python", platform.python_version()], ["scorax", _version("scorax")]]
    return found + [[name, _version(name)] for name in _PACKAGES]


def _machine() -> list[list[str]]:
    import jax
    import jax.numpy as jnp

    from scorax.cli._session import compiled_programs

    devices = [f"{device.platform}:{device.id} ({device.device_kind})" for device in jax.devices()]
    return [
        ["devices", ", ".join(devices)],
        ["cores", str(os.cpu_count())],
        ["float width", f"{jnp.result_type(float)} for this command; the library takes JAX's own default"],
        [
            "compiled programs",
            compiled_programs() or "not kept: the cache folder cannot be written",
        ],
    ]


def _extras() -> list[list[str]]:
    rows = []
    for extra, packages in _EXTRAS.items():
        missing = [name for name in packages if find_spec(name) is None]
        present = ", ".join(f"{name} {_version(name)}" for name in packages if name not in missing)
        mend = f"no {', '.join(missing)}: pip install 'scorax[{extra}]'"
        rows.append([f"extra {extra}", mend if missing else present])
    return rows


def _version(package: str) -> str:
    # Half of what `scorax --help` would take, were it imported above.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _self_check() -> float:
    """Largest error of the fit to three items that won exactly as often as known strengths say."""
    import jax.numpy as jnp
    import numpy as np

    from scorax.choice import BradleyTerry
    from scorax.data import Comparisons
    from scorax.inference import fit

    strength = np.array([np.log(4.0), 0.0, -np.log(4.0)])
    a, b = np.array([0, 0, 1]), np.array([1, 2, 2])
    outcome = 1 / (1 + np.exp(strength[b] - strength[a]))
    found = fit(BradleyTerry.init(3), Comparisons.from_arrays(a, b, outcome)).model.strength
    return float(jnp.abs(found - jnp.asarray(strength)).max())
