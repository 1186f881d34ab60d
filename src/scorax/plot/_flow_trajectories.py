"""Where samples go between noise and data."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Float, Int

from scorax.plot._style import BLUE, GREY, Axes, caption, colour, dress, finite, new_axes


def plot_flow_trajectories(
    trajectories: Float[Array, "t n d"],
    times: Float[Array, " t"] | None = None,
    *,
    groups: Int[Array, " n"] | None = None,
    names: Sequence[str] | None = None,
    log_time: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Paths of samples: of one variable against time, of two variables in their plane.

    A path begins at a hollow dot and ends at a filled one. Time runs from left to right in the order of the rows, so
    that sampling, whose times fall, reads like noising, whose times rise. Without `ax` a figure of its own is made,
    without pyplot; `.figure` of the result has `savefig`, and a notebook shows it.

    Args:
        trajectories: Samples at each time, as samplers return them with `return_trajectory=True`. Of more than two
            variables, draw two of them or two linear combinations, such as principal components:
            `(trajectories - mean) @ components`.
        times: Rising or falling. Needed for one variable; two variables have no time axis, and need none.
        groups: Group of each sample, from 0, whose paths share a colour: the method, the class, the mode.
        names: Of the groups, for a legend.
        log_time: Whether the time axis is logarithmic, as suits noise levels; times must be positive then.
        ax: Axes to draw into; their size is yours.

    Returns:
        The axes.

    Raises:
        ValueError: There are fewer than two times, no samples, or more than two variables; one variable without times,
            times of another length or that neither rise nor fall, times of zero or less on a log axis; groups of
            another length or below zero, names without groups or fewer than groups; a value is missing or infinite.
        ImportError: Matplotlib is not installed (it comes with `scorax[plot]`).

    Example:
        >>> process, score = sx.diffusion.EDM(), lambda x, t: -x / (1 + t**2)
        >>> x_T, times = jnp.linspace(-20.0, 20.0, 5)[:, None], sx.diffusion.edm_grid(18, 0.01, 10.0)[:-1]
        >>> paths = sx.diffusion.heun(score, process, x_T, times, return_trajectory=True)
        >>> ax = plot_flow_trajectories(paths, times, log_time=True)
        >>> bool(ax.get_xlim()[0] > ax.get_xlim()[1])  # from noise to data
        True
    """
    paths = finite("trajectories", np.asarray(trajectories, float))
    t = _checked_times(paths, times, log_time)
    group, labels = _checked_groups(paths.shape[1], groups, names)
    k = int(group.max()) + 1
    ax = new_axes(6.4, 4.8) if ax is None else ax
    flat = paths.shape[2] == 1
    x = np.broadcast_to(t[:, None], paths.shape[:2]) if flat else paths[..., 0]
    y = paths[..., -1]
    haze = float(np.clip(40 / paths.shape[1], 0.15, 0.8))
    for place in range(k):
        ours = group == place
        hue = BLUE if k == 1 else colour(place, k)
        ax.plot(x[:, ours], y[:, ours], color=hue, linewidth=0.9, alpha=haze, solid_capstyle="round", zorder=2)
        ax.plot(x[0, ours], y[0, ours], "o", color="white", markersize=3, markeredgecolor=GREY, zorder=3)
        label = labels[place] if labels else None
        ax.plot(x[-1, ours], y[-1, ours], "o", color=hue, markersize=4, markeredgecolor="white", zorder=4, label=label)
    dress(ax, frame=("left", "bottom"), grid="both")
    if flat:
        ax.set_xscale("log" if log_time else "linear")
        ax.set_xlim(*_widened(t, log_time))
        caption(ax, "time", "value")
    else:
        ax.set_aspect("equal")
        caption(ax, "first variable", "second variable")
    if labels:
        ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return ax


def _checked_times(paths: np.ndarray, times: Float[Array, " t"] | None, log_time: bool) -> np.ndarray:
    length, n, d = paths.shape
    if length < 2 or n == 0 or d not in (1, 2):
        raise ValueError(
            f"trajectories of shape {paths.shape}; [t, n, 1] or [t, n, 2] with two times or more and a sample is "
            "needed: of more variables, draw two of them or two linear combinations"
        )
    if times is None:
        if d == 1:
            raise ValueError("paths of one variable are drawn against time: pass times")
        return np.arange(length, dtype=float)
    t = finite("times", np.asarray(times, float))
    if t.shape != (length,):
        raise ValueError(f"times of shape {t.shape} for trajectories of {length} times")
    steps = np.diff(t)
    if not ((steps > 0).all() or (steps < 0).all()):
        raise ValueError("times must rise or fall throughout: they do neither")
    if log_time and (t <= 0).any():
        raise ValueError(
            "times must be positive on a log axis: leave out those of zero, as `trajectories[:-1], times[:-1]`, or "
            "pass log_time=False"
        )
    return t


def _checked_groups(
    n: int, groups: Int[Array, " n"] | None, names: Sequence[str] | None
) -> tuple[np.ndarray, list[str] | None]:
    if groups is None:
        if names is not None:
            raise ValueError("names are those of groups: pass groups, too")
        return np.zeros(n, int), None
    group = np.asarray(groups)
    if group.shape != (n,) or group.min() < 0:
        raise ValueError(f"groups of shape {group.shape}, from {group.min()}; {n} whole numbers from 0 are needed")
    k = int(group.max()) + 1
    if names is None:
        return group, None
    if len(names) < k:
        raise ValueError(f"{len(names)} names for groups from 0 to {k - 1}")
    return group, [str(name) for name in names]


def _widened(t: np.ndarray, log_time: bool) -> tuple[float, float]:
    """From the first to the last time, with a little room for the dots at both ends."""
    first, last = np.log(t[[0, -1]]) if log_time else t[[0, -1]]
    room = 0.02 * (last - first)
    ends = np.array([first - room, last + room])
    left, right = np.exp(ends) if log_time else ends
    return float(left), float(right)
