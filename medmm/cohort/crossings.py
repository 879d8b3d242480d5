"""What stands on two sides of the split though it should stand on one: studies, series, files, images, notes, persons."""

from collections.abc import Iterable, Mapping, Sequence

from medmm.cohort.leakage import Finding

SHOWN = 3
"""Pairs of which the rows are said."""


def crossings(
    marks: Mapping[str, Iterable[tuple[int, str]]],
    pairs: Mapping[str, Iterable[tuple[int, int]]],
    sides: Mapping[int, str],
    rows: Sequence[int],
) -> list[Finding]:
    """Find what studies of two sides share.

    Args:
        marks: Name -> studies, by index, and something that only the same thing has, such as the UID of a series.
        pairs: Name -> studies, by index, that are nearly the same.
        sides: Index of a study -> its part of the split; studies of no part are not looked at.
        rows: (S,) row of each study in the studies table, by which it is called.

    Returns:
        One for each name, leaking where any pair of studies lies across.
    """
    found = {name: _pairs(marked, sides) for name, marked in marks.items()}
    found |= {name: [pair for pair in near if _across(pair, sides)] for name, near in pairs.items()}
    return [
        Finding("two sides", name, _said(across, rows), bool(across), pairs=tuple(across)) for name, across in found.items()
    ]


def _pairs(marked: Iterable[tuple[int, str]], sides: Mapping[int, str]) -> list[tuple[int, int]]:
    """Pair each study with the first that has its mark and stands on another side."""
    holders: dict[str, dict[str, int]] = {}
    pairs: list[tuple[int, int]] = []
    for index, mark in marked:
        if index in sides:
            first = holders.setdefault(mark, {})
            first.setdefault(sides[index], index)
            pairs += [(other, index) for side, other in first.items() if side != sides[index]][:1]
    return pairs


def _across(pair: tuple[int, int], sides: Mapping[int, str]) -> bool:
    one, other = (sides.get(index) for index in pair)
    return one is not None and other is not None and one != other


def _said(pairs: Sequence[tuple[int, int]], rows: Sequence[int]) -> str:
    if not pairs:
        return "none"
    shown = ", ".join(f"{rows[one]} and {rows[other]}" for one, other in pairs[:SHOWN])
    return f"{len(pairs)} pairs of studies, {'in' if len(pairs) <= SHOWN else 'such as those in'} rows {shown}"
