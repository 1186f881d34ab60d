import os
import pathlib
import subprocess
import sys

import pytest

from tests.inference.models import CASES


@pytest.mark.parametrize("step", [8, pytest.param(1, marks=pytest.mark.slow)], ids=["some models", "all models"])
def test_rows_split_over_eight_devices_equal_the_whole(step):
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.inference.sharded", str(step)],
        cwd=pathlib.Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [*(f"{case} as a whole" for case in CASES[::step]), "fit as a whole"]
