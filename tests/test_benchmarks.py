import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import _measure, _report
from benchmarks._ceilings import Ceilings
from benchmarks._measure import Timing
from benchmarks._reference import bradley_terry_mle, win_matrix
from benchmarks._row import Case, Peer, Row

CEILINGS = Ceilings("a device", 1e9, {"float32": 2e9, "float64": 1e9})
QUICK = Timing(seconds=1.0, lower=0.98, upper=1.02, cpu_seconds=1.0, repeats=9)


def run(case, **settings):
    return _measure.measure(Row("a row", "a size", lambda: case, **settings), CEILINGS, budget=0.01)


def test_one_tiny_row_runs_and_is_written_and_compared(tmp_path, capsys):
    file = tmp_path / "run.json"
    assert benchmarks.main(["bradley_terry_fit 1e3", "--budget", "0.01", "--json", str(file)]) == 0
    (row,) = json.loads(file.read_text())["rows"]
    assert row["error"] < 1e-8
    assert row["timing"]["lower"] <= row["timing"]["seconds"] <= row["timing"]["upper"]
    capsys.readouterr()
    assert benchmarks.main(["bradley_terry_fit 1e3", "--budget", "0.01", "--compare", str(file)]) == 0
    assert "x  " in capsys.readouterr().out.splitlines()[-1]


def test_list_needs_no_ceilings_and_names_every_area(capsys):
    assert benchmarks.main(["--list"]) == 0
    shown = capsys.readouterr().out
    areas = (
        "bradley_terry_fit",
        "plackett_luce",
        "bootstrap",
        "import scorax",
        "nuts",
        "judge likelihood",
        "krippendorff_bootstrap",
        "denoising",
    )
    for name in areas:
        assert name in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["no such row"], "no row holds 'no such row'"), (["--compare", "absent.json"], "not a file that --json wrote")],
)
def test_bad_arguments(arguments, message, capsys):
    assert benchmarks.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_the_floor_is_the_slower_of_memory_and_arithmetic():
    by_bytes = run(Case(lambda: 0, bytes=1e9, flops=1e9))
    assert (by_bytes.floor, by_bytes.bound) == (1.0, "bytes")
    by_flops = run(Case(lambda: 0, bytes=1e9, flops=3e9, flop_dtype="float64"))
    assert (by_flops.floor, by_flops.bound) == (3.0, "flops")
    assert run(Case(lambda: 0)).floor is None


def test_peers_take_turns_and_scale_to_the_whole_work():
    calls = []
    case = Case(lambda: calls.append("own"), peers=[Peer("half", lambda: calls.append("peer"), times=2.0)])
    result = run(case)
    assert calls[:2] == ["own", "own"]  # the first call, and the one whose memory is measured
    assert calls[2:6] == ["own", "peer", "peer", "own"]  # a peer's first short run only warms it up
    assert result.peers[0].timing.repeats > 1


def test_what_another_process_timed_is_taken_at_its_word():
    result = run(Case(lambda: 3.0, peers=[Peer("twice", lambda: 6.0)], goals={"seconds": 2.0}, self_timed=True))
    assert result.timing.seconds == 3.0
    assert result.peers[0].ratio == 2.0
    assert "goal seconds <= 2: MISSED (3)" in _report.result_text(result, CEILINGS)


def test_an_absent_peer_is_said_to_be_absent():
    result = run(Case(lambda: 0, peers=[Peer("gone", None)], goals={"slower_than": 1.05}))
    text = _report.result_text(result, CEILINGS)
    assert "gone: peer not installed" in text
    assert "goal slower than <= 1.05: unknown" in text


def test_a_failing_row_fails_the_run_and_spares_the_others(monkeypatch, capsys):
    rows = (Row("bad", "", lambda: 1 / 0), Row("good", "", lambda: Case(lambda: 0)))
    monkeypatch.setattr("benchmarks._areas.rows", lambda: rows)
    assert benchmarks.main(["--budget", "0.01"]) == 1
    shown = capsys.readouterr()
    assert "bad : failed" in shown.out
    assert "ZeroDivisionError" in shown.err
    assert "\ngood" in shown.out


@pytest.mark.parametrize(
    ("factor", "spread", "expected"),
    [(1.5, 0.01, "slower"), (0.5, 0.01, "faster"), (1.03, 0.001, "same"), (1.5, 0.5, "same")],
)
def test_a_verdict_asks_for_more_than_noise(factor, spread, expected):
    now = dataclasses.replace(
        QUICK, seconds=factor, lower=factor * (1 - spread), upper=factor * (1 + spread), cpu_seconds=None
    )
    assert _report.verdict(now, QUICK) == expected


def test_reference_is_the_root_of_the_likelihood_equations():
    generator = np.random.default_rng(0)
    a = generator.integers(5, size=400)
    b = (a + generator.integers(1, 5, size=400)) % 5
    wins = win_matrix(a, b, generator.choice([0.0, 0.5, 1.0], size=400), 5)
    strength = bradley_terry_mle(wins)
    p = 1 / (1 + np.exp(strength[None, :] - strength[:, None]))
    # 400 terms of order one, each rounded at the precision of longdouble (a double on some systems).
    slack = 400 * float(np.finfo(np.longdouble).eps) + 400 * 1e-17
    assert np.abs(wins.sum(1) - ((wins + wins.T) * p).sum(1)).max() < slack
    assert abs(strength.sum()) < slack


@pytest.mark.slow
def test_cores_are_limited_before_jax_starts():
    command = [sys.executable, "-m", "benchmarks", "bradley_terry_fit 1e3", "--cores", "1", "--budget", "0.01"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert ", 1 core, " in shown.splitlines()[0]
