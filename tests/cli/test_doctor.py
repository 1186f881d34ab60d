"""`scorax doctor`."""

import jax

from scorax.cli import _doctor


def test_all_is_well(scorax):
    status, out, err = scorax("doctor")
    assert (status, err) == (0, "")
    for word in (
        "python",
        "scorax",
        "jax",
        "numpyro",
        "devices",
        "float64",
        "compiled programs",
        "extra cli",
        "extra plot",
    ):
        assert word in out
    assert "self-check" in out.splitlines()[-1]
    assert " ok (error " in out.splitlines()[-1]


def test_a_wrong_answer_is_reported(scorax, monkeypatch):
    monkeypatch.setattr(_doctor, "_self_check", lambda: 0.5)
    status, out, _ = scorax("doctor")
    assert status == 1
    assert "FAILED (error 5e-01)" in out


def test_double_precision_is_given_back(scorax):
    before = jax.config.jax_enable_x64
    scorax("doctor")
    assert jax.config.jax_enable_x64 == before
