import datetime

import chex
import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from scorax.data import Vocabulary
from scorax.learning import TimedScores, to_years

DATES = ["2024-01-01", "2024-07-01", "2025-01-01"]
DAYS = [datetime.date.fromisoformat(date) for date in DATES]
COLUMNS = {"score": [7, 6, 5], "paper": ["Post", "Mail", "Post"]}


def test_years_are_linear_in_time_and_near_the_calendar():
    years = to_years(np.arange("1950-01-01", "2050-01-01", dtype="datetime64[D]"))
    # Differences of numbers near 2000 in double precision.
    np.testing.assert_allclose(np.diff(years), 1 / 365.2425, atol=1e-12)
    new_years = to_years([f"{year}-01-01" for year in range(1950, 2050)])
    # Leap years add up to three quarters of a day, and 2000 was one although it ends a century.
    assert np.abs(new_years - np.arange(1950, 2050)).max() < 1.3 / 365


def test_every_way_to_write_a_date_is_the_same_date():
    expected = to_years(np.array(DATES, "datetime64[ns]"))
    zoned = [f"{date}T02:00+02:00" for date in DATES]
    for same in (DATES, DAYS, list(np.array(DATES, "datetime64[s]")), zoned, pd.to_datetime(DATES)):
        np.testing.assert_array_equal(to_years(same), expected)
    assert to_years("2024-07-01").shape == ()


@pytest.mark.parametrize(
    "frame",
    [
        {"date": DATES, **COLUMNS},
        {"date": np.array(DATES, "datetime64[D]"), **COLUMNS},
        {"year": to_years(DATES), **COLUMNS},
        pd.DataFrame({"date": pd.to_datetime(DATES), **COLUMNS}),
        pd.DataFrame({"date": pd.to_datetime(DATES, utc=True), **COLUMNS}),
        pl.DataFrame({"date": DAYS, **COLUMNS}),
        pa.table({"date": DAYS, **COLUMNS}),
    ],
    ids=["text", "numpy", "years", "pandas", "pandas with zone", "polars", "arrow"],
)
def test_every_table_gives_the_same_scores(frame):
    scores, papers = TimedScores.from_frame(frame, group="paper")
    assert papers.names == ("Mail", "Post")
    chex.assert_trees_all_equal(
        scores, TimedScores.from_arrays(np.asarray(to_years(DATES)), [7.0, 6.0, 5.0], group=[1, 0, 1])
    )


def test_numbers_in_text_and_numbered_groups():
    scores, judges = TimedScores.from_frame(
        {"t": ["1", "2"], "score": ["3.5", "4"], "judge": [10.0, 9.0], "w": [2, 0]}, time="t", group="judge", weight="w"
    )
    assert judges.names == ("9", "10")
    chex.assert_trees_all_equal(scores, TimedScores.from_arrays([1.0, 2.0], [3.5, 4.0], group=[1, 0], weight=[2, 0]))
    known = Vocabulary(("8", "9", "10"))
    renamed, same = TimedScores.from_frame({"time": [1], "score": [3], "judge": [9]}, group="judge", vocabulary=known)
    assert same is known
    assert int(renamed.group[0]) == 1


def test_equal_rows_merge_and_part_again():
    scores = TimedScores.from_arrays([1.0, 2.0, 1.0], [5.0, 6.0, 5.0], weight=[0.5, 1.0, 0.5])
    merged = scores.aggregate()
    chex.assert_trees_all_equal(merged.count, jnp.array([2.0, 1.0]))
    chex.assert_trees_all_equal(merged.expand().weight, jnp.array([0.5, 0.5, 1.0]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], []), "there are no scores"),
        (([1.0, 2.0], [1.0]), r"time has shape \(2,\); expected one number a row \(1\)"),
        (([1.0, np.nan], [1.0, 2.0]), r"time is missing \(NaN\) in 1 row \(row 1\)\. Drop"),
        (([1.0, 2.0], [np.inf, 2.0]), r"score is infinite in 1 row \(row 0\)"),
        (([1.0], ["high"]), "score holds .* values, not numbers"),
        ((["soon"], [1.0]), r"a value is no date in 1 row \(row 0\)\. Write dates as 2024-05-01"),
        (([None, DAYS[0]], [1.0, 2.0]), r"a date is missing in 1 row \(row 0\)"),
    ],
)
def test_bad_arrays(arguments, message):
    with pytest.raises(ValueError, match=message):
        TimedScores.from_arrays(*arguments)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"group": [0.0, 1.0]}, "group holds float64 values, not integer ids"),
        ({"group": [0]}, r"group has shape \(1,\); expected one id for each of the 2 rows"),
        ({"group": [0, 2], "n_groups": 2}, r"group is no id from 0 to 1 in 1 row \(row 1\)"),
        ({"weight": [1.0, -1.0]}, r"weight is negative in 1 row \(row 1\)"),
        ({"weight": [0.0, 0.0]}, "every weight is 0"),
        ({"count": [0.0, 1.0], "weight": [1.0, 1.0]}, "weight is not 0 although count is 0"),
    ],
)
def test_bad_columns(columns, message):
    with pytest.raises(ValueError, match=message):
        TimedScores.from_arrays([1.0, 2.0], [3.0, 4.0], **columns)


@pytest.mark.parametrize(
    ("frame", "names", "message"),
    [
        ({"score": [1]}, {}, r"there is no column for time \(tried 'time', .*\); the columns are 'score'"),
        ({"time": [1], "score": [1]}, {"group": "paper"}, "there is no column 'paper' for group"),
        ({"time": [1, 2], "score": [1]}, {}, "different lengths"),
        ({"time": [], "score": []}, {}, "the table is empty"),
        ({"time": [1, None], "score": [1, 2]}, {}, r"column 'time' is missing in 1 row \(row 1\)"),
        ({"time": ["2024-01-01", "x"], "score": [1, 2]}, {}, "column 'time': a value is no date in 1 row"),
        ({"time": [1], "score": ["good"]}, {}, "column 'score' holds values that are no number, such as 'good'"),
        (3, {}, "cannot read a int as a table"),
    ],
)
def test_bad_tables(frame, names, message):
    with pytest.raises(ValueError, match=message):
        TimedScores.from_frame(frame, **names)
