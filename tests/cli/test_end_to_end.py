"""The command as people run it: a process of its own, a pipe, Ctrl-C."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from scorax.inference import run_state

COMMAND = [sys.executable, "-W", "error", "-m", "scorax.cli"]


def test_main_job(battles, tmp_path, environment):
    """From a file to a posterior leaderboard and its files, at small size."""
    out = tmp_path / "out"
    options = [
        "--draws",
        "50",
        "--warmup",
        "100",
        "--chains",
        "2",
        "--seed",
        "1",
        "--format",
        "json",
        "--out",
        str(out),
    ]
    done = subprocess.run(
        [*COMMAND, "rank", str(battles), *options], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    board = json.loads(done.stdout)
    assert [row["rank"] for row in board] == [1, 2, 3, 4]
    # The ladder is steep: the top and the bottom are never in doubt.
    assert (board[0]["item"], board[-1]["item"]) == ("dog", "ant")
    assert "Davidson, nuts" in done.stderr
    assert "100%" in done.stderr
    names = ["leaderboard.csv", "leaderboard.json", "leaderboard.png", "posterior.npz"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert json.loads((out / "leaderboard.json").read_text()) == board
    with np.load(out / "posterior.npz") as archive:
        assert any(archive[name].shape == (2, 50, 4) for name in archive.files)


@pytest.mark.slow
def test_quiet_keeps_standard_error_empty(battles, environment):
    done = subprocess.run(
        [*COMMAND, "rank", str(battles), "--quiet", "--draws", "20", "--warmup", "50", "--chains", "2"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 6


@pytest.mark.slow
def test_interrupt_while_sampling_keeps_what_was_drawn(battles, tmp_path, environment):
    run = tmp_path / "run.npz"
    process = subprocess.Popen(
        [
            *COMMAND[:1],
            *COMMAND[3:],
            "rank",
            str(battles),
            "--draws",
            "10000000",
            "--format",
            "json",
            "--resume",
            str(run),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stderr is not None
    while not process.stderr.readline().startswith("sampling"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: the posterior holds" in err
    assert "Traceback" not in err
    assert [row["rank"] for row in json.loads(out)] == [1, 2, 3, 4]
    # All that was reported is in the file, too.
    assert f"the same command goes on from {run}\n" in err
    assert f"holds {run_state(run).drawn} of 10000000 draws" in err


@pytest.mark.slow
def test_interrupt_before_the_first_draw_leaves_nothing(battles, tmp_path, environment):
    process = subprocess.Popen(
        [*COMMAND[:1], *COMMAND[3:], "rank", str(battles), "--warmup", "10000000", "--out", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stderr is not None
    process.stderr.readline()
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        # Python drops an interrupt that arrives inside a garbage collector's callback; people press again.
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.endswith("scorax: interrupted\n")
    assert not (tmp_path / "out").exists()


def test_a_reader_that_stops_early_is_no_error(battles, environment):
    shell = f"{sys.executable} -m scorax.cli rank {battles} --method mle --quiet | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode in (0, 141)
    assert done.stderr == ""
    assert done.stdout.startswith("rank")
