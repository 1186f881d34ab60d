"""Facts that come with the data, counted anew."""

import csv
import re
import sys

import numpy as np
import pytest

from scorax.data import Comparisons, connectivity, datasets, read_table


def correct(prompt, model="GPT-4", subset=None):
    """Whether each verdict of a judge is right, `[items, orders]`, NaN where it could not be parsed."""
    data, names = datasets.load_llmbar(prompt=prompt, model=model, subset=subset)
    assert len(names.judges) == 2
    right = np.full(data.label.shape, np.nan)
    row, place = np.nonzero(np.asarray(data.where))
    right[row, np.asarray(data.judge)[row, place]] = (np.asarray(data.label) == np.asarray(data.gold)[:, None])[
        row, place
    ]
    return right, data


def test_llmfao():
    battles, models = datasets.load_llmfao()
    assert battles.a.shape == (8931,)
    assert len(models) == 59
    assert round(100 * float((battles.outcome == 0.5).mean())) == 39
    assert battles.cluster is not None
    assert len(np.unique(battles.cluster)) == 124
    by_prompt, _ = datasets.load_llmfao(cluster="prompt")
    assert by_prompt.cluster is not None
    assert len(np.unique(by_prompt.cluster)) == 13
    assert connectivity(battles, 59).strong


def test_llmfao_works_as_it_stands_in_every_reader():
    table = read_table(next(data for data in datasets.catalogue() if data.name == "llmfao").path)
    battles, models = Comparisons.from_frame(table)
    loaded, names = datasets.load_llmfao()
    assert models == names
    np.testing.assert_array_equal(battles.outcome, loaded.outcome)
    np.testing.assert_array_equal(battles.a, loaded.a)


def test_llmbar_gpt4_vanilla():
    right, data = correct("Vanilla")
    assert data.label.shape[0] == 419
    assert round(float(np.nanmean(right)), 4) == 0.8449
    assert round(float(right.all(1).mean()), 4) == 0.8091
    # Both orders right or both wrong is the same verdict twice.
    assert round(float((right[:, 0] == right[:, 1]).mean()), 4) == 0.9284
    manual, _ = correct("Vanilla", subset="Manual")
    assert manual.sum(0).tolist() == [35, 39]


def test_llmbar_falcon_cot_looks_at_the_position():
    right, _ = correct("CoT", "Falcon")
    both = ~np.isnan(right).any(1)
    assert both.sum() == 416
    assert round(float((right[both, 0] == right[both, 1]).mean()), 4) == 0.1274


def test_llmbar_whole():
    data, names = datasets.load_llmbar()
    assert len(names.judges) == 130
    assert int((~np.asarray(data.tally(130, 2)).any(2)).sum()) == 134
    assert bool(data.has_gold.all())
    for bad in ({"subset": "None"}, {"model": "None"}, {"prompt": "None"}):
        with pytest.raises(ValueError, match="there is no"):
            datasets.load_llmbar(**bad)


def test_anesthesia():
    ratings, names = datasets.load_anesthesia()
    assert ratings.label.shape == (45, 7)
    assert bool(ratings.where.all())
    assert names.values == (1.0, 2.0, 3.0, 4.0)
    np.testing.assert_array_equal(ratings.tally(5, 4).sum((0, 2)), [135, 45, 45, 45, 45])


def test_ratings_vs_rankings():
    by_rating, items = datasets.load_ratings_vs_rankings("rating")
    by_ranking, same = datasets.load_ratings_vs_rankings("ranking")
    assert items == same
    table = [
        [int(((by_rating.outcome == x) & (by_ranking.outcome == y)).sum()) for y in (1, 0, 0.5)] for x in (1, 0, 0.5)
    ]
    assert table == [[19, 10, 8], [6, 26, 9], [11, 7, 21]]


def test_prometheus():
    scores, names = datasets.load_prometheus()
    assert scores.label.shape == (640, 3)
    assert len(names.candidates) == 8
    assert names.values == (1.0, 2.0, 3.0, 4.0, 5.0)


@pytest.mark.parametrize(("study", "judges", "candidates", "rows"), [(1, 2, 1, 182), (2, 3, 2, 530), (3, 6, 2, 1048)])
def test_autograder_scores(study, judges, candidates, rows):
    scores, names = datasets.load_autograder(study)
    assert (len(names.judges), len(names.candidates), len(names.levels)) == (judges, candidates, 11)
    assert scores.label.shape == (rows, 1)


def test_autograder_items_and_pairs():
    scores, names = datasets.load_autograder(4)
    assert names.items.names[:2] == ("1 / LLM A", "2 / LLM A")
    assert int(scores.where.sum()) == 600
    pairs, models = datasets.load_autograder(5)
    assert models.names == ("LLM A", "LLM B", "LLM C")
    assert pairs.features is not None
    assert pairs.features.shape == (756, 1)
    assert float(pairs.outcome.sum()) == 495
    with pytest.raises(ValueError, match="there is no study 6"):
        datasets.load_autograder(6)  # pyright: ignore[reportCallIssue, reportArgumentType]


@pytest.mark.parametrize("data", datasets.catalogue(), ids=lambda data: data.name)
def test_catalogue(data):
    function, argument = re.fullmatch(r"(\w+)\((\d?)\)", data.loader).groups()
    assert function in datasets.__all__
    if data.path.suffix == ".csv":
        with data.path.open(encoding="utf-8", newline="") as file:
            assert sum(1 for _ in csv.reader(file)) - 1 == data.rows
    else:
        loaded, _ = getattr(datasets, function)(*map(int, argument))
        assert loaded.weight.shape == (data.rows,)
    notice = (data.path.parent / "NOTICE.md").read_text()
    assert data.licence.split("-")[0].split(";")[0] in notice
    assert data.file in notice or "autograder_q1.csv` to `autograder_q5.csv" in notice


def test_every_file_is_in_the_catalogue():
    folder = datasets.catalogue()[0].path.parent
    shipped = {path.name for path in folder.iterdir() if path.suffix in (".csv", ".npz")}
    assert shipped == {data.file for data in datasets.catalogue()}


def test_loaders_need_no_library_of_data_frames(monkeypatch):
    for name in ("polars", "pandas", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    assert len(datasets.load_food()[1]) == 5
