"""Skills that change with time: Gaussian processes, one an item, tied together by comparisons."""

from scorax.choice._dynamic._dynamic_counts import dynamic_count_difference_skills, dynamic_count_skills
from scorax.choice._dynamic._dynamic_skills import dynamic_score_skills, dynamic_skills
from scorax.choice._dynamic._histories import Histories, skill_histories
from scorax.choice._dynamic._kernel import AbstractSkillKernel
from scorax.choice._dynamic._matern_kernels import Exponential, Matern32, Matern52
from scorax.choice._dynamic._periodic_kernel import Periodic
from scorax.choice._dynamic._polynomial_kernels import Affine, Constant, Wiener
from scorax.choice._dynamic._skills import DynamicSkills

__all__ = [
    "AbstractSkillKernel",
    "Affine",
    "Constant",
    "DynamicSkills",
    "Exponential",
    "Histories",
    "Matern32",
    "Matern52",
    "Periodic",
    "Wiener",
    "dynamic_count_difference_skills",
    "dynamic_count_skills",
    "dynamic_score_skills",
    "dynamic_skills",
    "skill_histories",
]
