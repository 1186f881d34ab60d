"""Pages that need nothing but themselves: text, tables and figures in one HTML file."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #2b2f33; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
p, li { max-width: 46rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.8rem 0.25rem 0; text-align: right; vertical-align: top; white-space: nowrap; }
th { border-bottom: 1px solid #6b737a; } td { border-bottom: 1px solid #e4e7ea; }
.left { text-align: left; white-space: normal; } .wide { overflow-x: auto; } .quiet { color: #6b737a; }
img { max-width: 100%; height: auto; } figure { margin: 1.5rem 0; }
"""


def heading(text: str) -> str:
    """Of a section."""
    return f"<h2>{html.escape(text)}</h2>"


def paragraph(text: str, *, quiet: bool = False) -> str:
    """Plain text."""
    mark = ' class="quiet"' if quiet else ""
    return f"<p{mark}>{html.escape(text)}</p>"


def bullets(items: Sequence[str]) -> str:
    """A list of sentences."""
    return "<ul>" + "".join(f"<li>{html.escape(item)}</li>" for item in items) + "</ul>"


def table(headings: Sequence[str], body: Sequence[Sequence[str]], *, left: Sequence[int] = (1,)) -> str:
    """The same as `print_table`: columns set to the right, but for those numbered in `left`."""

    def line(tag: str, cells: Sequence[str]) -> str:
        marks = (' class="left"' if j in left else "" for j in range(len(cells)))
        return (
            "<tr>" + "".join(f"<{tag}{m}>{html.escape(c)}</{tag}>" for m, c in zip(marks, cells, strict=True)) + "</tr>"
        )

    rows = "\n".join(line("td", cells) for cells in body)
    return f'<div class="wide"><table>\n<thead>{line("th", headings)}</thead>\n<tbody>\n{rows}\n</tbody></table></div>'


def figure(path: Path, caption: str) -> str:
    """A PNG file, inside the page."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    said = html.escape(caption)
    return f'<figure><img alt="{said}" src="data:image/png;base64,{data}"><figcaption>{said}</figcaption></figure>'


def page(title: str, parts: Sequence[str]) -> str:
    """The whole file, of sections that the other functions made."""
    name = html.escape(title)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{name}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{name}</h1>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )
