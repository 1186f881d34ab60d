import numpy as np
import pytest

from scorax.data import Vocabulary


def test_sorted_and_independent_of_the_order_of_rows():
    names = ["llama", "gpt", "phi", "gpt"]
    assert Vocabulary.of(names) == Vocabulary.of(names[::-1]) == Vocabulary(("gpt", "llama", "phi"))


def test_numbers_by_size_and_mixtures_by_text():
    assert Vocabulary.of([10, 9, 1.5]).names == ("1.5", "9", "10")
    assert Vocabulary.of(["b", 3]).names == ("3", "b")


def test_it_is_a_sequence():
    names = Vocabulary(("x", "y", "z"))
    assert (len(names), names[1], names[-1], names[1:], list(names)) == (3, "y", "z", ("y", "z"), ["x", "y", "z"])
    assert "y" in names
    assert "w" not in names
    assert names.index("z") == 2
    assert [names[i] for i in names.encode(names)] == list(names)
    assert names.encode([]).dtype == np.int32


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: Vocabulary(("x", "y", "x")), "the name 'x' appears twice"),
        (lambda: Vocabulary(("x", "y")).index("z"), "'z' is not among the 2 names"),
        (lambda: Vocabulary(("x", "y")).encode(["x", "z", "w"]), "2 names are unknown: 'w', 'z'. Known are 'x', 'y'."),
    ],
)
def test_bad_names(act, message):
    with pytest.raises(ValueError, match=message):
        act()
