import os
import pathlib
import subprocess
import sys

from tests.inference.models import CASES


def test_rows_split_over_eight_devices_equal_the_whole():
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.inference.sharded"],
        cwd=pathlib.Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [*(f"{case} as a whole" for case in CASES), "fit as a whole"]
