"""What the command line says about itself, and how fast."""

import subprocess
import sys

import pytest

import scorax as sx
from scorax.cli._aggregate import Rule
from scorax.cli._elo import System
from scorax.cli._judge_assumptions import Constancy, Judges, Monotone
from scorax.cli._options import Kernel
from scorax.cli._rank import Method, Model, OnDisconnected, Ties

# Options of both that sample, and words that their help must not lack.
LONG_RUNS = [
    *("--kernel", "--target-ess", "--time-limit", "--resume", "--devices"),
    *(kernel.value for kernel in Kernel),
    *("with --target-ess 10000", "R-hat", "90s, 10m or 2h", "to the last bit", "accelerators"),
]


def test_version(scorax):
    assert scorax("--version") == (0, f"scorax {sx.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ["rank", "elo", "aggregate", "judge", "agree", "debias", "data", "doctor", "Examples", "Exit status"]),
        (
            ("rank",),
            ["--method", "--ties", "--scale", "--level", "--seed", "--format", "--out", "--no-plot", "--quiet",
             "--debug", "--item-a-column", "--item-b-column", "--outcome-column", "--weight-column",
             "--prior-precision", "--on-disconnected", "--features", "--order-column", "--cluster", "--judge-column",
             "--bootstrap", "--influence", "--scores", "--lower-is-better", "--sample-column", "--draws",
             *(word.value for words in (Model, Method, Ties, OnDisconnected) for word in words),
             "--warmup", "--chains", *LONG_RUNS, "Examples", "Exit status", "standard input"],
        ),
        (("judge",), ["--levels", "--candidate-column", "--judge-column", "--item-column", "--label-column",
                      "--gold-column", "--monotone", "--method", "--constancy", "--candidate-sd", "--sensitivity",
                      "--judges", "--item-effects", "--own-family", "--stratum-column", "report.html",
                      *(word.value for words in (Monotone, Judges, Constancy) for word in words),
                      *LONG_RUNS, "Examples", "Exit status"]),
        (("elo",), ["--system", "--k", "--permutations", "--time-column", "--item-a-column", "--outcome-value",
                    "--level", "--seed", "--format", *(word.value for word in System), "Examples", "Exit status"]),
        (("aggregate",), ["--method", "--ranks", "--ranking-column", "--item-a-column", "--weight-column", "--format",
                          *(word.value for word in Rule), "Examples", "Exit status"]),
        (("agree",), ["--metric", "--levels", "--repeats", "--bootstrap", "--wide", "--judges", "--format", "Examples",
                      "Exit status"]),
        (("debias",), ["--power", "--levels", "--gold-column", "--candidate-column", "--format", "Examples",
                       "Exit status"]),
        (("data",), ["list", "show", "export"]),
        (("doctor",), ["Exit status"]),
    ],
)  # fmt: skip
def test_help_reads_like_a_manual(scorax, monkeypatch, arguments, words):
    # Wide enough for no phrase to be broken.
    monkeypatch.setenv("COLUMNS", "1000")
    status, out, err = scorax(*arguments, "--help")
    assert (status, err) == (0, "")
    assert [word for word in words if word not in out] == []


@pytest.mark.parametrize("arguments", [(), ("data",)])
def test_no_command_prints_the_manual(scorax, arguments):
    status, out, err = scorax(*arguments)
    assert status == 2
    assert "Usage" in out + err
    assert "scorax: " not in err


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from scorax.cli import main; main(['rank', '--help'])\n"
        "print([name for name in ('jax', 'numpy', 'narwhals', 'polars', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_without_the_extra_one_line_says_what_to_install():
    code = "import sys; sys.modules['typer'] = None; from scorax.cli import main; sys.exit(main(['--help']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "scorax: typer is missing; the command line needs: pip install 'scorax[cli]'\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("rank",), "Missing argument 'FILE'"),
        (
            ("rank", "x.csv", "--method", "magic"),
            "'magic' is not one of 'mle', 'map', 'laplace', 'pathfinder', 'svi', 'nuts'",
        ),
        (("rank", "x.csv", "--level", "95"), "--level must lie between 0 and 1, such as 0.95, not 95"),
        (("rank", "x.csv", "--plot"), "--plot needs a folder to draw into: add --out DIR"),
        (("rank", "x.csv", "--method", "nuts", "--prior-precision", "2"), "belongs to --method map"),
        (("rank", "x.csv", "--prior-precision", "0"), "--prior-precision must be a positive number"),
        (("rank", "x.csv", "--draws", "0"), "Invalid value for '--draws'"),
        (("rank", "x.csv", "--method", "nuts", "--bootstrap", "9"), "--bootstrap belongs to --method mle or map"),
        (("rank", "x.csv", "--method", "map", "--bootstrap", "9"), "--bootstrap belongs to --method mle, not map"),
        (("rank", "x.csv", "--prior-precision", "2", "--bootstrap", "9"), "--bootstrap belongs to --method mle"),
        (("rank", "x.csv", "--bootstrap", "1"), "Invalid value for '--bootstrap'"),
        (("rank", "x.csv", "--method", "svi", "--cluster", "j"), "--cluster belongs to --method mle or map, not svi"),
        (("rank", "x.csv", "--method", "laplace", "--influence"), "--influence belongs to --method mle or map"),
        (("rank", "x.csv", "--influence", "--resume", "r.npz"), "the mle that --influence asks for runs none"),
        (("rank", "x.csv", "--lower-is-better"), "--lower-is-better says how to read --scores"),
        (("rank", "x.csv", "--model", "magic"), "'magic' is not one of 'bradley-terry', 'thurstone'"),
        (("elo", "x.csv", "--system", "magic"), "'magic' is not one of 'elo', 'glicko'"),
        (("aggregate", "x.csv", "--method", "magic"), "'magic' is not one of 'borda', 'kemeny'"),
        (("rate", "x.csv"), "No such command 'rate'"),
    ],
)
def test_wrong_use_is_one_message_and_status_2(scorax, arguments, words):
    status, out, err = scorax(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("scorax: ")
    assert words in err
