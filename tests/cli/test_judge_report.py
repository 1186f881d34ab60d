"""`scorax judge`: one run with strata, all that it writes, and the page about it."""

import base64
import contextlib
import html.parser
import io
import json

import pytest

from scorax.cli import _html, main

# NumPyro's transform of simplices broadcasts ranks.
pytestmark = pytest.mark.engine
VOID = {"meta", "img"}


class Reader(html.parser.HTMLParser):
    """What a page holds; every tag must be closed by its own kind."""

    def __init__(self, page):
        super().__init__()
        self.open, self.links, self.cells, self.text = [], [], [], ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data)
        self.text += data


@pytest.fixture(scope="module")
def run(tmp_path_factory, ratings_text):
    """Status, output, messages and folder of a run with most of what there is."""
    folder = tmp_path_factory.mktemp("judge")
    (folder / "ratings.csv").write_text(ratings_text)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([*command(folder), "--out", str(folder / "out")])
    return status, out.getvalue(), err.getvalue(), folder / "out"


def command(folder, rule="stochastic"):
    strata = ["--constancy", "strata", "--stratum-column", "topic", "--monotone", rule]
    small = ["--draws", "60", "--warmup", "60", "--chains", "2", "--resume", str(folder / "run.npz")]
    return ["judge", str(folder / "ratings.csv"), *strata, *small]


def test_scores_are_means_over_strata(run):
    status, out, err, folder = run
    assert status == 0
    assert "2 candidates, 40 items, 3 judges, 3 levels, 2 strata: nuts" in err
    report = json.loads((folder / "leaderboard.json").read_text())
    assert [(row["candidate"], row["stratum"], row["items"]) for row in report["strata"]] == [
        ("good", "maths", 5), ("good", "prose", 15), ("fair", "maths", 5), ("fair", "prose", 15),
    ]  # fmt: skip
    for candidate in report["candidates"]:
        maths, prose = (row["score"] for row in report["strata"] if row["candidate"] == candidate["item"])
        assert candidate["rating"] == pytest.approx(0.25 * maths + 0.75 * prose, abs=1e-12)
        assert candidate["comparisons"] == 60
    assert {row["labels"] for row in report["judges"]} == {40}
    assert "p_levels_disordered" not in report
    tables = [table.split()[0] for table in out.split("\n\n")]
    assert tables == ["rank", "candidate", "judge"]


def test_the_folder_is_whole(run):
    *_, err, folder = run
    names = ["judges.csv", "leaderboard.csv", "leaderboard.json", "leaderboard.png", "posterior.npz"]
    names += ["report.html", "simplex.png", "strata.csv"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert f"wrote {', '.join(names)} to {folder}" in err
    strata = (folder / "strata.csv").read_text().splitlines()
    assert strata[0] == "candidate,stratum,score,std_error,lower,upper,items"
    assert len(strata) == 5


def test_the_run_is_in_its_file(scorax, run):
    *_, out = run
    again = scorax(*command(out.parent), "--format", "json", "--quiet")
    assert json.loads(again.out) == json.loads((out / "leaderboard.json").read_text())
    other = scorax(*command(out.parent, "lowest"))
    assert (other.status, other.out) == (2, "")
    assert "holds a run that this call does not continue: it differs in model and prior." in other.err


def test_the_page_needs_nothing_but_itself(run):
    *_, folder = run
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "http" not in page
    head = "data:image/png;base64,"
    links = Reader(page).links
    assert [link[: len(head)] for link in links] == [head, head]
    figures = [base64.b64decode(link[len(head) :], validate=True) for link in links]
    assert figures == [(folder / name).read_bytes() for name in ("leaderboard.png", "simplex.png")]


def test_the_page_says_what_the_files_and_messages_say(run):
    _, out, err, folder = run
    reader = Reader((folder / "report.html").read_text(encoding="utf-8"))
    # So few draws are doubtful, and each doubt of standard error is on the page.
    doubts = [line.removeprefix("scorax: ") for line in err.splitlines() if line.startswith("scorax: ")]
    assert doubts
    assert [doubt for doubt in doubts if doubt not in reader.text] == []
    printed = [cell for line in out.splitlines() if "  " in line for cell in line.split("  ") if cell.strip()]
    assert [cell for cell in printed if cell.strip() not in reader.cells] == []
    values = dict(zip(reader.cells[reader.cells.index("setting") :: 2], reader.cells[reader.cells.index("value") :: 2],
                      strict=True))  # fmt: skip
    assert values["strata"] == "maths 25%, prose 75%"
    assert values["constancy"] == "strata: each errs in a way of its own in every stratum"
    assert values["chains"] == "2 of 60 draws, after 60 steps of warm-up"
    assert values["prevalence of levels"] == "hierarchical"


def test_names_are_text_and_no_markup():
    names = ["<script>alert(1)</script>", 'a "quoted" & b']
    page = _html.page(names[0], [_html.heading(names[0]), _html.bullets(names), _html.table(names, [names])])
    assert "<script" not in page
    assert Reader(page).cells == names * 2
