"""Judges: value and gradient of the likelihood, and EM. Labels by 20 or 10 judges of 10 000 items on 5 levels."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro

from benchmarks._row import Case, Peer, peer, row
from scorax.data import Annotations
from scorax.inference import log_likelihood
from scorax.judges import DawidSkene, SimplexJudge, SimplexPrior, fit_em

ITEMS, JUDGES, FEW, LEVELS, STEPS = 10_000, 20, 10, 5, 50


def design() -> tuple[SimplexJudge, Annotations]:
    """A model drawn from its prior, and labels of every item by every judge."""
    with numpyro.handlers.seed(rng_seed=0):
        model = SimplexPrior(SimplexJudge.init(1, JUDGES, LEVELS))()
    judge = jnp.broadcast_to(jnp.arange(JUDGES), (ITEMS, JUDGES))
    blank = Annotations.from_arrays(jnp.zeros_like(judge), judge)
    return model, model.simulate(blank, key=jax.random.key(0))


@row("judge likelihood + grad", "10 000 x 20 on 5 f32")
def _likelihood() -> Case:
    model, data = design()
    tally = model.condense(data)
    program = jax.jit(jax.value_and_grad(log_likelihood))
    compiled = program.lower(model, tally).compile()
    exact = _log_likelihood(model, data)

    def error(result: Any) -> float:
        return abs(float(result[0]) / exact - 1)

    return Case(
        lambda: program(model, tally),
        # One pass over the table for the value, one for the gradient.
        bytes=2 * sum(leaf.nbytes for leaf in jax.tree.leaves(tally)),
        error=error,
        peers=[Peer("the same on labels that are gathered, not counted", lambda: program(model, data), error)],
        program=lambda: compiled,
    )


def _log_likelihood(model: SimplexJudge, data: Annotations) -> float:
    """In double precision, with NumPy."""
    log_confusion = np.log(np.asarray(model.confusion, np.float64))
    evidence = log_confusion[np.asarray(data.judge), :, np.asarray(data.label)].sum(1)
    joint = np.log(np.asarray(model.prevalence, np.float64)[np.asarray(data.candidate)]) + evidence
    return float(np.logaddexp.reduce(joint, axis=1).sum())


@row("dawid_skene EM", f"10 000 x {FEW} on 5, {STEPS} steps")
def _expectation_maximisation() -> Case:
    with numpyro.handlers.seed(rng_seed=0):
        model = DawidSkene.init(FEW, LEVELS).prior()
    judge = jnp.broadcast_to(jnp.arange(FEW), (ITEMS, FEW))
    data = model.simulate(Annotations.from_arrays(jnp.zeros_like(judge), judge), key=jax.random.key(0))
    start = DawidSkene.init(FEW, LEVELS).at_majority_vote(data)

    def crowdkit_fit() -> Any:
        from crowdkit.aggregation import DawidSkene as Peer  # pyright: ignore[reportMissingImports]

        # Its stopping rule never holds: as many steps as ours.
        return Peer(n_iter=STEPS, tol=0.0).fit_predict(_frame(data))

    # A step reads the table twice: for each item's truth, and for each judge's errors.
    table = ITEMS * FEW * LEVELS * 4
    return Case(lambda: fit_em(start, data, STEPS), bytes=2 * STEPS * table, peers=[peer("crowdkit", crowdkit_fit)])


def _frame(data: Annotations) -> Any:
    import pandas as pd

    task = np.repeat(np.arange(ITEMS), data.label.shape[1])
    worker, label = (np.asarray(x).ravel() for x in (data.judge, data.label))
    return pd.DataFrame({"task": task, "worker": worker, "label": label})
