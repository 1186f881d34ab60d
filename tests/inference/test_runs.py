"""Runs that stop and go on: checkpoints, targets, time limits, interrupts, adaptation taken over."""

import os
import signal
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from scorax.inference import HMC, NUTS, Progress, effective_sample_size, iid_prior, rhat, sample
from scorax.inference._monitor import convergence
from tests.inference.compilations import compilations
from tests.inference.toys import Things, some_measurements

pytestmark = pytest.mark.engine

MODEL = Things.init(3)
DATA = some_measurements(0)
KEY = jax.random.key(0)
SETTINGS = {"num_warmup": 50, "num_chains": 2, "progress": False, "key": KEY}


class Killed(BaseException):
    pass


def killer(phase, at_least=0):
    """Progress that ends the run as nothing in the library expects, which saves nothing more."""

    def report(state: Progress) -> None:
        if state.phase == phase and state.done >= at_least:
            raise Killed

    return report


def assert_equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, (one.sites, one.stats), (other.sites, other.stats))
    jax.tree.map(np.testing.assert_array_equal, one.adaptation, other.adaptation)


@pytest.fixture(scope="module")
def whole():
    return sample(MODEL, DATA, num_samples=200, **SETTINGS)


@pytest.mark.parametrize("chain_method", ["map", "vmap"])
def test_goes_on_to_the_last_bit(tmp_path, chain_method, monkeypatch):
    arguments = {**SETTINGS, "chain_method": chain_method}
    straight = sample(MODEL, DATA, num_samples=120, **arguments)
    # Every chunk is written, and the run is killed in the warm-up, at its end, and among the draws.
    monkeypatch.setattr("scorax.inference._loop._SHARE", 1e9)
    path = tmp_path / "run.npz"
    for phase, at_least in (("warm-up", 10), ("warm-up", 50), ("sampling", 60), ("sampling", 100)):
        with pytest.raises(Killed):
            sample(MODEL, DATA, num_samples=120, checkpoint=path, **{**arguments, "progress": killer(phase, at_least)})
        assert path.exists()
    assert_equal(sample(MODEL, DATA, num_samples=120, checkpoint=path, **arguments), straight)
    with compilations() as count:
        again = sample(MODEL, DATA, num_samples=120, checkpoint=path, **arguments)
    assert_equal(again, straight)
    assert count[0] == 0


def test_more_and_fewer_draws(tmp_path, whole):
    path = tmp_path / "run.npz"
    half = sample(MODEL, DATA, num_samples=100, checkpoint=path, **SETTINGS)
    assert half.num_draws == 100
    assert_equal(sample(MODEL, DATA, num_samples=200, checkpoint=path, **SETTINGS), whole)
    fewer = sample(MODEL, DATA, num_samples=30, checkpoint=path, **SETTINGS)
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, y[:, :30]), fewer.sites, whole.sites)
    assert os.listdir(tmp_path) == ["run.npz"]


SCRIPT = """
import jax, sys
from scorax.inference import sample
from tests.inference.toys import Things, some_measurements
sample(Things.init(3), some_measurements(0), key=jax.random.key(0), num_warmup=50, num_chains=2,
       num_samples=int(sys.argv[2]), checkpoint=sys.argv[1], progress=lambda state: print(state.done, flush=True))
"""


def test_killed_process(tmp_path, whole):
    """Killed by the system amid writes of every chunk; what it left is whole, and leads to the same draws."""
    path = tmp_path / "run.npz"
    script = "import scorax.inference._loop as loop\nloop._SHARE, loop._SECONDS_PER_CHUNK = 1e9, 1e-9\n" + SCRIPT
    command = [sys.executable, "-c", textwrap.dedent(script), str(path), "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        for line in process.stdout:
            if int(line) >= 90:
                break
        process.send_signal(signal.SIGKILL)
    assert_equal(sample(MODEL, DATA, num_samples=200, checkpoint=path, **SETTINGS), whole)


def edited_prior():
    return iid_prior(MODEL, {"level": dist.Normal(0.0, 1.0)})()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"model": Things(jnp.ones(3)), "initial": Things(jnp.ones(3))}, "model and prior"),
        ({"prior": edited_prior}, "model and prior"),
        ({"data": some_measurements(1)}, "data"),
        ({"key": jax.random.key(1)}, "key"),
        ({"num_warmup": 60}, "num_warmup"),
        ({"num_chains": 3}, "num_chains"),
        ({"method": HMC()}, "kernel"),
        ({"method": NUTS(target_accept_prob=0.9)}, "kernel"),
    ],
)
def test_the_run_of_something_else_is_refused(tmp_path_factory, change, what):
    path = tmp_path_factory.getbasetemp() / "refused.npz"
    arguments = {"model": MODEL, "data": DATA, "num_samples": 10, "checkpoint": path, **SETTINGS}
    if not path.exists():
        sample(**arguments)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"differs in {what} .* there, .* now.*or delete this one to begin anew"):
        sample(**{**arguments, **change})
    assert path.read_bytes() == before


@pytest.mark.slow
def test_kernels_of_another_package_keep_its_version(tmp_path, monkeypatch):
    path, arguments = tmp_path / "run.npz", {**SETTINGS, "num_samples": 10, "method": "mclmc"}
    sample(MODEL, DATA, checkpoint=path, **arguments)
    monkeypatch.setattr("scorax.inference._sample.version", lambda package: "999")
    with pytest.raises(ValueError, match=r"differs in blackjax \(.* there, 999 now\)"):
        sample(MODEL, DATA, checkpoint=path, **arguments)


@pytest.mark.parametrize("method", ["laplace", "pathfinder", "svi"])
def test_what_is_for_chains_is_refused_elsewhere(tmp_path, method):
    with pytest.raises(ValueError, match=f"target_ess, checkpoint are for methods that run chains; '{method}' draws"):
        sample(MODEL, DATA, method=method, target_ess=100, checkpoint=tmp_path / "run.npz", **SETTINGS)
    assert not list(tmp_path.iterdir())


def test_another_version_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    sample(MODEL, DATA, num_samples=10, checkpoint=path, **SETTINGS)
    monkeypatch.setattr("scorax.__version__", "999")
    with pytest.raises(ValueError, match=r"differs in scorax \(.* there, 999 now\)"):
        sample(MODEL, DATA, num_samples=10, checkpoint=path, **SETTINGS)


@pytest.mark.parametrize("damage", [lambda b: b[:-50], lambda b: b"PK" + b[2:200], lambda b: b"not at all"])
def test_a_damaged_file_is_refused(tmp_path, damage):
    path = tmp_path / "run.npz"
    sample(MODEL, DATA, num_samples=10, checkpoint=path, **SETTINGS)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"run\.npz (is damaged|is no scorax run)"):
        sample(MODEL, DATA, num_samples=20, checkpoint=path, **SETTINGS)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, whole):
    path = tmp_path / "run.npz"
    sample(MODEL, DATA, num_samples=100, checkpoint=path, **SETTINGS)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.warns(UserWarning, match=r"run\.npz could not be written .*No space left.*draws are kept in memory"):
        kept = sample(MODEL, DATA, num_samples=200, checkpoint=path, **SETTINGS)
    assert_equal(kept, whole)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["run.npz"]
    assert_equal(sample(MODEL, DATA, num_samples=200, checkpoint=path, **SETTINGS), whole)


@pytest.mark.slow
def test_adaptation_takes_the_place_of_warming_up(whole):
    seen: list[Progress] = []
    arguments = {**SETTINGS, "num_warmup": 500, "progress": seen.append, "key": jax.random.key(5)}
    after = sample(MODEL, DATA, num_samples=200, adaptation=whole.adaptation, **arguments)
    assert {state.phase for state in seen} == {"compiling", "sampling", "done"}
    assert seen[-1].total == 200
    # Nothing adapts any more, so what was found is the same before and after.
    jax.tree.map(np.testing.assert_array_equal, after.adaptation, whole.adaptation)
    np.testing.assert_array_equal(after.stats["step_size"][:, 0], whole.adaptation["step_size"])
    dense = sample(MODEL, DATA, num_samples=20, method=NUTS(dense_mass=True), **SETTINGS)
    assert dense.adaptation["inverse_mass_matrix"].shape == (2, 4, 4)
    again = sample(MODEL, DATA, num_samples=20, method=NUTS(dense_mass=True), adaptation=dense.adaptation, **SETTINGS)
    jax.tree.map(np.testing.assert_array_equal, again.adaptation, dense.adaptation)


def test_stops_at_a_target(monkeypatch):
    # Looks at the draws must not be too dear for a busy machine: there might be none before the last draw.
    monkeypatch.setattr("scorax.inference._loop._SHARE", 1.0)
    arguments = {**SETTINGS, "num_warmup": 200, "num_samples": 20_000}
    posterior = sample(MODEL, DATA, target_ess=300, target_rhat=1.05, **arguments)
    assert posterior.num_draws < 20_000
    ess = min(float(effective_sample_size(x).min()) for x in posterior.sites.values())
    assert ess >= 299
    assert max(float(rhat(x).max()) for x in posterior.sites.values()) <= 1.05


def test_the_last_draws_are_looked_at_whatever_time_there_was(tmp_path, monkeypatch):
    """A target is missed only by draws that miss it: not for want of a look, nor because all came from a file."""
    monkeypatch.setattr("scorax.inference._loop._SHARE", -1.0)
    arguments = {**SETTINGS, "num_warmup": 200, "num_samples": 400, "target_ess": 50, "target_rhat": 1.1}
    path = tmp_path / "run.npz"
    for _ in range(2):
        assert sample(MODEL, DATA, checkpoint=path, **arguments).num_draws == 400
    with pytest.warns(UserWarning, match=r"size is \d+ \(of 100000\), the largest R-hat 1\.\d+"):
        sample(MODEL, DATA, checkpoint=path, **{**arguments, "target_ess": 100_000})


def test_a_target_out_of_reach_is_said_and_all_draws_are_kept():
    with pytest.warns(UserWarning, match=r"target was not reached in 60 draws.*\(of 100000\).*posterior\.check\(\)"):
        posterior = sample(MODEL, DATA, num_samples=60, target_ess=100_000, **SETTINGS)
    assert posterior.num_draws == 60


def test_time_limit(tmp_path, whole):
    path = tmp_path / "run.npz"
    with pytest.raises(TimeoutError, match=r"time limit of 0\.0 s passed after 10 of 50 warm-up.*keeps the run"):
        sample(MODEL, DATA, num_samples=200, time_limit=0.0, checkpoint=path, **SETTINGS)
    with pytest.warns(UserWarning, match=r"out of time: the posterior holds \d+ of 1000000 draws"):
        kept = sample(MODEL, DATA, num_samples=1_000_000, time_limit=2.0, checkpoint=path, **SETTINGS)
    shared = min(kept.num_draws, 200)
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x[:, :shared], y[:, :shared]), kept.sites, whole.sites)


@pytest.mark.skipif(signal.getsignal(signal.SIGINT) is not signal.default_int_handler, reason="Ctrl-C is handled")
def test_control_c_is_a_request_for_the_end():
    """Whenever it arrives: the chunk at work is finished, and its draws are kept."""

    def report(state: Progress) -> None:
        if state.phase == "sampling":
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.warns(UserWarning, match=r"interrupted: the posterior holds \d+ of 10000 draws"):
        posterior = sample(MODEL, DATA, num_samples=10_000, **{**SETTINGS, "progress": report})
    assert 0 < posterior.num_draws < 10_000
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("draws", [9, 50, *(pytest.param(n, marks=pytest.mark.slow) for n in (8, 401))])
def test_the_monitor_says_what_the_diagnostics_say(draws, x64):
    """To rounding: both are the same formulas, in other libraries' order of summation."""
    noise = jax.random.normal(jax.random.key(draws), (4, draws, 5))
    # Autocorrelated, tied (rounded), apart, and of another width.
    x = noise.at[..., 1].set(jnp.cumsum(noise[..., 1], 1)).at[..., 2].set(jnp.round(noise[..., 2], 1))
    x = x.at[..., 3].add(jnp.arange(4.0)[:, None]).at[..., 4].multiply(1 + jnp.arange(4.0)[:, None])
    for j in range(5):
        one = convergence(np.asarray(x[..., j : j + 1]))
        np.testing.assert_allclose(one.rhat, rhat(x[..., j]), rtol=1e-10)
        np.testing.assert_allclose(one.ess, effective_sample_size(x[..., j]), rtol=1e-10)
    every = convergence(np.asarray(x))
    np.testing.assert_allclose(every.rhat, rhat(x).max(), rtol=1e-10)
    np.testing.assert_allclose(every.ess, effective_sample_size(x).min(), rtol=1e-10)


def test_the_monitor_of_degenerate_draws():
    assert np.isnan(convergence(np.zeros((2, 5, 1)))).all()
    assert np.isnan(convergence(np.zeros((2, 50, 1)))).all()
    assert np.isnan(convergence(np.random.default_rng(0).normal(size=(1, 50, 1))).rhat)
    still = np.broadcast_to(np.arange(2.0)[:, None, None], (2, 50, 1))
    assert convergence(still).rhat > 1e6


IDENTITY = """
import numpyro.distributions as dist
from scorax.inference import iid_prior
from scorax.inference._run_file import _digest_of_program
from tests.inference.toys import Things
print(_digest_of_program(iid_prior(Things.init(3), {"level": dist.Normal(0.0, 1.0)})))
"""


def test_a_run_knows_its_prior_in_every_process():
    """NumPyro keeps some parts of a distribution in sets, whose order differs from process to process."""
    found = {
        subprocess.run(
            [sys.executable, "-c", IDENTITY],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1
