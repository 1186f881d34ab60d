"""The posterior: maps, tables, verdicts, files."""

import dataclasses
import json
import sys
import types

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.inference import Posterior, effective_sample_size, mcse_mean, rhat
from tests.inference.toys import Things

NAMES = ["a", "b & c", "d"]


class Pair(eqx.Module):
    """Parameters two deep, something that no draw changes, and something that is no array."""

    first: Things
    ids: jax.Array
    words: str = "kept"


def draws(shape=(2, 100), seed=0):
    return jax.random.normal(jax.random.key(seed), shape)


def make(seed=0, n=100) -> Posterior:
    level, scale = draws((2, n, 3), seed), jnp.exp(draws((2, n), seed + 1))
    stats = {
        "diverging": jnp.zeros((2, n), bool),
        "energy": draws((2, n), seed + 2),
        "log_density": draws((2, n), seed + 3),
        "num_steps": jnp.full((2, n), 7),
    }
    moving, still = eqx.partition(Pair(Things(level), jnp.arange(4)), Pair(Things(True), False, False))
    return Posterior(moving, still, {"scale": scale}, stats)


LIKE = Pair(Things(jnp.zeros(3)), jnp.arange(4))


def test_model_has_leading_axes_only_where_draws_differ():
    model = make().model
    assert model.first.level.shape == (2, 100, 3)
    assert model.ids.shape == (4,)
    assert model.words == "kept"


@pytest.mark.parametrize("batch_size", [1, 64, 1000])
def test_map_is_a_loop(batch_size):
    posterior = make()

    def f(model):
        return {
            "sum": model.first.level.sum(),
            "outer": model.first.level[:, None] * model.ids[None, :].astype(float),
            "word": "x",
        }

    mapped = posterior.map(f, batch_size=batch_size)
    assert mapped["word"] == "x"
    assert mapped["outer"].shape == (2, 100, 3, 4)
    level = posterior.model.first.level
    np.testing.assert_allclose(mapped["sum"], level.sum(-1), rtol=1e-5, atol=1e-6)
    one = f(Pair(Things(level[1, 7]), jnp.arange(4)))
    np.testing.assert_allclose(mapped["outer"][1, 7], one["outer"], rtol=1e-6)


def test_map_gives_modules_back():
    posterior = make()
    doubled = posterior.map(lambda model: eqx.tree_at(lambda m: m.first.level, model, 2 * model.first.level))
    np.testing.assert_array_equal(doubled.first.level, 2 * posterior.model.first.level)


def test_map_where_no_draw_changes_the_model():
    posterior = make()
    alone = dataclasses.replace(posterior, moving=Pair(Things(None), None, None), still=LIKE)
    np.testing.assert_array_equal(alone.map(lambda model: model.ids), np.tile(np.arange(4), (2, 100, 1)))


def test_summary_has_the_numbers_of_numpy(x64):
    posterior = make()
    summary = posterior.summary(NAMES, level=0.9)
    columns = summary.to_dict()
    assert columns["name"] == ["first.level[a]", "first.level[b & c]", "first.level[d]", "scale"]
    assert len(summary) == 4
    for row, x in zip(
        summary, [*np.moveaxis(posterior.model.first.level, 2, 0), posterior.sites["scale"]], strict=True
    ):
        flat = np.ravel(x)
        expected = [flat.mean(), flat.std(ddof=1), *np.quantile(flat, [0.05, 0.5, 0.95])]
        np.testing.assert_allclose([row.mean, row.sd, row.lower, row.median, row.upper], expected, rtol=1e-12)
        np.testing.assert_allclose(
            [row.rhat, row.ess_bulk, row.ess_tail, row.mcse_mean],
            [rhat(x), effective_sample_size(x), effective_sample_size(x, kind="tail"), mcse_mean(x)],
            rtol=1e-12,
        )
    assert summary["scale"].mean == columns["mean"][3]
    with pytest.raises(KeyError):
        summary["nothing"]


def test_summary_is_a_table_for_people():
    summary = make().summary(NAMES)
    lines = str(summary).splitlines()
    assert lines[0].split() == ["mean", "sd", "2.5%", "50%", "97.5%", "R-hat", "ESS", "bulk", "ESS", "tail", "MCSE"]
    assert len({len(line) for line in lines}) == 1
    assert lines[-1].startswith("scale ")
    assert "first.level[b &amp; c]" in summary._repr_html_()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": 1.0}, "level must be between 0 and 1, not 1.0"),
        ({"names": ["a", "b"]}, r"2 names, but nothing drawn has an axis of that length.*\(3,\)"),
    ],
)
def test_summary_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        make().summary(**arguments)


def test_a_file_holds_everything(tmp_path, dtype):
    posterior = dataclasses.replace(make(), method="NUTS()", adaptation={"step_size": jnp.ones(2)})
    path = tmp_path / "posterior.npz"
    posterior.save(path)
    loaded = Posterior.load(path, like=LIKE)
    assert jax.tree.structure(loaded) == jax.tree.structure(posterior)
    jax.tree.map(np.testing.assert_array_equal, loaded, posterior)
    assert loaded.model.first.level.dtype == posterior.model.first.level.dtype
    assert loaded.model.words == "kept"
    assert [file.name for file in tmp_path.iterdir()] == ["posterior.npz"]


def test_no_pickle_inside(tmp_path):
    make().save(tmp_path / "p.npz")
    with np.load(tmp_path / "p.npz", allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file)
        header = json.loads(str(file["header"]))
    assert header["format"] == "scorax.posterior"
    assert header["arrays"]["moving/first.level"]["shape"] == [2, 100, 3]


class Other(eqx.Module):
    first: Things
    ids: jax.Array


@pytest.mark.parametrize(
    ("like", "message"),
    [
        (Pair(Things(jnp.zeros(4)), jnp.arange(4)), r"leaf 'first.level' does not match.*\(3,\).*\(4,\)"),
        (Pair(Things(jnp.zeros(3)), jnp.arange(5)), r"leaf 'ids' does not match.*\(4,\).*\(5,\)"),
        (Pair(None, jnp.arange(4)), r"leaf 'first.level' does not match.*`like` has no such leaf"),
        (Other(Things(jnp.zeros(3)), jnp.arange(4)), r"holds draws of .*Pair, but `like` is .*Other"),
    ],
)
def test_a_file_that_does_not_match(like, message, tmp_path):
    make().save(tmp_path / "p.npz")
    with pytest.raises(ValueError, match=message):
        Posterior.load(tmp_path / "p.npz", like=like)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_truncated_file(share, tmp_path):
    path = tmp_path / "p.npz"
    make().save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"p\.npz (is damaged or was cut short|is no scorax posterior)"):
        Posterior.load(path, like=LIKE)


def test_a_flipped_bit(tmp_path):
    path = tmp_path / "p.npz"
    make().save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"p\.npz is damaged"):
        Posterior.load(path, like=LIKE)


def test_foreign_files(tmp_path):
    np.savez(tmp_path / "arrays.npz", x=np.zeros(3))
    np.savez(tmp_path / "header.npz", header=np.asarray('{"format": "something else"}'))
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "text.npz").write_text("a,b\n1,2\n")
    for file in list(tmp_path.iterdir()):
        with pytest.raises(ValueError, match=rf"{file.name} is no scorax posterior"):
            Posterior.load(file, like=LIKE)
    with pytest.raises(FileNotFoundError):
        Posterior.load(tmp_path / "nothing.npz", like=LIKE)


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "p.npz"
    make(0).save(path)

    def full(*args, **kwargs):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        with pytest.raises(OSError, match="no space left"):
            make(1).save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["p.npz"]
    jax.tree.map(np.testing.assert_array_equal, Posterior.load(path, like=LIKE), make(0))
    with pytest.raises(FileNotFoundError):
        make().save(tmp_path / "no folder" / "p.npz")


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_to_arviz():
    arviz = pytest.importorskip("arviz")
    posterior = make()
    data = posterior.to_arviz()
    np.testing.assert_array_equal(data["posterior"]["scale"], posterior.sites["scale"])
    np.testing.assert_array_equal(data["posterior"]["first.level"], posterior.model.first.level)
    np.testing.assert_array_equal(data["sample_stats"]["n_steps"], posterior.stats["num_steps"])
    assert set(data["sample_stats"]) == {"diverging", "energy", "lp", "n_steps"}
    ess = arviz.ess(data)["scale"] if arviz.__version__ < "1" else arviz.ess(data, var_names=["scale"])["scale"]
    np.testing.assert_allclose(ess, posterior.summary()["scale"].ess_bulk, rtol=1e-4)


def test_to_arviz_one(monkeypatch):
    """ArviZ 1 takes one dictionary of groups."""
    fake = types.ModuleType("arviz")
    fake.__version__, fake.from_dict = "1.0.0", lambda data: data
    monkeypatch.setitem(sys.modules, "arviz", fake)
    assert set(make().to_arviz()) == {"posterior", "sample_stats"}


def test_a_posterior_is_a_pytree():
    posterior = make()
    shifted = jax.jit(lambda p: jax.tree.map(lambda x: x + 1, p.sites))(eqx.filter(posterior, eqx.is_array))
    np.testing.assert_array_equal(shifted["scale"], posterior.sites["scale"] + 1)
    assert (posterior.num_chains, posterior.num_draws) == (2, 100)
