"""Floor 2: models and parameters, one door to inference."""

from scorax.inference._bootstrap import Bootstrap, bootstrap
from scorax.inference._diagnostics import effective_sample_size, energy_bfmi, mcse_mean, rhat
from scorax.inference._fit import Diagnostics, Estimate, Fit, fit
from scorax.inference._kernels import HMC, NUTS, AbstractKernel, Frame
from scorax.inference._model import AbstractModel, leaf_names, log_likelihood, parameter, supports, weighted_total
from scorax.inference._posterior import Posterior
from scorax.inference._priors import iid_prior, numpyro_model
from scorax.inference._progress import Progress
from scorax.inference._psis import SmoothedWeights, smooth_weights
from scorax.inference._sample import sample
from scorax.inference._solvers import AbstractSolver, Derivatives, Minimiser, Newton, Solution
from scorax.inference._summary import Summary, SummaryRow

__all__ = [
    "HMC",
    "NUTS",
    "AbstractKernel",
    "AbstractModel",
    "AbstractSolver",
    "Bootstrap",
    "Derivatives",
    "Diagnostics",
    "Estimate",
    "Fit",
    "Frame",
    "Minimiser",
    "Newton",
    "Posterior",
    "Progress",
    "SmoothedWeights",
    "Solution",
    "Summary",
    "SummaryRow",
    "bootstrap",
    "effective_sample_size",
    "energy_bfmi",
    "fit",
    "iid_prior",
    "leaf_names",
    "log_likelihood",
    "mcse_mean",
    "numpyro_model",
    "parameter",
    "rhat",
    "sample",
    "smooth_weights",
    "supports",
    "weighted_total",
]
