"""Floor 3: losses that fit a score function, the gradient of a log-density, to samples; what is wrong with one."""

from scorax.score_matching._denoising import (
    DiffusionProcess,
    NoiseProcess,
    denoising_score_matching_loss,
    noise_conditional_score_matching_loss,
)
from scorax.score_matching._diagnostics import (
    conservativity_gap,
    fisher_divergence,
    quasi_conservative_loss,
)
from scorax.score_matching._discrete import (
    concrete_score_matching_loss,
    hamming_graph,
    ratio_matching_loss,
    ring_graph,
    score_entropy_loss,
)
from scorax.score_matching._domains import nonnegative_score_matching_loss, truncated_score_matching_loss
from scorax.score_matching._exponential_family import ExponentialFamilyFit, exponential_family_score_matching
from scorax.score_matching._finite_difference import finite_difference_sliced_score_matching_loss
from scorax.score_matching._gauge import (
    ConservativeProjection,
    ConservativeScore,
    conservative_projection_loss,
    gauge_residual,
    helmholtz_gaussian,
    project_conservative,
)
from scorax.score_matching._intrinsic_dimension import local_intrinsic_dimension
from scorax.score_matching._kernel_regression import (
    BoundedScore,
    KernelRegressionScore,
    early_stopping_time,
    kernel_gd_filter,
    kernel_regression_score,
)
from scorax.score_matching._losses import (
    explicit_score_matching_loss,
    implicit_score_matching_loss,
    sliced_score_matching_loss,
)
from scorax.score_matching._nonparametric import (
    KernelDensityScore,
    KernelScore,
    kernel_density_score,
    kernel_stein_score,
    nu_method,
)
from scorax.score_matching._ntk import arc_cosine_kernel, empirical_ntk, ntk_relu
from scorax.score_matching._operators import divergence, laplacian
from scorax.score_matching._stein import (
    AbstractRadialKernel,
    InverseMultiquadric,
    RadialBasis,
    SteinTest,
    kernel_stein_discrepancy,
    kernel_stein_test,
    median_lengthscale,
    stein_matrix,
    stein_thinning,
)
from scorax.score_matching._training import (
    TrainingState,
    TrainingStep,
    exponential_moving_average,
    make_step,
    power_function_decay,
    power_function_gamma,
    power_function_width,
)

__all__ = [
    "AbstractRadialKernel",
    "BoundedScore",
    "ConservativeProjection",
    "ConservativeScore",
    "DiffusionProcess",
    "ExponentialFamilyFit",
    "InverseMultiquadric",
    "KernelDensityScore",
    "KernelRegressionScore",
    "KernelScore",
    "NoiseProcess",
    "RadialBasis",
    "SteinTest",
    "TrainingState",
    "TrainingStep",
    "arc_cosine_kernel",
    "concrete_score_matching_loss",
    "conservative_projection_loss",
    "conservativity_gap",
    "denoising_score_matching_loss",
    "divergence",
    "early_stopping_time",
    "empirical_ntk",
    "explicit_score_matching_loss",
    "exponential_family_score_matching",
    "exponential_moving_average",
    "finite_difference_sliced_score_matching_loss",
    "fisher_divergence",
    "gauge_residual",
    "hamming_graph",
    "helmholtz_gaussian",
    "implicit_score_matching_loss",
    "kernel_density_score",
    "kernel_gd_filter",
    "kernel_regression_score",
    "kernel_stein_discrepancy",
    "kernel_stein_score",
    "kernel_stein_test",
    "laplacian",
    "local_intrinsic_dimension",
    "make_step",
    "median_lengthscale",
    "noise_conditional_score_matching_loss",
    "nonnegative_score_matching_loss",
    "ntk_relu",
    "nu_method",
    "power_function_decay",
    "power_function_gamma",
    "power_function_width",
    "project_conservative",
    "quasi_conservative_loss",
    "ratio_matching_loss",
    "ring_graph",
    "score_entropy_loss",
    "sliced_score_matching_loss",
    "stein_matrix",
    "stein_thinning",
    "truncated_score_matching_loss",
]
