import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.diffusion import (
    EDM,
    CosineVP,
    LinearInterpolant,
    ScheduledProcess,
    SubVariancePreserving,
    VariancePreserving,
    convert_prediction,
)

NAMES = ("x0", "eps", "score", "v", "velocity")
PROCESSES = [VariancePreserving, SubVariancePreserving, CosineVP, LinearInterpolant, EDM]


def truth(process, x0, eps, t):
    alpha, d_alpha = jax.value_and_grad(process.alpha)(t)
    sigma, d_sigma = jax.value_and_grad(process.sigma)(t)
    found = {"x0": x0, "eps": eps, "score": -eps / sigma, "v": alpha * eps - sigma * x0}
    return alpha * x0 + sigma * eps, found | {"velocity": d_alpha * x0 + d_sigma * eps}


@pytest.mark.parametrize("make", PROCESSES)
def test_every_prediction_gives_every_other(make, dtype):
    process, x0, eps = make(), jnp.asarray([0.7, -1.2], dtype), jnp.asarray([-0.4, 1.5], dtype)

    @jax.jit
    def all_pairs(t):
        x, known = truth(process, x0, eps, t)
        return [
            (convert_prediction(known[a], x, t, process, source=a, target=b), known[b])
            for a, b in itertools.product(NAMES, NAMES)
        ]

    pairs = all_pairs(jnp.asarray(0.4, dtype))
    # Two divisions by levels of 0.2 to 1: some ten roundings.
    for (a, b), (found, expected) in zip(itertools.product(NAMES, NAMES), pairs, strict=True):
        np.testing.assert_allclose(found, expected, rtol=200 * float(jnp.finfo(dtype).eps), err_msg=f"{a} {b}")
        assert found.dtype == dtype


@pytest.mark.parametrize("case", [0, 1, 2, 3, 4])
def test_matches_the_reference_conversions(oracle, case, x64):
    expected = oracle("flow_path_conversions")[case]
    # Time runs from data to noise here: t = 1 is data in the file, and velocities change sign.
    t = 1 - jnp.asarray(expected["t"])
    process = {
        "CondOT": LinearInterpolant(),
        "Polynomial n=2.5": ScheduledProcess(lambda t: 2.5 * jnp.log1p(-t), lambda t: 1 - (1 - t) ** 2.5),
        "VP 0.1 20": VariancePreserving(0.1, 20.0),
        "LinearVP": ScheduledProcess(lambda t: jnp.log1p(-t), lambda t: jnp.sqrt(t * (2 - t))),
        "Cosine": ScheduledProcess(lambda t: jnp.log(jnp.cos(0.5 * jnp.pi * t)), lambda t: jnp.sin(0.5 * jnp.pi * t)),
    }[expected["scheduler"]]
    np.testing.assert_allclose(process.alpha(t), expected["alpha"], rtol=1e-10)
    np.testing.assert_allclose(process.sigma(t), expected["sigma"], rtol=1e-10)
    level = jnp.log(jnp.asarray(expected["snr_inverse_of"]))
    np.testing.assert_allclose(1 - process.inverse_log_snr(level), expected["snr_inverse"], rtol=1e-9)
    names = {"target": "x0", "epsilon": "eps", "velocity": "velocity"}
    known = {"target": expected["data"], "epsilon": expected["noise"], "velocity": expected["velocity"]}
    for a, b in (pair for pair in itertools.permutations(names, 2) if f"{pair[0]}_to_{pair[1]}" in expected):
        signs = {"velocity": -1.0}
        found = jax.jit(
            jax.vmap(lambda p, x, t, a=a, b=b: convert_prediction(p, x, t, process, source=names[a], target=names[b]))
        )(signs.get(a, 1.0) * jnp.asarray(known[a]), jnp.asarray(expected["x_t"]), t)
        # The files' 12 digits are divided by levels down to some hundredths.
        reference = signs.get(b, 1.0) * np.asarray(expected[f"{a}_to_{b}"])
        np.testing.assert_allclose(found, reference, rtol=1e-8, atol=1e-8, err_msg=f"{a} {b}")


def test_the_flow_of_a_score_is_its_velocity(x64):
    process, x, t = VariancePreserving(), jnp.asarray([0.5, -2.0]), jnp.asarray(0.3)
    score = jnp.asarray([0.2, 1.0])
    flow = process.probability_flow(lambda x, t: score)(x, t)
    np.testing.assert_allclose(
        convert_prediction(score, x, t, process, source="score", target="velocity"), flow, rtol=1e-10
    )


def test_a_velocity_is_of_use_where_there_is_no_signal():
    process, x, u = LinearInterpolant(), jnp.asarray([0.5, -2.0]), jnp.asarray([0.1, 1.0])
    convert = lambda target: convert_prediction(u, x, jnp.asarray(1.0), process, source="velocity", target=target)  # noqa: E731
    np.testing.assert_allclose(convert("x0"), x - u, rtol=1e-6)
    np.testing.assert_allclose(convert("score"), -x, rtol=1e-6)


def test_only_a_floor_clips():
    x, t = jnp.asarray([1.0]), jnp.asarray(0.0)
    convert = lambda floor: convert_prediction(x - 1, x, t, EDM(), source="x0", target="eps", floor=floor)  # noqa: E731
    assert jnp.isinf(convert(0.0)).all()
    np.testing.assert_allclose(convert(0.1), 10.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({"source": "x", "target": "eps"}, (2,), "unknown prediction 'x'"),
        ({"source": "x0", "target": "noise"}, (2,), "unknown prediction 'noise'"),
        ({"source": "x0", "target": "eps", "floor": -1.0}, (2,), "floor must be zero or more"),
        ({"source": "x0", "target": "eps"}, (3,), "does not belong to a sample of shape"),
    ],
)
def test_bad_input_is_refused(options, shape, message):
    with pytest.raises((ValueError, TypeError), match=message):
        convert_prediction.__wrapped__(jnp.ones(shape), jnp.ones(2), jnp.asarray(0.5), EDM(), **options)
