"""All rows: importing an area registers its rows."""

from benchmarks import (  # noqa: F401
    _agreement,
    _choice,
    _cold,
    _diffusion,
    _import,
    _intervals,
    _judges,
    _posteriors,
    _rankings,
    _ratings,
    _score_matching,
    _trust_judge,
)
from benchmarks._row import ROWS, Row


def rows() -> tuple[Row, ...]:
    """In the order of the areas."""
    return tuple(ROWS)
