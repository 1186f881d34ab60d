"""Classic tables of the literature (for tests only, see `files/NOTICE.md`) through the doors they would come by."""

import csv
import pathlib

import numpy as np

from scorax.data import (
    Annotations,
    Comparisons,
    PairCounts,
    Rankings,
    Vocabulary,
    connectivity,
    largest_component,
    read_table,
)

FILES = pathlib.Path(__file__).parent / "files"


def matrix(name, skip=0):
    with (FILES / name).open() as file:
        _, *rows = csv.reader(file)
    return np.array([row[skip:] for row in rows], float)


def test_football():
    matches, teams = Comparisons.from_frame(
        read_table(FILES / "football_epl_2008_2013.csv"),
        item_a="home",
        item_b="away",
        outcome="result",
        outcomes={"1": 1, "0": 0.5, "-1": 0},
        cluster="season",
    )
    assert matches.a.shape == (1900,)
    assert connectivity(matches, len(teams)).strong


def test_nascar_has_drivers_that_always_came_last():
    rankings = Rankings.from_orders((matrix("nascar2002_orderings.csv").astype(int) - 1).tolist())
    report = connectivity(rankings, 87)
    assert not report.strong
    kept, drivers = largest_component(rankings, Vocabulary.of(range(1, 88)))
    # Hunter (2004) drops the four that finished last in each of their races, numbers 84 to 87 here.
    assert drivers.names == tuple(map(str, range(1, 84)))
    assert kept.order.shape[0] == 36


def test_salad_and_caries_and_citations():
    salad = Rankings.from_rank_matrix(matrix("salad.csv"))
    assert salad.aggregate().count.sum() == 32
    caries = matrix("caries.csv")
    patterns, _ = Annotations.from_dense(caries[:, :5], count=caries[:, 5])
    teeth = patterns.expand()
    assert patterns.weight.shape == (32,)
    assert teeth.weight.shape == (3859,)
    np.testing.assert_array_equal(np.sort(teeth.aggregate().count), np.sort(patterns.count))
    cited = matrix("citations_cited_by_citing.csv", skip=1)
    table = PairCounts.from_arrays(cited - np.diag(np.diag(cited)))
    assert connectivity(table, 4).strong


def test_counts_of_a_table_of_pairs():
    pudding = matrix("pudding.csv")
    i, j, total, first, second, ties = pudding.T
    battles, puddings = Comparisons.from_frame(
        {
            "a": np.tile(i, 3),
            "b": np.tile(j, 3),
            "winner": np.repeat([1.0, 0.0, 0.5], len(i)),
            "n": np.concatenate([first, second, ties]),
        },
        count="n",
    )
    assert len(puddings) == 6
    np.testing.assert_array_equal(battles.weight, battles.count)
    table = battles.table(6)
    for a, b, n in zip(i.astype(int) - 1, j.astype(int) - 1, total, strict=True):
        assert table.count[0, a, b] + table.count[0, b, a] + table.count[1, a, b] == n
