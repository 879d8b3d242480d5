"""What all figures share: colours that colour-blind readers tell apart, type sizes, and the n in the title.

Figures are built without pyplot, so nothing global is read or changed; `figure.savefig` writes them.
"""

import io
import warnings
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from medmm.types import Array, Scores

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe & Ito, Color Universal Design (2008), without black and the yellow that white paper swallows."""

STYLES = ("-", "--", "-.", ":")
"""Lines change their style when the colours are used up."""

GREY = "#767676"
"""For what is not data: contrast 4.5 to 1 on white, the least that WCAG 2 accepts for text."""

TEXT_POINTS = 9
TITLE_POINTS = 11
BAND_OPACITY = 0.18
LEGEND_LINE_INCH = 0.2


class Line(NamedTuple):
    """How a class is drawn."""

    colour: str
    style: str


def canvas(width_inch: float, height_inch: float) -> Figure:
    """Give an empty white figure whose parts make room for each other."""
    return Figure(figsize=(width_inch, height_inch), dpi=150, layout="constrained", facecolor="white")


def dress(axes: Axes, x: str, y: str) -> None:
    """Label the axes and leave away what carries no data."""
    axes.set_xlabel(x, fontsize=TEXT_POINTS)
    axes.set_ylabel(y, fontsize=TEXT_POINTS)
    axes.tick_params(labelsize=TEXT_POINTS)
    axes.spines[["top", "right"]].set_visible(False)


def entitle(axes: Axes, title: str, subtitle: str) -> None:
    """Put the title on the left, and what it rests on below it."""
    axes.set_title(f"{title}\n", loc="left", fontsize=TITLE_POINTS, fontweight="bold")
    axes.annotate(subtitle, (0, 1), (0, 6), "axes fraction", "offset points", fontsize=TEXT_POINTS, color=GREY)


def counts(scores: Scores) -> str:
    """Say how many studies of how many patients the scores hold."""
    return f"{len(scores.patient):,} studies of {len(set(scores.patient.tolist())):,} patients"


def line_of(column: int) -> Line:
    """Give the line of a class by its column."""
    return Line(COLOURS[column % len(COLOURS)], STYLES[column // len(COLOURS) % len(STYLES)])


def dots(axes: Axes, x: Array, y: Array, reach: Array, label: str, line: Line) -> None:
    """Draw joined points with the reach (2, n) of their intervals, below and above."""
    axes.errorbar(
        x,
        y,
        yerr=reach,
        label=label,
        marker="o",
        markersize=4,
        capsize=2,
        elinewidth=0.9,
        linewidth=1.2,
        color=line.colour,
        linestyle=line.style,
    )


def legend_below(figure: Figure) -> None:
    """List what is drawn below the axes, where it hides no data; the figure grows by the room that this takes."""
    legend = figure.legend(loc="outside lower left", frameon=False, fontsize=TEXT_POINTS, handlelength=1.8)
    figure.set_figheight(figure.get_figheight() + LEGEND_LINE_INCH * len(legend.get_texts()))


def svg_of(figure: Figure) -> str:
    """Give a figure as SVG, always the same for the same figure."""
    buffer = io.StringIO()
    taken_literally(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a name in a script that the font lacks: boxes
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def taken_literally(figure: Figure) -> None:
    r"""Show every text of a figure as it is: a name such as `$\frac$` is no formula, and must not break the drawing.

    Only what matplotlib itself writes at an axis, powers of ten, stays a formula.
    """
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        said = text.get_text()
        if r"\mathdefault" not in said:
            text.set_parse_math(False)
            if not said.isprintable():
                text.set_text("".join(one if one.isprintable() or one == "\n" else "\N{REPLACEMENT CHARACTER}" for one in said))
