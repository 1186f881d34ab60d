"""Floor 0: log-space primitives, graph Laplacians, coordinates. Arrays in, arrays out."""

from scorax.numerics._beta_quantile import beta_quantile, f_quantile, f_tail, t_quantile
from scorax.numerics._laplacian import graph_laplacian, laplacian_logdet, laplacian_pseudoinverse, solve_laplacian
from scorax.numerics._logspace import (
    log1mexp,
    log_sigmoid_interval,
    masked_logsumexp,
    masked_where,
    most_negative,
    suffix_logsumexp,
    suffixes,
)
from scorax.numerics._normal import inverse_mills, log_ndtr, mills_excess
from scorax.numerics._precision import available_dtype
from scorax.numerics._recurrence import decayed_sum
from scorax.numerics._resampling import (
    log_conditional_ess,
    log_ess,
    log_mean_weight,
    multinomial_indices,
    residual_indices,
    stratified_indices,
    systematic_indices,
)
from scorax.numerics._rows import checked_score, row_keys, spread_mask
from scorax.numerics._state_space import SmoothedSeries, StateSpaceSeries, smooth_series
from scorax.numerics._ternary import from_ternary, to_ternary
from scorax.numerics._trace import (
    LinearMap,
    Probe,
    TraceEstimate,
    draw_probes,
    exact_trace,
    hutchinson_trace,
    hutchpp_trace,
    map_in_turn,
    xtrace,
)

__all__ = [
    "LinearMap",
    "Probe",
    "SmoothedSeries",
    "StateSpaceSeries",
    "TraceEstimate",
    "available_dtype",
    "beta_quantile",
    "checked_score",
    "decayed_sum",
    "draw_probes",
    "exact_trace",
    "f_quantile",
    "f_tail",
    "from_ternary",
    "graph_laplacian",
    "hutchinson_trace",
    "hutchpp_trace",
    "inverse_mills",
    "laplacian_logdet",
    "laplacian_pseudoinverse",
    "log1mexp",
    "log_conditional_ess",
    "log_ess",
    "log_mean_weight",
    "log_ndtr",
    "log_sigmoid_interval",
    "map_in_turn",
    "masked_logsumexp",
    "masked_where",
    "mills_excess",
    "most_negative",
    "multinomial_indices",
    "residual_indices",
    "row_keys",
    "smooth_series",
    "solve_laplacian",
    "spread_mask",
    "stratified_indices",
    "suffix_logsumexp",
    "suffixes",
    "systematic_indices",
    "t_quantile",
    "to_ternary",
    "xtrace",
]
