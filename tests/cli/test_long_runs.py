"""Options of long runs: which chains, until when, kept where, on which devices."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import time
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import BradleyTerry as Model
from scorax.cli import _chains, main
from scorax.cli._options import Kernel
from scorax.cli._sampling import sampling
from scorax.cli._session import _with_names, verdict
from scorax.cli._words import in_words_of_the_shell
from scorax.inference import Posterior, run_state
from scorax.inference._sample import _method
from tests.cli.conftest import battles_csv
from tests.cli.test_end_to_end import COMMAND

pytestmark = pytest.mark.engine

# The same shapes in all tests, so that one set of compiled programs does for them.
SMALL = ["--warmup", "40", "--chains", "2", "--format", "json"]
KERNELS = {
    Kernel.NUTS: "NUTS",
    Kernel.AUTO: "NUTS",
    Kernel.LAPLACE_METROPOLIS: "LaplaceMetropolis",
    Kernel.HMC: "HMC",
    Kernel.CHEES: "ChEES",
    Kernel.MCLMC: "MCLMC",
    Kernel.ADJUSTED_MCLMC: "AdjustedMCLMC",
    Kernel.MEADS: "MEADS",
}


class Kept:
    """A run of 20 draws in a file, and where its data are."""

    def __init__(self, folder):
        self.battles, self.run = folder / "battles.csv", folder / "run.npz"
        self.battles.write_text(battles_csv(np.random.default_rng(0)))
        board(self.battles, "--draws", 20, "--resume", self.run)

    def copy(self, folder):
        return shutil.copy(self.run, folder / "run.npz")


def board(file, *options, command="rank"):
    """What a run on these options prints, outside of any test's capture."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main([command, str(file), *SMALL, "--quiet", *map(str, options)]) == 0
    return json.loads(out.getvalue())


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return Kept(tmp_path_factory.mktemp("kept"))


@pytest.fixture
def asked(monkeypatch):
    """What `sample` is called with; it goes no further."""
    arguments = {}

    def sample(model, data, **given):
        arguments.update(given)
        raise ValueError("seen enough")

    monkeypatch.setattr(_chains, "sample", sample)
    return arguments


@pytest.mark.parametrize("kernel", Kernel)
def test_every_kernel_is_what_its_name_says(scorax, battles, asked, kernel):
    assert "seen enough" in scorax("rank", battles, "--kernel", kernel).err
    assert str(_method(asked["method"])).startswith(f"{KERNELS[kernel]}(")


@pytest.mark.parametrize("command", ["rank", "judge"])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"method": "nuts", "num_samples": 500, "num_warmup": 500, "num_chains": 4, "target_ess": None,
              "time_limit": None, "checkpoint": None, "mesh": None}),
        (["--target-ess", "7"], {"target_ess": 7, "num_samples": 10_000}),
        (["--target-ess", "7", "--draws", "9"], {"target_ess": 7, "num_samples": 9}),
        (["--method", "nuts", "--kernel", "nuts", "--devices", "1"], {"method": "nuts", "mesh": None}),
        (["--time-limit", "90"], {"time_limit": 90.0, "num_samples": 500}),
        (["--time-limit", "1.5s"], {"time_limit": 1.5}),
        (["--time-limit", "10M"], {"time_limit": 600.0}),
        (["--time-limit", "1h30m"], {"time_limit": 5400.0}),
        (["--time-limit", "2d"], {"time_limit": 172_800.0}),
    ],
)  # fmt: skip
def test_options_arrive(scorax, battles, ratings, asked, command, options, expected):
    scorax(command, battles if command == "rank" else ratings, *options)
    assert {name: asked[name] for name in expected} == expected


@pytest.mark.parametrize("command", ["rank", "judge"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--kernel", "magic"], ["'magic' is not one of 'nuts', 'auto', 'laplace-metropolis'"]),
        (["--method", "nuts", "--kernel", "chees"], ["--method nuts and --kernel chees", "Drop --method nuts"]),
        (["--method", "map", "--kernel", "nuts"], ["--kernel is for Markov chains", "--method map runs none"]),
        (["--method", "map", "--resume", "x.npz"], ["--resume is for Markov chains"]),
        (["--method", "map", "--target-ess", "9"], ["--target-ess is for Markov chains"]),
        (["--method", "map", "--time-limit", "9"], ["--time-limit is for Markov chains"]),
        (["--method", "map", "--devices", "1"], ["--devices is for Markov chains", "Drop one of the two"]),
        *((["--target-ess", value], ["--target-ess"]) for value in ("0", "-1", "nan", "many", "")),
        *((["--time-limit", value], ["is no time", "90s, 10m, 2h"]) for value in ("soon", "nan", "inf", "-1", "5x")),
        *((["--time-limit", value], ["leaves no time"]) for value in ("0", "0s", "0h0m")),
        *((["--devices", value], ["--devices"]) for value in ("0", "-1", "nan", "all")),
        (["--devices", "5"], ["more than there are chains (4)", "--chains 5, or --devices 4"]),
        (["--resume", "r/posterior.npz", "--out", "r"], ["where the posterior will be written", "r/run.npz"]),
    ],
)  # fmt: skip
def test_nonsense_is_refused_before_any_work(scorax, command, options, words):
    # There is no such file: nobody has looked.
    status, out, err = scorax(command, "none.csv", *options)
    assert (status, out) == (2, "")
    assert err.startswith("scorax: ")
    assert [word for word in words if word not in err] == []


@pytest.mark.parametrize("method", ["mle", "laplace", "pathfinder", "svi"])
def test_methods_of_rank_without_chains(scorax, method):
    err = scorax("rank", "none.csv", "--method", method, "--kernel", "chees").err
    assert err == f"scorax: --kernel is for Markov chains, and --method {method} runs none. Drop one of the two.\n"


def test_a_map_by_its_prior_has_no_chains(scorax):
    err = scorax("rank", "none.csv", "--prior-precision", "2", "--time-limit", "9").err
    assert "--time-limit is for Markov chains, and the map that --prior-precision asks for runs none" in err


def test_goes_on_to_the_same_leaderboard(scorax, kept, tmp_path):
    run = kept.copy(tmp_path)
    status, out, err = scorax("rank", kept.battles, *SMALL, "--draws", 40, "--resume", run)
    assert status == 0
    assert f"going on from {run}: 20 of 40 draws of each chain\n" in err
    assert json.loads(out) == board(kept.battles, "--draws", 40)
    # All is there already, and more than is asked for.
    assert json.loads(out) == board(kept.battles, "--draws", 40, "--resume", run)
    status, out, err = scorax("rank", kept.battles, *SMALL, "--draws", 30, "--resume", run)
    assert f"going on from {run}: 30 of 30 draws of each chain\n" in err
    assert json.loads(out) == board(kept.battles, "--draws", 30)


def test_a_new_file_is_announced(scorax, kept, tmp_path):
    err = scorax("rank", kept.battles, *SMALL, "--draws", 20, "--out", tmp_path / "out", "--no-plot",
                 "--resume", tmp_path / "out" / "run.npz").err  # fmt: skip
    assert f"keeping the run in {tmp_path / 'out' / 'run.npz'}\n" in err
    assert (tmp_path / "out" / "run.npz").exists()
    assert (tmp_path / "out" / "posterior.npz").exists()


def other_votes(kept, folder):
    votes = folder / "other.csv"
    votes.write_text(kept.battles.read_text() + "ant,bee,model_a\n")
    return votes


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        (["--seed", "1"], "--seed"),
        (["--ties", "rao-kupper"], "model and prior"),
        (["--warmup", "50"], "--warmup (40 there, 50 now)"),
        (["--chains", "3"], "--chains (2 there, 3 now)"),
        (["--kernel", "hmc"], "--kernel (NUTS() there, HMC() now)"),
        (["--kernel", "chees"], "--kernel (NUTS() there, ChEES() now)"),
        (None, "data"),
    ],
)
def test_the_run_of_something_else_is_refused_and_left_alone(scorax, kept, tmp_path, options, difference):
    run = kept.copy(tmp_path)
    file, options = (other_votes(kept, tmp_path), []) if options is None else (kept.battles, options)
    status, out, err = scorax("rank", file, *SMALL, *options, "--draws", 40, "--resume", run)
    assert (status, out) == (2, "")
    assert err.splitlines()[-1] == (
        f"scorax: {run} holds a run that this call does not continue: it differs in {difference}. Name another file, "
        "or delete this one to begin anew."
    )
    assert run.read_bytes() == kept.run.read_bytes()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda whole: whole[:-50], "is damaged or was cut short: File is not a zip file. Name another file with "
                                    "--resume, or delete this one to begin anew."),
        (lambda whole: b"model_a,model_b,winner\n", "is no scorax run, or was cut short. Name another file with "
                                                    "--resume."),
        (lambda whole: b"", "Name another file with --resume"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_run_is_refused_and_left_alone(scorax, kept, tmp_path, damage, words):
    run = tmp_path / "run.npz"
    run.write_bytes(damage(kept.run.read_bytes()))
    before = run.read_bytes()
    status, out, err = scorax("rank", kept.battles, *SMALL, "--resume", run)
    assert (status, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"scorax: {run} ")
    assert words in err
    assert run.read_bytes() == before


def test_a_posterior_is_no_run(scorax, kept, tmp_path):
    board(kept.battles, "--draws", 20, "--out", tmp_path, "--no-plot")
    err = scorax("rank", kept.battles, *SMALL, "--resume", tmp_path / "posterior.npz").err
    assert "posterior.npz is no scorax run" in err


def test_places_where_no_run_can_be_kept(scorax, kept, tmp_path):
    (tmp_path / "file").write_text("")
    places = {
        tmp_path / "none" / "run.npz": "No such file or directory",
        tmp_path / "file" / "run.npz": "Not a directory",
        tmp_path: "Is a directory",
    }
    if os.geteuid():
        (tmp_path / "mine").mkdir(mode=0o500)
        places[tmp_path / "mine" / "run.npz"] = "Permission denied"
    for place, reason in places.items():
        status, out, err = scorax("rank", kept.battles, *SMALL, "--resume", place)
        assert (status, out) == (2, "")
        assert err.splitlines()[-1] == (
            f"scorax: cannot keep the run in {str(place)!r}: {reason}. Name another with --resume."
        )


def test_a_full_disk_is_found_before_sampling(scorax, kept, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    status, out, err = scorax("rank", kept.battles, *SMALL, "--draws", 20, "--resume", tmp_path / "run.npz")
    assert (status, out) == (2, "")
    assert f"cannot keep the run in {str(tmp_path / 'run.npz')!r}: No space left on device" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("default")
def test_a_time_limit_that_cuts_reports_what_was_drawn(scorax, kept, tmp_path):
    # There are draws in the file, so that there is something to report however soon the time is up.
    run, many = kept.copy(tmp_path), ["--draws", 1_000_000, "--time-limit", "0.01s"]
    status, out, err = scorax("rank", kept.battles, *SMALL, *many, "--resume", run)
    assert status == 0
    assert len(json.loads(out)) == 4
    assert "scorax: out of time: the posterior holds " in err
    assert f"the same command goes on from {run}\n" in err
    # Some 30 draws of each of two chains are worth fewer than the hundred a chain that are asked for.
    assert "Raise --time-limit." in err
    assert "num_samples" not in err


def test_a_time_limit_before_the_first_draw(scorax, battles, tmp_path):
    status, out, err = scorax("rank", battles, *SMALL, "--time-limit", "0.001")
    assert (status, out) == (2, "")
    assert "the time limit of 0.001 s passed after 10 of 40 warm-up steps, before the first draw. Give it more" in err
    status, out, err = scorax("rank", battles, *SMALL, "--time-limit", "0.001", "--resume", tmp_path / "r.npz")
    assert (status, out) == (2, "")
    assert "r.npz keeps the run: call again to go on." in err
    status, out, err = scorax("rank", battles, *SMALL, "--draws", 20, "--resume", tmp_path / "r.npz")
    assert f"going on from {tmp_path / 'r.npz'}: in the warm-up, 10 of 40 steps\n" in err
    assert json.loads(out) == board(battles, "--draws", 20)


def test_a_target_stops_when_it_is_reached(scorax, battles):
    """Four items: effective draws are about as many as draws, and R-hat falls below 1.01 long before 10 000."""
    status, out, err = scorax("rank", battles, *SMALL, "--target-ess", 50)
    assert status == 0
    assert len(json.loads(out)) == 4
    assert "the target was reached with " in err
    drawn = int(err.partition("the target was reached with ")[2].split()[0])
    assert 50 / 2 <= drawn < 10_000


@pytest.mark.filterwarnings("default")
def test_a_target_that_is_missed_is_said(scorax, kept):
    status, out, err = scorax("rank", kept.battles, *SMALL, "--draws", 20, "--target-ess", 100_000)
    assert status == 0
    assert json.loads(out) == board(kept.battles, "--draws", 20)
    assert "scorax: the target was not reached in 20 draws of each chain: " in err
    assert "(of 1.01). All draws are kept.\n" in err
    assert "Raise --draws, about " in err
    assert "posterior.check" not in err


def test_an_interrupt_before_the_first_draw_names_the_file(scorax, kept, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(_chains, "sample", interrupted)
    run = kept.copy(tmp_path)
    status, out, err = scorax("rank", kept.battles, *SMALL, "--resume", run)
    assert (status, out) == (130, "")
    assert err.endswith(f"\nscorax: interrupted; the same command goes on from {run}\n")
    assert scorax("rank", kept.battles, *SMALL).err.endswith("\nscorax: interrupted\n")


def drawn(run, at_least):
    """Draws in the file, once there are so many."""
    for _ in range(600):
        time.sleep(0.1)
        if run.exists():
            found = run_state(run).drawn
            if found >= at_least:
                return found
    raise TimeoutError


@pytest.mark.slow
def test_killed_twice_then_finished(kept, tmp_path, environment):
    """`kill -9` of one command, and again; the third one ends where an undisturbed run does, bit for bit."""
    run = tmp_path / "run.npz"
    command = [*COMMAND[:1], *COMMAND[3:], "rank", str(kept.battles), *SMALL, "--resume", str(run), "--draws"]

    def start(draws=10_000_000):
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([*command, str(draws)], env=environment, **streams)

    process = start()
    first = drawn(run, 1)
    process.kill()
    process.communicate(timeout=60)
    first = drawn(run, first)
    process = start()
    second = drawn(run, first + 1)
    process.kill()
    _, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert f"going on from {run}: {first} of 10000000 draws of each chain\n" in err
    # It may have gone on for a while after the second look.
    total = drawn(run, second) + 20
    out, err = start(total).communicate(timeout=60)
    assert f"going on from {run}: {total - 20} of {total} draws of each chain\n" in err
    assert json.loads(out) == board(kept.battles, "--draws", total)


@pytest.mark.slow
def test_two_devices_draw_what_one_does(kept, tmp_path, environment):
    command = [*COMMAND, "rank", str(kept.battles), *SMALL, "--draws", "20", "--devices", "2", "--debug"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == board(kept.battles, "--draws", 20)


def test_more_devices_than_there_are(scorax, kept, monkeypatch):
    """JAX has started in this process, so that no more can be made of its processor."""
    there = jax.device_count()
    options = ["--devices", there + 1, "--chains", there + 1]
    status, out, err = scorax("rank", kept.battles, *options)
    assert (status, out) == (2, "")
    assert f"Set XLA_FLAGS=--xla_force_host_platform_device_count={there + 1} before it starts." in err
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    err = scorax("rank", kept.battles, *options).err
    assert f"Give --devices {there}, or set JAX_PLATFORMS=cpu" in err


def test_judge_has_no_approximation_to_propose_from(scorax, ratings):
    run = scorax("judge", ratings, *SMALL, "--monotone", "lowest", "--kernel", "laplace-metropolis")
    assert run.status == 2
    assert run.err.endswith(
        "scorax: There is no Laplace approximation under this prior to propose from: use --kernel nuts.\n"
    )


@pytest.mark.parametrize(
    ("method", "name"), [("NUTS()", "nuts"), ("LaplaceMetropolis(max_steps=4)", "laplace-metropolis")]
)
def test_auto_says_what_it_chose(monkeypatch, capsys, method, name):
    asked = {"warmup": 500, "draws": None, "chains": 4, "seed": 0, "target_ess": None, "time_limit": None}
    rest = {"resume": None, "devices": None, "out": None, "quiet": False}
    found = types.SimpleNamespace(method=method, num_draws=500)
    monkeypatch.setattr(_chains, "sample", lambda *_, **__: found)
    drawn = _chains.draw(Model.init(2), None, sampling(None, kernel=Kernel.AUTO, **asked, **rest))
    assert drawn == (found, "done")
    assert capsys.readouterr().err == f"auto chose {name}\n"


def test_verdicts_advise_what_the_shell_has(capsys):
    """Everything that the library can find fault with, in draws made for it; no argument of a function is named."""
    n = 2000
    still = np.concatenate([np.zeros((1, n, 1)), np.cumsum(np.ones((1, n, 1)), 1)])
    stats = {
        "log_density": np.zeros((2, n)),
        "diverging": np.ones((2, n), bool),
        "num_steps": np.full((2, n), 1023),
        "energy": np.cumsum(np.ones((2, n)), 1),
        "pareto_k": np.ones((2, n)),
        "importance_ess": np.ones((2, n)),
    }
    drift = np.stack([np.arange(n), np.arange(n)[::-1]])[..., None] + np.zeros(2)
    sites = {"strength": jnp.asarray(drift), "stuck": jnp.asarray(still)}
    doubtful = Posterior(None, None, sites, {name: jnp.asarray(x) for name, x in stats.items()})
    found = {problem.check for problem in doubtful.check().problems}
    assert found == {"stuck", "rhat", "ess", "divergences", "tree_depth", "bfmi", "pareto_k", "importance_ess"}
    said = {}
    for ended in ("done", "target", "out of time", "interrupted"):
        assert verdict(doubtful, ended, names=["ant", "bee"], quiet=False) == (130 if ended == "interrupted" else 0)
        said[ended] = capsys.readouterr().err
        assert len(said[ended].splitlines()) == len(found)
        assert re.findall(r"method=|num_\w+|initial=|strength\[", said[ended]) == []
    assert "Raise --draws, about" in said["done"]
    assert "Raise --warmup and --draws" in said["done"]
    assert "Use --method nuts." in said["done"]
    assert said["target"].count("Raise --target-ess.") == 2
    assert said["out of time"].count("Raise --time-limit.") == 2
    assert verdict(doubtful, "done", quiet=True) == 0
    assert capsys.readouterr().err == ""


def test_what_follows_from_another_kernel_is_not_named():
    """As the library says it of a run of NUTS that is to go on with blackjax' chains, at a mode, moved together."""
    found = in_words_of_the_shell(
        "it differs in precondition (848e062d there, bfab6c7c now), kernel (NUTS() there, MCLMC(a=(1, 2)) now), "
        "num_warmup (5 there, 6 now), chain_method (map there, vmap now), blackjax (None there, 1.7 now). Name"
    )
    assert found == "it differs in --kernel (NUTS() there, MCLMC(a=(1, 2)) now), --warmup (5 there, 6 now). Name"
    assert in_words_of_the_shell("differs in chain_method (vmap there, map now). ") == "differs in --devices. "


def test_verdicts_speak_of_items_by_name():
    assert _with_names("worst: strength[1], R-hat 1.2", ["ant", "bee"]) == "worst: bee, R-hat 1.2"
    assert _with_names("worst: strength[1]", None) == "worst: strength[1]"


@pytest.mark.slow
@pytest.mark.parametrize("kernel", Kernel)
def test_every_kernel_finds_the_ladder(scorax, battles, kernel):
    status, out, err = scorax("rank", battles, "--kernel", kernel, "--chains", 16, "--draws", 200, "--format", "json")
    assert status == 0
    assert ("auto chose " in err) == (kernel == Kernel.AUTO)
    # The ladder is steep: the top and the bottom are never in doubt.
    rows = json.loads(out)
    assert (rows[0]["item"], rows[-1]["item"]) == ("dog", "ant")
