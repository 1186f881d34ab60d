"""Rating systems: long sequences of matches, one after the other."""

import math
from typing import Any

import jax
import numpy as np

from benchmarks._choice import battles
from benchmarks._row import Case, peer, row
from scorax.choice import Elo, Glicko2, WengLin, elo_permuted
from scorax.data import Comparisons, Matches

_ITEMS = 1000


@row("elo", "1e7 updates, 1000 items", x64=True)
def _elo() -> Case:
    a, b, outcome = battles(10**7, _ITEMS)
    data = Comparisons.from_arrays(a, b, outcome, n_items=_ITEMS)
    elo, start = Elo(), Elo().init(_ITEMS)
    exact = elo_by_the_book(a, b, outcome, _ITEMS)

    def error(rating: Any) -> float:
        return float(np.abs(np.asarray(rating, np.float64) - exact).max())

    def evalica_elo() -> np.ndarray:
        import evalica  # pyright: ignore[reportMissingImports]
        import pandas as pd

        index = pd.Index(np.arange(_ITEMS))
        return evalica.elo(a, b, winners(), index=index, k=4.0).scores.loc[index].to_numpy()

    def winners() -> list[Any]:
        import evalica  # pyright: ignore[reportMissingImports]

        if not names:
            of = {0.0: evalica.Winner.Y, 0.5: evalica.Winner.Draw, 1.0: evalica.Winner.X}
            names.extend(of[y] for y in outcome.tolist())
        return names

    names: list[Any] = []
    return Case(
        lambda: elo.rate(data, start).rating,
        # Ids, outcomes and weights are read once; the ratings stay in the cache.
        bytes=a.nbytes + b.nbytes + 2 * outcome.nbytes,
        error=error,
        peers=[peer("evalica", evalica_elo, error)],
        goals={"error": 1e-8},
    )


def elo_by_the_book(a: np.ndarray, b: np.ndarray, outcome: np.ndarray, n_items: int) -> np.ndarray:
    """A plain loop: K = 4, 400 points for odds of 10 to 1, from 1000."""
    rating, slope = [1000.0] * n_items, math.log(10) / 400
    for i, j, y in zip(a.tolist(), b.tolist(), outcome.tolist(), strict=True):
        gain = 4 * (y - 1 / (1 + math.exp(slope * (rating[j] - rating[i]))))
        rating[i] += gain
        rating[j] -= gain
    return np.array(rating)


@row("elo_log_loss + grad", "1e6 updates, 1000 items", x64=True)
def _elo_gradient() -> Case:
    data = Comparisons.from_arrays(*battles(10**6, _ITEMS), n_items=_ITEMS)
    start = Elo().init(_ITEMS)

    def log_loss(elo: Elo, data: Comparisons) -> jax.Array:
        _, p = elo.play(start, data)
        return -(data.outcome * jax.numpy.log(p) + (1 - data.outcome) * jax.numpy.log1p(-p)).mean()

    program = jax.jit(jax.value_and_grad(log_loss))
    ends = [float(program(Elo(k=4 + h), data)[0]) for h in (-1e-3, 1e-3)]

    def error(result: Any) -> float:
        return abs(float(result[1].k) - (ends[1] - ends[0]) / 2e-3)

    return Case(lambda: program(Elo(), data), error=error, goals={"error": 1e-8})


@row("elo_permuted", "100 orders x 1e5, 1000 items", x64=True)
def _permuted() -> Case:
    data = Comparisons.from_arrays(*battles(10**5, _ITEMS), n_items=_ITEMS)
    return Case(lambda: elo_permuted(data, 100, key=jax.random.key(0), n_items=_ITEMS))


@row("glicko2", "1e6 games, 100 periods, 1000 items", x64=True)
def _glicko2() -> Case:
    a, b, outcome = battles(10**6, _ITEMS)
    data = Comparisons.from_arrays(a, b, outcome, time=np.repeat(np.arange(100), 10**4), n_items=_ITEMS)
    system, start = Glicko2(), Glicko2().init(_ITEMS)
    return Case(lambda: system.rate(data, start).rating, bytes=a.nbytes + b.nbytes + 3 * outcome.nbytes)


@row("weng_lin", "1e5 matches of 4 teams of 2, 1000 players", x64=True)
def _weng_lin() -> Case:
    generator = np.random.default_rng(0)
    players = np.argpartition(generator.random((10**5, _ITEMS), np.float32), 8, axis=1)[:, :8].reshape(-1, 4, 2)
    ranks = generator.integers(4, size=(10**5, 4))
    data = Matches.from_arrays(players, ranks, n_items=_ITEMS)
    system, start = WengLin(), WengLin().init(_ITEMS)

    def openskill_rate() -> Any:
        from openskill.models import PlackettLuce  # pyright: ignore[reportMissingImports]

        model = PlackettLuce()
        skills = [model.rating() for _ in range(_ITEMS)]
        for teams, rank in zip(players[:1000].tolist(), ranks[:1000].tolist(), strict=True):
            rated = model.rate([[skills[i] for i in team] for team in teams], ranks=rank)
            for team, new in zip(teams, rated, strict=True):
                for i, skill in zip(team, new, strict=True):
                    skills[i] = skill
        return skills

    return Case(
        lambda: system.rate(data, start).mu,
        bytes=players.nbytes // 2 + ranks.nbytes // 2,
        peers=[peer("openskill", openskill_rate, times=100.0)],
    )
