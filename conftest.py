"""Settings of the whole test session: the compilation cache, strict promotion, names for the docstring examples."""

import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

# Compiling is what the suite's time goes to. The cache lives outside the checkout, so that fresh clones share it.
CACHE = os.environ.get("SCORAX_TEST_CACHE", str(pathlib.Path.home() / ".cache" / "scorax" / "tests"))
jax.config.update("jax_compilation_cache_dir", CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


# Examples in docstrings that compile for long: fits of large models, chains. `make test-slow` runs them.
SLOW_EXAMPLES = {
    "choice": """AdjacentComparison DavidsonLuce GeneralizedMallows GlennDavid Mallows PlackettLuceMixture TeamRanking
        bootstrap_interval calibration_table cross_validated_log_loss dynamic_skills fit_plackett_luce_mixture
        likelihood_ratio_test win_probability_draws polya_gamma_gibbs""",
    "diffusion": "DiffusionModel diffusion_elbo dpm_solver_pp_2m unipc",
    "inference": """Gibbs LaplaceMetropolis adaptive_tempering compare laplace_frame loo numpyro_model
        posterior_predictive power_scale_sensitivity predictive_check responsibilities run_state verdict""",
    "judges": """ClassConditionalDawidSkene GraderGLM HierarchicalDawidSkenePrior ManyFacetRasch OrdinalAnnotator
        adjust_prevalence label_switching ppi_stratified_mean relabel rogan_gladen_posterior sensitivity""",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark the slow examples, before marks are looked at."""
    slow = {(room, name) for room, names in SLOW_EXAMPLES.items() for name in names.split()}
    for item in items:
        place = item.name.split(".")
        if isinstance(item, pytest.DoctestItem) and (*place[1:2], place[-1]) in slow:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def strict(request):
    """Our own code never broadcasts or casts silently. Engines do, so tests marked `engine` are let off."""
    documentation = isinstance(request.node, pytest.DoctestItem)
    if documentation or request.node.get_closest_marker("engine"):
        yield
    else:
        with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
            yield


@pytest.fixture(autouse=True, scope="module")
def released():
    """Let go of a file's compiled programs when it is done: thousands of them exhaust a process's memory mappings."""
    yield
    jax.clear_caches()


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """Run the test in single and in double precision; inside, JAX's default width is the parameter's."""
    with jax.enable_x64(request.param == "float64"):
        yield jnp.dtype(request.param)


@pytest.fixture(params=["float64", pytest.param("float32", marks=pytest.mark.slow)])
def heavy_dtype(request):
    """As `dtype`, for a test that compiles for long: in single precision it is slow."""
    with jax.enable_x64(request.param == "float64"):
        yield jnp.dtype(request.param)


@pytest.fixture
def x64():
    """Run the test in double precision."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(autouse=True)
def documentation_names(doctest_namespace):
    """What the examples in docstrings may use without importing it."""
    import scorax as sx

    doctest_namespace.update(jax=jax, jnp=jnp, np=np, sx=sx)
