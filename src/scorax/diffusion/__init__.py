"""Floor 4: noise processes, samplers, likelihood, and laws whose scores are known exactly."""

from scorax.diffusion._ddim import ancestral, ddim
from scorax.diffusion._diffusion_model import DiffusionModel
from scorax.diffusion._dpm_solver_pp import dpm_solver_pp_2m, dpm_solver_pp_2m_sde, dpm_solver_pp_3m_sde
from scorax.diffusion._dpm_v3 import dpm_solver_v3
from scorax.diffusion._empirical_score import EmpiricalScore
from scorax.diffusion._exact_scores import AbstractExactScore
from scorax.diffusion._flow_jacobian import FlowJacobian, flow_jacobian_singular_values
from scorax.diffusion._fokker_planck import (
    fokker_planck_penalty,
    log_fokker_planck_residual,
    score_fokker_planck_residual,
)
from scorax.diffusion._gaussian_mixture_score import GaussianMixtureScore
from scorax.diffusion._gaussian_score import GaussianScore
from scorax.diffusion._grids import edm_grid, log_snr_grid, quadratic_grid, uniform_grid, vp_grid
from scorax.diffusion._langevin import annealed_langevin, langevin
from scorax.diffusion._likelihood import (
    bits_per_dim,
    diffusion_elbo,
    ito_log_density_increment,
    probability_flow_log_prob,
)
from scorax.diffusion._limited_processes import CosineVP, LinearInterpolant, OrnsteinUhlenbeck, SubVariancePreserving
from scorax.diffusion._model_statistics import ModelStatistics, empirical_model_statistics
from scorax.diffusion._multiplicative import (
    GeometricBrownian,
    multiplicative_denoising_loss,
    multiplicative_implicit_loss,
    multiplicative_sample,
    multiplicative_score,
)
from scorax.diffusion._ode_sde_gap import (
    GaussianGap,
    OdeSdeGap,
    assignment_wasserstein,
    gaussian_wasserstein,
    ode_sde_gap,
    w2_gap_bound_gaussian,
)
from scorax.diffusion._one_step_samplers import (
    euler_maruyama,
    probability_flow_euler,
    probability_flow_heun,
    reverse_diffusion,
)
from scorax.diffusion._parameterisation import convert_prediction
from scorax.diffusion._preconditioning import DenoiserScore, Preconditioned
from scorax.diffusion._predictor_corrector import predictor_corrector
from scorax.diffusion._process import AbstractProcess, ProbabilityFlow, ReverseSDE
from scorax.diffusion._processes import EDM, VarianceExploding, VariancePreserving
from scorax.diffusion._samplers import heun
from scorax.diffusion._scheduled_process import ScheduledProcess
from scorax.diffusion._sphere_score import SphereScore
from scorax.diffusion._teleportation import TeleportedSampler, explained_variance, teleport, teleported
from scorax.diffusion._times import (
    edm_discrete_times,
    importance_times,
    log_normal_times,
    shared_offset_times,
    stratified_times,
    uniform_times,
)
from scorax.diffusion._unipc import unipc

__all__ = [
    "EDM",
    "AbstractExactScore",
    "AbstractProcess",
    "CosineVP",
    "DenoiserScore",
    "DiffusionModel",
    "EmpiricalScore",
    "FlowJacobian",
    "GaussianGap",
    "GaussianMixtureScore",
    "GaussianScore",
    "GeometricBrownian",
    "LinearInterpolant",
    "ModelStatistics",
    "OdeSdeGap",
    "OrnsteinUhlenbeck",
    "Preconditioned",
    "ProbabilityFlow",
    "ReverseSDE",
    "ScheduledProcess",
    "SphereScore",
    "SubVariancePreserving",
    "TeleportedSampler",
    "VarianceExploding",
    "VariancePreserving",
    "ancestral",
    "annealed_langevin",
    "assignment_wasserstein",
    "bits_per_dim",
    "convert_prediction",
    "ddim",
    "diffusion_elbo",
    "dpm_solver_pp_2m",
    "dpm_solver_pp_2m_sde",
    "dpm_solver_pp_3m_sde",
    "dpm_solver_v3",
    "edm_discrete_times",
    "edm_grid",
    "empirical_model_statistics",
    "euler_maruyama",
    "explained_variance",
    "flow_jacobian_singular_values",
    "fokker_planck_penalty",
    "gaussian_wasserstein",
    "heun",
    "importance_times",
    "ito_log_density_increment",
    "langevin",
    "log_fokker_planck_residual",
    "log_normal_times",
    "log_snr_grid",
    "multiplicative_denoising_loss",
    "multiplicative_implicit_loss",
    "multiplicative_sample",
    "multiplicative_score",
    "ode_sde_gap",
    "predictor_corrector",
    "probability_flow_euler",
    "probability_flow_heun",
    "probability_flow_log_prob",
    "quadratic_grid",
    "reverse_diffusion",
    "score_fokker_planck_residual",
    "shared_offset_times",
    "stratified_times",
    "teleport",
    "teleported",
    "uniform_grid",
    "uniform_times",
    "unipc",
    "vp_grid",
    "w2_gap_bound_gaussian",
]
