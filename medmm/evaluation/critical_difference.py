"""Mean ranks of methods over folds and seeds, and which of them are told apart: the critical difference diagram.

Letters: N blocks, M methods. A block is one fold of one seed, in which every method was judged on the same studies.

The test takes the blocks as independent. Folds of one cohort are not: their training studies overlap, and seeds share all
studies. So the diagram describes how steadily a method leads on this cohort; it proves nothing about others.

Source:
    Demsar, Statistical comparisons of classifiers over multiple data sets, J. Mach. Learn. Res. 7 (2006) 1-30.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import friedmanchisquare, rankdata, studentized_range

from medmm.errors import DataError
from medmm.evaluation.canvas import COLOURS, GREY, TEXT_POINTS, canvas, entitle
from medmm.evaluation.intervals import LEVEL
from medmm.types import Array

FEWEST_METHODS = 3
"""Friedman's test takes no fewer."""

FEWEST_BLOCKS = 2

DIGITS = 10
"""Of an AUROC; what lies behind them is rounding and must not break a tie."""

MOST_LABELS = 15
"""Ranks that are labelled side by side; of more, every second one."""

AXIS_INCH = 6.5
"""Width of the axis of ranks, with the mean ranks beside it; the two lines of the subtitle fit above."""

LETTER_INCH = 0.075
ROW_INCH = 0.21
BAR_ROWS = 0.45
"""Height of the row of a bar, where that of a name is 1."""


@dataclass(frozen=True)
class Ranking:
    """Methods by their mean rank, the best first.

    Attributes:
        names: (M,) of the methods.
        mean_ranks: (M,) from 1, ascending; rank 1 of a block is the highest AUROC, ties share their mean rank.
        blocks: Blocks in which every method had an AUROC.
        left_out: Blocks in which one had none.
        p: Of Friedman's test that all methods rank alike.
        critical_difference: Two mean ranks that lie at least this far apart are told apart (Nemenyi, at 1 - `LEVEL`).
    """

    names: tuple[str, ...]
    mean_ranks: tuple[float, ...]
    blocks: int
    left_out: int
    p: float
    critical_difference: float

    @property
    def groups(self) -> tuple[tuple[int, int], ...]:
        """Give first and last place, from 0, of each longest run of two or more methods that are not told apart.

        Where Friedman's test finds no difference at all, that is everyone: a test of pairs must not follow then.
        """
        if not self.p < 1 - LEVEL:
            return ((0, len(self.names) - 1),)
        ranks = np.array(self.mean_ranks)
        ends = (
            np.searchsorted(ranks, ranks + self.critical_difference - 10.0**-DIGITS, side="left") - 1
        )  # (M,) last place joined
        grown = np.diff(ends, prepend=-1) > 0  # a run that ends where an earlier one ends lies inside it
        return tuple((first, int(last)) for first, last in enumerate(ends) if last > first and grown[first])


def rank(table: Array, names: Sequence[str]) -> Ranking:
    """Rank methods over blocks.

    Args:
        table: (N, M) AUROCs; a block with a NaN, such as a fold without a positive study, is left out for all.
        names: (M,) of the columns.

    Raises:
        DataError: Names and columns differ in number, or there are fewer than three methods or two complete blocks.
    """
    if table.ndim != 2 or table.shape[1] != len(names):
        raise DataError(
            f"the table has shape {table.shape} for {len(names)} methods: give one row a block, one column a method"
        )
    complete = table[np.isfinite(table).all(axis=1)].round(DIGITS)
    blocks, methods = complete.shape
    if methods < FEWEST_METHODS or blocks < FEWEST_BLOCKS:
        raise DataError(
            f"{methods} methods in {blocks} complete blocks cannot be ranked: "
            f"{FEWEST_METHODS} methods and {FEWEST_BLOCKS} blocks are the least"
        )
    mean_ranks = rankdata(-complete, axis=1).mean(axis=0)  # (M,)
    order = np.argsort(mean_ranks, kind="stable")
    return Ranking(
        names=tuple(names[place] for place in order),
        mean_ranks=tuple(float(mean_ranks[place]) for place in order),
        blocks=blocks,
        left_out=len(table) - blocks,
        p=_friedman_p(complete),
        critical_difference=nemenyi(methods, blocks),
    )


def nemenyi(methods: int, blocks: int) -> float:
    """Give the critical difference of mean ranks at 1 - `LEVEL`."""
    quantile = float(studentized_range.ppf(LEVEL, methods, np.inf)) / np.sqrt(2)
    return float(quantile * np.sqrt(methods * (methods + 1) / (6 * blocks)))


def critical_difference_plot(ranking: Ranking) -> Figure:
    """Draw methods along the axis of mean ranks, joining those that are not told apart.

    The better half stands on the left, the best on top; the worse half on the right, the worst on top.
    """
    methods = len(ranking.names)
    bars_end = 0.4 + BAR_ROWS * len(ranking.groups)
    half = (methods + 1) // 2
    rows = bars_end + half + 0.4
    longest = max(map(len, ranking.names))
    figure = canvas(AXIS_INCH + 2 * LETTER_INCH * longest, 1.3 + ROW_INCH * rows)
    axes = figure.add_subplot()
    axes.set(xlim=(1, methods), ylim=(rows, -3.2), xticks=(), yticks=())
    axes.axis("off")
    _scale(axes, methods)
    _critical_bar(axes, ranking.critical_difference, methods)
    for row, (first, last) in enumerate(ranking.groups):
        joined = ranking.mean_ranks[first : last + 1]
        heights = [0.4 + BAR_ROWS * (row + 0.5)] * len(joined)
        axes.plot(joined, heights, "o-", color=COLOURS[0], linewidth=2.4, markersize=4.2, zorder=3, clip_on=False)
    for place, (name, mean_rank) in enumerate(zip(ranking.names, ranking.mean_ranks, strict=True)):
        left = place < half
        height = bars_end + 0.5 + (place if left else methods - 1 - place)
        _named(axes, f"{name}  {mean_rank:.2f}" if left else f"{mean_rank:.2f}  {name}", mean_rank, height, left=left)
    entitle(axes, "Mean ranks of the methods, 1 is best\n", _subtitle(ranking))  # room for two lines below
    return figure


def _scale(axes: Axes, methods: int) -> None:
    axes.plot((1, methods), (0, 0), color="black", linewidth=1, clip_on=False)
    for tick in range(1, methods + 1):
        axes.plot((tick, tick), (-0.3, 0), color="black", linewidth=1, clip_on=False)
        if methods <= MOST_LABELS or tick % 2:
            axes.text(tick, -0.4, str(tick), ha="center", va="bottom", fontsize=TEXT_POINTS)


def _critical_bar(axes: Axes, width: float, methods: int) -> None:
    end = min(1 + width, methods)
    axes.errorbar((1 + end) / 2, -2, xerr=(end - 1) / 2, color=GREY, capsize=3, linewidth=1.4, clip_on=False)
    label = f"critical difference {width:.2f}" + (" (wider than the axis)" if 1 + width > methods else "")
    axes.text(1, -2.2, label, ha="left", va="bottom", fontsize=TEXT_POINTS, color=GREY)


def _named(axes: Axes, text: str, mean_rank: float, height: float, *, left: bool) -> None:
    edge = axes.get_xlim()[0 if left else 1]
    axes.plot((mean_rank, mean_rank, edge), (0, height, height), color=GREY, linewidth=0.8, clip_on=False)
    offset = (-4, 0) if left else (4, 0)
    side = "right" if left else "left"
    axes.annotate(text, (edge, height), offset, textcoords="offset points", ha=side, va="center", fontsize=TEXT_POINTS)


def _subtitle(ranking: Ranking) -> str:
    left_out = f", {ranking.left_out} more without an AUROC left out" if ranking.left_out else ""
    return (
        f"{ranking.blocks} blocks of fold and seed{left_out}; Friedman p {_p_text(ranking.p)}; bars join those not told apart\n"
        "Folds of one cohort are not independent: the diagram describes, it does not prove"
    )


def _p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def _friedman_p(table: Array) -> float:
    if (table == table[:, :1]).all():  # every method tied in every block: the statistic would be 0 / 0
        return 1.0
    return float(friedmanchisquare(*table.T).pvalue)
