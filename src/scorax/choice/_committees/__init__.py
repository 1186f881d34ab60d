"""Committees: the best set of a given size, for voters who rank items, with quotas for groups."""

from scorax.choice._committees._bias import apply_bias
from scorax.choice._committees._rules import COMMITTEE_RULES, CommitteeRule, positions_of
from scorax.choice._committees._score import committee_score, multilinear_extension
from scorax.choice._committees._select import Committee, select_committee
from scorax.choice._committees._smoothness import SmoothnessReport, smoothness

__all__ = [
    "COMMITTEE_RULES",
    "Committee",
    "CommitteeRule",
    "SmoothnessReport",
    "apply_bias",
    "committee_score",
    "multilinear_extension",
    "positions_of",
    "select_committee",
    "smoothness",
]
