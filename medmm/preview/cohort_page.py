"""The cohort of a run on one page: who goes how far, Table 1, the split and what the leakage checks found."""

from __future__ import annotations

from collections.abc import Sequence

from medmm.cohort.table_one import Row, TableOne
from medmm.preview.page import Grid, framed, grid, page, picture, plain

APART = 0.2
"""A standardised difference that is printed bold."""


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
    body = [
        "<h2>Who is in the run, and who is not</h2>",
        picture(flowchart_svg, "Flow of patients and studies"),
        f"<h2>Table 1</h2><p>{plain(table_note)}</p>{table_of(table)}",
        *map(grid, grids),
    ]
    return page(title, facts, body)


def table_of(table: TableOne, kind: str = "figures") -> str:
    """Give Table 1 as HTML."""
    heads = ["", *table.groups, *(f"difference: {name}" for name in table.contrasts)]
    return framed(heads, [_row(row, table) for row in table.rows], kind)


def _row(row: Row, table: TableOne) -> str:
    lines = []
    if row.name and row.level:  # the name of a category stands above its levels, with what is missing and the differences
        blank = "".join(f"<td>{_missing(row, group)}</td>" for group in table.groups)
        lines.append(f'<tr class="begins"><td>{plain(row.name)}</td>{blank}{_differences(row, table)}</tr>')
    cells = "".join(f"<td>{plain(row.cells[group])}{'' if row.level else _missing(row, group)}</td>" for group in table.groups)
    if row.level:
        lines.append(f'<tr><td class="level">{plain(row.level)}</td>{cells}{"<td></td>" * len(table.contrasts)}</tr>')
    else:
        lines.append(f'<tr class="begins"><td>{plain(row.name)}</td>{cells}{_differences(row, table)}</tr>')
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
