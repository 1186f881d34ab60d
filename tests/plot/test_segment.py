"""The simplex of two levels."""

import jax.numpy as jnp
import numpy as np
import pytest

from scorax.plot import plot_segment

JUDGE = jnp.array([[0.8, 0.2], [0.2, 0.8]])
# Of shares 0.3, 0.5 and 0.7 under this judge.
SEEN = jnp.array([[0.62, 0.38], [0.5, 0.5], [0.38, 0.62]])


def test_dots_are_shares_and_lines_what_any_judge_could_have_seen():
    ax = plot_segment(JUDGE, SEEN, names=["a", "b", "c"])
    data = [line.get_xdata() for line in ax.get_lines()]
    open_to, approved, share = data[0::3], data[1::3], data[2::3]
    np.testing.assert_allclose(np.ravel(approved), [0.62, 0.5, 0.38], rtol=1e-6)
    np.testing.assert_allclose(np.ravel(share), [0.7, 0.5, 0.3], rtol=1e-6)
    # (gamma - least) / (1 - least) and gamma / largest.
    np.testing.assert_allclose(open_to, [[0.24 / 0.62, 1], [0.12 / 0.62, 0.5 / 0.62], [0, 0.38 / 0.62]], atol=1e-6)


def test_what_has_no_segment_is_refused():
    with pytest.raises(ValueError, match="with three levels use plot_simplex"):
        plot_segment(jnp.eye(3), jnp.ones((2, 3)) / 3)
    with pytest.raises(ValueError, match="there is no segment"):
        plot_segment(JUDGE[::-1], SEEN)
    with pytest.raises(ValueError, match="2 names for 3 items"):
        plot_segment(JUDGE, SEEN, names=["a", "b"])
