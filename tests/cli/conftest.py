"""The command line in this process: its status and what it wrote, and small files to feed it."""

import io
import os
import sys
from typing import NamedTuple

import numpy as np
import pytest

from scorax.cli import main
from scorax.cli._session import compiled_programs


class Run(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str


@pytest.fixture
def scorax(capsys, monkeypatch):
    """Run `scorax` with these arguments, and this text on standard input."""

    def run(*arguments, stdin=None):
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        return Run(status, *capsys.readouterr())

    return run


@pytest.fixture
def battles(tmp_path):
    """Four items on a ladder, every pair ten times, a fifth of them tied; arena's columns."""
    path = tmp_path / "battles.csv"
    path.write_text(battles_csv(np.random.default_rng(0)))
    return path


@pytest.fixture
def environment(tmp_path):
    """The test session's compilation cache, and no other trace in the user's home."""
    return {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": compiled_programs(),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }


def battles_csv(generator):
    lines = ["model_a,model_b,winner"]
    names = ["ant", "bee", "cow", "dog"]
    for i, a in enumerate(names):
        for j, b in enumerate(names[:i]):
            words = generator.choice(["model_a", "model_b", "tie"], 10, p=_odds(i - j))
            # Whoever was drawn, each has won once, so that the likelihood has a maximum.
            lines += [f"{a},{b},{word}" for word in [*words, "model_a", "model_b", "tie"]]
    return "\n".join(lines) + "\n"


def _odds(difference):
    p = 0.8 / (1 + np.exp(-difference))
    return [p, 0.8 - p, 0.2]


@pytest.fixture(scope="session")
def ratings_text():
    """Two candidates of 20 items each, three levels, three judges who are right eight times in ten, some gold.

    A quarter of each candidate's items is mathematics.
    """
    generator = np.random.default_rng(1)
    lines = ["item,candidate,judge,label,gold,topic"]
    for n in range(40):
        candidate = ("fair", "good")[n % 2]
        truth = generator.choice(3, p=([0.5, 0.3, 0.2], [0.1, 0.3, 0.6])[n % 2])
        gold = truth + 1 if n < 8 else ""
        topic = "maths" if n // 2 % 4 == 0 else "prose"
        for judge in ("ann", "bob", "eve"):
            label = truth if generator.random() < 0.8 else generator.integers(3)
            lines.append(f"q{n},{candidate},{judge},{label + 1},{gold},{topic}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def ratings(tmp_path, ratings_text):
    """A file of them."""
    path = tmp_path / "ratings.csv"
    path.write_text(ratings_text)
    return path
