"""Rating systems: states that are updated match by match."""

from scorax.choice._ratings._elo import Elo, EloState, elo_permuted
from scorax.choice._ratings._glicko import Glicko, GlickoState
from scorax.choice._ratings._glicko2 import Glicko2, Glicko2State
from scorax.choice._ratings._periods import Periods, rating_periods
from scorax.choice._ratings._skills import SkillState
from scorax.choice._ratings._trueskill import TrueSkill
from scorax.choice._ratings._weng_lin import WengLin

__all__ = [
    "Elo",
    "EloState",
    "Glicko",
    "Glicko2",
    "Glicko2State",
    "GlickoState",
    "Periods",
    "SkillState",
    "TrueSkill",
    "WengLin",
    "elo_permuted",
    "rating_periods",
]
