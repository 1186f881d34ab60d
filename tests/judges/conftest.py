import json
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from scorax.data import Annotations

ORACLES = pathlib.Path(__file__).parents[1] / "oracles" / "judges"


def oracle(name):
    return json.loads((ORACLES / f"{name}.json").read_text())


def annotations_of(numbers):
    """Long lists of item, judge and rating, as an oracle holds them."""
    item, judge, rating = (np.asarray(numbers[column]) for column in ("item", "judge", "rating"))
    place = np.asarray([np.sum(item[:i] == item[i]) for i in range(item.size)])
    shape = (numbers["N"], int(place.max()) + 1)
    label, who, where = np.zeros(shape, int), np.zeros(shape, int), np.zeros(shape, bool)
    label[item, place], who[item, place], where[item, place] = rating, judge, True
    return Annotations.from_arrays(label, who, where=where)


@pytest.fixture
def anaesthesia():
    """The anaesthetists' ratings, with the reference's numbers. Depends on the precision of the test."""
    numbers = oracle("crowdkit_anesthesia")
    return annotations_of(numbers), numbers


@pytest.fixture
def ragged():
    """Two candidates, three judges, three levels: repeats, missing labels, gold labels, unequal weights."""
    where = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 0, 0]], bool)
    return Annotations.from_arrays(
        np.array([[0, 1, 0, 0], [2, 0, 0, 0], [1, 1, 2, 2], [0, 0, 0, 0], [0, 2, 0, 0]]),
        np.array([[0, 1, 2, 0], [1, 0, 0, 0], [0, 0, 1, 2], [0, 0, 0, 0], [2, 1, 0, 0]]),
        where=where,
        weight=np.array([1.0, 2.5, 1.0, 1.0, 3.0]),
        candidate=np.array([0, 1, 1, 0, 0]),
        gold=np.array([0, 2, 0, 0, 1]),
        has_gold=np.array([False, True, False, False, False]),
    )


def random_model(dtype, n_candidates=2, n_judges=3, n_levels=3, seed=0):
    from scorax.judges import SimplexJudge

    rng = np.random.default_rng(seed)
    prevalence = rng.dirichlet(np.ones(n_levels), n_candidates)
    confusion = rng.dirichlet(np.ones(n_levels), (n_judges, n_levels)) * 0.5 + np.eye(n_levels) * 0.5
    values = tuple(float(level + 1) for level in range(n_levels))
    return SimplexJudge(jnp.asarray(prevalence, dtype), jnp.asarray(confusion, dtype), values)
