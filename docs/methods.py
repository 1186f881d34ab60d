"""The table of methods: `docs/methods.toml` says what there is, this checks it and writes it into the README.

python -m docs.methods            # write the table
python -m docs.methods --check    # exit status 1, and a line for everything that is wrong
"""

import argparse
import dataclasses
import importlib
import inspect
import pathlib
import re
import sys
import tomllib
import urllib.parse
from collections.abc import Iterator
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
START, END = "<!-- methods -->", "<!-- /methods -->"
STATES = ("done", "partial")
_LINKS = {"doi": "https://doi.org/", "arXiv": "https://arxiv.org/abs/"}


@dataclasses.dataclass(frozen=True)
class Method:
    """One entry of `methods.toml`."""

    name: str
    names: tuple[str, ...]
    """Public names, from the room on: `choice.BradleyTerry`, `inference.Fit.robust`."""
    tests: tuple[str, ...]
    """Files, from the root of the repository."""
    state: str
    """`done`, or `partial` with a `note` that says what is missing."""
    paper: str | None = None
    """Authors. None for what no paper introduced."""
    year: int | None = None
    id: str | None = None
    """`doi:...` or `arXiv:...`; None for papers that have neither."""
    example: str | None = None
    """A notebook, or another file that shows the method at work."""
    note: str | None = None


def load(path: pathlib.Path = ROOT / "docs" / "methods.toml") -> list[Method]:
    """The entries in the order of the file; `ValueError` names the entry that is not one."""
    with path.open("rb") as file:
        table = tomllib.load(file)
    return [_entry(fields) for fields in table["method"]]


def _entry(fields: dict[str, Any]) -> Method:
    known = {field.name for field in dataclasses.fields(Method)}
    label = fields.get("name", fields)
    if unknown := sorted(set(fields) - known):
        raise ValueError(f"{label}: unknown fields {unknown}; an entry has {sorted(known)}")
    if missing := sorted({"name", "names", "tests", "state"} - set(fields)):
        raise ValueError(f"{label}: the fields {missing} are missing")
    return Method(**{**fields, "names": tuple(fields["names"]), "tests": tuple(fields["tests"])})


def table(methods: list[Method]) -> str:
    """The table in Markdown."""
    lines = ["| method | in `scorax` | paper | see |", "|---|---|---|---|"]
    for method in methods:
        name = method.name if method.state == "done" else f"{method.name} ({method.note})"
        names = ", ".join(f"`{name}`" for name in method.names)
        lines.append(f"| {name} | {names} | {_cite(method)} | {_see(method)} |")
    return "\n".join(lines)


def _cite(method: Method) -> str:
    if method.paper is None:
        return ""
    text = f"{method.paper} ({method.year})"
    if method.id is None:
        return text
    scheme, _, number = method.id.partition(":")
    return f"[{text}]({_LINKS[scheme]}{urllib.parse.quote(number)})"


def _see(method: Method) -> str:
    path = method.example or (method.tests[0] if method.tests else None)
    return "" if path is None else f"[{pathlib.PurePath(path).stem}]({path})"


def problems(methods: list[Method], root: pathlib.Path = ROOT) -> Iterator[str]:
    """One line for every entry, name or file that is not as it says."""
    names = [method.name for method in methods]
    yield from (f"{name}: listed twice" for name in sorted({name for name in names if names.count(name) > 1}))
    for method in methods:
        for problem in (*_of_entry(method), *_of_names(method), *_of_files(method, root)):
            yield f"{method.name}: {problem}"


def _of_entry(method: Method) -> Iterator[str]:
    if method.state not in STATES:
        yield f"state is {method.state!r}, not one of {STATES}"
    if method.state == "partial" and method.note is None:
        yield "is partial without a note that says what is missing"
    if not method.names:
        yield "has no public name"
    if (method.paper is None) != (method.year is None):
        yield "needs paper and year, or neither"
    if method.id is not None and method.id.partition(":")[0] not in _LINKS:
        yield f"id is {method.id!r}, neither doi:... nor arXiv:..."


def _of_names(method: Method) -> Iterator[str]:
    for name in method.names:
        try:
            found = resolve(name)
        except (AttributeError, ImportError):
            yield f"scorax.{name} does not exist"
            continue
        if method.paper is not None and not re.search(r"^\s*Source: \S", inspect.getdoc(found) or "", re.MULTILINE):
            yield f"the docstring of scorax.{name} has no 'Source:' line"


def resolve(name: str) -> Any:
    """The object of a public name such as `inference.Fit.robust`, which its room must list in `__all__`."""
    room, attribute, *rest = name.split(".")
    module = importlib.import_module(f"scorax.{room}")
    if attribute not in getattr(module, "__all__", ()):
        raise AttributeError(name)
    found = getattr(module, attribute)
    for part in rest:
        found = getattr(found, part)
    return found


def _of_files(method: Method, root: pathlib.Path) -> Iterator[str]:
    if method.state == "done" and not method.tests:
        yield "is done without a test"
    for path in (*method.tests, *([method.example] if method.example else [])):
        if not (root / path).is_file():
            yield f"{path} does not exist"


def insert(readme: str, text: str) -> str:
    """The README with `text` between its two markers; `ValueError` where they are not both there, once each."""
    if readme.count(START) != 1 or readme.count(END) != 1 or readme.index(START) > readme.index(END):
        raise ValueError(f"README.md must hold the line {START} and, below it, the line {END}, once each")
    before, rest = readme.split(START)
    return f"{before}{START}\n{text}\n{END}{rest.split(END)[1]}"


def main(arguments: list[str] | None = None) -> int:
    """Write the table, or check it; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m docs.methods", description="The table of methods in README.md")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where something is wrong")
    check = parser.parse_args(arguments).check
    path = ROOT / "README.md"
    try:
        methods = load()
        wrong = list(problems(methods))
        print(*wrong, sep="\n", end="\n" if wrong else "", file=sys.stderr)
        old = path.read_text(encoding="utf-8")
        new = insert(old, table(methods))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    stale = check and new != old
    if stale:
        print("the table in README.md is stale: run python -m docs.methods", file=sys.stderr)
    if not check:
        path.write_text(new, encoding="utf-8")
    return 1 if wrong or stale else 0


if __name__ == "__main__":
    sys.exit(main())
