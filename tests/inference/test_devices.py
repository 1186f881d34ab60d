"""Chains over devices and over processes draw what they draw on one device, to the last bit."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = os.path.join(os.path.dirname(__file__), "chains_on_devices.py")


def start(num_devices: int, *arguments: str) -> subprocess.Popen:
    flags = f"--xla_force_host_platform_device_count={num_devices}"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, SCRIPT, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen) -> None:
    try:
        output, _ = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, output


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


@pytest.fixture(scope="module")
def on_one_process(tmp_path_factory):
    out = str(tmp_path_factory.mktemp("devices") / "one.npz")
    finish(start(8, out))
    with np.load(out) as file:
        return dict(file)


@pytest.mark.slow
def test_any_number_of_devices(on_one_process):
    # Compared inside the process; here, that it was a real run.
    assert on_one_process["level"].shape == (4, 40, 3)
    assert np.unique(on_one_process["level"][:, 0, 0]).size == 4


@pytest.mark.slow
def test_two_processes(on_one_process, tmp_path):
    out, port = str(tmp_path / "two.npz"), free_port()
    processes = [start(2, out, str(i), port) for i in range(2)]
    for process in processes:
        finish(process)
    with np.load(out) as file:
        for name, x in on_one_process.items():
            np.testing.assert_array_equal(file[name], x, err_msg=name)
