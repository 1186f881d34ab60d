"""All rows: importing an area registers its rows."""

from benchmarks import _choice, _cold, _import, _judges, _posteriors, _score_matching  # noqa: F401
from benchmarks._row import ROWS, Row


def rows() -> tuple[Row, ...]:
    """In the order of the areas."""
    return tuple(ROWS)
