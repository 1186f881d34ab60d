"""What moves opinions: a network, or pulls between opinions that are near one another."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import constraints

from scorax.inference import parameter


class NeuralField(eqx.Module):
    """Any smooth dynamics: a small network of states and forcing.

    Example:
        >>> field = NeuralField.init(2, n_forcing=1, key=jax.random.key(0))
        >>> field(jnp.zeros(2), jnp.zeros(1)).shape
        (2,)

    Source: Chen, Rubanova, Bettencourt, Duvenaud (2018), arXiv:1806.07366.
    """

    network: eqx.nn.MLP

    @classmethod
    def init(
        cls, n_states: int, *, n_forcing: int = 0, width: int = 32, depth: int = 2, key: PRNGKeyArray
    ) -> "NeuralField":
        """Random weights, `depth` hidden layers of `width` hyperbolic tangents."""
        return cls(eqx.nn.MLP(n_states + n_forcing, n_states, width, depth, activation=jnp.tanh, key=key))

    def __call__(self, state: Float[Array, " d"], forcing: Float[Array, " e"]) -> Float[Array, " d"]:
        """The network's output."""
        return self.network(jnp.concatenate([state, forcing]))


class InteractionField(eqx.Module):
    r"""Opinions that pull on one another while they are near, and what moves them besides.

    $$f_i(x, u) = \sum_j a_{ij}\, \varphi(x_j - x_i) + g_i + (R u)_i, \qquad \varphi(r) = r\, e^{-r^2 / 2 c^2}$$

    A pull grows with the difference of two opinions up to the radius \(c\), and fades beyond: bounded confidence
    without its edge, so that it can be learnt.

    Example:
        >>> field = InteractionField.init(2, radius=10.0)
        >>> field(jnp.array([0.0, 1.0]), jnp.zeros(0)).round(2)  # towards each other
        Array([ 0.5, -0.5], dtype=float32)

    Source: Hegselmann & Krause (2002), "Opinion dynamics and bounded confidence", JASSS 5(3); Pavlyshenko (2025),
    arXiv:2505.06313.
    """

    pull: Float[Array, "d d"]
    """`pull[i, j]`: how strongly opinion `j` moves opinion `i`."""
    drift: Float[Array, " d"]
    """What moves each opinion in any case."""
    response: Float[Array, "d e"]
    """What each forcing does to each opinion."""
    radius: Float[Array, ""] = parameter(constraints.positive)
    """The difference \\(c\\) at which a pull is strongest."""

    @classmethod
    def init(cls, n_states: int, *, n_forcing: int = 0, radius: float | int = 1.0) -> "InteractionField":
        """All pull alike, with total strength one; nothing else moves them."""
        pull = jnp.full((n_states, n_states), 1 / n_states)
        return cls(pull, jnp.zeros(n_states), jnp.zeros((n_states, n_forcing)), jnp.asarray(radius, pull.dtype))

    def __call__(self, state: Float[Array, " d"], forcing: Float[Array, " e"]) -> Float[Array, " d"]:
        """The change of each opinion per unit of time."""
        apart = state[None, :] - state[:, None]
        felt = apart * jnp.exp(-((apart / self.radius) ** 2) / 2)
        return (self.pull * felt).sum(-1) + self.drift + self.response @ forcing


def growth_of_shares(growth: Float[Array, " d"], share: Float[Array, " d"]) -> Float[Array, " d"]:
    """Growth rates of shares, less their mean: what keeps the sum of the shares at one.

    Source: Taylor & Jonker (1978), doi:10.1016/0025-5564(78)90077-9 (the replicator equation).
    """
    return growth - jnp.vdot(share, growth)


def log_shares(share: Float[Array, " d"]) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
    """Logarithms of shares, 0 for those that are nothing, and which are something (1 or 0)."""
    some = share > 0
    return jnp.where(some, jnp.log(jnp.where(some, share, 1)), 0), some.astype(share.dtype)


def shares(log_share: Float[Array, " d"], some: Float[Array, " d"]) -> Float[Array, " d"]:
    """Shares whose logarithms, up to a constant, these are."""
    return jax.nn.softmax(log_share, where=some > 0)
