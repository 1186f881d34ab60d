"""Which columns of a table of labels are what: found by the names they usually have, or named by the user."""

from collections.abc import Mapping
from typing import Any

from scorax.cli._reading import require

USUAL = {
    "item": ("item", "question", "task"),
    "judge": ("judge", "rater", "annotator", "worker", "grader"),
    "label": ("label", "rating", "score"),
    "candidate": ("candidate", "model"),
    "gold": ("gold",),
    "weight": ("weight",),
}


def named(columns: Mapping[str, str | None]) -> dict[str, str]:
    """Those that the user named, by role."""
    return {role: column for role, column in columns.items() if column is not None}


def listed(levels: str | None) -> list[str] | None:
    """The levels that `--levels` lists."""
    return None if levels is None else [level.strip() for level in levels.split(",")]


def find(frame: Any, role: str, name: str | None) -> str:
    """The column of a role, by its own name or a usual one.

    Raises:
        ValueError: There is none.
    """
    found = find_optional(frame, role, name)
    if found is None:
        tried = ", ".join(map(repr, USUAL[role]))
        present = ", ".join(map(repr, frame.columns))
        raise ValueError(
            f"there is no column for {role} (tried {tried}); the columns are {present}. Name it with --{role}-column"
        )
    return found


def find_optional(frame: Any, role: str, name: str | None) -> str | None:
    """As `find`, but None where nothing was named and nothing is there."""
    if name is not None:
        require(frame, name, role)
        return name
    return next((usual for usual in USUAL[role] if usual in frame.columns), None)
