"""What all pages share: one HTML file, no script, nothing loaded from elsewhere, every text escaped.

A level of a category, a note or a column's name can hold anything.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from medmm.inert import visible
from medmm.preview.sheet import POLICY

STYLE = """
body { margin: 0 auto; padding: 28px 32px 48px; max-width: 1320px; background: #fff; color: #1b1f23;
  font: 14px/1.45 system-ui, sans-serif; }
h1 { margin: 0 0 4px; font-size: 22px; font-weight: 600; }
h2 { margin: 36px 0 6px; font-size: 17px; font-weight: 600; }
p { margin: 0 0 8px; color: #57606a; max-width: 100ch; }
img { display: block; width: 740px; max-width: 100%; margin-top: 12px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; border-bottom: 1.5px solid #1b1f23; }
th, td { padding: 4px 18px 4px 0; vertical-align: top; }
.figures td { white-space: nowrap; }
tr.begins td { border-top: 1px solid #d0d7de; }
td.level { padding-left: 16px; }
td small { display: block; color: #6a737d; }
td.apart { font-weight: 600; color: #8a3b00; }
tr.LEAK td { background: #ffebe9; } tr.waived td { background: #fff3d6; }
"""

NOT_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""Characters that no XML may hold (XML 1.0, section 2.2): with one of them, a browser shows no picture at all."""

CLOSING = "\n</body></html>\n"

COLOURED = frozenset({"LEAK", "waived"})
"""What in the last cell of a row colours it."""


@dataclass(frozen=True)
class Grid:
    """One plain table of a page.

    Attributes:
        title: Its headline.
        note: A sentence below it.
        columns: Names.
        rows: Cells.
    """

    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


def page(title: str, facts: str, body: Sequence[str]) -> str:
    """Give the page: a headline, a sentence below it, and what follows as HTML."""
    parts = [f"<h1>{plain(title)}</h1><p>{plain(facts)}</p>", *body, "<p>Research software, not a medical device.</p>"]
    return document(title, STYLE, parts)


def document(title: str, style: str, body: Sequence[str]) -> str:
    """Give the file around what stands on a page as HTML."""
    return opening(title, style) + "\n".join(body) + CLOSING


def opening(title: str, style: str) -> str:
    """Give what stands before the content of a page, for one that is written piece by piece; `CLOSING` stands behind it."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{plain(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><style>{style}</style></head>\n<body>'
    )


def plain(text: object) -> str:
    """Give a text that a page shows as it is: escaped, and without signs that are not seen or turn the text around."""
    return escape(visible(text))


def picture(svg: str, said: str) -> str:
    """Give an SVG as an image of the page, with the words that stand for it; as an image, nothing in it can run."""
    content = base64.b64encode(NOT_XML.sub("", svg).encode("utf-8", "replace")).decode("ascii")
    return f'<img alt="{plain(said)}" src="data:image/svg+xml;base64,{content}">'


def grid(one: Grid) -> str:
    """Give a plain table with its headline."""
    rows = []
    for row in one.rows:
        colour = f"{row[-1]} begins" if row[-1] in COLOURED else "begins"
        rows.append(f'<tr class="{colour}">' + "".join(f"<td>{plain(str(cell))}</td>" for cell in row) + "</tr>")
    note = f"<p>{plain(one.note)}</p>" if one.note else ""
    return f"<h2>{plain(one.title)}</h2>{note}" + (framed(one.columns, rows) if rows else "")


def framed(columns: Sequence[str], rows: Sequence[str], kind: str = "") -> str:
    """Give a table of rows that are HTML already, which scrolls where it is too wide."""
    heads = "".join(f"<th>{plain(column)}</th>" for column in columns)
    return (
        f'<div class="wide"><table class="{kind}"><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )
