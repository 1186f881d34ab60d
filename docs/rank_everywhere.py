"""A posterior leaderboard on all devices of all hosts: copy it, and start it as `many_devices.md` says.

python rank_everywhere.py BATTLES OUT [CHAINS_PER_DEVICE]
"""

import sys

import jax

import scorax as sx
from scorax.choice import BradleyTerry, leaderboard


def main(battles: str, out: str, chains_per_device: int = 4) -> None:
    """Every process runs this; each moves the chains of its own devices, and the first one writes."""
    comparisons, models = sx.data.Comparisons.from_frame(sx.data.read_table(battles))
    posterior = sx.inference.sample(
        BradleyTerry.init(len(models)),
        comparisons,
        key=jax.random.key(0),
        num_chains=chains_per_device * jax.device_count(),
        mesh=jax.make_mesh((jax.device_count(),), ("chains",)),
        # Together on an accelerator. One after the other ("map") draws the same on any number of devices, bit for bit.
        chain_method="map" if jax.default_backend() == "cpu" else "vmap",
        checkpoint=f"{out}.run.npz",
        target_ess=2000,
        num_samples=5000,
    )
    if jax.process_index() == 0:
        posterior.save(f"{out}.npz")
        print(leaderboard(posterior, comparisons, names=models))


if __name__ == "__main__":
    # Once, before anything touches a device. Who is who comes from SLURM, Open MPI, Kubernetes or the TPU itself.
    jax.distributed.initialize()
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 4)
