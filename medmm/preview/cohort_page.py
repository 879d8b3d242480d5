"""The cohort of a run on one page: who goes how far, Table 1, the split and what the leakage checks found.

One HTML file, no script, nothing loaded from elsewhere; every text is escaped, for a level of a category can hold anything.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from medmm.cohort.table_one import Row, TableOne
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

APART = 0.2
"""A standardised difference that is printed bold."""


COLOURED = frozenset({"LEAK", "waived"})
"""What in the last cell of a row colours it."""


@dataclass(frozen=True)
class Grid:
    """One plain table of the page.

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


def cohort_page(title: str, facts: str, flowchart_svg: str, table: TableOne, table_note: str, grids: Sequence[Grid]) -> str:
    """Give the page.

    Args:
        title: Its headline.
        facts: A sentence below it.
        flowchart_svg: The picture of who goes how far.
        table: Table 1.
        table_note: What its groups are.
        grids: What else there is to tell.
    """
    picture = base64.b64encode(flowchart_svg.encode()).decode("ascii")
    body = [
        f"<h1>{escape(title)}</h1><p>{escape(facts)}</p>",
        "<h2>Who is in the run, and who is not</h2>",
        f'<img alt="Flow of patients and studies" src="data:image/svg+xml;base64,{picture}">',
        f"<h2>Table 1</h2><p>{escape(table_note)}</p>{_table_one(table)}",
        *map(_grid, grids),
        "<p>Research software, not a medical device.</p>",
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><style>{STYLE}</style></head>\n'
        "<body>" + "\n".join(body) + "\n</body></html>\n"
    )


def _table_one(table: TableOne) -> str:
    heads = ["", *table.groups, *(f"difference: {name}" for name in table.contrasts)]
    return _framed(heads, [_row(row, table) for row in table.rows], "figures")


def _row(row: Row, table: TableOne) -> str:
    lines = []
    if row.name and row.level:  # the name of a category stands above its levels, with what is missing and the differences
        blank = "".join(f"<td>{_missing(row, group)}</td>" for group in table.groups)
        lines.append(f'<tr class="begins"><td>{escape(row.name)}</td>{blank}{_differences(row, table)}</tr>')
    cells = "".join(f"<td>{escape(row.cells[group])}{'' if row.level else _missing(row, group)}</td>" for group in table.groups)
    if row.level:
        lines.append(f'<tr><td class="level">{escape(row.level)}</td>{cells}{"<td></td>" * len(table.contrasts)}</tr>')
    else:
        lines.append(f'<tr class="begins"><td>{escape(row.name)}</td>{cells}{_differences(row, table)}</tr>')
    return "".join(lines)


def _missing(row: Row, group: str) -> str:
    return f"<small>{row.missing[group]:,} missing</small>" if row.missing.get(group) else ""


def _differences(row: Row, table: TableOne) -> str:
    cells = []
    for name in table.contrasts:
        value = row.differences.get(name, float("nan"))
        text = "∞" if value == float("inf") else f"{value:.2f}" if value == value else ""  # noqa: PLR0124
        cells.append(f'<td class="{"apart" if abs(value) >= APART else ""}">{text}</td>')
    return "".join(cells)


def _grid(grid: Grid) -> str:
    rows = []
    for row in grid.rows:
        colour = f"{row[-1]} begins" if row[-1] in COLOURED else "begins"
        rows.append(f'<tr class="{colour}">' + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>")
    note = f"<p>{escape(grid.note)}</p>" if grid.note else ""
    return f"<h2>{escape(grid.title)}</h2>{note}" + (_framed(grid.columns, rows) if rows else "")


def _framed(columns: Sequence[str], rows: Sequence[str], kind: str = "") -> str:
    heads = "".join(f"<th>{escape(column)}</th>" for column in columns)
    return (
        f'<div class="wide"><table class="{kind}"><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )
