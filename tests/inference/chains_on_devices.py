"""Run by `test_devices.py` in processes of its own: the same chains on other numbers of devices, and of processes.

python chains_on_devices.py OUT                        eight virtual devices of one process
python chains_on_devices.py OUT PROCESS PORT           two devices of each of two processes
"""

import sys

import jax
import numpy as np

from scorax.inference import sample
from tests.inference.toys import Things, some_measurements

CHAINS = 4
SETTINGS = {"num_warmup": 60, "num_samples": 40, "num_chains": CHAINS, "progress": False}


def draws(num_devices: int | None, **arguments) -> dict[str, np.ndarray]:
    mesh = None if num_devices is None else jax.make_mesh((num_devices,), ("chains",))
    posterior = sample(
        Things.init(3), some_measurements(0), key=jax.random.key(0), mesh=mesh, **{**SETTINGS, **arguments}
    )
    return {name: np.asarray(x) for name, x in {**posterior.sites, **posterior.stats}.items()}


def one_process(out: str) -> None:
    assert jax.device_count() == 8
    found = {name: draws(n) for name, n in (("none", None), ("one", 1), ("two", 2), ("eight", 8))}
    odd = draws(2, num_chains=3)
    for name, other in found.items():
        for site, x in other.items():
            np.testing.assert_array_equal(x, found["none"][site], err_msg=f"{name}: {site}")
    for site, x in odd.items():
        np.testing.assert_array_equal(x, found["none"][site][:3], err_msg=f"three chains on two devices: {site}")
    np.savez(out, **found["none"])


def two_processes(out: str, process: int, port: str) -> None:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=process)
    assert jax.device_count() == 4
    assert jax.local_device_count() == 2
    # A run that is kept in a file, and taken up again by both.
    file = f"{out}.run.npz"
    draws(4, num_samples=25, checkpoint=file)
    found = draws(4, checkpoint=file)
    if process == 0:
        np.savez(out, **found)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        one_process(sys.argv[1])
    else:
        two_processes(sys.argv[1], int(sys.argv[2]), sys.argv[3])
