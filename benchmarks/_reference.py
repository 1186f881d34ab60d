"""Answers to compare with, from NumPy alone: Bradley-Terry strengths beyond double precision."""

import numpy as np


def win_matrix(a: np.ndarray, b: np.ndarray, outcome: np.ndarray, k: int) -> np.ndarray:
    """`[i, j]` is how often `i` beat `j`; a tie is half a win each."""
    ahead = np.bincount(a * np.int64(k) + b, outcome, k * k)
    behind = np.bincount(b * np.int64(k) + a, 1 - outcome, k * k)
    return (ahead + behind).reshape(k, k)


def bradley_terry_mle(wins: np.ndarray, *, steps: int = 30) -> np.ndarray:
    """Maximum likelihood strengths that sum to zero, exact to some 17 digits.

    The gradient is taken in extended precision, and each Newton step with the double-precision Hessian takes some ten
    digits off what is left of it. (Where `longdouble` is a double, as on Windows, 15 digits remain.)
    """
    k = len(wins)
    met, won = (wins + wins.T).astype(np.longdouble), wins.sum(1, dtype=np.longdouble)
    strength = np.zeros(k, np.longdouble)
    for _ in range(steps):
        p = 1 / (1 + np.exp(strength[None, :] - strength[:, None]))
        gradient = won - (met * p).sum(1)
        edges = (met * p * (1 - p)).astype(np.float64)
        laplacian = np.diag(edges.sum(1)) - edges
        step = np.linalg.solve(laplacian + edges.sum() / k**2, gradient.astype(np.float64))
        strength += step - step.mean()
        if np.abs(step).max() < 1e-16:
            return strength
    raise ArithmeticError("Newton's method did not converge: is some item always or never winning?")
