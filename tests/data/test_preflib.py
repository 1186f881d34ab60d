"""PrefLib's files of orders, of today and of before 2022, and every way in which one can be bad."""

import io
import re

import chex
import numpy as np
import pytest

from scorax.data import Rankings, read_table

NAMES = {1: "tea", 2: "coffee, black", 3: "milk: hot", 4: "maté"}
ORDERS = {"5": "3,{1,2},4", "2": "1, 4, 3, 2", "1": "{1,2,3,4}"}


def today(orders=ORDERS, names=NAMES, *, kind="toc", k=4, voters=None, n_orders=None, body=None, extra=""):
    """A file as the specification writes it; `body` replaces the lines of the orders."""
    voters = sum(map(int, orders)) if voters is None else voters
    n_orders = len(orders) if n_orders is None else n_orders
    header = [
        "FILE NAME: drinks",
        "TITLE: Drinks: hot",
        "DESCRIPTION: ",
        f"DATA TYPE: {kind}",
        f"NUMBER ALTERNATIVES: {k}",
    ]
    header += [f"NUMBER VOTERS: {voters}", f"NUMBER UNIQUE ORDERS: {n_orders}"]
    header += [f"ALTERNATIVE NAME {number}: {name}" for number, name in names.items()]
    lines = [f"{count}: {order}" for count, order in orders.items()] if body is None else body
    return "\n".join([*(f"# {line}" for line in header), *lines]) + "\n" + extra


def before(orders=ORDERS, names=NAMES, *, sums=None):
    """The same in the older format."""
    total = sum(map(int, orders))
    lines = [str(len(names)), *(f"{number},{name}" for number, name in names.items())]
    lines += [f"{total},{total},{len(orders)}" if sums is None else sums]
    return "\n".join([*lines, *(f"{count},{order}" for count, order in orders.items())]) + "\n"


def read(text, **options):
    return Rankings.from_preflib(io.BytesIO(text.encode()), **options)


EXPECTED = Rankings.from_orders([[2, (0, 1), 3], [0, 3, 2, 1], [(0, 1, 2, 3)]], count=[5, 2, 1])


@pytest.mark.parametrize(("text", "kind"), [(today(), None), (before(), "toc")])
def test_both_formats_hold_orders_counts_ties_and_names(text, kind):
    rankings, names = read(text, format=kind)
    chex.assert_trees_all_equal(rankings, EXPECTED)
    assert names.names == tuple(NAMES.values())


def test_the_ending_says_the_kind_and_line_ends_do_not_matter(tmp_path):
    path = tmp_path / "drinks.TOC"
    path.write_bytes(b"\xef\xbb\xbf" + before().replace("\n", "\r\n").encode() + b"\r\n\r\n")
    rankings, _ = Rankings.from_preflib(path)
    chex.assert_trees_all_equal(rankings, EXPECTED)


def test_strict_orders_have_no_levels_and_unlisted_items_are_absent_or_last():
    orders = {"4": "2,1", "3": "4", "2": "3,1,2,4"}
    absent, _ = read(today(orders, kind="soi"))
    assert absent.tie_level is None
    assert absent.rest is None
    last, _ = read(today(orders, kind="soi"), unlisted="last")
    chex.assert_trees_all_equal(
        last, Rankings.from_orders([[1, 0], [3], [2, 0, 1, 3]], unlisted="last", count=[4, 3, 2])
    )
    assert last.rest is not None
    np.testing.assert_array_equal(last.rest[1], [True, True, True, False])


def test_an_alternative_that_nobody_lists_keeps_its_name():
    rankings, names = read(today({"4": "2,1"}, kind="soi"), unlisted="last")
    assert rankings.rest is not None
    assert len(names) == rankings.rest.shape[1] == 4


def test_a_header_may_leave_out_what_the_orders_say():
    text = "\n".join(line for line in today().split("\n") if "VOTERS" not in line and "UNIQUE" not in line)
    chex.assert_trees_all_equal(read(text)[0], EXPECTED)


def with_body(*lines, kind="toi", voters=9, n_orders=None):
    return today(kind=kind, voters=voters, n_orders=len(lines) if n_orders is None else n_orders, body=lines)


BAD = {
    "empty": ("", {}, "is empty"),
    "no orders": (with_body(), {}, "has a header and no orders: the data are empty"),
    "no PrefLib": ("a,b,winner\nx,y,tie\n", {}, "is no file of PrefLib: it begins neither with lines such as"),
    "another header": ("# NUMBER VOTERS: 3\n3: 1\n", {}, "does not say NUMBER ALTERNATIVES: is it a file of PrefLib?"),
    "no sums": ("2\n1,x\n2,y\n3,1,2\n".replace("3,1,2", "3,1"), {}, "is no file of PrefLib"),
    "number in words": (
        today().replace("NATIVES: 4", "NATIVES: four"),
        {},
        "says NUMBER ALTERNATIVES: four, which is no whole number",
    ),
    "fewer names": (today(k=5), {}, "has 5 alternatives and names 4: number 5 has no name. Mend the header."),
    "more names": (today(k=3), {}, "has 3 alternatives and names 4: '4' is none of 1 to 3"),
    "from zero": (
        today(names=dict(enumerate("abcd"))),
        {},
        "has 4 alternatives and names 4: number 4 has no name. Mend the header.",
    ),
    "empty name": (today(names=NAMES | {2: ""}), {}, "leaves the name of alternative 2 empty"),
    "name twice": (today(names=NAMES | {2: "tea"}), {}, "calls two alternatives 'tea'"),
    "voters": (
        today(voters=9),
        {},
        "says that there are 9 voters, its lines hold 8: the file may be truncated, or its header be of another one",
    ),
    "voters before": (before(sums="8,9,3"), {"format": "toc"}, "says that there are 9 voters, its lines hold 8"),
    "orders": (today(n_orders=4), {}, "says that there are 4 distinct orders, its lines hold 3"),
    "unknown": (
        with_body("4: 1,5", "5: 2,1"),
        {},
        "1 line of the stream has an alternative that is none of 1 to 4 (line 12). The header numbers and names them",
    ),
    "zero": (with_body("9: 0,1"), {}, "an alternative that is none of 1 to 4 (line 12)"),
    "twice": (
        with_body("4: 1,2,1", "5: 3,{1,3}"),
        {},
        "2 lines of the stream have an alternative twice (lines 12, 13)",
    ),
    "nobody": (with_body("9: 1,2", "0: 2,1"), {}, "1 line of the stream has an order that nobody gave (line 13)"),
    "empty group": (with_body("9: 1,{},2"), {}, "no count and order such as '5: 1,{2,3},4': '9: 1,{},2' (line 12)"),
    "open group": (with_body("9: 1,{2,3"), {}, "1 line of the stream has no count and order such as"),
    "nested group": (with_body("9: {1,{2,3}}"), {}, "has no count and order such as"),
    "names": (with_body("9: tea,milk"), {}, "has no count and order such as '5: 1,{2,3},4': '9: tea,milk' (line 12)"),
    "negative count": (with_body("-9: 1,2"), {}, "has no count and order such as"),
    "fraction": (with_body("0.5: 1,2"), {}, "has no count and order such as"),
    "empty order": (with_body("9: "), {}, "has no count and order such as"),
    "no count": (with_body("1,2,3"), {}, "has no count and order such as"),
    "late comment": (with_body("9: 1,2", "# TITLE: x"), {}, "has no count and order such as"),
    "ties": (
        today(kind="soc"),
        {},
        "2 lines of the stream have tied alternatives, which a .soc file has not (lines 12, 14). Call it .toc.",
    ),
    "ties of some": (
        today(kind="soi"),
        {},
        "tied alternatives, which a .soi file has not (lines 12, 14). Call it .toi.",
    ),
    "incomplete": (
        with_body("9: 1,2,3", kind="toc"),
        {},
        "has fewer than the 4 alternatives, all of which a .toc file lists (line 12). Call it .toi.",
    ),
    "two kinds": (today(), {"format": "toi"}, "says DATA TYPE: toc, and is read as .toi: one of the two is wrong"),
    "no kind": (before(), {}, "the kind of orders in the stream is unknown; read are .soc, .soi, .toc and .toi."),
    "another kind": (today(kind="cat"), {}, "the stream holds .cat, no orders; read are .soc, .soi, .toc and .toi."),
    "no such format": (before(), {"format": "csv"}, "format must be one of 'soc', 'soi', 'toc', 'toi', not 'csv'"),
    "unlisted": (today(), {"unlisted": "worst"}, "unlisted must be 'absent' or 'last', not 'worst'"),
}


@pytest.mark.parametrize(("text", "options", "message"), BAD.values(), ids=BAD)
def test_bad_files_are_refused(text, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        read(text, **options)


def test_a_file_that_is_not_there_or_packed(tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        Rankings.from_preflib(tmp_path / "none.soc")
    (tmp_path / "packed.soc").write_bytes(b"PK\x03\x04 and more")
    with pytest.raises(ValueError, match=r"packed.soc is compressed with zip: unpack it first"):
        Rankings.from_preflib(tmp_path / "packed.soc")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("drinks.soi", before(), "is a PrefLib file of orders, not a table: Rankings.from_preflib reads it"),
        ("drinks.txt", today(), "is a PrefLib file of orders, not a table: Rankings.from_preflib reads it"),
        ("drinks.cat", today(), "holds categories (PrefLib's .cat), which is not read; the files of orders are"),
        ("drinks.wmd", today(), "holds a graph for matching (PrefLib's .wmd), which is not read"),
    ],
)
def test_tables_are_something_else(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_table(tmp_path / name)
