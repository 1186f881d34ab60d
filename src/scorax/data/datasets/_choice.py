"""Paired comparisons."""

from typing import Literal

import numpy as np

from scorax.data._comparisons import Comparisons
from scorax.data._vocabulary import Vocabulary
from scorax.data.datasets._files import read_columns


def load_llmfao(*, cluster: Literal["worker", "prompt"] = "worker") -> tuple[Comparisons, Vocabulary]:
    """Crowd-sourced battles of language models: 59 models, 8931 judgements, 39 % ties.

    Args:
        cluster: Whose judgements depend on one another: those of one of 124 workers, or of one of 13 prompts.

    Example:
        >>> battles, models = load_llmfao()
        >>> battles.a.shape, len(models)
        ((8931,), 59)

    Source: LLMFAO, in the repository dustalov/evalica (Apache-2.0).
    """
    return Comparisons.from_frame(read_columns("llmfao_battles.csv"), cluster=cluster)


def load_food() -> tuple[Comparisons, Vocabulary]:
    """A toy: 30 comparisons of dishes.

    Example:
        >>> comparisons, dishes = load_food()
        >>> comparisons.a.shape
        (30,)

    Source: the repository dustalov/evalica (Apache-2.0).
    """
    return Comparisons.from_frame(read_columns("food.csv"))


def load_ratings_vs_rankings(protocol: Literal["rating", "ranking"] = "ranking") -> tuple[Comparisons, Vocabulary]:
    """Pairs of responses judged twice by one language model: by rating each (1-7), and by ranking the two.

    The 117 pairs that have both judgements, in one order for either protocol, so that outcomes compare row by row:
    56.4 % agree. Items are responses, called `instruction/response`; pairs of one instruction are a cluster. In two
    pairs a response met itself: its second showing has the name with `again`.

    Args:
        protocol: Which outcome: the higher rating, or the ranking.

    Example:
        >>> by_rating, _ = load_ratings_vs_rankings("rating")
        >>> by_ranking, _ = load_ratings_vs_rankings("ranking")
        >>> float((by_rating.outcome == by_ranking.outcome).mean())
        0.5641026

    Source: Bansal, Dang, Grover (2024), arXiv:2308.15812; the repository Hritikbansal/sparse_feedback (MIT).
    """
    columns = {name: np.array(values) for name, values in read_columns("ratings_vs_rankings.csv").items()}
    both = (columns["rating_a"] != "") & (columns["rating_b"] != "")
    columns = {name: values[both] for name, values in columns.items()}
    if protocol == "rating":
        ahead = np.sign(columns["rating_a"].astype(float) - columns["rating_b"].astype(float))
        outcome = (1 + ahead) / 2
    else:
        outcome = np.array([{"a": 1.0, "b": 0.0, "equal": 0.5}[verdict] for verdict in columns["ranking"]])
    pairs = zip(columns["instruction"], columns["response_a"], columns["response_b"], strict=True)
    names = [(f"{i}/{a}", f"{i}/{b}" + " again" * (a == b)) for i, a, b in pairs]
    first, second = zip(*names, strict=True)
    return Comparisons.from_frame(
        {"a": first, "b": second, "outcome": outcome, "instruction": columns["instruction"]}, cluster="instruction"
    )
