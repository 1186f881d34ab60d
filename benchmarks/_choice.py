"""Rankings from comparisons: fits from raw arrays, the Plackett-Luce kernel, the bootstrap."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

from benchmarks._reference import bradley_terry_mle, win_matrix
from benchmarks._row import Case, Peer, peer, row
from scorax.choice import BradleyTerry, plackett_luce_log_prob
from scorax.data import Comparisons
from scorax.inference import bootstrap, fit

# From equal strengths to machine precision, whatever the size.
_NEWTON_STEPS = 7


def battles(n_rows: int, n_items: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids and outcomes of comparisons drawn from a Bradley-Terry model with 10 % of ties."""
    generator = np.random.default_rng(0)
    strength = generator.normal(size=n_items)
    a = generator.integers(n_items, size=n_rows, dtype=np.int32)
    b = (a + generator.integers(1, n_items, size=n_rows, dtype=np.int32)) % np.int32(n_items)
    won = generator.random(n_rows) < 1 / (1 + np.exp(strength[b] - strength[a]))
    return a, b, np.where(generator.random(n_rows) < 0.1, 0.5, won)


def _fit_case(n_rows: int, n_items: int, goals: dict[str, float]) -> Case:
    a, b, outcome = battles(n_rows, n_items)
    exact = bradley_terry_mle(win_matrix(a, b, outcome, n_items))

    def error(strength: Any) -> float:
        strength = np.asarray(strength, np.float64)
        return float(np.abs(strength - strength.mean() - exact).max())

    def call() -> Any:
        comparisons = Comparisons.from_arrays(a, b, outcome, n_items=n_items)
        return fit(BradleyTerry.init(n_items), comparisons).model.strength

    return Case(
        call,
        bytes=a.nbytes + b.nbytes + outcome.nbytes,
        flops=_NEWTON_STEPS * n_items**3 / 3,
        flop_dtype="float64",
        error=error,
        peers=_fit_peers(a, b, outcome, n_items, error),
        goals=goals,
    )


def _fit_peers(a: np.ndarray, b: np.ndarray, outcome: np.ndarray, k: int, error: Callable[[Any], float]) -> list[Peer]:
    def evalica_fit() -> np.ndarray:
        import evalica  # pyright: ignore[reportMissingImports]
        import pandas as pd

        index = pd.Index(np.arange(k))
        result = evalica.bradley_terry(a, b, winners(), index=index, tolerance=1e-10, limit=10_000)
        return np.log(result.scores.loc[index].to_numpy())

    @functools.cache
    def winners() -> list[Any]:
        import evalica  # pyright: ignore[reportMissingImports]

        names = {0.0: evalica.Winner.Y, 0.5: evalica.Winner.Draw, 1.0: evalica.Winner.X}
        return [names[y] for y in outcome.tolist()]

    def choix_fit() -> np.ndarray:
        import choix  # pyright: ignore[reportMissingImports]

        return choix.ilsr_pairwise_dense(win_matrix(a, b, outcome, k))

    return [
        peer("evalica", evalica_fit, error),
        peer("choix", choix_fit, error),
        peer("scipy", lambda: scipy_fit(win_matrix(a, b, outcome, k)), error),
    ]


def scipy_fit(wins: np.ndarray) -> np.ndarray:
    """What one writes by hand: L-BFGS with the gradient in closed form."""
    met, won = wins + wins.T, wins.sum(1)

    def value_and_gradient(strength: np.ndarray) -> tuple[float, np.ndarray]:
        difference = strength[:, None] - strength[None, :]
        value = (wins * np.logaddexp(0, -difference)).sum()
        return value / met.sum(), ((met / (1 + np.exp(-difference))).sum(1) - won) / met.sum()

    options = {"maxiter": 1000, "ftol": 0.0, "gtol": 1e-12}
    start = np.zeros(len(wins))
    return scipy.optimize.minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", options=options).x


_GOALS: dict[tuple[int, int], dict[str, float]] = {
    (10**6, 1000): {"cpu_seconds": 0.25, "error": 1e-8},
    (10**7, 200): {"cpu_seconds": 0.6, "error": 1e-8},
}
for _rows, _items in ((10**3, 20), (10**6, 20), (10**6, 200), (10**6, 1000), (10**7, 200)):
    row("bradley_terry_fit", f"1e{len(str(_rows)) - 1} rows, {_items} items", x64=True)(
        functools.partial(_fit_case, _rows, _items, _GOALS.get((_rows, _items), {"error": 1e-8}))
    )


@row("bradley_terry_fit from a table", "1e6 rows of names, 1000 items", x64=True)
def _from_names() -> Case:
    import pandas as pd

    n_items = 1000
    a, b, outcome = battles(10**6, n_items)
    names = np.array([f"model {i:04d}" for i in range(n_items)])
    words = np.array(["model_b", "tie", "model_a"])[(2 * outcome).astype(int)]
    frame = pd.DataFrame({"model_a": names[a], "model_b": names[b], "winner": words})
    exact = bradley_terry_mle(win_matrix(a, b, outcome, n_items))

    def error(strength: Any) -> float:
        strength = np.asarray(strength, np.float64)
        return float(np.abs(strength - strength.mean() - exact).max())

    def call() -> Any:
        comparisons, models = Comparisons.from_frame(frame)
        return fit(BradleyTerry.init(len(models)), comparisons).model.strength

    def evalica_fit() -> np.ndarray:
        import evalica  # pyright: ignore[reportMissingImports]

        meaning = {"model_a": evalica.Winner.X, "model_b": evalica.Winner.Y, "tie": evalica.Winner.Draw}
        winners = [meaning[word] for word in frame["winner"].tolist()]
        result = evalica.bradley_terry(frame["model_a"], frame["model_b"], winners, tolerance=1e-10, limit=10_000)
        return np.log(result.scores.loc[names].to_numpy())

    return Case(call, error=error, peers=[peer("evalica", evalica_fit, error)], goals={"slower_than": 1 / 3})


@row("bradley_terry_fit by products", "1e6 rows, 5000 items", x64=True)
def _without_a_hessian() -> Case:
    n_items = 5000
    comparisons = Comparisons.from_arrays(*battles(10**6, n_items), n_items=n_items)

    def call() -> Any:
        return fit(BradleyTerry.init(n_items), comparisons).diagnostics.gradient_norm

    return Case(call, error=lambda slope: float(slope), goals={"error": 1e-12})


@row("plackett_luce_log_prob + grad", "10 000 x 100 f32")
def _plackett_luce() -> Case:
    strength = jax.random.normal(jax.random.key(0), (10_000, 100))
    program = jax.jit(jax.value_and_grad(lambda s: plackett_luce_log_prob(s).sum()))
    unsafe = jax.jit(jax.value_and_grad(lambda s: _max_trick(s).sum()))
    compiled = program.lower(strength).compile()
    exact = _plackett_luce_gradient(np.asarray(strength, np.float64))

    def error(result: Any) -> float:
        return float(np.abs(np.asarray(result[1], np.float64) - exact).max())

    return Case(
        lambda: program(strength),
        # Read once, gradient written once.
        bytes=2 * strength.nbytes,
        error=error,
        peers=[Peer("cumulative sum of exp(s - max), which underflows in far tails", lambda: unsafe(strength), error)],
        program=lambda: compiled,
    )


def _max_trick(strength: jax.Array) -> jax.Array:
    top = strength.max(-1, keepdims=True)
    remaining = jnp.cumsum(jnp.exp(strength - top)[:, ::-1], axis=1)[:, ::-1]
    return (strength - top - jnp.log(remaining)).sum(-1)


def _plackett_luce_gradient(strength: np.ndarray) -> np.ndarray:
    worth = np.exp(strength)
    remaining = np.cumsum(worth[:, ::-1], axis=1)[:, ::-1]
    return 1 - worth * np.cumsum(1 / remaining, axis=1)


@row("bootstrap of bradley_terry", "1000 refits, 100 items", x64=True)
def _bootstrap() -> Case:
    n_items, n_refits = 100, 1000
    a, b, outcome = battles(100_000, n_items)
    model = BradleyTerry.init(n_items)
    table = Comparisons.from_arrays(a, b, outcome, n_items=n_items).table(n_items)
    estimate = fit(model, table).model
    wins = win_matrix(a, b, outcome, n_items)
    probability = (wins / wins.sum()).ravel()

    def call() -> Any:
        return bootstrap(estimate, table, key=jax.random.key(0), n_resamples=n_refits).model.strength

    def refit(solve: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        redrawn = np.random.default_rng(0).multinomial(len(a), probability).reshape(n_items, n_items)
        return solve(redrawn.astype(np.float64))

    def choix_refit() -> np.ndarray:
        import choix  # pyright: ignore[reportMissingImports]

        return refit(choix.ilsr_pairwise_dense)

    # Newton's step from the estimate, one that tells it has arrived.
    return Case(
        call,
        flops=n_refits * 2 * n_items**3 / 3,
        flop_dtype="float64",
        peers=[peer("choix", choix_refit, times=n_refits), peer("scipy", lambda: refit(scipy_fit), times=n_refits)],
        goals={"seconds": 2.0},
    )
