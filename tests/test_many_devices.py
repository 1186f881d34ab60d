"""The program of the page on many devices, as its readers start it: two processes, told who they are as by SLURM."""

import os
import pathlib
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from scorax.choice import BradleyTerry
from scorax.inference import Posterior

DOCS = pathlib.Path(__file__).parents[1] / "docs"
BATTLES = "model_a,model_b,winner\n" + "".join(
    f"{a},{b},{'model_a' if i % 3 else 'model_b'}\n"
    for i, (a, b) in enumerate([("ant", "bee"), ("bee", "cat"), ("cat", "ant"), ("ant", "cat")] * 6)
)


def start(folder: pathlib.Path, out: str, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(DOCS / "rank_everywhere.py"), str(folder / "battles.csv"), str(folder / out), "2"],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(processes: list[subprocess.Popen]) -> list[str]:
    try:
        outputs = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * len(processes), outputs
    return outputs


def slurm(process: int, processes: int, port: str) -> dict[str, str]:
    """What `srun` sets, on this host alone."""
    return {
        "SLURM_JOB_ID": "1",
        "SLURM_STEP_NODELIST": "127.0.0.1",
        "SLURM_NTASKS": str(processes),
        "SLURM_PROCID": str(process),
        "SLURM_LOCALID": "0",
        "JAX_COORDINATOR_PORT": port,
    }


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


@pytest.mark.slow
@pytest.mark.engine
def test_two_processes_rank_what_one_ranks(tmp_path):
    (tmp_path / "battles.csv").write_text(BATTLES)
    port = free_port()
    first, second = finish([start(tmp_path, "both", **slurm(i, 2, port)) for i in range(2)])
    # One process of one device, with half the chains.
    finish([start(tmp_path, "alone", **slurm(0, 1, free_port()))])
    assert "ant" in first
    assert "ant" not in second
    model = BradleyTerry.init(3)
    together, by_one = (Posterior.load(tmp_path / f"{name}.npz", like=model) for name in ("both", "alone"))
    assert together.sites["strength"].shape[0] == 4
    shared = by_one.num_draws if by_one.num_draws < together.num_draws else together.num_draws
    jax.tree.map(
        lambda x, y: np.testing.assert_array_equal(x[:2, :shared], y[:2, :shared]), together.sites, by_one.sites
    )


def test_the_page_names_the_program():
    page = (DOCS / "many_devices.md").read_text()
    assert "(rank_everywhere.py)" in page
    compile((DOCS / "rank_everywhere.py").read_text(), "rank_everywhere.py", "exec")
