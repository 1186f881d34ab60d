"""PrefLib's files of rankings, `.soc`, `.soi`, `.toc` and `.toi`: of today, and as they were before 2022."""

import os
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from scorax.data._read import PREFLIB, Readable, checked_text, ending, read_bytes

# A strict order is a list of numbers; tied ones stand in braces.
_PLACE = r"(?:\d+|\{\s*\d+(?:\s*,\s*\d+)*\s*\})"
_ORDER = rf"{_PLACE}(?:\s*,\s*{_PLACE})*"
_TODAY = re.compile(rf"(\d+)\s*:\s*({_ORDER})")
_BEFORE = re.compile(rf"(\d+)\s*,\s*({_ORDER})")
_TIED_OR_NOT = re.compile(_PLACE)


class Orders(NamedTuple):
    """What a file says."""

    orders: list[list[Any]]
    """Ids from 0, best first, tied ones in a tuple."""
    counts: np.ndarray
    """How many voters gave each order."""
    names: tuple[str, ...]
    """Of the alternatives."""


class _Header(NamedTuple):
    """What stands above the orders; `None` where it does not say."""

    names: tuple[str, ...]
    kind: str | None
    voters: int | None
    orders: int | None


class _Line(NamedTuple):
    """A line that is not empty, and its number in the file, from 1."""

    number: int
    text: str


def read_preflib(source: str | os.PathLike[str] | Readable, format: str | None) -> Orders:
    """The orders of a file, checked against its header and what its kind allows.

    Args:
        source: A path, or a stream of bytes.
        format: One of `PREFLIB`; told by the ending and the header where it is `None`.

    Raises:
        ValueError: see `Rankings.from_preflib`.
    """
    name, content = read_bytes(source)
    if not content.strip():
        raise ValueError(f"{name} is empty")
    text = checked_text(name, content).decode()
    lines = [_Line(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    today = lines[0].text.startswith("#")
    header, body = _header_of_today(name, lines) if today else _header_of_before(name, lines)
    kind = _kind(name, format, header.kind)
    if not body:
        raise ValueError(f"{name} has a header and no orders: the data are empty")
    count, orders = _orders(name, body, _TODAY if today else _BEFORE)
    _check_orders(name, body, orders, count, len(header.names), kind)
    _check_sums(name, header, count)
    ids = [[_ids(place) for place in order] for order in orders]
    return Orders(ids, count, header.names)


def _kind(name: str, format: str | None, said: str | None) -> str:
    """Which of the four kinds of orders the file holds."""
    if format not in (None, *PREFLIB):
        raise ValueError(f"format must be one of {', '.join(map(repr, PREFLIB))}, not {format!r}")
    told = format or ending(name)
    if told in PREFLIB and said is not None and said != told:
        raise ValueError(f"{name} says DATA TYPE: {said}, and is read as .{told}: one of the two is wrong")
    kind = said if format is None and said is not None else told
    if kind not in PREFLIB:
        known = f"{name} holds .{kind}, no orders" if kind else f"the kind of orders in {name} is unknown"
        raise ValueError(f"{known}; read are .soc, .soi, .toc and .toi. Say which it is with format='soi', for example")
    return kind


def _header_of_today(name: str, lines: list[_Line]) -> tuple[_Header, list[_Line]]:
    """Lines such as `# NUMBER VOTERS: 475` and `# ALTERNATIVE NAME 1: tea`, and the lines below them."""
    above = next((i for i, line in enumerate(lines) if not line.text.startswith("#")), len(lines))
    fields = {}
    for line in lines[:above]:
        key, _, value = line.text[1:].partition(":")
        fields[key.strip()] = value.strip()
    k = _whole(name, "NUMBER ALTERNATIVES", fields.get("NUMBER ALTERNATIVES"))
    if k is None:
        raise ValueError(f"{name} does not say NUMBER ALTERNATIVES: is it a file of PrefLib?")
    prefix = "ALTERNATIVE NAME "
    named = {key.removeprefix(prefix): value for key, value in fields.items() if key.startswith(prefix)}
    header = _Header(
        _names(name, k, named),
        fields.get("DATA TYPE", "").lower() or None,
        _whole(name, "NUMBER VOTERS", fields.get("NUMBER VOTERS")),
        _whole(name, "NUMBER UNIQUE ORDERS", fields.get("NUMBER UNIQUE ORDERS")),
    )
    return header, lines[above:]


def _header_of_before(name: str, lines: list[_Line]) -> tuple[_Header, list[_Line]]:
    """The number of alternatives, lines such as `1,tea`, then `voters,sum of counts,distinct orders`."""
    k = int(lines[0].text) if lines[0].text.isdecimal() else 0
    sums = lines[k + 1].text.split(",") if k and len(lines) > k + 1 else []
    if len(sums) != 3 or not all(part.strip().isdecimal() for part in sums):
        raise ValueError(
            f"{name} is no file of PrefLib: it begins neither with lines such as '# NUMBER ALTERNATIVES: 3' nor with "
            "the number of alternatives, a line for each, and 'voters,sum,orders'"
        )
    named = {}
    for line in lines[1 : k + 1]:
        number, _, value = line.text.partition(",")
        named[number.strip()] = value.strip().strip('"')
    _, voters, orders = (int(part) for part in sums)
    return _Header(_names(name, k, named), None, voters, orders), lines[k + 2 :]


def _whole(name: str, key: str, value: str | None) -> int | None:
    if value is not None and not value.isdecimal():
        raise ValueError(f"{name} says {key}: {value}, which is no whole number")
    return None if value is None else int(value)


def _names(name: str, k: int, named: dict[str, str]) -> tuple[str, ...]:
    """The names of alternatives 1 to k."""
    numbers = [str(i) for i in range(1, k + 1)]
    if sorted(named) != sorted(numbers):
        missing = [number for number in numbers if number not in named]
        beyond = [number for number in named if number not in numbers]
        wrong = f"number {missing[0]} has no name" if missing else f"{beyond[0]!r} is none of 1 to {k}"
        raise ValueError(f"{name} has {k} alternatives and names {len(named)}: {wrong}. Mend the header.")
    names = tuple(named[number] for number in numbers)
    unnamed = [number for number, value in zip(numbers, names, strict=True) if not value]
    if unnamed:
        raise ValueError(f"{name} leaves the name of alternative {unnamed[0]} empty: give it one")
    twice = sorted({value for value in names if names.count(value) > 1}) if len(set(names)) < k else []
    if twice:
        raise ValueError(f"{name} calls two alternatives {twice[0]!r}: give them different names")
    return names


def _orders(name: str, body: list[_Line], form: re.Pattern[str]) -> tuple[np.ndarray, list[list[str]]]:
    """How often each order was given, and its places as text."""
    found = [form.fullmatch(line.text) for line in body]
    example = "5: 1,{2,3},4" if form is _TODAY else "5,1,{2,3},4"
    shown = next((line.text for line, match in zip(body, found, strict=True) if match is None), "")
    _refuse(name, body, [match is None for match in found], f"no count and order such as '{example}': {shown[:40]!r}")
    count = [int(match[1]) for match in found if match]
    return np.array(count), [_TIED_OR_NOT.findall(match[2]) for match in found if match]


def _ids(place: str) -> Any:
    """The id of an alternative, or a tuple of those that are tied."""
    numbers = [int(number) - 1 for number in place.strip("{}").split(",")]
    return tuple(numbers) if len(numbers) > 1 else numbers[0]


def _check_orders(name: str, body: list[_Line], orders: list[list[str]], count: np.ndarray, k: int, kind: str) -> None:
    """Raise where an order is none of `k` alternatives, or not of its kind."""
    listed = [[int(number) for place in order for number in place.strip("{}").split(",")] for order in orders]
    beyond = [not all(1 <= number <= k for number in order) for order in listed]
    _refuse(name, body, beyond, f"an alternative that is none of 1 to {k}", "The header numbers and names them all.")
    again = [len(set(order)) < len(order) for order in listed]
    _refuse(name, body, again, "an alternative twice", "An order lists it once.")
    _refuse(name, body, count == 0, "an order that nobody gave", "Drop the line, or mend its count.")
    if kind[0] == "s":
        tied = [any("," in place for place in order) for order in orders]
        _refuse(name, body, tied, f"tied alternatives, which a .{kind} file has not", f"Call it .t{kind[1:]}.")
    if kind[2] == "c":
        short = [len(order) < k for order in listed]
        mend = f"Call it .{kind[:2]}i."
        _refuse(name, body, short, f"fewer than the {k} alternatives, all of which a .{kind} file lists", mend)


def _check_sums(name: str, header: _Header, count: np.ndarray) -> None:
    """Raise where the header counts otherwise than the orders do."""
    for said, found, what in (
        (header.orders, len(count), "distinct orders"),
        (header.voters, int(count.sum()), "voters"),
    ):
        if said not in (None, found):
            raise ValueError(
                f"the header of {name} says that there are {said} {what}, its lines hold {found}: the file may be "
                "truncated, or its header be of another one"
            )


def _refuse(name: str, body: list[_Line], bad: Sequence[bool] | np.ndarray, what: str, mend: str = "") -> None:
    """Raise where any line is bad, with their count and the first ones."""
    numbers = [line.number for line, wrong in zip(body, bad, strict=True) if wrong]
    if numbers:
        first = ", ".join(map(str, numbers[:3])) + (", ..." if len(numbers) > 3 else "")
        plural = "s" * (len(numbers) > 1)
        verb = "have" if plural else "has"
        raise ValueError(f"{len(numbers)} line{plural} of {name} {verb} {what} (line{plural} {first}). {mend}".rstrip())
