"""Stacking: the mixture of several models' predictions that predicts best."""

import numpy as np
from jaxtyping import Float, Num

# A barrier this weak leaves the mean log score within 1e-11 of its maximum for each model.
_WEAKEST = 1e-11


def stacking_weights(
    log_density: Float[np.ndarray, "n k"], count: Num[np.ndarray, " n"] | None = None
) -> Float[np.ndarray, " k"]:
    r"""Weights of a mixture of predictive densities with the largest mean log score.

    $$\max_w \sum_i c_i \log \sum_k w_k p_k(y_i), \qquad w \ge 0, \quad \sum_k w_k = 1$$

    A concave problem, solved by Newton steps inside a logarithmic barrier that is weakened until it does not matter.

    Args:
        log_density: Log predictive density of each observation under each model, the observation left out.
        count: Observations of each row; 1 by default.

    Returns:
        Weights that sum to one. Of models that predict alike, any share of their common weight may go to each.

    Raises:
        ValueError: A density is not finite, or there are no observations.

    Example:
        >>> stacking_weights(np.log([[0.8, 0.5], [0.2, 0.5], [0.8, 0.5], [0.8, 0.5]])).round(3)
        array([0.833, 0.167])

    Source: Yao, Vehtari, Simpson & Gelman (2018), arXiv:1704.02030.
    """
    log_density = np.asarray(log_density, np.float64)
    share = np.ones(len(log_density)) if count is None else np.asarray(count, np.float64)
    log_density, share = log_density[share > 0], share[share > 0] / share.sum()
    if not log_density.size or not np.isfinite(log_density).all():
        raise ValueError("stacking needs a finite log density of at least one observation under every model")
    density = np.exp(log_density - log_density.max(1, keepdims=True))
    weight = np.full(density.shape[1], 1 / density.shape[1])
    barrier = 0.1
    while barrier > _WEAKEST:
        barrier /= 10
        weight = _centre(density, share, weight, barrier)
    return weight / weight.sum()


def _centre(density: np.ndarray, share: np.ndarray, weight: np.ndarray, barrier: float) -> np.ndarray:
    """Minimise `sum w - sum_i c_i log(P w)_i - barrier sum log w`: the first term is as good as `sum w = 1`."""

    def value(w: np.ndarray) -> float:
        return w.sum() - share @ np.log(density @ w) - barrier * np.log(w).sum()

    for _ in range(100):
        relative = density / (density @ weight)[:, None]
        gradient = 1 - share @ relative - barrier / weight
        hessian = (relative * share[:, None]).T @ relative + np.diag(barrier / weight**2)
        step = -np.linalg.solve(hessian, gradient)
        decrease = -gradient @ step
        if decrease < barrier * 1e-6:
            break
        falling = step < 0
        length = min(1.0, 0.99 * np.min(-weight[falling] / step[falling], initial=np.inf))
        while length > 1e-12 and value(weight + length * step) > value(weight) - 0.25 * length * decrease:
            length /= 2
        weight = weight + length * step
    return weight
