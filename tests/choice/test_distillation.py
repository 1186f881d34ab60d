import itertools
import json
import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

from scorax.choice._distillation import kd_loss, listmle_loss, pld_loss

ORACLE = pathlib.Path(__file__).parents[1] / "oracles" / "choice" / "listmle_rax.json"
CASES = json.loads(ORACLE.read_text())["cases"]
B, C = 4, 6

pld = jax.jit(pld_loss, static_argnames=("teacher_temperature", "student_temperature", "top_k"))
kd = jax.jit(kd_loss, static_argnames="temperature")
listmle = jax.jit(listmle_loss)


def logits(dtype, seed=0, scale=2.0):
    return jnp.asarray(scale * np.random.default_rng(seed).normal(size=(B, C)), dtype)


def labels():
    return jnp.asarray([0, 5, 2, 2], jnp.int32)


def cross_entropy(student, label):
    return -jnp.take_along_axis(jax.nn.log_softmax(student), label[:, None], axis=1)[:, 0]


def close(dtype, factor=32):
    return {"rtol": factor * float(jnp.finfo(dtype).eps), "atol": factor * float(jnp.finfo(dtype).eps)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"lists of {len(case['mask'][0])}")
def test_listmle_as_rax(case):
    scores, relevance = (jnp.asarray(case[name], jnp.float32) for name in ("scores", "labels"))
    value = listmle(scores, relevance, where=jnp.asarray(case["mask"]))
    np.testing.assert_allclose(value, case["listmle_per_list"], rtol=1e-6)


def by_hand(student, teacher, label, temperature=1.0):
    """The sum over places as the paper writes it, one example at a time, in NumPy."""
    order = sorted(range(len(teacher)), key=lambda c: (c != label, -teacher[c], c))
    weight = np.exp(teacher / temperature) / np.exp(teacher / temperature).sum()
    return sum(weight[c] * (np.log(np.exp(student[order[place:]]).sum()) - student[c]) for place, c in enumerate(order))


def test_the_sum_over_places(dtype):
    student, teacher = logits(dtype), logits(dtype, seed=1)
    for temperature in (1.0, 4.0):
        expected = [
            by_hand(np.asarray(s, float), np.asarray(t, float), y, temperature)
            for s, t, y in zip(student, teacher, np.asarray(labels()), strict=True)
        ]
        value = pld(student, teacher, labels(), teacher_temperature=temperature)
        assert value.shape == (B,)
        assert value.dtype == dtype
        np.testing.assert_allclose(value, expected, **close(dtype))


def test_a_teacher_without_doubt_leaves_cross_entropy(dtype):
    student = logits(dtype)
    certain = jnp.where(jax.nn.one_hot(labels(), C, dtype=bool), jnp.asarray(0.0, dtype), -jnp.inf)
    np.testing.assert_allclose(pld(student, certain, labels()), cross_entropy(student, labels()), **close(dtype))


def test_the_first_place_alone_is_weighted_cross_entropy(dtype):
    student, teacher = logits(dtype), logits(dtype, seed=1)
    q = jnp.exp(-cross_entropy(teacher, labels()))
    expected = q * cross_entropy(student, labels())
    np.testing.assert_allclose(pld(student, teacher, labels(), top_k=1), expected, **close(dtype))
    np.testing.assert_array_equal(pld(student, teacher, labels(), top_k=C), pld(student, teacher, labels()))


def test_a_teacher_without_preferences_is_listmle(dtype):
    # Equal weights; the label first, the others by index.
    student = logits(dtype)
    relevance = jnp.where(jax.nn.one_hot(labels(), C, dtype=bool), jnp.asarray(1.0, dtype), 0)
    value = pld(student, jnp.zeros((B, C), dtype), labels())
    np.testing.assert_allclose(C * value, listmle(student, relevance), **close(dtype))


def test_two_classes_are_a_weighted_softplus(dtype):
    student, teacher, label = logits(dtype)[:, :2], logits(dtype, seed=1)[:, :2], jnp.asarray([0, 1, 1, 0], jnp.int32)
    own, other = (jnp.take_along_axis(student, ids[:, None], axis=1)[:, 0] for ids in (label, 1 - label))
    q = jnp.exp(-cross_entropy(teacher, label))
    np.testing.assert_allclose(pld(student, teacher, label), q * jax.nn.softplus(other - own), **close(dtype))


def test_temperatures_divide(dtype):
    student, teacher = logits(dtype), logits(dtype, seed=1)
    both = pld(student, teacher, labels(), teacher_temperature=2.0, student_temperature=4.0)
    np.testing.assert_allclose(both, pld(student / 4, teacher / 2, labels()), **close(dtype))


def test_a_common_shift_of_the_student_changes_nothing(dtype):
    student, teacher = logits(dtype), logits(dtype, seed=1)
    np.testing.assert_allclose(
        pld(student + 3, teacher, labels()), pld(student, teacher, labels()), **close(dtype, 128)
    )
    gradient = jax.jit(jax.grad(lambda s: pld_loss(s, teacher, labels()).sum()))(student)
    np.testing.assert_allclose(np.asarray(gradient).sum(1), 0, atol=8 * float(jnp.finfo(dtype).eps))


def test_gradients_are_their_closed_form_and_go_to_the_student_only(x64):
    student, teacher = logits("float64"), logits("float64", seed=1)
    check_grads(lambda s: pld(s, teacher, labels()), (student,), 1, modes=("fwd", "rev"))
    gradients = jax.grad(lambda s, t: pld(s, t, labels()).sum(), argnums=(0, 1))(student, teacher)
    assert (gradients[1] == 0).all()
    assert (jax.grad(lambda t: kd(student, t).sum())(teacher) == 0).all()
    # sum over places up to the class's own of w_k p_k(j), minus its own weight.
    s, t, y = np.asarray(student[0]), np.asarray(teacher[0]), int(labels()[0])
    order = sorted(range(C), key=lambda c: (c != y, -t[c]))
    w = np.exp(t) / np.exp(t).sum()
    expected = -w
    for place, c in enumerate(order):
        rest = order[place:]
        expected[rest] += w[c] * np.exp(s[rest]) / np.exp(s[rest]).sum()
    np.testing.assert_allclose(gradients[0][0], expected, atol=1e-14)


def test_convex_in_the_student(x64):
    teacher = logits("float64", seed=1)[0]
    curvature = jax.jit(jax.hessian(lambda s: pld_loss(s, teacher, labels()[0])))(logits("float64")[0])
    assert np.linalg.eigvalsh(curvature).min() > -1e-14


def test_renaming_the_classes_changes_nothing(dtype):
    student, teacher = logits(dtype), logits(dtype, seed=1)
    new = np.random.default_rng(0).permutation(C)
    moved = jnp.asarray(np.argsort(new), jnp.int32)[labels()]
    np.testing.assert_allclose(
        pld(student[:, new], teacher[:, new], moved), pld(student, teacher, labels()), **close(dtype)
    )


def test_classes_that_take_no_part_are_not_there():
    dtype = jnp.dtype("float32")
    student, teacher = logits(dtype), logits(dtype, seed=1)
    kept = np.array([0, 2, 3, 5])
    inside = jnp.broadcast_to(jnp.asarray(np.isin(np.arange(C), kept)), (B, C))
    junk = jnp.where(inside, student, jnp.nan), jnp.where(inside, teacher, jnp.nan)
    label = jnp.asarray([0, 3, 1, 1], jnp.int32)
    fewer = student[:, kept], teacher[:, kept]
    cases = [
        (lambda s: pld_loss(s, junk[1], labels(), where=inside), lambda s: pld_loss(s, fewer[1], label)),
        (lambda s: kd_loss(s, junk[1], where=inside), lambda s: kd_loss(s, fewer[1])),
        (lambda s: listmle_loss(s, junk[1], where=inside), lambda s: listmle_loss(s, fewer[1])),
    ]
    for masked, plain in cases:
        value, gradient = jax.jit(jax.value_and_grad(lambda s, f=masked: f(s).sum()))(junk[0])
        expected, expected_gradient = jax.jit(jax.value_and_grad(lambda s, f=plain: f(s).sum()))(fewer[0])
        np.testing.assert_allclose(value, expected, **close(dtype))
        np.testing.assert_allclose(gradient[:, kept], expected_gradient, **close(dtype))
        assert (gradient[:, [1, 4]] == 0).all()


def test_a_label_that_takes_no_part_has_no_loss():
    student = logits("float32")
    inside = jnp.ones((B, C), bool).at[0, 0].set(False)
    value = pld(student, student, labels(), where=inside)
    np.testing.assert_array_equal(jnp.isnan(value), [True, False, False, False])
    beyond = pld(student, student, jnp.full(B, C, jnp.int32))
    assert jnp.isnan(beyond).all()


def test_distillation_is_a_divergence(dtype):
    student, teacher = logits(dtype), logits(dtype, seed=1)
    np.testing.assert_allclose(kd(teacher + 2, teacher, temperature=3.0), 0, atol=1e-5)
    p, q = (np.asarray(jax.nn.softmax(x / 3), float) for x in (teacher, student))
    np.testing.assert_allclose(kd(student, teacher, temperature=3.0), 9 * (p * np.log(p / q)).sum(1), rtol=1e-5)
    certain = jnp.where(jax.nn.one_hot(labels(), C, dtype=bool), jnp.asarray(0.0, dtype), -jnp.inf)
    np.testing.assert_allclose(kd(student, certain), cross_entropy(student, labels()), rtol=1e-5)


def test_many_classes_and_far_logits_stay_finite_in_single_precision():
    rng = np.random.default_rng(0)
    student, teacher = (jnp.asarray(rng.uniform(-80, 80, (8, 1000)), jnp.float32) for _ in range(2))
    label = jnp.asarray(rng.integers(0, 1000, 8), jnp.int32)
    value, gradient = jax.jit(jax.value_and_grad(lambda s: pld_loss(s, teacher, label).sum()))(student)
    assert jnp.isfinite(value)
    assert jnp.isfinite(gradient).all()
    with jax.enable_x64(True):
        double = pld(*(jnp.asarray(np.asarray(x), float) for x in (student, teacher)), label).sum()
    np.testing.assert_allclose(value, double, rtol=1e-5)


def test_options_out_of_range_are_refused():
    student = logits("float32")
    with pytest.raises(ValueError, match="top_k must be at least 1, not 0"):
        pld_loss(student, student, labels(), top_k=0)
    with pytest.raises(ValueError, match=r"a temperature must be positive, not 0\.0"):
        kd_loss(student, student, temperature=0.0)


def test_a_batch_is_its_examples():
    dtype = jnp.dtype("float32")
    student, teacher = logits(dtype), logits(dtype, seed=1)
    each = jnp.stack([pld(s, t, y) for s, t, y in zip(student, teacher, labels(), strict=True)])
    chex.assert_trees_all_close(pld(student, teacher, labels()), each, **close(dtype))


# Students of a teacher of digits


def network(layers, x):
    for weight, bias in layers[:-1]:
        x = jax.nn.relu(x @ weight + bias)
    return x @ layers[-1][0] + layers[-1][1]


def train(key, sizes, rate, steps, loss, x, *rest):
    """Adam on all examples at once."""
    layers = [
        (jax.random.normal(jax.random.fold_in(key, i), (m, n)) * (2 / m) ** 0.5, jnp.zeros(n))
        for i, (m, n) in enumerate(itertools.pairwise(sizes))
    ]
    adam = optax.adam(rate)

    def advance(state, _):
        layers, moments = state
        gradient = jax.grad(lambda layers: loss(network(layers, x), *rest).mean())(layers)
        update, moments = adam.update(gradient, moments)
        return (optax.apply_updates(layers, update), moments), None

    return jax.lax.scan(advance, (layers, adam.init(layers)), length=steps)[0][0]


STUDENTS = {
    "cross-entropy": (lambda s, y, t: cross_entropy(s, y), 0.911),
    "KD": (lambda s, y, t: (cross_entropy(s, y) + kd_loss(s, t, temperature=4.0)) / 2, 0.943),
    "ListMLE": (lambda s, y, t: listmle_loss(s, jnp.where(jax.nn.one_hot(y, 10, dtype=bool), jnp.inf, t)), 0.930),
    "PLD": (lambda s, y, t: pld_loss(s, t, y), 0.913),
    "PLD, T = 4": (lambda s, y, t: pld_loss(s, t, y, teacher_temperature=4.0), 0.939),
}


@pytest.mark.slow
@pytest.mark.engine
def test_students_of_a_teacher_of_digits():
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    images, truth = jnp.asarray(digits.data / 16, jnp.float32), jnp.asarray(digits.target, jnp.int32)
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(len(truth))
    test, rest = shuffled[:800], shuffled[800:]
    learn = jax.jit(lambda key: train(key, [64, 128, 128, 10], 3e-3, 200, cross_entropy, images[rest], truth[rest]))
    teacher = learn(jax.random.key(0))

    def accuracy(layers):
        return (network(layers, images[test]).argmax(1) == truth[test]).mean()

    np.testing.assert_allclose(accuracy(teacher), 0.974, atol=0.01)
    subsets = np.stack([rng.permutation(rest)[:200] for _ in range(10)])
    keys = jax.random.split(jax.random.key(100), 10)
    advice = network(teacher, images)[subsets]
    found = {}
    for name, (loss, expected) in STUDENTS.items():
        students = jax.jit(
            jax.vmap(lambda key, x, y, t, loss=loss: train(key, [64, 16, 10], 1e-2, 300, loss, x, y, t))
        )(keys, images[subsets], truth[subsets], advice)
        found[name] = float(jax.vmap(accuracy)(students).mean())
        # Of a mean over ten subsets of one split; other splits lie up to 0.015 away.
        np.testing.assert_allclose(found[name], expected, atol=0.01, err_msg=name)
    # An over-confident teacher says little at its own temperature, as much as KD at a higher one.
    assert abs(found["PLD"] - found["cross-entropy"]) < 0.01
    assert found["PLD, T = 4"] > found["ListMLE"] > found["cross-entropy"]
    assert found["PLD, T = 4"] > found["cross-entropy"] + 0.015
